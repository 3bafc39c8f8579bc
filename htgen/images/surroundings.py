"""What lies around the paper: black bars, frames along the border, scanner edges, a table.

Paper is a region with straight sides, of one brightness, that ends in an edge where it does not reach the
border of the image, and on which there is something. All else is left out.
"""

from typing import NamedTuple

import numpy as np
from PIL import Image

from htgen.arrays import Floats, Mask, Pixels
from htgen.images.components import fills_its_hull, find_components
from htgen.images.frames import find_frame
from htgen.images.paper import Counts, otsu, paper_light
from htgen.images.papers import papers_of, regions_of
from htgen.images.resampling import (
    COARSE_SIDE,
    border_of,
    mean_width,
    median,
    pad,
    quantile,
    resize,
    shrink,
    shrink_to,
    steps_of,
    sweep,
)

_LIGHT_SIDE = 32
"""Resolution at which its light is estimated."""

_EDGE = 20
"""Grey levels by which the paper's edge stands out."""

_SHARP = 0.4
"""Share of its contrast that the paper's edge takes within four pixels."""

_EVEN = 0.27
"""Share of that by which paper varies, in the light that falls on it."""

_PAPER = 0.8
"""Share of round paper on which nothing is drawn; a ring with something in it has less."""

_SMALL = 0.3
"""Share of the image; of smaller round paper it is not plain whether it is one, or a ring of thick lines."""

_ALIKE = 0.15
"""Share of a line's contrast by which what is on both sides of it differs."""

_GAP = 0.03
"""Share of the side that may lie outside a frame."""

FRAME_LEFT_OUT = "a frame around the drawing is left out"

FRAME_KEPT = "a line runs around all the rest near the border; it is taken as part of the drawing"

DARK_PAPER = "what is darker than all around it is taken for paper with bright ink on it"

EMPTY = "an empty page seems to lie within a frame, beside a bar or on a table"

_REACH = 5
"""Half the width, at this resolution, of lines that are seen to reach into an empty page."""

_DARK = 0.6
"""Share of the paper's brightness that what is around an empty page has at most."""

_LIT = 1.5
"""Grey levels by which photographed paper varies at least; a filled shape is even."""

_STRAIGHT = 0.9
"""Share of its box that an empty page fills."""

_FRAME, _BAR = 0.12, 0.25
"""Shares of the side that a frame, and a bar, around an empty page are wide at most."""

_PLAIN = 0.85
"""Share of an image that is paper beyond doubt, where the whole border is."""


class Page(NamedTuple):
    """The part of an image that is paper.

    Attributes:
        grey: `[H, W]`; the very image where all of it is paper.
        warnings: what is not plain.
        is_empty: whether there is nothing on the paper, and something around it.
    """

    grey: Pixels
    warnings: tuple[str, ...] = ()
    is_empty: bool = False


def without_surroundings(grey: Pixels, coarse: Floats | None = None) -> Page:
    """Find the paper in an image `[H, W]`.

    Args:
        coarse: the same at `COARSE_SIDE`, where it was made before.
    """
    warnings: list[str] = []
    for _ in range(3):  # a frame on a page on a table
        is_coarse = max(grey.shape) <= COARSE_SIDE
        if coarse is None and not is_coarse:
            (coarse,) = shrink_to(grey, COARSE_SIDE)
        values = grey if is_coarse or coarse is None else np.rint(coarse).astype(np.uint8)
        if min(values.shape) < 16:
            break
        counts = np.bincount(values.reshape(-1), minlength=256)
        first = otsu(counts)
        paper, is_empty = _find_paper(values, counts, first)
        if is_empty:
            return Page(grey, (*warnings, EMPTY), True)
        if paper is None:
            if (frame := find_frame(values, _thresholds(counts, first))) is None:
                break
            warnings += [FRAME_LEFT_OUT if frame.is_plain else FRAME_KEPT]
            if not frame.is_plain:
                break
            paper = frame.within
        elif _is_thin(values, paper):
            warnings += [FRAME_LEFT_OUT]
        elif _is_dark(values, paper):
            warnings += [DARK_PAPER]
        grey, coarse = cut_to(grey, without_edge(paper)), None
    return Page(grey, tuple(dict.fromkeys(warnings)))


def _is_dark(values: Pixels, paper: Mask) -> bool:
    """Whether paper is darker than what is around it, and what is on it is brighter than it."""
    inner = values[without_edge(paper)].astype(np.float32)
    level = median(inner) if len(inner) else 255
    is_on_bright = level < median(values[~paper].astype(np.float32))
    return is_on_bright and bool((inner > level + _EDGE).sum() > (inner < level - _EDGE).sum())


def _thresholds(counts: Counts, first: int) -> tuple[int, ...]:
    """Between ink and paper, and nearer to the paper: a thin line of a large image is pale.

    Args:
        counts: how often each value occurs, `[256]`.
        first: the best value between.
    """
    low, high = _range(counts)
    if high - low < 2 * _EDGE:
        return ()
    paper = int(counts.argmax())
    second = (first + paper) // 2 if first < paper else (first + paper + 1) // 2
    is_same = not counts[min(first, second) + 1 : max(first, second) + 1].any()  # no value is between them
    return (first,) if is_same else (first, second)


def _range(counts: Counts) -> tuple[int, int]:
    """The least and the greatest value that occurs."""
    used = counts.nonzero()[0]
    return int(used[0]), int(used[-1])


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


def _find_paper(values: Pixels, counts: Counts, first: int) -> tuple[Mask | None, bool]:
    """Where the paper is, `[H, W]`; None where it is everywhere, or nothing tells. And whether it is empty.

    Args:
        values: at `COARSE_SIDE`.
        counts: how often each value occurs, `[256]`.
        first: the best value between two classes of them.
    """
    dark = values <= first
    border = border_of(dark)
    edge, area = np.count_nonzero(border), int(counts[: first + 1].sum())
    if edge in (0, len(border)):
        ink = area if edge == 0 else dark.size - area
        if ink < (1 - _PLAIN) * dark.size and not _has_frame(dark if edge == 0 else ~dark):
            return None, False
    low, high = _range(counts)
    if high - low < 2 * _EDGE:
        return None, False
    step = (high - low) / 7
    signed, regions = regions_of(values, counts, (first, *(low + place * step for place in range(1, 7))))
    if not regions:
        return None, False
    papers = papers_of(np.stack(regions))
    is_empty = False
    for index, mask in papers:
        if _is_paper(signed[index], regions[index], mask):
            if has_content(signed[index], mask):
                return mask, False
            is_empty = is_empty or (signed[index] is values and _is_empty_page(values, mask))
    return None, is_empty


def _has_frame(ink: Mask) -> bool:
    """Whether there is a line along a side, not far from it."""
    height, width = ink.shape
    if np.count_nonzero(ink) <= 0.8 * min(height, width):
        return False
    rows, columns = 1 + int(_GAP * height), 1 + int(_GAP * width)
    return any(
        np.count_nonzero(line) > 0.8 * len(line)
        for lines in (ink[:rows], ink[-rows:], ink[:, :columns].T, ink[:, -columns:].T)
        if np.count_nonzero(lines) > 0.8 * lines.shape[1]
        for line in lines
    )


def _is_paper(values: Pixels, region: Mask, paper: Mask) -> bool:
    """Whether what may be the paper has its shape, its edge and its light.

    Args:
        values: in which it is brighter than what is around it.
        region: what is brighter than a threshold.
        paper: where it is; and the others `[H, W]` too.
    """
    area, bright = np.count_nonzero(paper), np.count_nonzero(region & paper)
    may_be_round = bool(bright >= _PAPER * area)
    limit = _SMALL if may_be_round else 0.5
    if area < limit * paper.size and bright < area and _is_ring(values, region, paper):
        return False
    # What takes least time, and refuses most, comes first.
    return (
        _is_even(values, paper)
        and fills_its_hull(paper, may_be_round)
        and _lies_within(region & ~paper)
        and _ends_in_an_edge(values, paper)
    )


def _is_ring(values: Pixels, region: Mask, paper: Mask) -> bool:
    """Whether what is in a thick closed line is as bright as what is around it."""
    line, within, around = (
        median(values[where].astype(np.float32)) for where in (region & paper, paper & ~region, ~paper)
    )
    return abs(within - around) < _ALIKE * (line - around)


def _is_empty_page(values: Pixels, paper: Mask) -> bool:
    """Whether bright paper with nothing on it is an empty page, and no filled shape on a dark ground.

    Around a page there is a frame, as wide on all sides, or a bar at one side or two; or its light varies.
    """
    above, below, before, after = bars = _margins(paper)
    box = paper[above : paper.shape[0] - below, before : paper.shape[1] - after]
    wide = pad(box.astype(np.float32), [(2 * _REACH, 2 * _REACH)] * 2, 0)
    closed = sweep(sweep(wide, _REACH, np.maximum), _REACH, np.minimum)
    if np.count_nonzero(closed) > 1.002 * np.count_nonzero(box):
        return False  # a line reaches into it
    inner = values[without_edge(paper)].astype(np.float32)
    if not inner.size or median(values[~paper].astype(np.float32)) > _DARK * median(inner):
        return False
    if float(inner.std()) > _LIT:
        return True
    side = max(paper.shape)
    if np.count_nonzero(box) < _STRAIGHT * box.size:
        return False
    if all(bars):
        return max(bars) <= _FRAME * side and max(bars) - min(bars) <= _GAP * side
    return max(bars) <= _BAR * side


def _margins(paper: Mask) -> tuple[int, int, int, int]:
    """How far the paper's box is from the four sides: above, below, left, right."""
    rows, columns = np.flatnonzero(paper.any(axis=1)), np.flatnonzero(paper.any(axis=0))
    height, width = paper.shape
    return int(rows[0]), height - 1 - int(rows[-1]), int(columns[0]), width - 1 - int(columns[-1])


def _is_thin(values: Pixels, paper: Mask) -> bool:
    """Whether what is around the paper is about as thin as the strokes on it, so that it may be a stroke."""
    margin = max(_margins(paper))
    if margin > _FRAME * max(paper.shape):
        return False
    page = without_edge(paper)
    dark = values <= otsu(np.bincount(values[page], minlength=256))
    ink = page & (dark if np.count_nonzero(dark & page) <= np.count_nonzero(~dark & page) else ~dark)
    stroke = mean_width(ink)
    return bool(0.5 * stroke <= margin <= 2 * stroke)


def _lies_within(others: Mask) -> bool:
    """Whether what is as bright as the paper and outside it lies along the border alone, beyond a frame."""
    height, width = others.shape
    rows, columns = 1 + int(_GAP * height), 1 + int(_GAP * width)
    touching = find_components(others)
    outer = touching.mask(touching.touches_border)
    return not outer[rows:-rows, columns:-columns].any()


def _ends_in_an_edge(values: Pixels, paper: Mask) -> bool:
    """Whether the paper is brighter than what is beside it, nearly everywhere; a shadow fades."""
    grey = values.astype(np.float32)
    contrast = median(grey[paper]) - quantile(np.sort(grey[~paper]), 0.75)
    edge = paper & (sweep(paper.astype(np.float32), 1, np.minimum) == 0)
    beside = sweep(np.where(paper, np.float32(np.inf), grey), 2, np.minimum)
    within = sweep(np.where(paper, grey, np.float32(-np.inf)), 2, np.maximum)
    return bool((within - beside > max(_EDGE, _SHARP * contrast))[edge].mean() > 0.9)


def _is_even(values: Pixels, paper: Mask) -> bool:
    """Whether the paper varies little, compared with how far it is from what is beside it."""
    inside, outside = np.sort(values[paper].astype(np.float32)), np.sort(values[~paper])
    middle = quantile(inside, 0.5)
    spread = quantile(np.sort(np.abs(inside - middle)), 0.5)
    return spread < _EVEN * (middle - quantile(outside.astype(np.float32), 0.25))


def has_content(values: Pixels, paper: Mask) -> bool:
    """Whether there is something on the paper, not at its edge."""
    inner = sweep(pad(paper[2:-2, 2:-2].astype(np.float32), [(2, 2)] * 2, 0), 3, np.minimum) > 0
    if not inner.any():
        return False
    grey = values.astype(np.float32)
    steps = steps_of(grey)
    return bool((steps > _EDGE)[inner].mean() > 0.003)
