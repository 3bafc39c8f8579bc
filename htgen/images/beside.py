"""What the ink of an image is made of: the drawing, small things beside it, dust, or nothing at all."""

from typing import NamedTuple

import numpy as np

from htgen.arrays import Floats, Integers, Mask, Pixels
from htgen.images.components import Components, find_components
from htgen.images.doubts import find_doubts
from htgen.images.ordered import Ordered
from htgen.images.paper import Levels, find_levels
from htgen.images.resampling import border_of, mean_width, median, shrink, steps_of, sweep
from htgen.images.strewn import KEPT, LEFT_OUT, find_strewn

FAINT = 0.04
"""Ink that stands out less from the paper, as a share of the full range, is taken for noise."""

_SURE = 0.5
"""Ink that stands out so much is no noise."""

_EDGE = 6
"""Grey levels by which ink stands out from what is near it; shadows are smooth."""

_FAINT_LIGHT = 0.15
"""Ink that stands out more is no uneven light where the rest of the image is uneven too."""

_SMOOTH = 32
"""Resolution at which noise is averaged away."""

_EVEN = 0.1
"""Share of that by which an even paper varies."""

_FINE = 32
"""Pixels; in a smaller image a drawing is not told from noise by its size."""

_SHARP = 0.35
"""Share of its contrast that ink has at its edge, from one place to the next, at this resolution."""

_SPECK = 0.024
"""Share of the side; noise makes no larger spots."""

_DEEPEST = 0.75
"""Share of the light that a shadow takes at most."""

_WIDE = 0.08
"""Share of the side; a shadow reaches so far from its middle to its edge, and strokes do not."""

_SOFT = 6
"""Places, at this resolution, that the edge of a shadow takes."""

_ALONG = 0.08
"""Share of the border that a shadow covers at least."""

_NEAR = 0.025
"""Share of the side; what is twice as far apart belongs to different things."""

_DUST = 0.12
"""Share of the side; grains of dust, and what of them touches, are no larger."""

_GRAIN = 0.06
"""Share of the side; what is larger and as dark as dust is told when it is left out."""

_MOST_DUST = 0.5
"""Share of the ink's area that dust takes at most."""


class Parts(NamedTuple):
    """What there is in an image.

    Attributes:
        drawing: where the ink of the drawing is, `[H, W]`.
        others: where things are that are left out, `[H, W]`; None without any.
        limit: ink that is darker is dust on pale ink, and counts as this; None without dust.
        is_blank: whether nothing is drawn.
        warnings: what is not plain.
    """

    drawing: Mask
    others: Mask | None = None
    limit: float | None = None
    is_blank: bool = False
    warnings: tuple[str, ...] = ()


def find_parts(ink: Floats, grey: Pixels, is_bright: bool) -> Parts:
    """Tell a drawing from what is beside it.

    Args:
        ink: amounts of ink, `[H, W]`, the paper about 0.
        grey: what they were found in, of the same shape or larger.
        is_bright: whether ink is brighter there than paper.
    """
    levels = find_levels(Ordered(ink))
    is_ink = ink > levels.threshold
    if not is_ink.any():
        return Parts(is_ink, is_blank=True)
    contrast = float(ink[is_ink].mean()) - levels.paper
    parts = find_components(is_ink)
    side = max(ink.shape)
    if contrast > FAINT and parts.extent.max() < _DUST * side:
        pale = _beside_dust(ink, is_ink, levels)
        if _is_drawn(pale, grey, 0):
            is_ink, parts = pale, find_components(pale)
    if contrast < FAINT or parts.extent.max() <= _SPECK * side:
        return Parts(is_ink, is_blank=True)
    sure = _SURE if side >= _FINE else _SURE / 4
    if contrast < sure and _may_be_light(ink, contrast) and not _is_drawn(is_ink, grey, contrast):
        return Parts(is_ink, is_blank=True)
    if contrast < _DEEPEST and _is_shadow(is_ink, parts, grey):
        return Parts(is_ink, is_blank=True)
    dots, strewn = find_strewn(parts), None
    if dots.are_dots is not None:
        near = sweep(parts.mask(dots.are_dots).astype(np.float32), 1, np.maximum) > 0
        is_ink = parts.mask(~dots.are_dots)
        parts, strewn = find_components(is_ink), near & ~is_ink
    limit, dust, told = None, None, dots.warnings
    if ink.max() > 2 * (middle := median(ink[is_ink])):
        limit, dust, is_large = _dust(ink, is_ink, parts, middle)
        told = (*told, LEFT_OUT) if is_large else told
    others, warnings = _things_beside(is_ink, parts) if parts.count > 1 else (None, ())
    for more in (dust, strewn):
        if more is not None:
            others = more if others is None else others | more
    if others is not None and not (is_ink & ~others).any():
        return Parts(is_ink, is_blank=True)
    warnings = tuple(dict.fromkeys(told + warnings + find_doubts(is_ink, parts, is_bright)))
    return Parts(is_ink if others is None else is_ink & ~others, others, limit, False, warnings)


def _may_be_light(ink: Floats, contrast: float) -> bool:
    """Whether what seems ink may be uneven light: there is little of it, or the rest of the image is even."""
    if contrast < _FAINT_LIGHT:
        return True
    rest = find_levels(Ordered(shrink(ink, _SMOOTH)))  # without the noise
    return rest.spread < _EVEN * contrast


def _is_drawn(is_ink: Mask, grey: Pixels, contrast: float) -> bool:
    """Whether ink of little contrast is drawn: noise has no large parts, and shadows have no sharp edges."""
    if not is_ink.any():
        return False
    parts = find_components(is_ink)
    side = max(is_ink.shape)
    values = shrink(grey.astype(np.float32), side)
    steps = steps_of(values)
    usual = median(steps)
    edge = is_ink & (sweep(is_ink.astype(np.float32), 1, np.minimum) == 0)
    length = np.maximum(parts.counts(edge), 1).astype(np.float32)
    sharp = max(_EDGE, _SHARP * contrast * median(values))

    def share(limit: float) -> Floats:
        return parts.counts(edge & (steps > limit)).astype(np.float32) / length

    large = (parts.extent > max(0.1 * side, 5)) & (share(max(sharp, 1.2 * usual)) > 0.5)
    small = (parts.extent > _SPECK * side) & (share(max(sharp, 2.5 * usual)) > 0.5)
    return bool((large | small).any())


def _is_shadow(is_ink: Mask, parts: Components, grey: Pixels) -> bool:
    """Whether all that seems ink is shadow: wide, along the border, and as smooth within as the paper is."""
    side = max(is_ink.shape)
    large = parts.extent > _SPECK * side
    if side < _FINE or not (parts.touches_border | ~large).all():
        return False
    inner = sweep(is_ink.astype(np.float32), round(_WIDE * side), np.minimum) > 0
    if not (parts.counts(inner)[large] > 0).all():
        return False
    border = border_of(is_ink)
    if border.mean() < _ALONG:
        return False
    values = shrink(grey.astype(np.float32), side)
    steps = steps_of(values)
    within = sweep(is_ink.astype(np.float32), _SOFT, np.minimum) > 0
    paper = sweep(is_ink.astype(np.float32), _SOFT, np.maximum) == 0
    if not within.any() or not paper.any():
        return False
    limit = max(_EDGE, 2 * float(np.quantile(steps[paper], 0.9)))
    return bool((steps[within] > limit).mean() < 0.01)


def _beside_dust(ink: Floats, dust: Mask, levels: Levels) -> Mask:
    """Where there is ink apart from dark grains, which hide pale ink from the histogram: `[H, W]`."""
    near = sweep(dust.astype(np.float32), 2, np.maximum) > 0
    rest = np.where(near, np.float32(levels.paper), ink)
    pale = find_levels(Ordered(rest))
    is_ink = rest > max(pale.threshold, pale.paper + FAINT)
    is_large = find_components(is_ink).extent.max(initial=0) > 0.2 * max(ink.shape)
    return is_ink if is_large else np.zeros_like(is_ink)


def _dust(
    ink: Floats, is_ink: Mask, parts: Components, middle: float
) -> tuple[float | None, Mask | None, bool]:
    """Grains much darker than the drawing: the most that ink counts as, where grains lie apart, and whether
    any of these is so large that it may be drawn."""
    heavy = ink > 2 * middle
    grains = find_components(heavy)
    if grains.extent.max() > _DUST * max(ink.shape) or grains.area.sum() > _MOST_DUST * parts.area.sum():
        return None, None, False
    has_grain = parts.counts(heavy) > 0
    is_apart = has_grain & (parts.extent < 1.5 * _DUST * max(ink.shape))
    apart = parts.mask(is_apart)
    lone = apart | (heavy & ~is_ink)
    is_large = bool((is_apart & (parts.extent > _GRAIN * max(ink.shape))).any())
    return middle, (sweep(lone.astype(np.float32), 2, np.maximum) > 0) & ~(is_ink & ~apart), is_large


def _things_beside(is_ink: Mask, parts: Components) -> tuple[Mask | None, tuple[str, ...]]:
    """Things of another kind near the border and far from the drawing, `[H, W]`; and what is not plain."""
    side = max(is_ink.shape)
    reach = max(1, round(_NEAR * side))
    groups = find_components(sweep(is_ink.astype(np.float32), reach, np.maximum) > 0)
    if groups.count == 1:
        return None, ()
    names = groups.name_at(parts)
    top, bottom, left, right = _boxes(names, parts, groups.count)
    height, width = is_ink.shape
    longer, shorter = np.maximum(bottom - top, right - left), np.minimum(bottom - top, right - left)
    off = np.maximum(np.abs((left + right) / width - 1), np.abs((top + bottom) / height - 1))
    main = int(np.argmax(longer * (longer + shorter) * (1 - off) ** 2))
    size = longer[main]
    gaps = np.stack([left - right[main], left[main] - right, top - bottom[main], top[main] - bottom])
    margins = np.stack([top, height - bottom, left, width - right])  # [4, groups]
    distance = margins.min(axis=0)
    is_small = (longer <= 0.6 * size) | (shorter <= 0.25 * size)
    is_apart = (gaps.max(axis=0) >= 0.1 * size) & is_small & (distance <= 0.1 * side)
    is_apart[main] = False
    if not is_apart.any():
        return None, ()
    is_far = distance <= 0.5 * int(margins[:, ~is_apart].min())
    is_cut = (distance == 0) & (gaps.max(axis=0) >= 0.2 * size) & (distance[main] > 0.08 * side)
    is_other = is_cut | _are_of_another_kind(parts, names, groups, main)
    is_lone = (gaps.max(axis=0) >= 0.4 * size) | ((gaps >= 0.15 * size).sum(axis=0) > 1)
    is_plain = is_apart & is_far & is_other
    told = is_apart & ~is_plain & (is_other | (is_far & is_lone))
    return groups.mask(is_plain) if is_plain.any() else None, (KEPT,) if told.any() else ()


def _boxes(names: Integers, parts: Components, count: int) -> tuple[Integers, Integers, Integers, Integers]:
    """Top, bottom, left and right of groups of parts: `[count]` each.

    Args:
        names: the group of each part.
    """
    least = [np.full(count, np.iinfo(np.int64).max) for _ in range(4)]
    for found, values in zip(least, (parts.top, -parts.bottom, parts.left, -parts.right), strict=True):
        np.minimum.at(found, names, values)
    return least[0], -least[1], least[2], -least[3]


def _are_of_another_kind(parts: Components, names: Integers, groups: Components, main: int) -> Mask:
    """Whether groups of parts are no strokes as the drawing's: rows of three and more, or solid and thick."""
    tall, wide = parts.bottom - parts.top, parts.right - parts.left
    width = mean_width(parts.mask(names == main))
    shorter = np.minimum(tall, wide)
    is_solid = (parts.area >= 0.7 * tall * wide) & (shorter >= max(2.5 * width, 3))
    solid = np.bincount(names, is_solid, groups.count)
    many = np.bincount(names, minlength=groups.count)
    high, broad = groups.bottom - groups.top, groups.right - groups.left
    is_row = np.maximum(high, broad) >= 2 * np.minimum(high, broad)
    return (solid > 0.5 * many) | ((many >= 3) & is_row)
