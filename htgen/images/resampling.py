"""Statistics and resampling of arrays `[H, W]`, for drawings."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from htgen.arrays import Floats

_STEPS = 241, 61, 31, 13
"""Of many values every so-manieth is looked at first: prime numbers, so that they are of all columns."""

_SAMPLE, _REACH = 600, 40
"""So many are looked at, at least, and so many of them on either side of a place bound it almost always."""

WINDOW = 11
"""Values of which `medians` are."""

# ------------------------------------------------------------------------------------ statistics, resampling


def quantile(ordered: Floats, share: float) -> float:
    """Of sorted values `[N]`, the one that a share of them, 0 to below 1, does not exceed, interpolated."""
    position = share * (len(ordered) - 1)
    below = int(position)
    lower, upper = ordered[below], ordered[min(below + 1, len(ordered) - 1)]
    return float(lower + (position - below) * (upper - lower))


def quantile_of(values: Floats, share: float) -> float:
    """The same of values `[H, W]` in any order, which takes less time than to sort them for it."""
    position = share * (values.size - 1)
    below = int(position)
    lower, upper = neighbours_at(values.reshape(-1), below)
    return float(lower + (position - below) * (upper - lower))


def neighbours_at(values: Floats, place: int) -> tuple[np.float32, np.float32]:
    """What would be at a place, and at the next one if there is one, if values `[N]` were sorted.

    Of many values only those are sorted that are near it, as some of the values tell.
    """
    size, before = len(values), 0
    step = next((step for step in _STEPS if size >= _SAMPLE * step), 1)
    if step > 1:
        sample = np.sort(values[::step])
        first, last = (place * len(sample) // size + reach for reach in (-_REACH, _REACH))
        is_less = values < sample[first] if first >= 0 else np.zeros(size, bool)
        is_more = values > sample[last] if last < len(sample) else np.zeros(size, bool)
        before, after = int(np.count_nonzero(is_less)), int(np.count_nonzero(is_more))
        if before <= place and place + 1 < size - after:
            values = values[~(is_less | is_more)]
        else:
            before = 0
    ordered = np.sort(values)
    return ordered[place - before], ordered[min(place + 1 - before, len(ordered) - 1)]


def median(values: Floats) -> float:
    """The median of all values; `np.median` takes longer, and loads `numpy.ma`."""
    ordered = np.sort(values, axis=None)
    return float((ordered[(ordered.size - 1) // 2] + ordered[ordered.size // 2]) / 2)


def radius(ordered: Floats, middle: float, count: int) -> float:
    """How far from a middle the `count` nearest of sorted values `[N]` reach: they are neighbours."""
    lowest, highest = ordered[: len(ordered) - count + 1], ordered[count - 1 :]
    return float(np.maximum(middle - lowest, highest - middle).min())


def pad(values: npt.NDArray[Any], margins: Sequence[tuple[int, int]], fill: float) -> npt.NDArray[Any]:
    """`np.pad` of `[H, W]` with one value; it takes a tenth of the time on a small image."""
    (above, below), (before, after) = margins
    height, width = values.shape
    padded = np.full((above + height + below, before + width + after), fill, values.dtype)
    padded[above : above + height, before : before + width] = values
    return padded


def mean_width(mask: npt.NDArray[np.bool_]) -> float:
    """How wide strokes `[H, W]` are on average: twice their area by their outline; 0 without any."""
    outline = 0
    for lines in (mask, mask.T):
        at_border = np.count_nonzero(lines[0]) + np.count_nonzero(lines[-1])
        outline += int(np.count_nonzero(lines[1:] != lines[:-1]) + at_border)
    return 2 * int(np.count_nonzero(mask)) / outline if outline else 0.0


def sweep(values: Floats, reach: int, extreme: np.ufunc) -> Floats:
    """The `np.minimum` or `np.maximum` of `[H, W]` over squares that reach so many pixels to every side."""
    values = pad(values, [(reach, reach)] * 2, np.inf if extreme is np.minimum else -np.inf)
    covered, side = 1, 2 * reach + 1
    while covered < side:
        step = min(covered, side - covered)
        values = extreme(values[step:], values[:-step])
        values = extreme(values[:, step:], values[:, :-step])
        covered += step
    return values


def medians(values: Floats) -> Floats:
    """Medians of `[H, W]` over windows of `WINDOW` along rows, then along columns; borders are continued."""
    for _ in range(2):
        values = _running_medians(np.ascontiguousarray(values.T))
    return values


def _running_medians(values: Floats) -> Floats:
    """Medians of `[N, M]` over windows of `WINDOW` along the first axis, `[N, M]`.

    Two neighbours are put in order for all windows at once, then four and eight; from these and the other
    three the sixth of eleven follows. It takes the least or greatest of two arrays 32 times, which takes
    less time than to sort each window.
    """
    low, high = np.minimum, np.maximum
    middle, count = WINDOW // 2, len(values)
    x = np.empty((count + 2 * middle, values.shape[1]), values.dtype)
    x[:middle], x[middle:-middle], x[-middle:] = values[0], values, values[-1]
    small, large = low(x[:-1], x[1:]), high(x[:-1], x[1:])  # of two
    (a, b), (c, d) = (small[:-2], large[:-2]), (small[2:], large[2:])
    inner, outer = high(a, c), low(b, d)
    four = low(a, c), low(inner, outer), high(inner, outer), high(b, d)
    a, b, c, d = (part[:-4] for part in four)
    e, f, g, h = (part[4:] for part in four)
    # The third to the sixth of eight, by merging what is odd and what is even.
    lower, upper = high(a, e), low(c, g)
    second, third, fourth = low(lower, upper), high(lower, upper), high(c, g)
    lower, upper = high(b, f), low(d, h)
    first, middle_one, last = low(b, f), low(lower, upper), high(lower, upper)
    eight = high(second, first), low(third, middle_one), high(third, middle_one), low(fourth, last)
    a, b, c, d = (part[:count] for part in eight)
    lesser, greater, one = small[8 : 8 + count], large[8 : 8 + count], x[10 : 10 + count]
    between = high(lesser, one)
    e, f, g = low(lesser, one), low(greater, between), high(greater, between)
    found: Floats = low(low(d, high(c, e)), low(high(b, f), high(a, g)))
    return found


def resize(
    values: Floats,
    size: tuple[int, int],
    resampling: Image.Resampling = Image.Resampling.LANCZOS,
    box: tuple[float, float, float, float] | None = None,
) -> Floats:
    """Resample `[H, W]` to `(width, height)`."""
    if box is None or box == (0, 0, values.shape[1], values.shape[0]):
        if values.shape == (size[1], size[0]):
            return values
        box = None
    image = Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))
    return np.asarray(image.resize(size, resampling, box=box))


def shrink(values: Floats, limit: int) -> Floats:
    """Scale `[H, W]` down, by averaging, to a longer side of `limit` pixels, if it is larger."""
    longest = max(values.shape)
    if longest <= limit:
        return values
    height, width = (max(1, round(length * limit / longest)) for length in values.shape)
    return resize(values, (width, height), Image.Resampling.BOX)
