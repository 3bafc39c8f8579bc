"""Statistics and resampling of arrays `[H, W]`, for drawings."""

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from htgen.arrays import Floats, Pixels

Value = TypeVar("Value", bound=np.generic)

_STEPS = 241, 61, 31, 13
"""Of many values every so-manieth is looked at first: prime numbers, so that they are of all columns."""

_SAMPLE, _REACH = 600, 40
"""So many are looked at, at least, and so many of them on either side of a place bound it almost always."""

MANY = _SAMPLE * _STEPS[-1]
"""So many values and more take longer to sort than to look through for some of them."""

COARSE_SIDE = 128
"""Resolution at which shadows, and what lies around the paper, are looked for."""

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
    if size >= MANY:
        sample = np.sort(values[:: next(step for step in _STEPS if size >= _SAMPLE * step)])
        middle = place * len(sample) // size
        low = sample[middle - _REACH] if middle >= _REACH else -np.inf
        high = sample[middle + _REACH] if middle + _REACH < len(sample) else np.inf
        near = values.compress((values >= low) & (values <= high))
        before = int(np.count_nonzero(values < low))
        if before <= place and place + 1 < before + len(near):
            values = near
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
    padded = np.empty((above + height + below, before + width + after), values.dtype)
    padded.fill(fill)
    padded[above : above + height, before : before + width] = values
    return padded


def border_of(values: npt.NDArray[Value]) -> npt.NDArray[Value]:
    """The outermost rows and columns of `[H, W]`, `[N]`: each place once, but for images of one row."""
    return np.concatenate([values[0], values[-1], values[1:-1, 0], values[1:-1, -1]])


def mean_width(mask: npt.NDArray[np.bool_]) -> float:
    """How wide strokes `[H, W]` are on average: twice their area by their outline; 0 without any."""
    outline = sum(np.count_nonzero(line) for line in (mask[0], mask[-1], mask[:, 0], mask[:, -1]))
    outline += np.count_nonzero(mask[1:] != mask[:-1]) + np.count_nonzero(mask[:, 1:] != mask[:, :-1])
    return 2 * int(np.count_nonzero(mask)) / int(outline) if outline else 0.0


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


def sweep_both(high: Floats, low: Floats, reach: int) -> tuple[Floats, Floats]:
    """The greatest of one `[H, W]` and the least of another one, as `sweep` finds them: both at once take
    less time than one after the other on a small image."""
    height, width = high.shape
    both = np.empty((2, height + 2 * reach, width + 2 * reach), high.dtype)
    both.fill(-np.inf)
    inner = both[:, reach : reach + height, reach : reach + width]
    inner[0] = high
    np.negative(low, out=inner[1])
    covered, side = 1, 2 * reach + 1
    while covered < side:
        step = min(covered, side - covered)
        both = np.maximum(both[:, step:], both[:, :-step])
        both = np.maximum(both[:, :, step:], both[:, :, :-step])
        covered += step
    return both[0], np.negative(both[1], out=both[1])


def steps_of(values: Floats) -> Floats:
    """How much values `[H, W]` differ from what is next to them."""
    greatest, least = sweep_both(values, values, 1)
    return np.subtract(greatest, least, out=greatest)


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
    return resize_image(image_of(values), size, resampling, box)


def image_of(values: Floats | Pixels) -> Image.Image:
    """`[H, W]` as an image of mode `F`, from which `resize_image` makes several others."""
    # `Image.fromarray` does more, which takes longer than to resample a small image.
    if values.dtype == np.uint8:
        return Image.frombytes("L", values.shape[::-1], np.ascontiguousarray(values).data).convert("F")
    return Image.frombytes("F", values.shape[::-1], np.ascontiguousarray(values, dtype=np.float32).data)


def resize_image(
    image: Image.Image,
    size: tuple[int, int],
    resampling: Image.Resampling = Image.Resampling.LANCZOS,
    box: tuple[float, float, float, float] | None = None,
) -> Floats:
    """Resample an image of mode `F` to `(width, height)`: `[height, width]`."""
    resized = image.resize(size, resampling, box=box)
    return np.frombuffer(resized.tobytes(), np.float32).reshape(size[1], size[0])


def shrink(values: Floats, limit: int) -> Floats:
    """Scale `[H, W]` down, by averaging, to a longer side of `limit` pixels, if it is larger."""
    return shrink_to(values, limit)[0]


def shrink_to(values: Floats | Pixels, *limits: int) -> list[Floats]:
    """The same to several limits."""
    longest = max(values.shape)
    image = image_of(values) if longest > min(limits) else None
    return [
        values.astype(np.float32, copy=False)
        if image is None or longest <= limit
        else shrink_image(image, limit)
        for limit in limits
    ]


def shrink_image(image: Image.Image, limit: int) -> Floats:
    """The same of an image of mode `F` that is larger."""
    longest = max(image.size)
    width, height = (max(1, round(length * limit / longest)) for length in image.size)
    return resize_image(image, (width, height), Image.Resampling.BOX)
