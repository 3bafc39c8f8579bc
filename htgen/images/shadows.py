"""Shadows and beams of light that no smooth surface follows: their edges are softer than those of ink.

The shadow of a hand may be as dark as pale ink, and a beam of light brighter than all the paper beside it. So
neither the darkness of a wide spot nor its size says that it is light; its edge does.
"""

import numpy as np
from PIL import Image

from htgen.arrays import Floats, Pixels
from htgen.images.components import find_components
from htgen.images.ordered import Ordered
from htgen.images.paper import find_levels, paper_light
from htgen.images.resampling import (
    COARSE_SIDE,
    border_of,
    quantile,
    quantile_of,
    resize,
    shrink,
    shrink_to,
    steps_of,
    sweep_both,
)

_REACHES = 2, 4, 10
"""Half the widths, at this resolution, of what may be a stroke; most strokes are thin, and so are fingers."""

_LIGHT_SIDE = 32
"""Resolution at which the light is compared with a smooth surface."""

_UNEVEN = 0.15
"""Share of the light by which it varies at least."""

_SOFT = 0.6
"""Share of that which the light's edges take from one place to the next at most."""

_MOST_STEPS = 0.998
"""Share of the places at which they do."""

_SHARPER = 1.6
"""So many times as steep are the edges of ink."""

_CLEAR = 0.1
"""Share of the ink's darkness by which even paper varies."""

_MOST_INK = 0.2
"""Share of the image that ink covers at most."""

_DRAWN = 0.12
"""Share of the side that some of it takes at least; grains of dust are smaller."""

_BENT = 0.4
"""Share of the ink's darkness by which light differs from a smooth surface at least: less does no harm."""

_DARKEST = 16
"""Values of the light below are taken for this."""

_ALONG = 0.4
"""Share of its range that light has along the border at least; lamps and hands are beside the paper."""

LIGHT_WITHIN = "something wide and soft, away from the border, is taken for light or shadow and left out"


def without_shadows(grey: Pixels, coarse: Floats | None = None) -> tuple[Pixels, str | None]:
    """An image `[H, W]` in even light; the same array where its light is even enough, or not plain.

    Args:
        coarse: the same at `COARSE_SIDE`, where it was made before.

    Returns:
        The image, and what is to be said where its light may be something drawn.
    """
    if max(grey.shape) <= COARSE_SIDE and not ((grey > grey.min()) & (grey < grey.max())).any():
        return grey, None  # of two values, whose edges are not soft
    values = shrink_to(grey, COARSE_SIDE)[0] if coarse is None else coarse
    low = high = values
    for reach, more in zip(_REACHES, np.diff((0, *_REACHES)).tolist(), strict=True):
        if min(values.shape) < 2 * reach:
            break
        high, low = sweep_both(high, low, more)
        for wide in reversed(sweep_both(low, high, reach)):  # dark ink, bright ink
            light = np.maximum(wide, np.float32(_DARKEST))
            if _is_light(values, light):
                full = resize(light, grey.shape[::-1], Image.Resampling.BICUBIC)
                bright = np.float32(quantile_of(light, 0.9))
                even = grey * (bright / np.maximum(full, np.float32(_DARKEST)))
                told = LIGHT_WITHIN if _is_within(light) else None
                return np.clip(np.rint(even), 0, 255).astype(np.uint8), told
    return grey, None


def _is_within(light: Floats) -> bool:
    """Whether light `[H, W]` changes away from the border, as a glow or the stroke of a brush does."""
    border, most = border_of(light), quantile_of(light, 0.98) - quantile_of(light, 0.02)
    return bool(border.max() - border.min() < _ALONG * most)


def _is_light(values: Floats, light: Floats) -> bool:
    """Whether what is wide is light on the paper, and what is left is ink.

    Args:
        values: `[H, W]`.
        light: the same without what is narrow.
    """
    greatest = float(light.max())
    most = greatest - float(light.min())  # as much as all but the least and the greatest, or more
    if most < _UNEVEN * greatest:
        return False
    steps = steps_of(light)
    if np.count_nonzero(steps > _SOFT * most) >= steps.size - int(_MOST_STEPS * (steps.size - 1)):
        return False  # of most light, so many are larger that no quantile need be found
    low, high = quantile_of(light, 0.02), quantile_of(light, 0.98)
    if high - low < _UNEVEN * high or quantile_of(steps, _MOST_STEPS) > _SOFT * (high - low):
        return False
    taken = np.abs(light - values) / light
    levels = find_levels(Ordered(taken))
    is_ink = taken > levels.threshold
    if not is_ink.any() or is_ink.mean() > _MOST_INK:
        return False
    if find_components(is_ink).extent.max() < _DRAWN * max(values.shape):
        return False
    contrast = float(taken[is_ink].mean()) - levels.paper
    if levels.spread > _CLEAR * contrast:
        return False
    if quantile(np.sort(steps_of(values)[is_ink]), 0.5) < _SHARPER * quantile_of(steps, 0.99):
        return False
    small = shrink(light, _LIGHT_SIDE)
    bent = np.abs(small - paper_light(small)) / small
    return bool(quantile_of(bent, 0.98) > _BENT * contrast)
