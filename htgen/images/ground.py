"""Images of two values: which is the paper, where ink covers most of the image or reaches its border."""

from typing import NamedTuple

import numpy as np

from htgen.arrays import Floats, Mask, Pixels
from htgen.images.components import find_components
from htgen.images.paper import WIDEST_STROKE, Polarity, otsu, paper_light
from htgen.images.resampling import border_of, median, pad, steps_of, sweep
from htgen.images.surroundings import sure_places

_TWO_VALUES = 0.8
"""Share of the variance that two values must explain."""

_LARGE = 32
"""Pixels; edges are a small part of a larger image."""

_THIRD, _BEYOND = 0.001, 0.25
"""Shares of an image, and of the distance of both values, for ink beyond them: they are light and shadow."""

_SOFT = 0.5
"""Share of the distance of both values that an edge takes from one place to the next at least."""

_TINY = 16
"""Pixels; a smaller image is even, and its ink blurred."""

_ENOUGH = 0.05
"""Share of an image that must be paper for its light to be told by place."""

_LINE = 0.12
"""Share of the side; what is wider is no line."""

_LITTLE, _MORE = 0.06, 0.3
"""Share of the border that ink may touch and harm nothing, and by which the image has more of it."""


class Ground(NamedTuple):
    """The paper of an image.

    Attributes:
        polarity: what the image is; None where it does not say.
        dark: where it is darker than the value between, `[H, W]`.
    """

    polarity: Polarity | None
    dark: Mask

    def light(self, grey: Pixels, small: Floats, polarity: Polarity) -> Floats:
        """The light on the paper, `[h, w]`: a surface, or one value where little paper is left to tell.

        Args:
            grey: the image, `[H, W]`.
            small: the same, coarser, `[h, w]`.
            polarity: what the image is.
        """
        paper = self.dark if polarity == "light on dark" else ~self.dark
        sure = sure_places(paper, small.shape)
        if max(grey.shape) > _TINY and sure.mean() > _ENOUGH:
            return paper_light(small, sure)
        dark = grey <= otsu(np.bincount(grey.reshape(-1), minlength=256))
        return np.full_like(
            small, median(grey[dark if polarity == "light on dark" else ~dark].astype(np.float32))
        )


def find_ground(values: Pixels) -> Ground | None:
    """Tell the paper by the border of an image; None where it has more than two values, such as light.

    Args:
        values: `[H, W]`.
    """
    if _is_plain(values):
        return None
    counts = np.bincount(values.reshape(-1), minlength=256)
    threshold = otsu(counts)
    dark = values <= threshold
    share = np.count_nonzero(dark) / dark.size
    if not 0 < share < 1:
        return None
    border = border_of(dark)
    edge = np.count_nonzero(border) / border.size
    if min(edge, 1 - edge) < _LITTLE and abs(share - edge) < _MORE:
        return None  # a clean border and little ink: nothing to decide
    grey = np.arange(256)
    mean = counts @ grey / values.size
    variance = counts @ (grey - mean) ** 2 / values.size
    lower = counts[: threshold + 1] @ grey[: threshold + 1] / (share * values.size)
    between = share / (1 - share) * (mean - lower) ** 2
    if between < (_TWO_VALUES if max(values.shape) > _TINY else _TWO_VALUES - 0.2) * variance:
        return None
    if max(values.shape) > _LARGE and (_has_third(values, dark) or _is_half_lit(values, dark)):
        return None
    polarity: Polarity | None = None
    if not 0.25 < edge < 0.75:
        is_dark_around = (edge > 0.5) != _are_lines(dark if edge > 0.5 else ~dark)
        polarity = "light on dark" if is_dark_around else "dark on light"
    elif _is_around(dark):
        polarity = "light on dark"
    elif _is_around(~dark):
        polarity = "dark on light"
    return Ground(polarity, dark)


def _is_plain(values: Pixels) -> bool:
    """Whether the border has one value, the least or the greatest there is, and so has most of the image:
    then it has less ink than `find_ground` asks for, wherever the threshold is."""
    border = border_of(values)
    value = border[0]
    if np.count_nonzero(values == value) <= (1.001 - _MORE) * values.size or (border != value).any():
        return False
    return bool(value == values.max() or value == values.min())


def _has_third(values: Pixels, dark: Mask) -> bool:
    """Whether there is ink that is darker than the dark value, or brighter than the bright one, `[H, W]`."""
    low, high = median(values[dark].astype(np.float32)), median(values[~dark].astype(np.float32))
    beyond = _BEYOND * (high - low)
    return any(
        np.count_nonzero(is_ink) > _THIRD * values.size
        for is_ink in (values < low - beyond, values > high + beyond)
    )


def _is_half_lit(values: Pixels, dark: Mask) -> bool:
    """Whether the dark value is a shadow, which has a soft edge, and strokes that are as dark beside it."""
    reach = WIDEST_STROKE // 2
    wide = sweep(sweep(dark.astype(np.float32), reach, np.minimum), reach, np.maximum)
    edge = (wide > 0) & (sweep(dark.astype(np.float32), 1, np.minimum) == 0)
    grey = values.astype(np.float32)
    steps = steps_of(grey)
    limit = _SOFT * (median(grey[~dark]) - median(grey[dark]))
    is_sharp = np.count_nonzero(dark & (wide == 0) & (steps > limit)) > _THIRD * dark.size
    is_large = np.count_nonzero(wide) > 0.5 * np.count_nonzero(dark)
    return bool(is_sharp and is_large and edge.any() and median(steps[edge]) < limit)


def _are_lines(mask: Mask) -> bool:
    """Whether a mask is of lines, of which some run along the border and others reach into the middle."""
    if mask.mean() > 0.5 or _is_around(mask):
        return False
    reach = max(1, round(_LINE / 2 * max(mask.shape)))
    within = pad(mask.astype(np.float32), [(reach, reach)] * 2, 0)
    wider = np.count_nonzero(sweep(within, reach, np.minimum))
    return bool(wider < 0.02 * np.count_nonzero(mask))  # where lines meet


def _is_around(mask: Mask) -> bool:
    """Whether a mask is what is left beside one filled shape that reaches the border: a band along it."""
    height, width = mask.shape
    rows, columns = 1 + height // 8, 1 + width // 8
    if mask[rows:-rows, columns:-columns].any():
        return False
    area = find_components(~mask).area
    return bool(area.max() > 0.98 * area.sum())
