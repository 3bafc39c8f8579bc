"""Single dark or bright pixels of a small image: hot pixels, pepper, the dots of a dithered page."""

import numpy as np

from htgen.arrays import Mask, Pixels
from htgen.images.components import find_components
from htgen.images.paper import otsu
from htgen.images.resampling import mean_width, median, pad

_SMALLEST = 32
"""Below, a single pixel may be a dot that was drawn."""

_LARGEST = 640
"""Above, what a CNN sees is so much smaller that single pixels are averaged away."""

_THIN = 1.6
"""Pixels. Where lines are narrower, a single pixel may be a dot that was drawn."""

_MANY = 4
"""So many are noise, and then pairs and triples of pixels are noise too."""


def without_specks(grey: Pixels) -> Pixels:
    """An image without single pixels that stand out from all around them; the same array without any.

    Where they are most of the ink, as on a dithered page of pencil, the image is blurred in their place.

    Args:
        grey: `[H, W]`.
    """
    if min(grey.shape) < _SMALLEST or max(grey.shape) > _LARGEST:
        return grey
    lowest, highest = _neighbours(grey)
    step = max(32, int(np.ptp(grey)) // 4)
    dark = grey < np.maximum(lowest, step) - step
    bright = grey > np.minimum(highest, 255 - step) + step
    if not dark.any() and not bright.any():
        return grey
    is_ink = grey <= otsu(np.bincount(grey.reshape(-1), minlength=256))
    if is_ink.mean() > 0.5:
        is_ink, dark, bright = ~is_ink, bright, dark
    ink, count = np.count_nonzero(is_ink), np.count_nonzero(dark)
    if not count or (count < _MANY and mean_width(is_ink & ~dark) < _THIN):
        return grey
    if count > 0.4 * ink and ink > 0.02 * grey.size:
        return _blurred(grey)
    specks = dark
    if count >= _MANY:
        specks = dark | bright | _small_parts(is_ink) | _small_parts(~is_ink)
    cleaned = grey.copy()
    cleaned[specks] = _around(grey, specks)
    return cleaned


def _neighbours(grey: Pixels) -> tuple[Pixels, Pixels]:
    """The least and the greatest of the eight neighbours of each pixel, `[H, W]` each."""
    extremes = []
    for extreme, edge in ((np.minimum, 255), (np.maximum, 0)):
        around = pad(grey, [(1, 1), (1, 1)], edge)
        rows = extreme(around[:, :-2], around[:, 2:])  # beside each pixel of every row
        full = extreme(rows, around[:, 1:-1])
        extremes.append(extreme(extreme(full[:-2], full[2:]), rows[1:-1]))
    return extremes[0], extremes[1]


def _small_parts(mask: Mask) -> Mask:
    """Pairs and triples; with a large drawing, a little more."""
    parts = find_components(mask)
    return parts.mask(parts.area <= min(max(3, 0.01 * parts.area.max(initial=0)), 8))


def _around(grey: Pixels, specks: Mask) -> Pixels:
    """What is around each speck: the median of the pixels near it that are none, `[count]`."""
    rows, columns = np.nonzero(specks)
    beyond = [(2, 2), (2, 2)]
    values, is_none = pad(np.where(specks, np.uint8(255), grey), beyond, 255), pad(specks, beyond, 1)
    window = (np.arange(5)[:, None] * values.shape[1] + np.arange(5)).reshape(-1)
    near = (rows * values.shape[1] + columns)[:, None] + window  # [count, 25]
    ordered = np.sort(values.reshape(-1)[near], axis=1)  # those that are none come last
    count = 25 - np.count_nonzero(is_none.reshape(-1)[near], axis=1)
    every = np.arange(len(near))
    middle = ordered[every, (count - 1) // 2].astype(int) + ordered[every, count // 2]
    if not count.all():
        middle = np.where(count > 0, middle, int(2 * median(grey.astype(np.float32))))
    return (middle // 2).astype(np.uint8)


def _blurred(grey: Pixels) -> Pixels:
    """Means over 5x5 pixels, the border continued."""
    sums = np.cumsum(np.cumsum(np.pad(grey.astype(np.float64), ((3, 2), (3, 2)), "edge"), axis=0), axis=1)
    means = (sums[5:, 5:] - sums[:-5, 5:] - sums[5:, :-5] + sums[:-5, :-5]) / 25
    return np.rint(means).astype(np.uint8)
