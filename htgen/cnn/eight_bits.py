"""Weights of 8 bits."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from htgen.arrays import Floats
from htgen.cnn.weights import CnnWeights


def rounded(weights: CnnWeights[Floats]) -> CnnWeights[Floats]:
    """CNNs with kernels and logits weights as `c_code` rounds them to 8 bits, to measure what that costs."""
    blocks = tuple(replace(block, kernel=what_8_bits_keep(block.kernel, 3)) for block in weights.blocks)
    return replace(weights, blocks=blocks, logits_weight=what_8_bits_keep(weights.logits_weight, 1))


def what_8_bits_keep(weights: Floats, inputs: int) -> Floats:
    """The weights that are left of others once these are rounded.

    Args:
        inputs: how many of the last axes are the weights of one output, which have a step of their own.
    """
    steps, whole = round_to_8_bits(weights.reshape(-1, *weights.shape[weights.ndim - inputs :]))
    kept = steps.reshape(-1, *[1] * inputs) * whole
    return kept.astype(np.float32).reshape(weights.shape)


def round_to_8_bits(weights: Floats) -> tuple[Floats, npt.NDArray[np.int8]]:
    """Weights `[O, ...]` -> steps `[O]` and whole numbers -127..127 `[O, ...]`, whose product is close."""
    steps = np.abs(weights.reshape(len(weights), -1)).max(axis=1) / np.float32(127)
    steps = np.where(steps < np.finfo(np.float32).tiny, np.float32(1), steps)  # no more than nothing
    whole = np.rint(weights / steps.reshape(-1, *[1] * (weights.ndim - 1)))
    return steps, whole.clip(-127, 127).astype(np.int8)
