"""What may be no drawing but is read as one: sheets, folds, lines around nothing, spots, equal tones."""

import numpy as np

from htgen.arrays import Mask
from htgen.images.components import Components, hull_area
from htgen.images.resampling import border_of

_FINE = 32
"""Pixels; a smaller image says too little."""

_SPOT, _FULL = 0.12, 0.55
"""Share of the side that a spot, or a few that touch, take at most, and of its box that it fills."""

_EQUAL, _ALONG = (0.35, 0.65), (0.25, 0.75)
"""Shares of the image, and of its border, of the ink where either tone may be the paper."""

_SHEET, _SOLID, _STRAIGHT = 0.12, 0.9, 0.95
"""Shares of the image that a sheet takes at least, of its hull, and of the rectangle around it."""

_LEAST, _FURTHEST_IN = 0.4, 0.15
"""Shares of the side: a line around all the rest is as long at least, and set in by as much at most."""

_COVERED, _NEAR = 0.85, 3
"""Share of each side of its box that such a line covers, in one of so many rows or columns."""

_THIN, _ASKEW, _ALL = 0.03, 0.1, 0.9
"""Shares: of the image that a fold takes at most, of the side that it leans by, and of the ink that it is."""

SPOTS = "only small spots are to be seen, as of dust; they are taken as the drawing"

TONES = "either of its two tones may be the paper, so what is drawn is not plain"

SHEET = "it may be an empty page on something dark; it is taken as a filled shape"

FOLD = "only a line from border to border is to be seen, as of a fold or an edge; it is taken as the drawing"

AROUND = "a straight line runs around all the rest; it is taken as part of the drawing"


def find_doubts(ink: Mask, parts: Components, is_bright: bool) -> tuple[str, ...]:
    """What is to be said of ink that is read as a drawing.

    Args:
        ink: where it is, `[H, W]`, not empty.
        parts: of it.
        is_bright: whether it is brighter than the paper.
    """
    side = max(ink.shape)
    if side < _FINE:
        return ()
    boxes = (parts.bottom - parts.top) * (parts.right - parts.left)
    if parts.extent.max() <= _SPOT * side and (parts.area >= _FULL * boxes).all():
        return (SPOTS,)
    if _has_equal_tones(ink):
        return (TONES,)
    largest = int(np.argmax(parts.area))
    top, bottom = int(parts.top[largest]), int(parts.bottom[largest])
    left, right = int(parts.left[largest]), int(parts.right[largest])
    height, width = ink.shape
    is_across = left <= 1 and right >= width - 1 and bottom - top <= _ASKEW * height
    is_down = top <= 1 and bottom >= height - 1 and right - left <= _ASKEW * width
    if (is_across or is_down) and _ALL * parts.area.sum() <= parts.area[largest] <= _THIN * ink.size:
        return (FOLD,)
    if parts.area[largest] >= 0.5 * boxes[largest]:
        return (SHEET,) if is_bright and _is_sheet(parts, largest) else ()
    margin = max(top, height - bottom, left, width - right)
    is_large = bottom - top >= _LEAST * height and right - left >= _LEAST * width
    if is_large and margin <= _FURTHEST_IN * side and _is_framed(ink[top:bottom, left:right]):
        return (AROUND,)
    return ()


def _has_equal_tones(ink: Mask) -> bool:
    """Whether neither the area nor the border says which tone is the paper."""
    if not _EQUAL[0] <= np.count_nonzero(ink) / ink.size <= _EQUAL[1]:
        return False
    border = border_of(ink)
    return bool(_ALONG[0] < border.mean() < _ALONG[1])


def _is_sheet(parts: Components, largest: int) -> bool:
    """Whether a part is nearly all there is, and a filled rectangle in any position."""
    area = parts.area[largest]
    if area < _SHEET * parts.shape[0] * parts.shape[1] or area < _SOLID * parts.area.sum():
        return False
    hull, rectangle = hull_area(parts.mask(np.arange(parts.count) == largest))
    return bool(area >= _SOLID * hull and hull >= _STRAIGHT * rectangle)


def _is_framed(box: Mask) -> bool:
    """Whether a straight line runs along each side of a box `[H, W]`."""
    return all(
        lines.mean(axis=1).max() >= _COVERED
        for lines in (box[:_NEAR], box[-_NEAR:], box.T[:_NEAR], box.T[-_NEAR:])
    )
