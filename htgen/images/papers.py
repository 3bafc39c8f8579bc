"""Where the paper may be: what is brighter or darker than a threshold, and what lies around that."""

from collections.abc import Iterator

import numpy as np

from htgen.arrays import Integers, Mask, Pixels
from htgen.images.components import Components, find_components
from htgen.images.paper import Counts

_LEAST, _LARGEST = 0.12, 0.6
"""Share of an image that is paper at least, and of that which its largest part is."""


def regions_of(
    values: Pixels, counts: Counts, thresholds: tuple[float, ...]
) -> tuple[list[Pixels], list[Mask]]:
    """What is brighter than thresholds, and darker: the image or its negative, in which a region is what is
    brighter, and the region, `[H, W]`; one after the other where they are large enough.

    Args:
        counts: how often each value occurs, `[256]`.
    """
    signed, regions = [], []
    below, negative = counts.cumsum().tolist(), 255 - values
    for threshold in thresholds:
        limit, last = int(threshold), 254 - int(254 - threshold)
        if values.size - below[limit] >= 0.1 * values.size:
            signed.append(values)
            regions.append(values > limit)
        if below[last] >= 0.1 * values.size:
            signed.append(negative)
            regions.append(values <= last)
    return signed, regions


def papers_of(regions: Mask) -> Iterator[tuple[int, Mask]]:
    """What may be the paper in each region: its largest part, without holes.

    The ink that reaches the border is of the paper too: what is around runs along a side, or fills a corner.

    Args:
        regions: `[N, H, W]`.

    Yields:
        The number of a region, and the paper `[H, W]`; nothing of a region that cannot be one.
    """
    count, height, width = regions.shape
    tall = np.zeros((count, height + 1, width), bool)  # an empty row after each
    tall[:, :height] = regions
    parts = find_components(tall.reshape(-1, width))
    first = np.searchsorted(parts.top, np.arange(count) * (height + 1))
    greatest = np.maximum.reduceat(parts.area, first)  # [N]
    layer = parts.top // (height + 1)
    is_greatest = parts.area == greatest[layer]
    largest = np.full(count, parts.count)
    np.minimum.at(largest, layer[is_greatest], np.flatnonzero(is_greatest))  # the first of equal ones
    runs = parts.part == largest[layer[parts.part]]
    size = height * width
    kept = np.flatnonzero(greatest >= _LARGEST * _LEAST * size)  # others cannot be likely
    beside, is_outside = _outside(parts, runs, height + 1, kept)
    out = np.bincount(beside.top // (height + 1), np.where(is_outside, beside.area, 0), len(kept))
    area = size - out.astype(np.int64)
    is_likely = (area >= _LEAST * size) & (area < size) & (greatest[kept] >= _LARGEST * area)
    if is_likely.any():
        outside = beside.mask(is_outside).reshape(len(kept), height + 1, width)[:, :height]
        yield from ((int(kept[index]), ~outside[index]) for index in np.flatnonzero(is_likely).tolist())


def _outside(parts: Components, runs: Mask, rows: int, kept: Integers) -> tuple[Components, Mask]:
    """The parts of what is beside some runs, and whether each lies outside the paper: `[count]`.

    Args:
        parts: of several masks below each other, each with an empty row after it.
        runs: the runs of `parts` that are chosen.
        rows: of each mask, with the empty one.
        kept: the numbers of the masks that are looked at, in order.
    """
    width = parts.shape[1]
    is_beside = ~parts.masked(runs).reshape(-1, rows, width)[kept]
    is_beside[:, -1] = False
    beside = find_components(is_beside.reshape(-1, width))
    height, number = beside.row % rows, beside.part
    length = beside.end - beside.start
    along = (
        np.bincount(number, np.where(height == 0, length, 0), beside.count) / width,
        np.bincount(number, np.where(height == rows - 2, length, 0), beside.count) / width,
        np.bincount(number, beside.start == 0, beside.count) / (rows - 1),
        np.bincount(number, beside.end == width, beside.count) / (rows - 1),
    )  # shares of the sides
    high = 0.7 * ((beside.bottom - beside.top) / (rows - 1))
    wide = 0.7 * ((beside.right - beside.left) / width)
    top, bottom, left, right = (
        share > part for share, part in zip(along, (wide, wide, high, high), strict=True)
    )
    in_corner = (top | bottom) & (left | right)
    is_large = beside.area > 0.001 * (rows - 1) * width
    return beside, is_large & (in_corner | (np.maximum.reduce(along) > 0.9))
