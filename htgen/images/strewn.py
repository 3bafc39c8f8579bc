"""Dots that are strewn over an image, of which single pixels are the smallest: no part of the drawing."""

from typing import NamedTuple

import numpy as np

from htgen.arrays import Doubles, Mask
from htgen.images.components import Components

_DOT = 0.024
"""Share of the side that a dot takes at most, or three pixels."""

_MANY = 4
"""Fewer may be drawn."""

_OVERALL = 0.5
"""Share of the width and of the height over which dots are strewn."""

_LARGE = 0.15
"""Share of the side that the drawing takes at least."""

_BEYOND_DOUBT = 12
"""So many are no part of a drawing."""

_FAR, _AT_BORDER = 0.1, 0.1
"""Shares of the side; dots farther from the drawing and nearer to the border may belong to neither."""

_GRAIN, _SOLID = 0.06, 0.6
"""Share of the side that a grain takes at most, and of its box that it fills."""

LEFT_OUT = "small dots beside the drawing are left out"

KEPT = "something small lies beside the drawing; it is taken as part of it"

_MARGIN = 0.04
"""Share of the side; so far beyond the drawing there must be some, as no drawing is all over a page."""


class Dots(NamedTuple):
    """Dots in an image.

    Attributes:
        are_dots: which parts of the ink are strewn dots, `[count]`; None where that is not plain.
        warnings: what is not plain.
    """

    are_dots: Mask | None = None
    warnings: tuple[str, ...] = ()


def find_strewn(parts: Components) -> Dots:
    """Tell strewn dots from the drawing, which has dots of its own.

    Args:
        parts: of all the ink.
    """
    side = max(parts.shape)
    limit = max(3.0, _DOT * side)
    is_dot = parts.extent <= limit
    count = np.count_nonzero(is_dot)
    if parts.count < 3 or parts.extent.max() < _LARGE * side:
        return Dots()
    if count >= _MANY:
        usual = float(np.median(parts.area[is_dot]))
        is_dot |= (parts.extent <= 2 * limit) & (parts.area <= 3 * usual)  # two or three that touch
        if not is_dot.all() and _are_strewn(parts, is_dot):
            return Dots(is_dot, () if count >= _BEYOND_DOUBT else (LEFT_OUT,))
    box = (parts.bottom - parts.top) * (parts.right - parts.left)
    is_dot |= (parts.extent <= _GRAIN * side) & (parts.area >= _SOLID * box)
    return Dots(None, (KEPT,) if _may_be_strewn(parts, is_dot) else ())


def _are_strewn(parts: Components, is_dot: Mask) -> bool:
    """Whether dots are all over the image, beyond the rest on two sides and more."""
    height, width = parts.shape
    y, x = _middles(parts, is_dot)
    is_overall = np.ptp(y) >= _OVERALL * height and np.ptp(x) >= _OVERALL * width
    beyond = _beyond(parts, is_dot).max(axis=1) > _MARGIN * max(height, width)
    return bool(is_overall and np.count_nonzero(beyond) > 1)


def _may_be_strewn(parts: Components, is_dot: Mask) -> bool:
    """Whether there are some dots, and one of them far from the rest and near the border."""
    if np.count_nonzero(is_dot) < 2 or is_dot.all():
        return False
    height, width = parts.shape
    side = max(height, width)
    y, x = _middles(parts, is_dot)
    to_border = np.minimum(np.minimum(y, height - y), np.minimum(x, width - x))
    return bool(((_beyond(parts, is_dot).max(axis=0) > _FAR * side) & (to_border < _AT_BORDER * side)).any())


def _middles(parts: Components, chosen: Mask) -> tuple[Doubles, Doubles]:
    """Where parts are, (y, x): `[chosen]` each."""
    return ((parts.top + parts.bottom) / 2)[chosen], ((parts.left + parts.right) / 2)[chosen]


def _beyond(parts: Components, is_dot: Mask) -> Doubles:
    """How far dots are above, below, left and right of the box of the rest: `[4, dots]`."""
    y, x = _middles(parts, is_dot)
    top, bottom = parts.top[~is_dot].min(), parts.bottom[~is_dot].max()
    left, right = parts.left[~is_dot].min(), parts.right[~is_dot].max()
    return np.stack((top - y, y - bottom, left - x, x - right))
