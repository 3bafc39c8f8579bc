"""Ruled and squared paper: thin straight lines from border to border, at even distances, are no ink."""

from typing import NamedTuple

import numpy as np
from PIL import Image

from htgen.arrays import Doubles, Floats, Mask, Pixels
from htgen.images.resampling import image_of, median, pad, quantile, resize_image, shrink_image

RULED = "the lines of ruled or squared paper are left out"

_SMALLEST = 48
"""Pixels; a smaller image is too coarse for thin lines."""

_COARSE = 32
"""Resolution at which paper is told from a board."""

_STRIPS = 32
"""In so many parts across a line is looked for."""

_SLOPES = np.linspace(-0.09, 0.09, 37)
"""Rows that a line falls in each column."""

_FINER = np.linspace(-0.004, 0.004, 9)
"""Steps between those."""

_WIDEST = 0.02
"""Share of the side that a line is wide at most, or three pixels."""

_FAINT, _CLEAR = 0.03, 4
"""Share of the light that a line takes at least, and so many times the usual differences."""

_MOSTLY = 0.2
"""Share of the strips in which a line may be hidden."""

_FEWEST = 3
"""Of fewer lines it is not plain that they rule a page."""

_EVEN = 0.12
"""Share of their distance by which lines are out of place at most."""

_OF_MOST = 0.4
"""Share of what the clearest lines take that each takes."""

_OF_ALL = 0.5
"""Share of what lines take that they take at the border."""

_EDGE = 0.01
"""Share of the side; a line so near to the border is the end of what was cut out."""

_DARKER, _CORE = 1.3, 0.85
"""So many times as dark as lines is ink that crosses them; this quantile near them is how dark they are."""


class Lines(NamedTuple):
    """Parallel lines across an image.

    Attributes:
        middles: where they cross the middle column, in rows.
        reach: half their width in rows.
        slope: rows that they fall in each column.
    """

    middles: Doubles
    reach: int
    slope: float


def without_rules(grey: Pixels) -> Pixels:
    """An image `[H, W]` without the lines of ruled or squared paper; the same array where there are none.

    On paper with lines across there may be a single one down, at the margin, and the reverse.
    """
    if min(grey.shape) < _SMALLEST:
        return grey
    across = _without_lines(grey, _FEWEST)
    turned = across.T
    down = _without_lines(turned, 1 if across is not grey else _FEWEST)
    if down is turned:
        return across
    found = np.ascontiguousarray(down.T)
    return _without_lines(found, 1) if across is grey else found


def _without_lines(grey: Pixels, fewest: int) -> Pixels:
    """The same for so many lines and more from left to right."""
    edge = _border(grey.shape[1])
    if _has_one_value(grey[:, :edge]) or _has_one_value(grey[:, -edge:]):
        return grey  # an empty margin, which no line crosses
    image = image_of(grey)
    is_dark = median(shrink_image(image, _COARSE)) > 127
    values = grey if is_dark else 255 - grey
    lines = _find_lines(values, image if is_dark else image_of(values), fewest)
    if lines is None:
        return grey
    cleaned = _erase(values, lines)
    return cleaned if is_dark else 255 - cleaned


def _has_one_value(grey: Pixels) -> bool:
    values = grey.tobytes()
    return values == values[:1] * len(values)


def _find_lines(values: Pixels, image: Image.Image, fewest: int) -> Lines | None:
    """Dark lines from left to right, as many or more; None without them.

    Args:
        values: `[H, W]`.
        image: the same, of mode `F`.
    """
    height, width = values.shape
    strips = resize_image(image, (min(_STRIPS, width), height), Image.Resampling.BOX)
    darkest, brightest = strips.min(axis=0), np.maximum(strips.max(axis=0), np.float32(16))
    enough = (1 - _MOSTLY) * strips.shape[1]
    if np.count_nonzero(darkest < (1 - 0.99 * _FAINT / 2) * brightest) < enough:
        return None  # there cannot be enough in so many strips, whatever the light
    reach = max(3, round(_WIDEST * height))
    light = np.maximum(_along(_along(strips, reach, np.maximum), reach, np.minimum), np.float32(16))
    taken = (1 - strips / light).astype(np.float32)  # [H, strips]
    if np.count_nonzero((taken > _FAINT / 2).sum(axis=0) >= fewest) < enough:
        return None  # there is nothing in some strips
    if not _may_have_lines(taken, fewest):
        return None
    x = (np.arange(strips.shape[1]) + 0.5) * (width / strips.shape[1]) - width / 2
    slope = _best_slope(taken, x, _SLOPES)
    slope = _best_slope(taken, x, slope + _FINER)
    level = _levels(taken, x, np.array([slope]))[0]
    ordered = np.sort(level)
    usual, most = float(ordered[len(ordered) // 4]), float(ordered[-1 - len(ordered) // 50])
    is_line = np.concatenate([[False], level > max(_FAINT, _CLEAR * usual, _OF_MOST * most), [False]])
    starts, ends = np.flatnonzero(is_line[1:] & ~is_line[:-1]), np.flatnonzero(~is_line[1:] & is_line[:-1])
    is_inner = (starts > _EDGE * height) & (ends < (1 - _EDGE) * height)
    if np.count_nonzero(is_inner) < fewest or (ends - starts).max() > reach:
        return None
    wide = int((ends - starts).max())
    if not _reach_the_border(
        values, ((starts + ends - 1) / 2)[is_inner], wide, slope, median(level[starts[is_inner]])
    ):
        return None
    middles = _continued((starts + ends - 1) / 2, is_inner, wide, abs(slope) * width / 2, height)
    return None if middles is None else Lines(middles, (wide + 1) // 2 + 1, slope)


def _may_have_lines(taken: Floats, fewest: int) -> bool:
    """Whether enough strips, with those at both ends, have places dark enough for so many lines, whatever
    their slope; to try all slopes takes far more time.

    Args:
        taken: `[H, strips]`.
    """
    strips = taken.shape[1]
    dark = np.count_nonzero(taken > _FAINT, axis=0)
    needed = strips - 1 - int(_MOSTLY * (strips - 1))  # of which a line has more than this in a quantile
    return bool(np.count_nonzero(dark) >= needed and min(dark[:2].sum(), dark[-2:].sum()) >= fewest)


def _border(width: int) -> int:
    """How many columns at each side every line must be dark in."""
    return max(1, width // 100)


def _reach_the_border(values: Pixels, middles: Doubles, wide: int, slope: float, level: float) -> bool:
    """Whether lines go on to both borders; what is drawn ends before, if by little.

    Args:
        values: `[H, W]`.
        middles: where lines cross the middle column, in rows.
        wide: how wide they are at most, in rows.
        slope: rows that they fall in each column.
        level: the share of the light that they take.
    """
    height, width = values.shape
    edge = _border(width)
    for part, x in ((values[:, :edge], (edge - width) / 2), (values[:, -edge:], (width - edge) / 2)):
        column = np.pad(part.mean(axis=1, dtype=np.float64), 3 * wide, "edge")
        rows = np.rint(middles + slope * x).astype(np.int64)
        rows = rows[(rows >= 0) & (rows < height)][:, None] + 3 * wide  # others end above or below
        near, around = (column[rows + np.arange(-reach, reach + 1)] for reach in (wide, 3 * wide))
        is_dark = 1 - near.min(axis=1) / np.maximum(around.max(axis=1), 16) > _OF_ALL * level
        if np.count_nonzero(is_dark) < (1 - _MOSTLY) * len(is_dark) or not len(is_dark):
            return False
    return True


def _continued(middles: Doubles, is_inner: Mask, wide: int, rise: float, height: int) -> Doubles | None:
    """Lines at even distances, and those that cross the upper or lower border; None where they are not even.

    Args:
        middles: of the lines that cross the middle column.
        is_inner: which of them are not along a border.
        wide: how wide they are at most, in rows.
        rise: by how many rows they rise or fall on either side of the middle column.
        height: of the image.
    """
    gaps = np.diff(middles[is_inner])
    if not len(gaps):
        return middles
    usual = float(np.median(gaps))
    places = np.maximum(np.rint(gaps / usual), 1)
    is_even = np.abs(gaps / places - usual) <= max(_EVEN * usual, 1.5)
    if not is_even.all() or usual < 2 * wide:
        return None
    more = np.arange(1, 2 + int(3 * rise / usual)) * usual
    before, after = middles[0] - more, middles[-1] + more
    near = 2 * rise
    return np.concatenate([before[before < near][::-1], middles, after[after > height - 1 - near]])


def _best_slope(taken: Floats, x: Doubles, slopes: Doubles) -> float:
    """Along which of some slopes there is most in all strips."""
    sums = [float(level.sum()) for level in _levels(taken, x, slopes)]
    return float(slopes[sums.index(max(sums))])


def _levels(taken: Floats, x: Doubles, slopes: Doubles) -> Doubles:
    """What all strips but a few, and those at both ends, have in a row along each slope, `[slopes, H]`.

    Args:
        taken: `[H, strips]`.
        x: how far each strip is from the middle, in columns.
        slopes: rows that a line falls in each column.
    """
    height, strips = taken.shape
    rows, share = np.arange(height), _MOSTLY * (strips - 1)
    least: list[Doubles] = []  # the least of the strips so far, in order
    ends: list[Doubles] = []
    for index, column in enumerate(taken.T.astype(np.float64)):
        place = rows + (slopes * x[index])[:, None]  # [slopes, H]
        above = np.clip(np.floor(place), 0, height - 2).astype(np.intp)
        moved = np.diff(column)[above] * (place - above) + column[above]
        moved[place < 0], moved[place >= height - 1] = column[0], column[-1]
        if index in (0, 1, strips - 2, strips - 1):
            ends.append(moved)
        for number, other in enumerate(least):
            least[number], moved = np.minimum(other, moved), np.maximum(other, moved)
        if len(least) < int(share) + 2:
            least.append(moved)
    low, high = least[-2:]
    found: Doubles = low + (high - low) * (share - int(share))
    left, right = np.maximum(ends[0], ends[1]), np.maximum(ends[2], ends[3])
    return np.minimum(found, np.minimum(left, right))


def _along(values: Floats, reach: int, extreme: np.ufunc) -> Floats:
    """The least or greatest over so many rows above and below."""
    values = np.concatenate([values[:1].repeat(reach, axis=0), values, values[-1:].repeat(reach, axis=0)])
    covered, side = 1, 2 * reach + 1
    while covered < side:
        step = min(covered, side - covered)
        values = extreme(values[step:], values[:-step])
        covered += step
    return values


def _erase(values: Pixels, lines: Lines) -> Pixels:
    """Dark lines filled from above and below, but for what is darker and crosses them."""
    height, width = values.shape
    y, x = np.mgrid[:height, :width]
    place = y - lines.slope * (x + 0.5 - width / 2)
    nearest = lines.middles[np.searchsorted((lines.middles[1:] + lines.middles[:-1]) / 2, place)]
    is_line = np.abs(place - nearest) <= lines.reach
    if not is_line.any():
        return values
    step = 2 * lines.reach
    padded = pad(values, [(step, step), (0, 0)], 255)
    beside = np.minimum(padded[:height], padded[2 * step :])
    taken = 1 - values / np.maximum(beside, np.uint8(1)).astype(np.float32)
    is_pale = taken <= _DARKER * quantile(np.sort(taken[is_line]), _CORE) + _FAINT
    return np.where(is_line & is_pale, np.maximum(values, beside), values)
