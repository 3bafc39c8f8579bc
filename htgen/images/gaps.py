"""How plainly ink falls apart: bands between parts of similar size, and a box around all else."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from htgen.arrays import Integers, Mask

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

_SIDE = 0.06
"""Share of a box that its line may take at each side: as thick as that, or as much askew."""

_DRAWN = 0.9
"""Share of each side that has ink within that."""

_MARGIN = 0.03
"""Share of the box that is empty between its sides and what is in it."""

_WITHIN = 0.1
"""Share of the box's longer side that what is in it has, at least."""


@dataclass(frozen=True)
class Gaps:
    """The widest empty bands through the ink, by the size of the smaller of the two parts that each divides.

    Attributes:
        across: from left to right, between what lies side by side; 0 without any.
        down: from top to bottom.
        is_boxed: whether a box of straight lines is around all else; None where that is not known.
    """

    across: float
    down: float
    is_boxed: bool | None = None

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

    def are_boxed_unlike(self, usual: "Gaps") -> bool:
        """Whether there is a box around the drawing, as there is around none of its class."""
        return bool(self.is_boxed) and usual.is_boxed is False


def find_gaps(ink: Mask) -> Gaps:
    """The gaps of a drawing.

    Args:
        ink: where it is, `[H, W]`.
    """
    return Gaps(_widest(ink), _widest(ink.T), _is_boxed(ink))


def widest(gaps: Iterable[Gaps]) -> Gaps:
    """The widest of several drawings, in each direction, and whether any of them is in a box."""
    found = list(gaps)
    boxed = [gap.is_boxed for gap in found]
    return Gaps(
        max((gap.across for gap in found), default=0),
        max((gap.down for gap in found), default=0),
        True if True in boxed else None if None in boxed else False,
    )


def _is_boxed(ink: Mask) -> bool:
    """Whether the outermost ink is a box of four straight lines, and what is in it touches none of them."""
    if not ink.any():
        return False
    box = _within_its_box(ink)
    for rows in (box, box[::-1], box.T, box.T[::-1]):
        if rows[: max(1, round(_SIDE * len(rows)))].any(axis=0).mean() < _DRAWN:
            return False
    side, margin = ([max(1, round(share * size)) for size in box.shape] for share in (_SIDE, _MARGIN))
    inside = box[side[0] : box.shape[0] - side[0], side[1] : box.shape[1] - side[1]]
    if not inside.any():
        return False
    ends = [np.flatnonzero(inside.any(axis=axis))[[0, -1]] for axis in (1, 0)]
    has_margin = all(
        first >= empty and last < size - empty
        for (first, last), empty, size in zip(ends, margin, inside.shape, strict=True)
    )
    return has_margin and longer_side(inside) >= _WITHIN * max(box.shape)


def _within_its_box(ink: Mask) -> Mask:
    """The part of an image `[H, W]` with ink that the ink reaches."""
    rows, columns = (np.flatnonzero(ink.any(axis=axis)) for axis in (1, 0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


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
