#!/usr/bin/env bash
# safetensors 0.8.0: the NumPy side writes a transposed array with its values in the wrong places.
#
# The shape in the file is that of the view, the values are in the order of memory.
# Nothing is raised, and the file reads back as a valid tensor of the right shape and type.
# 0.7.0 writes the same array correctly.
# In this field kernels are transposed on the way between TensorFlow [h, w, in, out], PyTorch [out, in, h, w]
# and a file, and such a transposition is a view: the CNN that is read back computes nonsense.
# The PyTorch side of the same release raises an error for such a tensor, so one expects it to be checked.
#
# Seen (the transposition of [[0, 1, 2], [3, 4, 5]], saved and loaded again):
#   safetensors 0.7.0: [[0, 3], [1, 4], [2, 5]], a copy of the view: [[0, 3], [1, 4], [2, 5]]
#   safetensors 0.8.0: [[0, 1], [2, 3], [4, 5]], a copy of the view: [[0, 3], [1, 4], [2, 5]]
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6
cat >"$folder/show.py" <<'PY'
import sys

import numpy as np
import safetensors
from safetensors.numpy import load_file, save_file

path = sys.argv[1]
kernel = np.arange(6, dtype=np.int32).reshape(2, 3)
save_file({"view": kernel.T, "copy": np.ascontiguousarray(kernel.T)}, path)
back = load_file(path)
view, copy = (back[name].tolist() for name in ("view", "copy"))
print(f"safetensors {safetensors.__version__}: {view}, a copy of the view: {copy}")
assert np.array_equal(back["copy"], kernel.T)
print("right" if np.array_equal(back["view"], kernel.T) else "wrong")
PY
echo "expected: [[0, 3], [1, 4], [2, 5]] everywhere"
verdicts=
for version in 0.7.0 0.8.0; do
  "$folder/venv/bin/pip" install -q "safetensors==$version"
  "$folder/venv/bin/python" "$folder/show.py" "$folder/kernel.safetensors" >"$folder/out"
  head -1 "$folder/out"
  verdicts+="$(tail -1 "$folder/out") "
done
[ "$verdicts" = "right wrong " ]
