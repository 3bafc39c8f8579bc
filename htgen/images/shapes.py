"""Numbers of a drawing's shape: what icons have more of than handwriting.

They are made of bright ink on an empty ground, cut to the ink, whose strokes are as wide as they were.
"""

import numpy as np

from htgen.arrays import Doubles, Floats, Pixels
from htgen.images.components import find_components
from htgen.images.resampling import pad, sweep

NUMBERS = ("likeness to its mirror image", "widest stroke", "parts", "holes")
"""What the numbers of `shape_numbers` are."""


def shape_numbers(ink: Pixels) -> Doubles:
    """The `NUMBERS` of ink `[S, S]`, of which at least one pixel is above half: `[4]`.

    * The box of the ink beside itself with left and right exchanged: a correlation, -1 to 1.
    * The side of the largest square of ink: a share of S, above 0.
    * Connected parts, and holes: the logarithms of their number, and of one more; 0 or above.
    """
    values: Floats = ink.astype(np.float32) / np.float32(255)
    mask = values > 0.5
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    soft = _soft(_soft(values))[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    grounds = find_components(pad(~mask, [(1, 1), (1, 1)], 1))  # what is around the ink, and its holes
    found = (
        _likeness(soft, soft[:, ::-1]),
        _widest(values) / len(ink),
        np.log(find_components(mask).count),
        np.log(grounds.count),
    )
    return np.array(found, np.float64)


def _soft(values: Floats) -> Floats:
    """Smoothed over 3x3 pixels."""
    wide = pad(values, [(1, 1), (1, 1)], 0)
    rows = wide[:-2] + 2 * wide[1:-1] + wide[2:]
    soft: Floats = (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / np.float32(16)
    return soft


def _likeness(first: Floats, second: Floats) -> float:
    """The correlation of two images; 0 where one has a single value."""
    first, second = first - first.mean(), second - second.mean()
    size = float(np.sqrt((first * first).sum() * (second * second).sum()))
    return float((first * second).sum()) / size if size else 0.0


def _widest(values: Floats) -> int:
    """The side of the largest square of ink in pixels, as the next lower odd number."""
    widest, values = 1, pad(values, [(1, 1), (1, 1)], 0)  # so that there is an end
    while (values := sweep(values, 1, np.minimum)).max() > 0.5:
        widest += 2
    return widest
