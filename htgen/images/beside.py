"""What the ink of an image is made of: the drawing, small things beside it, dust, or nothing at all."""

from dataclasses import dataclass

import numpy as np

from htgen.arrays import Floats, Mask
from htgen.images.components import Components, find_components
from htgen.images.paper import Levels, find_levels
from htgen.images.resampling import sweep

FAINT = 0.04
"""Ink that stands out less from the paper, as a share of the full range, is taken for noise."""

_EDGE = 0.06
"""A share of the full range by which ink stands out from what is beside it; shadows are smooth."""

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
        is_blank: whether nothing is drawn.
        warnings: what is not plain.
    """

    drawing: Mask
    others: Mask | None
    is_blank: bool
    warnings: tuple[str, ...]


def find_parts(ink: Floats) -> Parts:
    """Tell a drawing from what is beside it.

    Args:
        ink: amounts of ink, `[H, W]`, the paper about 0.
    """
    levels = find_levels(np.sort(ink, axis=None))
    is_ink = ink > levels.threshold
    if not is_ink.any():
        return Parts(is_ink, None, True, ())
    contrast = float(ink[is_ink].mean()) - levels.paper
    parts = find_components(is_ink)
    side = max(ink.shape)
    if contrast < FAINT or parts.extent.max() <= _SPECK * side:
        return Parts(is_ink, None, True, ())
    if contrast < 0.3 and not _has_edges(ink, is_ink, levels):
        return Parts(is_ink, None, True, ())
    if parts.extent.max() < _DUST * side and (pale := _pale_drawing(ink, is_ink, levels)) is not None:
        return Parts(pale, sweep(is_ink.astype(np.float32), 2, np.maximum) > 0, False, ())
    if parts.count == 1:
        return Parts(is_ink, None, False, ())
    others, warnings = _things_beside(is_ink, parts)
    return Parts(is_ink & ~others if others is not None else is_ink, others, False, warnings)


def _has_edges(ink: Floats, is_ink: Mask, levels: Levels) -> bool:
    """Whether ink stands out from what is near it."""
    steps = sweep(ink, 2, np.maximum) - sweep(ink, 2, np.minimum)
    return bool(steps[is_ink].max() > max(_EDGE, 9 * levels.spread))


def _pale_drawing(ink: Floats, dust: Mask, levels: Levels) -> Mask | None:
    """Pale ink beside few dark grains of dust, which hide it from the histogram: `[H, W]`."""
    near = sweep(dust.astype(np.float32), 2, np.maximum) > 0
    rest = np.where(near, np.float32(levels.paper), ink)
    pale = find_levels(np.sort(rest, axis=None))
    is_ink = rest > pale.threshold
    if not is_ink.any() or rest[is_ink].mean() < pale.paper + FAINT:
        return None
    parts = find_components(is_ink)
    large = parts.extent > 0.2 * max(ink.shape)
    return is_ink if large.any() and _has_edges(rest, is_ink, pale) else None


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
    is_small = ((longer <= 0.5 * size) & (shorter <= 0.35 * size)) | (shorter <= 0.15 * size)
    is_apart = (gap >= 0.1 * size) & is_small & (distance <= 0.1 * side)
    is_apart[main] = False
    if not is_apart.any():
        return None, ()
    clear = int(margins[:, ~is_apart].min())
    is_plain = is_apart & (distance <= 0.5 * clear)
    unsure = is_apart & ~is_plain
    warnings = ("something small lies beside the drawing; it is taken as part of it",) if unsure.any() else ()
    return (groups.mask(is_plain) if is_plain.any() else None), warnings
