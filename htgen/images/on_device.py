"""Preparation of drawings in whole numbers: what a small device does with a grey frame, bit for bit.

`htgen export --prepare` writes the same steps in C. A frame of any size and either polarity becomes bright
ink on an empty ground, cut to the ink. Everything is made of means over cells of a grid:

1. 32 x 32 cells over the frame. The third moment about their medians over half the frame tells which side ink
   is on.
2. What is left of the cells when all that is narrow is taken away is the paper, shadows included; what does
   not reach the border is a filled shape and no shadow.
3. What stands out by a third of the clearest cells is ink. Its box is searched twice, the second time with
   cells over the first box alone.
4. A square around the box, a ninth larger, becomes the result's cells. Contrast is stretched.
5. Strokes are made even, if that is wanted: `htgen.images.device_strokes`.

Lengths are in sixteenths of a pixel, so that a cell's mean counts pixels at its border in part.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from htgen.arrays import Integers, Pixels
from htgen.images.device_strokes import FINE, even_strokes

CELLS = 32
"""Cells on each side of the grid in which ink is searched; fewer where there are fewer pixels."""

WIDEST = 12
"""One in so many cells is half of what counts as narrow: strokes are, shadows are not."""

LARGEST_FRAME = 4096
"""Side of the largest frame in pixels."""

CROP_NUMERATOR, CROP_DENOMINATOR = 10, 9
"""How much larger than the ink's box the cut is."""

FAINT = 10
"""Ink that stands out less, of 255, is none."""

STRAY = 200
"""One in so many of the cells with ink may lie outside the box at each side."""


@dataclass(frozen=True)
class Window:
    """A part of a frame, in sixteenths of a pixel; it may reach beyond."""

    left: int
    top: int
    width: int
    height: int


def prepare_on_device(frame: Pixels, size: int, stroke: float) -> Pixels:
    """A grey frame `[H, W]` -> bright ink, uint8 `[size, size]`.

    A frame with more than 4096 pixels on a side, which no device has, is scaled down first.

    Args:
        stroke: about how wide strokes become, as a share of the result's side; 0: as they are.
    """
    if max(frame.shape) > LARGEST_FRAME:
        image = Image.fromarray(frame)
        image.thumbnail((LARGEST_FRAME, LARGEST_FRAME), Image.Resampling.BOX)
        frame = np.asarray(image)
    height, width = frame.shape
    values = frame.astype(np.int64)
    window = Window(0, 0, 16 * width, 16 * height)
    cells, _ = means(values, window, min(CELLS, width), min(CELLS, height))
    if is_dark_on_light(cells):
        values, cells = 255 - values, 255 - cells
    paper = paper_level(cells)
    ink = stand_out(cells, paper, window, window)
    box = ink_box(ink, window)
    if box is None:
        return np.zeros((size, size), np.uint8)
    # Once more, with cells over the box and one more on each side.
    margin_x, margin_y = window.width // ink.shape[1], window.height // ink.shape[0]
    left, top = max(box.left - margin_x, 0), max(box.top - margin_y, 0)
    right = min(box.left + box.width + margin_x, 16 * width)
    bottom = min(box.top + box.height + margin_y, 16 * height)
    closer = Window(left, top, right - left, bottom - top)
    columns, rows = (max(1, min(CELLS, length // 16)) for length in (closer.width, closer.height))
    cells, _ = means(values, closer, columns, rows)
    box = ink_box(stand_out(cells, paper, window, closer), closer) or box
    side = max(box.width, box.height, 64) * CROP_NUMERATOR // CROP_DENOMINATOR
    cut = Window(box.left + box.width // 2 - side // 2, box.top + box.height // 2 - side // 2, side, side)

    def ink_of(cells_aside: int) -> Integers:
        cells, weights = means(values, cut, cells_aside, cells_aside)
        return np.where(weights == 0, 0, stand_out(cells, paper, window, cut))

    ink = ink_of(size)
    levels = ink_levels(ink)
    if levels is None:
        return ink.astype(np.uint8)
    if stroke:
        ink = even_strokes(stretch(ink, levels), stretch(ink_of(FINE * size), levels), stroke)
    else:
        ink = stretch(ink, levels)
    return ink.astype(np.uint8)


def means(values: Integers, window: Window, columns: int, rows: int) -> tuple[Integers, Integers]:
    """Means over cells, 0-255 rounded, and how much of each cell lies within the frame: `[rows, columns]`."""
    across = _shares(window.left, window.width, columns, values.shape[1])  # [columns, W]
    down = _shares(window.top, window.height, rows, values.shape[0])  # [rows, H]
    # Sums stay far below 2 ** 53, so that float64 holds them as they are.
    sums = (down.astype(float) @ values.astype(float) @ across.T.astype(float)).astype(np.int64)
    weights = np.outer(down.sum(axis=1), across.sum(axis=1))
    return (sums + weights // 2) // np.maximum(weights, 1), weights


def _shares(start: int, length: int, cells: int, pixels: int) -> Integers:
    """How many sixteenths of each pixel lie in each cell: `[cells, pixels]`."""
    edges = start + length * np.arange(cells + 1) // cells
    first = 16 * np.arange(pixels)
    low = np.maximum(edges[:-1, None], first)
    high = np.minimum(edges[1:, None], first + 16)
    return np.maximum(high - low, 0)


def _between(levels: Integers, y: Integers, x: Integers, window: Window) -> Integers:
    """The paper's level at places in sixteenths, interpolated between cells: `[len(y), len(x)]`."""

    def places(at: Integers, length: int, cells: int) -> tuple[Integers, Integers, Integers]:
        # In 256ths of a cell, from the middle of the first.
        scaled = np.clip(at, 0, length) * (cells * 16) // length * 16 - 128
        scaled = np.clip(scaled, 0, (cells - 1) * 256)
        first = scaled >> 8
        return first, np.minimum(first + 1, cells - 1), scaled - (first << 8)

    row, next_row, down = places(y, window.height, levels.shape[0])
    column, next_column, across = places(x, window.width, levels.shape[1])
    upper: Integers = levels[row][:, column] * (256 - across) + levels[row][:, next_column] * across
    lower: Integers = levels[next_row][:, column] * (256 - across) + levels[next_row][:, next_column] * across
    level: Integers = upper * (256 - down[:, None]) + lower * down[:, None]
    return level >> 16


def _middles(start: int, length: int, cells: int) -> Integers:
    edges: Integers = start + length * np.arange(cells + 1) // cells
    middles: Integers = (edges[:-1] + edges[1:]) >> 1
    return middles


def _rank(cells: Integers, reach: int, rank: int) -> Integers:
    """Of the cells that are near in a column, sorted, the one with a rank; then the same along rows.

    Beyond the frame its light goes on as it does inside.
    """
    for _ in range(2):
        last = len(cells) - 1
        mirrored = np.minimum(np.arange(reach, 0, -1), last)
        before = np.clip(2 * cells[:1] - cells[mirrored], 0, 255)
        after = np.clip(2 * cells[-1:] - cells[last - mirrored[::-1]], 0, 255)
        wide = np.concatenate([before, cells, after])
        near = [wide[step : step + last + 1] for step in range(2 * reach + 1)]
        cells = np.sort(near, axis=0)[rank].T
    return cells


def is_dark_on_light(cells: Integers) -> bool:
    """Which side ink is on: the sign of the third moment about medians over half the frame.

    Medians follow shadows and their edges, and no strokes. What is faint on both sides, and on neither more
    than twice as clear, is noise: ink is then on the side that leaves it more room.
    """
    reach = max(1, max(cells.shape) // 4)
    light = _rank(cells, reach, reach)
    apart = cells - light
    moment, above, below = int((apart**3).sum()), int(apart.max()), -int(apart.min())
    is_noise = max(above, below) < FAINT and above <= 2 * below and below <= 2 * above
    if moment == 0 or is_noise:
        return int(light.sum()) > 127 * light.size
    return moment < 0


def paper_level(cells: Integers) -> Integers:
    """The paper's level in each cell: what is left when all that is narrow is taken away.

    A filled shape is left too, but unlike a shadow it does not reach the border.
    """
    reach = max(1, max(cells.shape) // WIDEST)
    opened = _rank(_rank(cells, reach, 0), reach, 2 * reach)
    level = np.zeros_like(opened)
    level[0], level[-1], level[:, 0], level[:, -1] = opened[0], opened[-1], opened[:, 0], opened[:, -1]
    while True:  # what no way from the border reaches without a step down is no shadow
        wider = level.copy()
        wider[1:] = np.maximum(wider[1:], level[:-1])
        wider[:-1] = np.maximum(wider[:-1], level[1:])
        wider[:, 1:] = np.maximum(wider[:, 1:], level[:, :-1])
        wider[:, :-1] = np.maximum(wider[:, :-1], level[:, 1:])
        wider = np.minimum(wider, opened)
        if (wider == level).all():
            return level
        level = wider


def stand_out(cells: Integers, paper: Integers, frame: Window, window: Window) -> Integers:
    """How far cells stand out from the paper, as a share of what it leaves: 0-255, `[rows, columns]`."""
    rows, columns = cells.shape
    level = _between(
        paper, _middles(window.top, window.height, rows), _middles(window.left, window.width, columns), frame
    )
    share = np.maximum(cells - level, 0) * 255 // np.maximum(255 - level, 32)
    return np.minimum(share, 255)


def _threshold(ink: Integers) -> int:
    """What is more is ink: a third of the clearest."""
    ordered = np.sort(ink, axis=None)
    return max(int(ordered[(len(ordered) - 1) * 255 // 256]) // 3, FAINT)


def ink_box(ink: Integers, window: Window) -> Window | None:
    """Where the ink is; None where there is none."""
    is_ink = ink > _threshold(ink)
    total = int(is_ink.sum())
    if total == 0:
        return None
    edges = []
    for axis, start, length in ((0, window.left, window.width), (1, window.top, window.height)):
        mass = np.cumsum(is_ink.sum(axis=axis))
        cells = len(mass)
        first = int((mass * STRAY <= total).sum())
        last = int((mass * STRAY < total * (STRAY - 1)).sum()) + 1
        low = start + length * first // cells
        edges.append((low, start + length * last // cells - low))
    (left, width), (top, height) = edges
    return Window(left, top, width, height)


def ink_levels(ink: Integers) -> tuple[int, int] | None:
    """A quarter of the threshold, and the ink's middle; None where there is none."""
    ordered = np.sort(ink, axis=None)
    threshold = _threshold(ink)
    above = int(np.searchsorted(ordered, threshold, "right"))
    if above == len(ordered):
        return None
    return threshold // 4, int(ordered[above + (len(ordered) - 1 - above) * 3 // 5])


def stretch(ink: Integers, levels: tuple[int, int]) -> Integers:
    """Map the ink's middle to 255, and what is below a quarter of the threshold to 0."""
    empty, full = levels
    return np.clip((ink - empty) * 255 // (full - empty), 0, 255)
