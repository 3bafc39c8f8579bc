"""What lies around the paper: black bars, frames along the border, scanner edges, a table.

Paper is a region with straight sides, of one brightness, that ends in an edge where it does not reach the
border of the image, and on which there is something. All else is left out.
"""

import numpy as np
from PIL import Image

from htgen.arrays import Floats, Mask, Pixels
from htgen.images.components import fill_holes, find_components, hull_area
from htgen.images.paper import paper_light
from htgen.images.resampling import pad, resize, shrink, sweep

_SIDE = 128
"""Resolution at which the paper is searched."""

_LIGHT_SIDE = 32
"""Resolution at which its light is estimated."""

_EDGE = 20
"""Grey levels by which the paper's edge stands out."""

_GAP = 0.03
"""Share of the side that may lie outside a frame."""

_PLAIN = 0.85
"""Share of an image that is paper beyond doubt, where the whole border is."""


def without_surroundings(grey: Pixels) -> Pixels:
    """The part of an image that is paper, `[H, W]`; the same array where all of it is.

    Args:
        grey: `[H, W]`.
    """
    for _ in range(3):  # a frame on a page on a table
        is_coarse = max(grey.shape) <= _SIDE
        values = grey if is_coarse else np.rint(shrink(grey.astype(np.float32), _SIDE)).astype(np.uint8)
        paper = _find_paper(values)
        if paper is None:
            return grey
        grey = cut_to(grey, without_edge(paper))
    return grey


def cut_to(grey: Pixels, paper: Mask) -> Pixels:
    """The box of the paper, `[H', W']`; what lies in it beside the paper is filled as the paper is.

    Args:
        grey: `[H, W]`.
        paper: where it is, of the same shape or coarser, not empty.
    """
    height, width = grey.shape
    light = resize(_light_of(grey, paper), (width, height), Image.Resampling.BICUBIC)
    is_paper = np.asarray(Image.fromarray(paper).resize((width, height), Image.Resampling.NEAREST))
    rows, columns = np.flatnonzero(is_paper.any(axis=1)), np.flatnonzero(is_paper.any(axis=0))
    filled = np.where(is_paper, grey, np.clip(np.rint(light), 0, 255).astype(np.uint8))
    return filled[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _light_of(grey: Pixels, paper: Mask) -> Floats:
    """The light on the paper, continued beyond it, at `_LIGHT_SIDE`: `[h, w]`."""
    values = shrink(grey.astype(np.float32), _LIGHT_SIDE)
    sure = sure_places(paper, values.shape)
    return paper_light(values, sure if sure.any() else None)


def sure_places(paper: Mask, shape: tuple[int, int]) -> Mask:
    """Where there is nothing but paper, in a coarser image: `shape`.

    Args:
        paper: where it is, `[H, W]`.
    """
    return resize(np.where(paper, np.float32(1), np.float32(0)), shape[::-1], Image.Resampling.BOX) > 0.99


def without_edge(mask: Mask) -> Mask:
    """A mask `[H, W]` without what is nearer than two pixels to its edge; the image's border is no edge."""
    return sweep(mask.astype(np.float32), 2, np.minimum) > 0


def _find_paper(values: Pixels) -> Mask | None:
    """Where the paper is, `[H, W]`; None where it is everywhere, or nothing tells.

    Args:
        values: at `_SIDE`.
    """
    if min(values.shape) < 16:
        return None
    counts = np.bincount(values.reshape(-1), minlength=256)
    first = otsu(counts)
    dark = values <= first
    border = np.concatenate([dark[0], dark[-1], dark[1:-1, 0], dark[1:-1, -1]])
    edge, area = np.count_nonzero(border), np.count_nonzero(dark)
    if edge in (0, len(border)):
        ink = area if edge == 0 else dark.size - area
        if ink < (1 - _PLAIN) * dark.size and not _has_frame(dark if edge == 0 else ~dark):
            return None
    low, high = np.flatnonzero(counts)[[0, -1]]
    if high - low < 2 * _EDGE:
        return None
    for threshold in (first, *np.linspace(low, high, 8)[1:-1]):
        for signed in (values, 255 - values):
            paper = _paper_of(signed, signed > (threshold if signed is values else 254 - threshold))
            if paper is not None:
                return paper
    return None


def _has_frame(ink: Mask) -> bool:
    """Whether there is a line along a side, not far from it."""
    height, width = ink.shape
    rows, columns = 1 + int(_GAP * height), 1 + int(_GAP * width)
    return any(
        np.count_nonzero(line) > 0.8 * len(line)
        for lines in (ink[:rows], ink[-rows:], ink[:, :columns].T, ink[:, -columns:].T)
        for line in lines
    )


def _paper_of(values: Pixels, region: Mask) -> Mask | None:
    """The paper, if it is the largest part of a region that is brighter than all else, `[H, W]`."""
    size = region.size
    if region.sum() < 0.1 * size:
        return None
    parts = find_components(region)
    largest = parts.mask(np.arange(parts.count) == parts.area.argmax())
    paper = _without_ink(fill_holes(largest))
    area = int(paper.sum())
    if not 0.12 * size <= area < size or largest.sum() < 0.6 * area:
        return None
    if not _lies_within(region & ~paper):
        return None
    hull, rectangle = hull_area(paper)
    if area < 0.95 * hull or area < 0.87 * rectangle:
        return None
    if not _ends_in_an_edge(values, paper):
        return None
    return paper if has_content(values, paper) else None


def _without_ink(paper: Mask) -> Mask:
    """The paper, and the ink that reaches the border: what is around runs along a side, or fills a corner."""
    height, width = paper.shape
    beside = find_components(~paper)
    outside = np.zeros_like(paper)
    for number in np.flatnonzero(beside.area > 0.001 * paper.size):
        part = beside.mask(np.arange(beside.count) == number)
        along = [part[0].mean(), part[-1].mean(), part[:, 0].mean(), part[:, -1].mean()]
        tall = (beside.bottom[number] - beside.top[number]) / height
        wide = (beside.right[number] - beside.left[number]) / width
        touched = [share > 0.7 * size for share, size in zip(along, (wide, wide, tall, tall), strict=True)]
        in_corner = (touched[0] or touched[1]) and (touched[2] or touched[3])
        if in_corner or max(along) > 0.9:
            outside |= part
    return ~outside


def _lies_within(others: Mask) -> bool:
    """Whether what is as bright as the paper and outside it lies along the border alone, beyond a frame."""
    height, width = others.shape
    rows, columns = 1 + int(_GAP * height), 1 + int(_GAP * width)
    touching = find_components(others)
    outer = touching.mask(touching.touches_border)
    return not outer[rows:-rows, columns:-columns].any()


def _ends_in_an_edge(values: Pixels, paper: Mask) -> bool:
    """Whether the paper is brighter than what is beside it, nearly everywhere."""
    grey = values.astype(np.float32)
    edge = paper & (sweep(paper.astype(np.float32), 1, np.minimum) == 0)
    beside = sweep(np.where(paper, np.float32(np.inf), grey), 2, np.minimum)
    within = sweep(np.where(paper, grey, np.float32(-np.inf)), 2, np.maximum)
    return bool((within - beside > _EDGE)[edge].mean() > 0.9)


def has_content(values: Pixels, paper: Mask) -> bool:
    """Whether there is something on the paper, not at its edge."""
    inner = sweep(pad(paper[2:-2, 2:-2].astype(np.float32), [(2, 2)] * 2, 0), 3, np.minimum) > 0
    if not inner.any():
        return False
    grey = values.astype(np.float32)
    steps = sweep(grey, 1, np.maximum) - sweep(grey, 1, np.minimum)
    return bool((steps > _EDGE)[inner].mean() > 0.003)


def otsu(counts: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> int:
    """The last value of the lower of two classes of values, after Otsu.

    Args:
        counts: how often each value occurs, `[256]`.
    """
    values = np.arange(256)
    below, moment = np.cumsum(counts), np.cumsum(counts * values)
    pairs = below * (below[-1] - below)
    between = (moment[-1] * (below / below[-1]) - moment) ** 2 / np.maximum(pairs, 1)
    best = np.flatnonzero(between >= between.max() * (1 - 1e-9))
    return int(best.mean())
