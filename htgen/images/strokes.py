"""Ink that was cut out: cleared, solid shapes made outlines, and strokes made even."""

import numpy as np
from PIL import Image

from htgen.arrays import Floats
from htgen.images.beside import FAINT
from htgen.images.ordered import Ordered
from htgen.images.paper import find_levels
from htgen.images.resampling import mean_width, resize, sweep

_TYPICAL_INK = 0.6
"""Quantile of the amounts above the threshold that becomes full ink."""

_MOST_STROKE_STEPS = 3
"""Strokes become wider or narrower by at most twice as many pixels, on a canvas four times the result."""


def stretch_contrast(ink: Floats) -> Floats:
    """Map the paper, with three times its spread, to 0 and the ink's middle to 1."""
    ordered = Ordered(ink)
    levels = find_levels(ordered)
    values = ordered.above(levels.threshold)
    if not values.size or (full := values.quantile(_TYPICAL_INK)) < levels.paper + FAINT:
        return ink
    empty = min(levels.paper + 3 * levels.spread, (levels.paper + full) / 2)
    return (ink - np.float32(empty)) / np.float32(full - empty)


def _fine(ink: Floats, size: int) -> Floats:
    """Enlarged to four times the result where it is smaller: too coarse for steps of two pixels."""
    if len(ink) >= 4 * size:
        return ink
    return np.clip(resize(ink, (4 * size, 4 * size), Image.Resampling.BICUBIC), 0, 1)


def outlines(ink: Floats, outline: float, size: int) -> Floats:
    """Take away what is farther from paper than the width of the outline, in rows, columns or diagonals.

    Strokes of up to twice that width have no such inside, and stay as they are.
    """
    ink = _fine(ink, size)
    reach = max(1, round(outline * len(ink)))
    return np.clip(ink - sweep(ink, reach, np.minimum), 0, 1)


def even_strokes(ink: Floats, stroke: float, size: int) -> Floats:
    """Thin or thicken all strokes alike, pixel by pixel from both sides, towards the wanted width.

    The width is twice the ink's area by its outline: a mean, of which thin parts of a thick drawing have
    less, so only so much is taken away.
    """
    ink = _fine(ink, size)
    width = mean_width(ink > 0.5)
    excess = width - stroke * len(ink)
    steps = min(int(abs(excess) / 2), _MOST_STROKE_STEPS) if width else 0
    for _ in range(steps):
        changed = sweep(ink, 1, np.minimum if excess > 0 else np.maximum)
        if changed.max() < 0.5:
            break
        ink = changed
    return ink
