"""Statistics and resampling of arrays `[H, W]`, for drawings."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from htgen.arrays import Floats

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
    above = min(below + 1, values.size - 1)
    lower, upper = np.partition(values, (below, above), axis=None)[[below, above]]
    return float(lower + (position - below) * (upper - lower))


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
    padded = pad(mask, [(1, 1), (1, 1)], 0)
    outline = sum(int(np.count_nonzero(np.diff(padded, axis=axis))) for axis in (0, 1))
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


def medians(values: Floats, window: int) -> Floats:
    """Medians of `[H, W]` over windows along rows, then of those along columns; borders are continued."""
    middle = window // 2
    for _ in range(2):
        continued = np.pad(values, ((0, 0), (middle, middle)), "edge")
        windows = np.lib.stride_tricks.sliding_window_view(continued, window, 1)
        values = np.partition(windows, middle, axis=-1)[..., middle].T
    return values


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
