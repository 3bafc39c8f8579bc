"""A shadow or a beam of light with a sharp edge, as of a hand in the sun: it leaves paper of two tones.

Such an edge is as steep as that of ink. But the paper on both sides of it is wide and even, and reaches the
border; and there is ink besides.
"""

from typing import NamedTuple

import numpy as np
from PIL import Image

from htgen.arrays import Floats, Mask, Pixels
from htgen.images.components import find_components
from htgen.images.ordered import Ordered
from htgen.images.paper import find_levels, otsu
from htgen.images.resampling import COARSE_SIDE, border_of, median, quantile_of, resize, shrink_to, sweep_both

SHADOW_LEFT_OUT = "a part of another tone, as a shadow or a table, is taken for paper, not drawn"

SHADOW_KEPT = "a part of another tone may be a shadow or a part of the drawing; it is not plain which"

_REACHES = 2, 4, 10
"""Half the widths, at this resolution, of what may be a stroke."""

_LIGHTEST, _DARKEST = 0.88, 0.3
"""Of a shadow, as a share of the paper's brightness."""

_NEAR = 0.2
"""Share of the distance of both tones by which the paper differs from one of them at most."""

_MIXED = 2.0
"""Width of the edge between the tones at most, which differs more; a soft shadow fades."""

_LEAST = 0.03
"""Share of the image that each of the tones takes at least."""

_AT_BORDER = 0.95
"""Share of each tone that lies in parts which reach the border, at least."""

_OF_BORDER = 0.02
"""Share of the border that each tone takes at least."""

_PLAIN = 0.7
"""Share of each tone's place that has this tone, at least: the rest is ink, not what lies between lines."""

_LONGEST = 5.0
"""Of the edge between the tones, by the side of the image; a hand's has five fingers."""

_EDGE = 2
"""How far from the edge of the shadow, at this resolution, its own line is looked for."""

_SURELY_INK = 0.8
"""Share of the darker tone that ink there is below; likewise for ink that is brighter than both tones."""

_CLEAR = 0.12
"""Share of the ink's contrast by which even paper varies at most."""

_LIKE = 0.25
"""Share of the distance of both tones by which what is narrow differs from one of them at most, to be it."""

_PURE = 0.1
"""Share of ink that is not blurred with the paper beside it."""

_LEAST_INK, _MOST_INK = 0.002, 0.2
"""Shares of the image that ink covers."""

_LEAST_CONTRAST = 0.15
"""Of ink, as a share of the paper's brightness."""

_DRAWN = 0.12
"""Share of the side that some of it takes at least; grains of dust are smaller."""


class _Tones(NamedTuple):
    """Paper of two tones.

    Attributes:
        dark, bright: their values.
        is_dark: where the darker one is, `[H, W]`.
        is_ink_bright: whether what is drawn is brighter than the paper.
    """

    dark: float
    bright: float
    is_dark: Mask
    is_ink_bright: bool

    def even(self, values: Floats) -> Floats:
        """Values `[H', W']`, of the same resolution or a finer one, as if all paper had the brighter tone."""
        size = values.shape[::-1]
        dark = self.is_dark.astype(np.float32)
        share = resize(dark, size, Image.Resampling.BILINEAR)
        most, least = sweep_both(dark, dark, _EDGE)
        near = resize(most - least, size, Image.Resampling.BILINEAR) > 0
        if self.is_ink_bright:
            is_ink = values > self.bright / _SURELY_INK
        else:
            is_ink = values < self.dark * _SURELY_INK
        level = np.where(share > 0.5, np.float32(self.dark), np.float32(self.bright))
        even = values * (np.float32(self.bright) / level)
        return np.where(near & ~is_ink, np.float32(self.bright), even)


def without_sharp_shadow(grey: Pixels, coarse: Floats | None = None) -> tuple[Pixels, str | None]:
    """An image `[H, W]` whose paper has one tone; the same array where it had one, or it is not plain.

    Args:
        coarse: the same at `COARSE_SIDE`, where it was made before.

    Returns:
        The image, and what is to be said of it unless it turns out to be blank.
    """
    values = shrink_to(grey, COARSE_SIDE)[0] if coarse is None else coarse
    border = np.sort(border_of(values))
    few = int(_OF_BORDER / 2 * len(border))
    if border[few] > _LIGHTEST * border[-1 - few]:
        return grey, None  # which takes next to no time to see
    low = high = values
    for reach, more in zip(_REACHES, np.diff((0, *_REACHES)).tolist(), strict=True):
        if min(values.shape) < 4 * reach:
            break
        high, low = sweep_both(high, low, more)
        opened, closed = sweep_both(low, high, reach)
        found = [_tones_of(values, *which) for which in ((closed, False), (opened, True))]
        for tones in found:
            if tones is not None and _is_drawn_on(values, tones):
                even = np.rint(tones.even(grey.astype(np.float32)))
                return np.clip(even, 0, 255).astype(np.uint8), SHADOW_LEFT_OUT
        if any(found):
            return grey, SHADOW_KEPT  # what is wider than this is part of a tone, as a finger
    return grey, None


def _tones_of(values: Floats, paper: Floats, is_ink_bright: bool) -> _Tones | None:
    """The two tones of paper; None where it has not two.

    Args:
        values: `[H, W]`.
        paper: the same without what is narrow and dark, or narrow and bright.
    """
    if float(paper.min()) > _LIGHTEST * float(paper.max()):
        return None
    is_dark = paper <= otsu(np.bincount(np.rint(paper).astype(np.uint8).reshape(-1), minlength=256))
    if not _LEAST <= is_dark.mean() <= 1 - _LEAST:
        return None
    dark, bright = median(paper[is_dark]), median(paper[~is_dark])
    if not _DARKEST * bright <= dark <= _LIGHTEST * bright:
        return None
    edge = _edge_of(is_dark)
    distance = np.abs(paper - np.where(is_dark, np.float32(dark), np.float32(bright)))
    mixed = np.count_nonzero(distance > _NEAR * (bright - dark))
    if edge > _LONGEST * max(values.shape) or mixed > _MIXED * edge:
        return None
    for tone, there in ((dark, is_dark), (bright, ~is_dark)):
        has_it = there & (np.abs(values - np.float32(tone)) < _LIKE * (bright - dark))
        if np.count_nonzero(has_it) < _PLAIN * np.count_nonzero(there):
            return None
        if border_of(has_it).mean() < _OF_BORDER or not _reaches_border(there):
            return None
    return _Tones(dark, bright, is_dark, is_ink_bright)


def _edge_of(mask: Mask) -> int:
    """How long the edge of a mask is."""
    across, down = mask[:, 1:] != mask[:, :-1], mask[1:] != mask[:-1]
    return int(np.count_nonzero(across) + np.count_nonzero(down))


def _reaches_border(mask: Mask) -> bool:
    """Whether nearly all of a mask lies in parts that reach the border."""
    parts = find_components(mask)
    return bool(parts.area[parts.touches_border].sum() >= _AT_BORDER * np.count_nonzero(mask))


def _is_drawn_on(values: Floats, tones: _Tones) -> bool:
    """Whether there is clear ink on paper `[H, W]` of two tones."""
    change = (tones.even(values) - np.float32(tones.bright)) / np.float32(tones.bright)
    taken = change if tones.is_ink_bright else -change
    levels = find_levels(Ordered(taken))
    is_ink = taken > levels.threshold
    if not _LEAST_INK <= is_ink.mean() <= _MOST_INK:
        return False
    contrast = float(taken[is_ink].mean()) - levels.paper
    if contrast < _LEAST_CONTRAST or levels.spread > _CLEAR * contrast:
        return False
    if find_components(is_ink).extent.max() < _DRAWN * max(values.shape):
        return False
    return not _is_of_a_tone(is_ink, values, tones)


def _is_of_a_tone(ink: Mask, values: Floats, tones: _Tones) -> bool:
    """Whether what is taken for ink is of one of the tones: a finger, light between two of them, or lines by
    the pen that filled the area.
    """
    tone, there = (tones.bright, ~tones.is_dark) if tones.is_ink_bright else (tones.dark, tones.is_dark)
    near = _LIKE * (tones.bright - tones.dark)
    is_alike = np.abs(values - np.float32(tone)) < near
    if abs(quantile_of(values[ink], 1 - _PURE if tones.is_ink_bright else _PURE) - tone) < near:
        return True
    parts = find_components(there | is_alike)
    continued = parts.mask(parts.counts(there) > 0) & ~there
    return bool(np.count_nonzero(ink & continued) > 0.5 * np.count_nonzero(ink))
