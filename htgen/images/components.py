"""Connected parts of a mask `[H, W]`: pixels that touch each other, at corners too."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from htgen.arrays import Floats, Integers, Mask


@dataclass(frozen=True)
class Components:
    """The connected parts of a mask, numbered from 0, and their boxes.

    The parts are kept as runs: stretches of one row, `[R]` each.

    Attributes:
        shape: of the mask.
        row: the row of each run, in order.
        start: its first column.
        end: the column after its last.
        part: the number of the part that it belongs to.
        count: how many parts there are.
    """

    shape: tuple[int, int]
    row: Integers
    start: Integers
    end: Integers
    part: Integers
    count: int

    @cached_property
    def area(self) -> Integers:
        """Pixels of each part, `[count]`."""
        return np.bincount(self.part, self.end - self.start, self.count).astype(np.int64)

    @cached_property
    def top(self) -> Integers:
        """First row of each part, `[count]`."""
        top = np.empty(self.count, np.int64)
        top[self.part[::-1]] = self.row[::-1]  # the first run of each part stays
        return top

    @cached_property
    def bottom(self) -> Integers:
        """The row after the last of each part, `[count]`."""
        bottom = np.empty(self.count, np.int64)
        bottom[self.part] = self.row + 1
        return bottom

    @cached_property
    def left(self) -> Integers:
        """First column of each part, `[count]`."""
        return self._least(self.start)

    @cached_property
    def right(self) -> Integers:
        """The column after the last of each part, `[count]`."""
        return -self._least(-self.end)

    @property
    def extent(self) -> Integers:
        """The longer side of each part's box, `[count]`."""
        return np.maximum(self.bottom - self.top, self.right - self.left)

    def name_at(self, other: "Components") -> Integers:
        """For each part of another mask, which lies within this one, the part it lies in: `[other.count]`."""
        height, width = self.shape
        named = np.zeros(height * (width + 1) + 1, np.int64)
        named[self.row * (width + 1) + self.start] += self.part + 1
        named[self.row * (width + 1) + self.end] -= self.part + 1
        names = np.cumsum(named)
        _, first = np.unique(other.part, return_index=True)
        return names[other.row[first] * (width + 1) + other.start[first]] - 1

    @property
    def touches_border(self) -> Mask:
        """Whether each part reaches the border of the mask, `[count]`."""
        height, width = self.shape
        return (self.top == 0) | (self.left == 0) | (self.bottom == height) | (self.right == width)

    def mask(self, chosen: Mask) -> Mask:
        """Where the chosen of the parts are: `[H, W]`.

        Args:
            chosen: `[count]`.
        """
        height, width = self.shape
        runs = chosen[self.part]
        edges = np.zeros(height * (width + 1), np.int8)
        edges[self.row[runs] * (width + 1) + self.start[runs]] = 1
        edges[self.row[runs] * (width + 1) + self.end[runs]] = -1
        return np.cumsum(edges, dtype=np.int8).reshape(height, width + 1)[:, :-1].astype(bool)

    def total(self, values: Floats) -> Floats:
        """The sum of values `[H, W]` over each part, `[count]`."""
        height, width = self.shape
        sums = np.zeros((height, width + 1))
        np.cumsum(values, axis=1, out=sums[:, 1:])
        runs = sums[self.row, self.end] - sums[self.row, self.start]
        return np.bincount(self.part, runs, self.count).astype(np.float32)

    def _least(self, values: Integers) -> Integers:
        least = np.full(self.count, np.iinfo(np.int64).max)
        np.minimum.at(least, self.part, values)
        return least


def find_components(mask: Mask) -> Components:
    """The connected parts of a mask `[H, W]`."""
    height, width = mask.shape
    stride = width + 2  # so that no run touches one of the next row, seen as one long row
    padded = np.zeros((height, stride), np.int8)
    padded[:, 1:-1] = mask
    changes = np.diff(padded.reshape(-1))
    starts, ends = np.flatnonzero(changes == 1), np.flatnonzero(changes == -1)
    # Runs of the next row that touch a run follow each other.
    first = np.searchsorted(ends, starts + stride)
    counts = np.maximum(np.searchsorted(starts, ends + stride, "right") - first, 0)
    upper = np.repeat(np.arange(len(starts)), counts)
    lower = np.arange(len(upper)) + np.repeat(first - (np.cumsum(counts) - counts), counts)
    root = _joined(len(starts), upper, lower)
    names = np.cumsum(root == np.arange(len(root))) - 1
    row = starts // stride
    count = int(names[-1]) + 1 if len(names) else 0
    return Components((height, width), row, starts - row * stride, ends - row * stride, names[root], count)


def _joined(count: int, first: Integers, second: Integers) -> Integers:
    """For each of so many things the least one that it is joined with, by pairs."""
    root = np.arange(count)
    while True:
        a, b = root[first], root[second]
        if np.array_equal(a, b):
            return root
        np.minimum.at(root, np.maximum(a, b), np.minimum(a, b))
        while not np.array_equal(root, shorter := root[root]):
            root = shorter


def fill_holes(mask: Mask) -> Mask:
    """A mask `[H, W]` and all that it encloses: what is not in it and does not reach the border."""
    rest = find_components(~mask)
    return mask | rest.mask(~rest.touches_border)


def hull_area(mask: Mask) -> tuple[float, float]:
    """The areas, in pixels, of the convex hull of a mask `[H, W]` and of the smallest rectangle around it."""
    points = _hull(mask)
    x, y = points[:, 0], points[:, 1]
    hull = 0.5 * abs(float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))))
    angles = np.radians(np.arange(0, 90, 2.0))
    turned = np.stack([np.cos(angles), np.sin(angles)]), np.stack([-np.sin(angles), np.cos(angles)])
    sides = [np.ptp(points @ direction, axis=0) for direction in turned]  # [angles] each
    return hull, float((sides[0] * sides[1]).min())


def _hull(mask: Mask) -> Floats:
    """The corners of the convex hull of a mask that is not empty, (x, y) each, in order: `[N, 2]`."""
    rows = np.flatnonzero(mask.any(axis=1))
    first = mask[rows].argmax(axis=1)
    last = mask.shape[1] - mask[rows, ::-1].argmax(axis=1)
    corners = []
    for columns, sign in ((first, 1), (last, -1)):
        chain: list[tuple[int, int]] = []
        for point in zip(
            np.repeat(columns, 2).tolist(), np.stack([rows, rows + 1], 1).reshape(-1).tolist(), strict=True
        ):
            while len(chain) > 1 and sign * _turn(chain[-2], chain[-1], point) >= 0:
                chain.pop()
            chain.append(point)
        corners += chain[::sign]
    return np.array(corners, dtype=np.float64)


def _turn(a: tuple[int, int], b: tuple[int, int], c: tuple[int, int]) -> int:
    """Twice the area of a triangle, with its sign."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
