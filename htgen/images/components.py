"""Connected parts of a mask `[H, W]`: pixels that touch each other, at corners too."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from htgen.arrays import Floats, Integers, Mask

_ROUND = 0.7, 0.93
"""Share of each quarter of its box that round paper fills: a quarter of a disc has 0.785."""


_MOST = (1 << 63) - 1
"""The greatest whole number."""


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

    @cached_property
    def extent(self) -> Integers:
        """The longer side of each part's box, `[count]`."""
        return np.maximum(self.bottom - self.top, self.right - self.left)

    def name_at(self, other: "Components") -> Integers:
        """For each part of another mask, which lies within this one, the part it lies in: `[other.count]`."""
        stride = self.shape[1] + 1
        first = np.empty(other.count, np.int64)
        first[other.part[::-1]] = (other.row * stride + other.start)[::-1]  # the first run of each part stays
        return self.part[(self.row * stride + self.start).searchsorted(first, "right") - 1]

    @cached_property
    def touches_border(self) -> Mask:
        """Whether each part reaches the border of the mask, `[count]`."""
        height, width = self.shape
        return (self.top == 0) | (self.left == 0) | (self.bottom == height) | (self.right == width)

    def mask(self, chosen: Mask) -> Mask:
        """Where the chosen of the parts are: `[H, W]`.

        Args:
            chosen: `[count]`.
        """
        return self.masked(chosen[self.part])

    def masked(self, runs: Mask) -> Mask:
        """Where the chosen of the runs are: `[H, W]`.

        Args:
            runs: `[R]`.
        """
        height, width = self.shape
        first = self.row[runs] * width
        changes = np.empty(2 * len(first) + 2, np.int64)
        changes[0], changes[-1] = 0, height * width
        changes[1:-1:2], changes[2:-1:2] = first + self.start[runs], first + self.end[runs]
        is_chosen = np.zeros(len(changes) - 1, bool)
        is_chosen[1::2] = True
        return is_chosen.repeat(np.diff(changes)).reshape(height, width)

    def counts(self, mask: Mask) -> Integers:
        """How many pixels of another mask `[H, W]` are in each part, `[count]`."""
        height, width = self.shape
        before = np.zeros(height * width + 1, np.int64)
        np.cumsum(mask, dtype=np.int64, out=before[1:])
        first = self.row * width
        runs = before[first + self.end] - before[first + self.start]
        return np.bincount(self.part, runs, self.count).astype(np.int64)

    def _least(self, values: Integers) -> Integers:
        least = np.empty(self.count, np.int64)
        least.fill(_MOST)
        np.minimum.at(least, self.part, values)
        return least


def find_components(mask: Mask) -> Components:
    """The connected parts of a mask `[H, W]`."""
    height, width = mask.shape
    stride = width + 2  # so that no run touches one of the next row, seen as one long row
    padded = np.zeros((height, stride), bool)
    padded[:, 1:-1] = mask
    row = padded.reshape(-1)
    changes = np.flatnonzero(row[1:] != row[:-1])
    return connect(mask.shape, changes[::2], changes[1::2])


def connect(shape: tuple[int, int], starts: Integers, ends: Integers) -> Components:
    """The connected parts of runs of pixels.

    Args:
        shape: of the mask, `(H, W)`.
        starts: where each run begins, in order: `row * (W + 2) + column`.
        ends: likewise, where it has ended.
    """
    stride = shape[1] + 2
    # Runs of the next row that touch a run follow each other.
    first = ends.searchsorted(starts + stride)
    counts = starts.searchsorted(ends + stride, "right") - first
    every = np.arange(len(starts))
    upper = every.repeat(counts)
    lower = np.arange(len(upper)) + (first - (counts.cumsum() - counts)).repeat(counts)
    root = _joined(len(starts), upper, lower)
    names = (root == every).cumsum() - 1
    row = starts // stride
    count = int(names[-1]) + 1 if len(names) else 0
    return Components(shape, row, starts - row * stride, ends - row * stride, names[root], count)


def _joined(count: int, first: Integers, second: Integers) -> Integers:
    """For each of so many things the least one that it is joined with.

    Args:
        first, second: the pairs that are joined, the lesser thing first; both in ascending order.
    """
    root = np.arange(count)
    root[second[::-1]] = first[::-1]  # the first of those that each is joined with stays
    while True:
        while np.count_nonzero(root != (shorter := root.take(root))):
            root = shorter.take(shorter)
        a, b = root.take(first), root.take(second)
        differ = a != b
        if not differ.any():
            return root
        first, second, a, b = first[differ], second[differ], a[differ], b[differ]
        np.minimum.at(root, np.maximum(a, b), np.minimum(a, b))


def fill_holes(mask: Mask) -> Mask:
    """A mask `[H, W]` and all that it encloses: what is not in it and does not reach the border."""
    rest = find_components(~mask)
    return mask | rest.mask(~rest.touches_border)


def fills_its_hull(paper: Mask, may_be_round: bool) -> bool:
    """Whether a mask fills nearly all of its hull, and most of a rectangle, in any position, or is round."""
    area = np.count_nonzero(paper)
    for lines in (paper, paper.T):
        used = lines[lines.any(axis=1)]
        within = used.shape[1] * len(used) - used.argmax(axis=1).sum() - used[:, ::-1].argmax(axis=1).sum()
        if area < 0.95 * within:  # which is part of the hull
            return False
    hull, rectangle = hull_area(paper)
    return bool(area >= 0.95 * hull and (area >= 0.87 * rectangle or (may_be_round and _is_round(paper))))


def _is_round(paper: Mask) -> bool:
    """Whether a mask leaves all corners of its box free, as an ellipse does; shadows leave one or two."""
    rows, columns = np.flatnonzero(paper.any(axis=1)), np.flatnonzero(paper.any(axis=0))
    box = paper[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    y, x = len(box) // 2, box.shape[1] // 2
    shares = [part.mean() for half in (box[:y], box[y:]) for part in (half[:, :x], half[:, x:])]
    return bool(min(shares) >= _ROUND[0] and max(shares) <= _ROUND[1])


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
    used = mask[rows]
    first = used.argmax(axis=1)
    last = mask.shape[1] - used[:, ::-1].argmax(axis=1)
    numbers = rows.tolist()
    left = _chain(first.tolist(), numbers)
    right = _chain((-last).tolist(), numbers)
    return np.array(left + [(-x, y) for x, y in reversed(right)], dtype=np.float64)


def _chain(columns: list[int], rows: list[int]) -> list[tuple[int, int]]:
    """The left side of a hull, from above: corners of pixels, of which each row has an upper and a lower one.

    Args:
        columns: of the first pixel in each row.
    """
    chain: list[tuple[int, int]] = []
    for x, row in zip(columns, rows, strict=True):
        for y in (row, row + 1):
            while len(chain) > 1:
                (ax, ay), (bx, by) = chain[-2:]
                if (bx - ax) * (y - ay) < (by - ay) * (x - ax):  # the way turns outwards at b
                    break
                chain.pop()
            chain.append((x, y))
    return chain
