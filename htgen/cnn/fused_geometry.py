"""Sizes of a convolution as its kernels (`htgen.cnn.fused_kernels`) read them. No torch here."""

import importlib
import math
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]


class Geometry:
    """Of one convolution with a pool or none: sizes, and where in memory its numbers lie.

    Images and gradients are copied for a kernel with zeros around them, as `[C, high, wide, lanes]`.

    Args:
        channels, high, wide: of its input.
        out: its output channels.
        side, stride: of its kernels.
        before, behind: zeros before the first and behind the last row and column.
        pool: whether a 2x2 max-pool follows.

    Attributes:
        pooled_high, pooled_wide: size of the output.
        work: bytes of memory that its kernels work in.
        table: address of all numbers that they read; see `_table`.
    """

    def __init__(
        self,
        channels: int,
        high: int,
        wide: int,
        out: int,
        side: int,
        stride: int,
        before: int,
        behind: int,
        pool: bool,
    ) -> None:
        lanes: Any = importlib.import_module("htgen.cnn.lanes")
        self.lanes: int = lanes.LANES
        self._bytes, self._block = lanes.BYTES, lanes.BLOCK
        self.channels, self.out, self.side, self.stride, self.pool = channels, out, side, stride, pool
        self.high, self.wide, self.before, self.behind = high, wide, before, behind
        self.padded_high, self.padded_wide = high + before + behind, wide + before + behind
        self.conv_high = (self.padded_high - side) // stride + 1
        self.conv_wide = (self.padded_wide - side) // stride + 1
        shrink = 2 if pool else 1
        self.pooled_high, self.pooled_wide = self.conv_high // shrink, self.conv_wide // shrink
        # Input position i is reached by the taps t with (i + before - t) / stride whole: it reads the
        # gradient there, from (i + before) / stride, rounded down, to `reach` before it.
        reach = (side - 1) // stride
        self.gradient_before = max(0, reach - before // stride)
        self.gradient_high, self.gradient_wide = (
            self.gradient_before + max(conv, (size - 1 + before) // stride + 1)
            for conv, size in ((self.conv_high, high), (self.conv_wide, wide))
        )
        self.work = self._work()
        self._numbers = self._table()
        self.table: int = self._numbers.ctypes.data

    def codes(self, groups: int, images: int) -> int:
        """Bytes that note what the maxima of the pool were."""
        chunks = groups * math.ceil(images / self.lanes)
        return chunks * self.out * self.pooled_high * self.pooled_wide * self.lanes if self.pool else 0

    def _work(self) -> int:
        """Forward and backward do not need all of it at the same time; see their code for the parts."""
        block, taps = self._block, self.side**2
        outs, ins = (math.ceil(count / block) * block for count in (self.out, self.channels))
        vectors = (
            self.channels * self.padded_high * self.padded_wide
            + self.out * self.pooled_high * self.pooled_wide
            + outs * self.gradient_high * self.gradient_wide
            + block * (2 * self.conv_wide + 1)
            + (self.channels * taps + 4) * block
        )
        numbers = max(outs * self.channels, ins * self.out) * taps + outs
        return vectors * self._bytes + 4 * numbers

    def _table(self) -> Integers:
        """`NUMBERS` sizes; then tables of offsets in bytes, each at the index that one of the sizes gives."""
        size, taps = self._bytes, self.side**2
        steps = np.arange(self.side)
        row, row_of_gradient = self.padded_wide * size, self.gradient_wide * size
        of_taps = np.add.outer(steps * row, steps * size).reshape(-1)
        band = max(1, BAND // self.conv_wide)
        y, x = (axis.reshape(-1) for axis in np.mgrid[:band, : self.conv_wide])
        places = np.stack(
            [(y * row + x * size) * self.stride, y * row_of_gradient + x * size], axis=1
        )  # of some rows' positions in the input and in the gradient
        plane = self.padded_high * row
        entries = np.add.outer(np.arange(self.channels) * plane, of_taps)
        tables = [of_taps, np.arange(taps) * 4, places, entries, self._classes(row_of_gradient)]
        flat = [np.asarray(table, np.int64).reshape(-1) for table in tables]
        starts = np.cumsum([NUMBERS, *(len(table) for table in flat[:-1])])
        sizes = [
            self.channels, self.high, self.wide, self.before, self.stride, self.side, self.out,
            self.pooled_high, self.pooled_wide, self.pool, self.padded_high, self.padded_wide,
            self.conv_high, self.conv_wide, self.gradient_high, self.gradient_wide, self.gradient_before,
            band, *starts,
        ]  # fmt: skip
        assert len(sizes) == NUMBERS
        return np.concatenate([np.asarray(sizes, np.int64), *flat])

    def _classes(self, row: int) -> Integers:
        """Which taps reach an input position: the same for all whose row and column leave the same remainder.

        For each class the number of its taps, and room for all taps: where they read the gradient, seen from
        `(i + before) / stride`; where they are in a kernel.
        """
        classes, taps = [], self.side**2
        steps = np.arange(self.side)
        for first_y in range(self.stride):
            for first_x in range(self.stride):
                y, x = np.meshgrid(
                    steps[first_y :: self.stride], steps[first_x :: self.stride], indexing="ij"
                )
                places = -(y // self.stride * row + x // self.stride * self._bytes).reshape(-1)
                record = np.zeros(1 + 2 * taps, np.int64)
                record[0] = len(places)
                record[1 : 1 + len(places)] = places
                record[1 + taps : 1 + taps + len(places)] = (y * self.side + x).reshape(-1) * 4
                classes.append(record)
        return np.stack(classes)


BAND = 64
"""Positions of the gradient that a kernel goes through at once, so that they stay in the cache."""

NUMBERS = 23
"""At the beginning of the table."""


@lru_cache(maxsize=512)
def geometry(*sizes: Any) -> Geometry:
    """The geometry of these sizes; see `Geometry`."""
    return Geometry(*sizes)
