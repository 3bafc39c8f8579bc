"""Strokes of about one width, in whole numbers: what a small device does with a drawing, bit for bit.

The mean width is twice the ink by its outline; the outline of grey ink is how much neighbours differ. On a
grid twice as fine, all strokes become narrower or wider from both sides, as the smallest or largest value
nearby. A part of a cell is a mean of two such images. No more than eight lines of the fine grid are needed at
a time.
"""

import numpy as np

from htgen.arrays import Integers

FINE = 2
"""Cells of the fine grid along a pixel of the result; widths are in sixteenths of such a cell."""

MOST = 3
"""Cells that are taken away or added at each side at most."""

VISIBLE = 128
"""Thin parts of a thick drawing may vanish; less is taken away where nothing is as bright as this."""


def wanted_width(stroke: float, size: int) -> int:
    """In sixteenths of a fine cell.

    Grey edges count for the outline and little for the ink, so an eighth is added.

    Args:
        stroke: width as a share of the side.
        size: of the result.
    """
    return int(stroke * size * 36 + 0.5)


def even_strokes(ink: Integers, fine: Integers, stroke: float) -> Integers:
    """The ink `[S, S]`, 0..255, with strokes of about the wanted width.

    Args:
        fine: the same drawing `[2 S, 2 S]`.
        stroke: the width as a share of the side.
    """
    excess = width(ink) - wanted_width(stroke, len(ink))
    change = min(abs(excess) // 2, 16 * MOST)
    extreme = np.minimum if excess > 0 else np.maximum
    while True:
        made = _changed(fine, change, extreme)
        if change == 0 or made.max() >= VISIBLE:
            return made
        change = max(change - 16, 0)


def width(ink: Integers) -> int:
    """How wide strokes are on average, in sixteenths of a fine cell; 0 without any."""
    padded = np.pad(ink, 1)
    outline = sum(int(np.abs(np.diff(padded, axis=axis)).sum()) for axis in (0, 1))
    return 32 * FINE * int(ink.sum()) // outline if outline else 0


def _changed(fine: Integers, change: int, extreme: np.ufunc) -> Integers:
    """`[2 S, 2 S] -> [S, S]`: by so many sixteenths of a cell at each side."""
    reach, part = divmod(change, 16)
    values = (16 - part) * _nearby(fine, reach, extreme)
    if part:
        values = values + part * _nearby(fine, reach + 1, extreme)
    sums: Integers = values[::2, ::2] + values[::2, 1::2] + values[1::2, ::2] + values[1::2, 1::2]
    return (sums + 32) >> 6


def _nearby(values: Integers, reach: int, extreme: np.ufunc) -> Integers:
    """The smallest or largest value of squares that reach so far; there is nothing beyond the border."""
    for _ in range(2):
        padded = np.pad(values, ((reach, reach), (0, 0)), constant_values=255 if extreme is np.minimum else 0)
        values = extreme.reduce([padded[step : step + len(values)] for step in range(2 * reach + 1)]).T
    return values
