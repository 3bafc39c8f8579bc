"""Values by their rank: few are put in order, of many only those near the ranks that are asked for."""

import numpy as np

from htgen.arrays import Floats, Integers
from htgen.images.resampling import MANY, neighbours_at, quantile, quantile_of, radius

_BIN_EDGES = np.linspace(0, 1, 257, dtype=np.float32)


class Ordered:
    """Values in the order of their size.

    Args:
        values: of any shape.
        is_sorted: whether they are `[N]` and in order.
    """

    def __init__(self, values: Floats, is_sorted: bool = False) -> None:
        self._is_sorted = is_sorted or values.size < MANY
        self._values = values if is_sorted or not self._is_sorted else np.sort(values, axis=None)
        self.size = values.size

    def quantile(self, share: float) -> float:
        """The value that a share of them, 0 to below 1, does not exceed, interpolated."""
        return quantile(self._values, share) if self._is_sorted else quantile_of(self._values, share)

    def below(self, limit: float) -> "Ordered":
        """Those that are less."""
        if self._is_sorted:
            return Ordered(self._values[: self._values.searchsorted(np.float32(limit))], True)
        return Ordered(self._values[self._values < np.float32(limit)])

    def above(self, limit: float) -> "Ordered":
        """Those that are greater."""
        if self._is_sorted:
            return Ordered(self._values[self._values.searchsorted(np.float32(limit), "right") :], True)
        return Ordered(self._values[self._values > np.float32(limit)])

    def usual_distance(self, middle: float) -> float:
        """The median of how far they are from a middle, a number that float32 holds."""
        count, half = self.size, self.size // 2
        if self._is_sorted:
            first, second = (radius(self._values, middle, near) for near in (count - half, half + 1))
        else:
            distances = np.abs(self._values - np.float32(middle)).reshape(-1)
            first, second = map(float, neighbours_at(distances, (count - 1) // 2))
        return (first + (second if count % 2 == 0 else first)) / 2

    def in_bins(self) -> Integers:
        """How many are in each of 256 bins from 0 to 1, the last one with its upper edge: `[256]`."""
        if self._is_sorted:
            edges = self._values.searchsorted(_BIN_EDGES)
            edges[-1] = self._values.searchsorted(_BIN_EDGES[-1], "right")
            return edges[1:] - edges[:-1]
        bins = np.floor(self._values * np.float32(256))
        bins = np.minimum(np.maximum(bins, -1, out=bins), 256, out=bins) + 1  # with those below and above
        counts = np.bincount(bins.reshape(-1).astype(np.intp), minlength=258)[1:257]
        counts[-1] += np.count_nonzero(self._values == 1)
        return counts
