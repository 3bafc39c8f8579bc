"""Weights of 8 bits."""

import re
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from htgen.arrays import Floats
from htgen.cnn.bundle import Bundle


def rounded(bundle: Bundle) -> Bundle:
    """The CNN with its weights as `c_code` rounds them to 8 bits, to measure what that costs."""
    weights = {name: t for name, t in bundle.tensors.items() if re.fullmatch(r"\w+\.weight", name)}
    eight = {name: what_8_bits_keep(tensor) for name, tensor in weights.items()}
    return replace(bundle, tensors={**bundle.tensors, **eight})


def what_8_bits_keep(weights: Floats) -> Floats:
    """The weights `[O, ...]` that are left of others once these are rounded."""
    steps, whole = round_to_8_bits(weights)
    return (steps.reshape(-1, *[1] * (weights.ndim - 1)) * whole).astype(np.float32)


def round_to_8_bits(weights: Floats) -> tuple[Floats, npt.NDArray[np.int8]]:
    """Weights `[O, ...]` -> steps `[O]` and whole numbers -127..127 `[O, ...]`, whose product is close."""
    steps = np.abs(weights.reshape(len(weights), -1)).max(axis=1) / np.float32(127)
    steps = np.where(steps < np.finfo(np.float32).tiny, np.float32(1), steps)  # no more than nothing
    whole = np.rint(weights / steps.reshape(-1, *[1] * (weights.ndim - 1)))
    return steps, whole.clip(-127, 127).astype(np.int8)
