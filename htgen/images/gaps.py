"""How plainly ink falls apart: bands between parts of similar size, and a line around all else."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from htgen.arrays import Integers, Mask
from htgen.images.components import find_components

_SIMILAR = 0.4
"""Share of the larger part's longer side that the smaller part must have, to be a drawing of its own."""

_AS_MUCH_INK = 0.12
"""Share of the ink of the part with more."""

_WIDER = 1.5
"""So much wider than any of a class a gap must be, and `_AT_LEAST` more. Of Omniglot's evaluation characters,
0.8 % of the drawings have such a gap beside one other drawing of their class, and 0.5 % beside three; of 125
images of two characters side by side, above each other or across, 0.3 of their size apart or more, 123
(docs/measurements/gaps.py)."""

_AT_LEAST = 0.12

_MARGIN = 0.03
"""Share of what a line encloses that is empty between its ends and the rest, at each side."""

_WITHIN = 0.1
"""Share of the line's longer side that the rest has, at least."""

_BOTH_SIDES = 0.5
"""Share of the rows and columns of the rest that have the line on both sides."""


@dataclass(frozen=True)
class Gaps:
    """The widest empty bands through the ink, by the size of the smaller of the two parts that each divides.

    Attributes:
        across: from left to right, between what lies side by side; 0 without any.
        down: from top to bottom.
        is_enclosed: whether a line is around all else; None where that is not known.
    """

    across: float
    down: float
    is_enclosed: bool | None = None

    def to_list(self) -> list[float]:
        """Both widths, rounded, as plain JSON values."""
        return [round(self.across, 3), round(self.down, 3)]

    @classmethod
    def from_list(cls, values: Sequence[float]) -> "Gaps":
        """Inverse of `to_list`.

        Raises:
            ValueError: they are no two numbers of 0 or more.
        """
        across, down = values
        if not all(type(value) in (int, float) and 0 <= value < math.inf for value in (across, down)):
            raise ValueError(f"gaps must be two numbers of 0 or more, not {values!r}")
        return cls(float(across), float(down))

    def are_wider_than(self, usual: "Gaps") -> bool:
        """Whether there are several drawings, as far as the gaps of one drawing tell."""
        return any(
            width > _WIDER * known + _AT_LEAST
            for width, known in ((self.across, usual.across), (self.down, usual.down))
        )

    def are_enclosed_unlike(self, usual: "Gaps") -> bool:
        """Whether a line is around the drawing, as around none of its class."""
        return bool(self.is_enclosed) and usual.is_enclosed is False


def find_gaps(ink: Mask) -> Gaps:
    """The gaps of a drawing.

    Args:
        ink: where it is, `[H, W]`.
    """
    return Gaps(_widest(ink), _widest(ink.T), _is_enclosed(ink))


def widest(gaps: Iterable[Gaps]) -> Gaps:
    """The widest of several drawings, in each direction, and whether a line is around any of them."""
    found = list(gaps)
    enclosed = [gap.is_enclosed for gap in found]
    return Gaps(
        max((gap.across for gap in found), default=0),
        max((gap.down for gap in found), default=0),
        True if True in enclosed else None if None in enclosed else False,
    )


def _is_enclosed(ink: Mask) -> bool:
    """Whether a line is around all else: one part from side to side, on both sides of most of the rest in its
    rows and in its columns, and apart from it."""
    parts = find_components(ink)
    if parts.count < 2:
        return False
    outer = int(np.argmax(parts.extent))
    is_outer = np.arange(parts.count) == outer
    rest, line = parts.mask(~is_outer), parts.mask(is_outer)
    top, bottom, left, right = (edge[outer] for edge in (parts.top, parts.bottom, parts.left, parts.right))
    for inside, first, last in ((rest.any(axis=1), top, bottom), (rest.any(axis=0), left, right)):
        places, margin = np.flatnonzero(inside), max(1, _MARGIN * (last - first))
        if places[0] < first + margin or places[-1] >= last - margin:
            return False
    return longer_side(rest) >= _WITHIN * parts.extent[outer] and all(
        _is_between(mask, other) for mask, other in ((rest, line), (rest.T, line.T))
    )


def _is_between(rest: Mask, line: Mask) -> bool:
    """Whether in most rows of the rest the line is on both sides of it."""
    rows = np.flatnonzero(rest.any(axis=1))
    first, last = rest[rows].argmax(axis=1), rest.shape[1] - 1 - rest[rows, ::-1].argmax(axis=1)
    before = line[rows].argmax(axis=1) < first
    after = line.shape[1] - 1 - line[rows, ::-1].argmax(axis=1) > last
    return bool((before & after & line[rows].any(axis=1)).mean() >= _BOTH_SIDES)


def _widest(ink: Mask) -> float:
    columns = np.flatnonzero(ink.any(axis=0))
    if not len(columns) or columns[-1] - columns[0] == len(columns) - 1:
        return 0.0
    used = ink[:, columns]
    amounts, top, bottom = used.sum(axis=0), used.argmax(axis=0), len(used) - used[::-1].argmax(axis=0)
    before = _sides(columns, top, bottom, amounts)[:, :-1]
    after = _sides(-columns[::-1], top[::-1], bottom[::-1], amounts[::-1])[:, -2::-1]
    less, more = np.minimum(before, after), np.maximum(before, after)
    are_parts = (less[0] >= _SIMILAR * more[0]) & (less[1] >= _AS_MUCH_INK * more[1])
    widths = columns[1:] - columns[:-1] - 1
    return float((widths / less[0])[are_parts].max(initial=0))


def _sides(columns: Integers, top: Integers, bottom: Integers, amounts: Integers) -> Integers:
    """The longer side of the box around all up to each column, and how much ink is in it: `[2, columns]`.

    Args:
        columns: where there is ink, in order; and for each the first row with ink, the one after the last,
            and how much there is, `[columns]`.
    """
    high = np.maximum.accumulate(bottom) - np.minimum.accumulate(top)
    return np.stack((np.maximum(high, columns - columns[0] + 1), amounts.cumsum()))


def longer_side(ink: Mask) -> int:
    """The longer side of the box around ink `[H, W]`, which is not empty, in pixels."""
    sides = [np.flatnonzero(ink.any(axis=axis)) for axis in (0, 1)]
    return max(int(side[-1] - side[0]) + 1 for side in sides)
