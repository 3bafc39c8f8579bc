"""Copies among images: the same picture again, turned by some degrees, scaled, or compressed.

A copy of an image on both sides of a test makes any CNN look good. Two images are compared in polar
coordinates about their ink, in units of its spread, where place and size do not count and a turn is a shift.
"""

from collections.abc import Iterator

import numpy as np

from htgen.arrays import Floats, Integers

_RADII, _ANGLES = 12, 360

_REACH = 2.0
"""The largest radius, in units of the spread."""

_TURNS = range(-10, 11)
"""Turns that are tried, in degrees."""

ALIKE_ENOUGH = 0.983
"""The correlation of copies. Of copies that are turned by up to 3 degrees and compressed (JPEG, quality 60 to
95), 99 % have it among the validation characters (`lake:val`) and 94 % among the symbols of
examples/draw_symbols.py. Of pairs of drawings of one class, none of 795 have it there, and 1 % of those
symbols, which are drawn with very little jitter."""

OTHER_STROKES = 1.12
"""Strokes that are so much wider are of another picture: the same icon in two weights, say, of which a CNN
sees the same. Of 210 pairs of Phosphor icons in neighbouring weights all differ by more (117 counted as
copies without this), and of 210 copies (scaled, turned by up to 3 degrees, cut a little, JPEG) one does."""

_VISIBLE = 0.04
"""By how much the values of an image, 0..1, must differ for something to be seen."""

_WAVES = 12
"""Fourier coefficients, by angle, that say which images may be copies at all."""

_MAYBE = 0.98

_BLOCK = 512


def find_copies(images: Floats, drawn: bool, strokes: Floats | None = None) -> Integers:
    """The groups of images that are copies of each other.

    Args:
        images: `[S, C, H, W]`, -1..1; drawings are light on dark.
        drawn: whether what is seen are drawings, whose centre is that of their ink.
        strokes: how wide strokes were before they were made even, `[S]`, by the size of the drawing; 0 where
            that is not known.

    Returns:
        `[S]`: the position of the first image of the group that each is in; its own where there is no copy
        before it. Images in which nothing is to be seen are no copies.
    """
    groups = np.arange(len(images))
    if len(images) < 2:
        return groups
    grey = (images.mean(axis=1) + 1) / 2
    blocks = range(0, len(grey), _BLOCK)
    polar = np.concatenate([_polar(grey[start : start + _BLOCK], drawn) for start in blocks])
    for first, second in _candidates(polar):
        if strokes is not None and _differ(float(strokes[first]), float(strokes[second])):
            continue
        if groups[first] != groups[second] and _correlation(polar[first], polar[second]) >= ALIKE_ENOUGH:
            low, high = sorted((groups[first], groups[second]))
            groups[groups == high] = low
    return groups


def _differ(first: float, second: float) -> bool:
    """Whether strokes are of two widths."""
    return min(first, second) > 0 and max(first, second) > OTHER_STROKES * min(first, second)


def _polar(grey: Floats, drawn: bool) -> Floats:
    """Images `[S, H, W]`, 0..1, in polar coordinates: `[S, radii, angles]`, of mean 0 and length 1 or 0."""
    count, height, width = grey.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    if drawn:
        ink = np.maximum(grey.sum(axis=(1, 2)), 1e-6)
        top, left = ((grey * along).sum(axis=(1, 2)) / ink for along in (y, x))
        squares = (y - top[:, None, None]) ** 2 + (x - left[:, None, None]) ** 2
        spread = np.sqrt((grey * squares).sum(axis=(1, 2)) / ink)
    else:
        top, left = np.full(count, (height - 1) / 2), np.full(count, (width - 1) / 2)
        spread = np.full(count, min(height, width) / (2 * _REACH))
    radius = ((np.arange(_RADII) + 0.5) / _RADII * _REACH)[:, None]
    angle = np.arange(_ANGLES) * (2 * np.pi / _ANGLES)
    rows = top[:, None, None] + spread[:, None, None] * radius * np.sin(angle)  # [S, radii, angles]
    columns = left[:, None, None] + spread[:, None, None] * radius * np.cos(angle)
    found = _sample(grey, rows, columns) * np.sqrt(radius)  # a ring of pixels counts as its length
    found -= found.mean(axis=(1, 2), keepdims=True)
    length = np.sqrt((found**2).sum(axis=(1, 2), keepdims=True))
    is_seen = np.ptp(grey, axis=(1, 2))[:, None, None] >= _VISIBLE
    return (found / np.where(is_seen & (length > 0), length, np.inf)).astype(np.float32)


def _sample(grey: Floats, rows: Floats, columns: Floats) -> Floats:
    """Values between pixels, by linear interpolation; 0 outside of images `[S, H, W]`."""
    padded = np.pad(grey, ((0, 0), (1, 2), (1, 2)))
    rows, columns = rows.clip(-1, grey.shape[1]) + 1, columns.clip(-1, grey.shape[2]) + 1
    top, left = rows.astype(np.int64), columns.astype(np.int64)
    down, right = rows - top, columns - left
    image = np.arange(len(grey))[:, None, None]
    upper = padded[image, top, left] * (1 - right) + padded[image, top, left + 1] * right
    lower = padded[image, top + 1, left] * (1 - right) + padded[image, top + 1, left + 1] * right
    values: Floats = upper * (1 - down) + lower * down
    return values


def _candidates(polar: Floats) -> Iterator[tuple[int, int]]:
    """Pairs whose Fourier coefficients by angle, which no turn changes in size, are about the same."""
    waves = np.abs(np.fft.rfft(polar, axis=2)[:, :, :_WAVES]).reshape(len(polar), -1)
    length = np.sqrt((waves**2).sum(axis=1, keepdims=True))
    waves = (waves / np.where(length > 0, length, np.inf)).astype(np.float32)  # [S, radii * waves]
    for start in range(0, len(waves), _BLOCK):
        alike = waves[start : start + _BLOCK] @ waves.T >= _MAYBE
        for first, second in zip(*np.nonzero(alike), strict=True):
            if start + first < second:
                yield int(start + first), int(second)


def _correlation(first: Floats, second: Floats) -> float:
    """The highest correlation of two images `[radii, angles]` over the turns."""
    return max(float((first * np.roll(second, turn, axis=1)).sum()) for turn in _TURNS)
