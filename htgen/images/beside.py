"""What the ink of an image is made of: the drawing, small things beside it, dust, or nothing at all."""

from dataclasses import dataclass

import numpy as np

from htgen.arrays import Floats, Mask
from htgen.images.components import Components, find_components
from htgen.images.paper import Levels, find_levels
from htgen.images.resampling import sweep

FAINT = 0.04
"""Ink that stands out less from the paper, as a share of the full range, is taken for noise."""

_SURE = 0.3
"""Ink that stands out so much is no noise."""

_EDGE = 15
"""Grey levels by which ink stands out from what is near it; shadows are smooth."""

_SPECK = 0.024
"""Share of the side; noise makes no larger spots."""

_DUST = 0.08
"""Share of the side; grains of dust are no larger."""


@dataclass(frozen=True)
class Parts:
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


def find_parts(ink: Floats, grey: Floats) -> Parts:
    """Tell a drawing from what is beside it.

    Args:
        ink: amounts of ink, `[H, W]`, the paper about 0.
        grey: what they were found in, `[H, W]`, 0-255.
    """
    levels = find_levels(np.sort(ink, axis=None))
    is_ink = ink > levels.threshold
    if not is_ink.any():
        return Parts(is_ink, is_blank=True)
    contrast = float(ink[is_ink].mean()) - levels.paper
    parts = find_components(is_ink)
    side = max(ink.shape)
    if contrast > FAINT and parts.extent.max() < _DUST * side:
        pale = _beside_dust(ink, is_ink, levels)
        if _is_drawn(pale, grey):
            is_ink, parts = pale, find_components(pale)
    if contrast < FAINT or parts.extent.max() <= _SPECK * side:
        return Parts(is_ink, is_blank=True)
    if contrast < _SURE and not _is_drawn(is_ink, grey):
        return Parts(is_ink, is_blank=True)
    limit, dust = None, None
    if ink.max() > 2 * (middle := float(np.median(ink[is_ink]))):
        limit, dust = _dust(ink, is_ink, parts, middle)
    others, warnings = _things_beside(is_ink, parts) if parts.count > 1 else (None, ())
    if dust is not None:
        others = dust if others is None else others | dust
    return Parts(is_ink if others is None else is_ink & ~others, others, limit, False, warnings)


def _is_drawn(is_ink: Mask, grey: Floats) -> bool:
    """Whether ink of little contrast is drawn: noise has no large parts, and shadows have no edges."""
    if not is_ink.any():
        return False
    parts = find_components(is_ink)
    side = max(is_ink.shape)
    steps = sweep(grey, 2, np.maximum) - sweep(grey, 2, np.minimum)
    usual = float(np.median(steps))

    def share(limit: float) -> Floats:
        return parts.total((is_ink & (steps > max(_EDGE, limit))).astype(np.float32)) / parts.area

    large = (parts.extent > 0.1 * side) & (share(1.2 * usual) > 0.5)
    small = (parts.extent > _SPECK * side) & (share(2.5 * usual) > 0.5)
    return bool((large | small).any())


def _beside_dust(ink: Floats, dust: Mask, levels: Levels) -> Mask:
    """Where there is ink apart from dark grains, which hide pale ink from the histogram: `[H, W]`."""
    near = sweep(dust.astype(np.float32), 2, np.maximum) > 0
    rest = np.where(near, np.float32(levels.paper), ink)
    pale = find_levels(np.sort(rest, axis=None))
    is_ink = rest > max(pale.threshold, pale.paper + FAINT)
    return is_ink if find_components(is_ink).extent.max(initial=0) > 0.2 * max(ink.shape) else is_ink & False


def _dust(ink: Floats, is_ink: Mask, parts: Components, middle: float) -> tuple[float | None, Mask | None]:
    """Grains that are much darker than the drawing: what ink counts as at most, and where grains are apart."""
    heavy = ink > 2 * middle
    grains = find_components(heavy)
    if grains.extent.max() > _DUST * max(ink.shape) or grains.area.sum() > 0.1 * parts.area.sum():
        return None, None
    has_grain = parts.total(heavy.astype(np.float32)) > 0
    apart = parts.mask(has_grain & (parts.extent < 1.5 * _DUST * max(ink.shape)))
    lone = apart | (heavy & ~is_ink)
    return middle, (sweep(lone.astype(np.float32), 2, np.maximum) > 0) & ~(is_ink & ~apart)


def _things_beside(is_ink: Mask, parts: Components) -> tuple[Mask | None, tuple[str, ...]]:
    """Small things near the border and far from the drawing: `[H, W]`, or None; and what is not plain."""
    height, width = is_ink.shape
    side = max(height, width)
    reach = max(1, round(0.025 * side))
    groups = find_components(sweep(is_ink.astype(np.float32), reach, np.maximum) > 0)
    if groups.count == 1:
        return None, ()
    top, bottom = groups.top + reach, groups.bottom - reach
    left, right = groups.left + reach, groups.right - reach
    top[groups.top == 0], left[groups.left == 0] = 0, 0
    bottom[groups.bottom == height], right[groups.right == width] = height, width
    tall, wide = bottom - top, right - left
    longer, shorter = np.maximum(tall, wide), np.minimum(tall, wide)
    off = np.maximum(np.abs((left + right) / width - 1), np.abs((top + bottom) / height - 1))
    main = int(np.argmax(longer * (longer + shorter) * (1 - 0.7 * off)))
    size = longer[main]
    gap = np.maximum(
        np.maximum(left - right[main], left[main] - right), np.maximum(top - bottom[main], top[main] - bottom)
    )
    margins = np.stack([top, height - bottom, left, width - right])  # [4, groups]
    distance = margins.min(axis=0)
    is_small = ((longer <= 0.5 * size) & (shorter <= 0.35 * size)) | (shorter <= 0.25 * size)
    is_apart = (gap >= 0.1 * size) & is_small & (distance <= 0.1 * side)
    is_apart[main] = False
    if not is_apart.any():
        return None, ()
    clear = int(margins[:, ~is_apart].min())
    is_plain = is_apart & (distance <= 0.5 * clear)
    unsure = is_apart & ~is_plain
    warnings = ("something small lies beside the drawing; it is taken as part of it",) if unsure.any() else ()
    return (groups.mask(is_plain) if is_plain.any() else None), warnings
