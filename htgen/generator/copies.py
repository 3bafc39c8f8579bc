"""Copies among images: the same picture again, turned by some degrees, scaled, or compressed.

A copy of an image on both sides of a test makes any CNN look good. Two images are compared in polar
coordinates about their ink, in units of its spread, where place and size do not count and a turn is a shift.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from htgen.arrays import Floats, Integers, Mask

_RADII, _ANGLES = 12, 360

_REACH = 2.0
"""The largest radius, in units of the spread."""

_TURNS = np.arange(-10, 11)
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

OTHER_COLOURS = 0.25
"""By how much the mean colours of images, as shares of their brightness, differ in other pictures.
In grey, two photographs of one texture in other colours are the same."""

_COLOURED = 0.02
"""The same share from which an image has colours at all: of what is grey all over they say nothing."""

_VISIBLE = 0.04
"""By how much the values of an image, 0..1, must differ for something to be seen."""

_WAVES = 12
"""Fourier coefficients, by angle, that say which images may be copies at all."""

_MAYBE = 0.98

_BLOCK = 512

_TOGETHER = 64
"""Images or pairs that are worked on at once: what it takes stays in the cache."""

Waves = npt.NDArray[np.complex64]


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
    colours = _colours(images)
    blocks = range(0, len(grey), _TOGETHER)
    polar = (_polar(grey[start : start + _TOGETHER], drawn) for start in blocks)
    waves = np.concatenate([np.fft.rfft(part, axis=2) for part in polar])  # a turn changes no size of theirs
    for first, second in _candidates(waves):
        is_open = (groups[first] != groups[second]) & ~_differ_in_colour(colours[first], colours[second])
        if strokes is not None:
            is_open &= ~_differ(strokes[first], strokes[second])
        first, second = first[is_open], second[is_open]
        are_copies = _correlations(waves, first, second) >= ALIKE_ENOUGH
        for pair in zip(first[are_copies], second[are_copies], strict=True):
            low, high = sorted(groups[list(pair)])
            if low != high:
                groups[groups == high] = low
    return groups


def _differ(first: Floats, second: Floats) -> Mask:
    """Whether strokes `[N]` are of two widths."""
    narrow = np.minimum(first, second)
    return (narrow > 0) & (np.maximum(first, second) > OTHER_STROKES * narrow)


def _colours(images: Floats) -> Floats:
    """The mean colours of images `[S, C, H, W]`, -1..1, less their brightness, as shares of it: `[S, C]`."""
    means = (images.mean(axis=(2, 3)) + 1) / 2
    brightness = means.mean(axis=1, keepdims=True)
    return ((means - brightness) / (brightness + 0.1)).astype(np.float32)  # black has any colour


def _differ_in_colour(first: Floats, second: Floats) -> Mask:
    """Whether colours `[N, C]` are two, and neither is grey."""
    are_coloured = np.minimum(np.abs(first).max(axis=1), np.abs(second).max(axis=1)) > _COLOURED
    return np.asarray(are_coloured & (np.abs(first - second).max(axis=1) > OTHER_COLOURS))


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
    _, height, width = padded.shape
    place = (np.arange(len(grey))[:, None, None] * height + top) * width + left
    flat, still = padded.reshape(-1), 1 - right
    upper = flat.take(place) * still + flat.take(place + 1) * right
    place += width
    lower = flat.take(place) * still + flat.take(place + 1) * right
    values: Floats = upper * (1 - down) + lower * down
    return values


def _candidates(waves: Waves) -> Iterator[tuple[Integers, Integers]]:
    """Pairs whose Fourier coefficients by angle `[S, radii, waves]` have about the same sizes: the positions
    of some first ones and of their second ones, in ascending order."""
    sizes = np.abs(waves[:, :, :_WAVES]).reshape(len(waves), -1)
    length = np.sqrt((sizes**2).sum(axis=1, keepdims=True))
    sizes = (sizes / np.where(length > 0, length, np.inf)).astype(np.float32)  # [S, radii * waves]
    for start in range(0, len(sizes), _BLOCK):
        alike = sizes[start : start + _BLOCK] @ sizes[start:].T >= _MAYBE
        first, second = np.nonzero(np.triu(alike, 1))
        for part in range(0, len(first), _TOGETHER):
            yield start + first[part : part + _TOGETHER], start + second[part : part + _TOGETHER]


def _correlations(waves: Waves, first: Integers, second: Integers) -> Floats:
    """The highest correlation over the turns, of images at `first` with those at `second`: `[N]`.

    Args:
        waves: Fourier coefficients of all images by angle, `[S, radii, waves]`.
    """
    together = (waves[first] * waves[second].conj()).sum(axis=1)
    return np.fft.irfft(together, _ANGLES, axis=1)[:, _TURNS].max(axis=1, initial=-1)
