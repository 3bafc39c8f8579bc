"""Weights of 8 bits, by channel, as files hold them. No torch here.

A tensor `[O, ...]` becomes whole numbers -127..127 and a scale for each `O`. A scale has 16 significant bits:
so its products with whole numbers are exact, and a tensor that is read and written again has the same bytes.
"""

from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from htgen.arrays import Floats
from htgen.tensor_files import Arrays

SCALE = ".scale"
"""Behind the name of a tensor: its scales."""

_LARGEST = 127

_NOTHING = 1e-30
"""Channels of numbers that are this small become zero."""


def round_tensor(tensor: Floats) -> tuple[npt.NDArray[np.int8], Floats]:
    """The nearest tensor of 8 bits, float32 `[O, ...]` -> whole numbers `[O, ...]`, scales `[O]`."""
    largest = np.abs(tensor).reshape(len(tensor), -1).max(axis=1)
    scale = np.where(largest > _NOTHING, largest / np.float32(_LARGEST), np.float32(1))
    mantissa, exponent = np.frexp(scale)
    scale = np.ldexp(np.rint(mantissa * 2.0**16) / 2.0**16, exponent).astype(np.float32)
    by_channel = scale.reshape(-1, *[1] * (tensor.ndim - 1))
    whole = np.rint(tensor / by_channel).clip(-_LARGEST, _LARGEST)
    return whole.astype(np.int8), scale


def rounded(tensor: Floats) -> Floats:
    """A tensor with the values that 8 bits can hold."""
    return _widened(*round_tensor(tensor))


def narrowed(
    tensors: Arrays, names: Collection[str], biases: Collection[str] = ()
) -> dict[str, npt.NDArray[Any]]:
    """Tensors as files hold them: those of some names with 8 bits, biases with 16 where these are exact."""
    found: dict[str, npt.NDArray[Any]] = {}
    for name, tensor in tensors.items():
        if name in names:
            found[name], found[name + SCALE] = round_tensor(tensor)
        elif name in biases:
            half = with_16_bits(tensor)
            found[name] = half if np.array_equal(half, tensor) else tensor
        else:
            found[name] = tensor
    return found


def with_16_bits(tensor: Floats) -> npt.NDArray[np.float16]:
    """The nearest numbers of 16 bits; those that are too large for any become infinite."""
    with np.errstate(over="ignore"):
        return tensor.astype(np.float16)


def widened(tensors: Arrays) -> dict[str, npt.NDArray[Any]]:
    """The inverse of `narrowed`: those with 8 bits, and biases with 16 beside them, become float32.

    Raises:
        ValueError: scales are missing, of another shape, or of another type.
    """
    narrow = {name for name, tensor in tensors.items() if tensor.dtype == np.int8}
    found = {name: tensor for name, tensor in tensors.items() if name.removesuffix(SCALE) not in narrow}
    for name in (name.removesuffix("weight") + "bias" for name in narrow):
        if name in found and found[name].dtype == np.float16:
            found[name] = found[name].astype(np.float32)
    for name in sorted(narrow):
        whole, scale = tensors[name], tensors.get(name + SCALE)
        if scale is None or scale.dtype != np.float32 or not whole.ndim or scale.shape != whole.shape[:1]:
            raise ValueError(f"{name} has 8 bits, and no scale for each channel")
        found[name] = _widened(whole, scale)
    return found


def _widened(whole: npt.NDArray[np.int8], scale: Floats) -> Floats:
    tensor: Floats = whole.astype(np.float32) * scale.reshape(-1, *[1] * (whole.ndim - 1))
    return tensor
