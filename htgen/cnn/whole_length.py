"""Features of length 1 in whole numbers: from what blocks give to what the logits layer reads.

All is of 32 bits without a sign, for processors that have no more: features are brought to so few bits that
their squares add up, and the root of that is brought to 16 bits, by which each feature is divided.
"""

from dataclasses import dataclass
from math import isqrt

import numpy as np
import numpy.typing as npt

Wholes = npt.NDArray[np.int64]

HALF = (1 << 15) - 1
"""Largest level of 16 bits, largest factor, and largest number that is multiplied by one."""

FINER = 128
"""Means of levels of 8 bits are told so many times finer than the levels."""


@dataclass(frozen=True)
class WholeLength:
    """A feature is `level * factor - zero`, all in one unit, and then `HALF` times its share of their length.

    Attributes:
        factor: `[C]`, by channel, -32767..32767.
        zero: `[C]`, at most 32767 times the largest level.
        finer: by what means of levels are multiplied before they are rounded.
    """

    factor: Wholes
    zero: Wholes
    finer: int

    def means(self, sums: Wholes, positions: int) -> Wholes:
        """Of sums of levels `[N, C]` over all positions: `[N, C]`, up to 32767."""
        return (sums * self.finer + positions // 2) // positions

    def scaled(self, levels: Wholes) -> Wholes:
        """Levels, or means of them, `[N, C, positions]`, as features `[N, F]`, -32767..32767."""
        values = (levels * self.factor[:, None] - self.zero[:, None]).reshape(len(levels), -1)
        return np.stack([_scaled(row) for row in values]) if len(values) else values


def largest_part(features: int) -> int:
    """The largest number of which the squares of so many fit into 32 bits."""
    return isqrt(((1 << 32) - 1) // features)


def _scaled(values: Wholes) -> Wholes:
    """`[F]`, of one image."""
    sizes = np.abs(values)
    down, up, most = 0, 0, largest_part(len(values))
    while _shifted(sizes, down).max() > most:
        down += 1
    total = int((_shifted(sizes, down) ** 2).sum())
    if total == 0:
        return np.zeros_like(values)
    while total < 1 << 30:
        total, up = total << 2, up + 1
    root = isqrt(total)  # 32768..65535
    sizes = _shifted(sizes, down - up) if down >= up else sizes << (up - down)
    return np.sign(values) * np.minimum((sizes * HALF + root // 2) // root, HALF)


def _shifted(sizes: Wholes, down: int) -> Wholes:
    """By so many bits, rounded."""
    return (sizes + ((1 << down) >> 1)) >> down
