"""Frames that are set in from the border: a line around all the rest of an image.

A frame that was printed has straight sides along those of the image. A drawing may have a line around the
rest too, as a sign or a face has: then it is not plain what was meant.
"""

from typing import NamedTuple

import numpy as np

from htgen.arrays import Integers, Mask, Pixels
from htgen.images.components import Components, fill_holes, find_components, hull_area
from htgen.images.resampling import sweep

_LEAST = 0.5
"""Share of the image that a frame is wide and high at least."""

_COVERED = 0.15
"""Share of a side that a line covers where it turns, at least: a circle."""

_STRAIGHT = 0.33
"""Share of a side along which a frame is straight; wobbly and round lines are not."""

_FURTHEST_IN = 0.2
"""Share of the side by which a frame is set in at most."""

_NEAR_BORDER = 0.04
"""Share of the side; what runs around the rest so near to the border may be a frame even if it is round."""

_CONTENT = 0.25
"""Share of a frame's width or height that what is in it takes at least, to be a drawing beyond doubt."""


_SPECKS = 0.0005
"""Share of the image that may lie beside a frame: single pixels."""


class Frame(NamedTuple):
    """A line around all else.

    Attributes:
        within: what it encloses, `[H, W]`.
        is_plain: whether it is a frame beyond doubt; otherwise it may belong to the drawing.
    """

    within: Mask
    is_plain: bool


def find_frame(values: Pixels, thresholds: tuple[int, ...]) -> Frame | None:
    """The line that runs around all the rest of an image; None where there is none, or nothing in it.

    Args:
        values: `[H, W]`.
        thresholds: values between ink and paper, the best first.
    """
    for threshold in thresholds:
        ink = values <= threshold
        if 2 * np.count_nonzero(ink) > ink.size:
            ink = ~ink
        if _may_have_frame(ink) and (frame := _frame_of(ink)) is not None:
            return frame
    return None


def _may_have_frame(ink: Mask) -> bool:
    """Whether there is ink near each side, and a row or column with much of it: most images have no frame."""
    height, width = ink.shape
    along, across = ink.sum(axis=1), ink.sum(axis=0)
    limit = int(_FURTHEST_IN * max(height, width)) + 1
    if not all(ends.any() for ends in (along[:limit], along[-limit:], across[:limit], across[-limit:])):
        return False
    rows, columns = 1 + int(0.3 * height), 1 + int(0.3 * width)
    return bool(
        min(along[:rows].max(), along[-rows:].max()) > _COVERED * width
        and min(across[:columns].max(), across[-columns:].max()) > _COVERED * height
        and _loose_ends(ink, along.nonzero()[0], across.nonzero()[0]) <= _SPECKS * ink.size
    )


def _loose_ends(ink: Mask, rows: Integers, columns: Integers) -> int:
    """How many single pixels lie on one side of the ink's box, at most: no line goes around them. Noise has
    such, and it takes less to see them than to find all parts.

    Args:
        rows, columns: in which there is ink.
    """
    if min(len(rows), len(columns)) < 3:
        return 0
    found = []
    upper, left = ink[rows[0] :], ink.T[columns[0] :]
    lower, right = ink[rows[-1] :: -1], ink.T[columns[-1] :: -1]
    for side, behind in ((part[0], part[1]) for part in (upper, lower, left, right)):
        near = behind.copy()
        either = side | behind
        near[1:] |= either[:-1]
        near[:-1] |= either[1:]
        found.append(int(np.count_nonzero(side & ~near)))
    return max(found)


def _frame_of(ink: Mask) -> Frame | None:
    height, width = ink.shape
    parts = find_components(ink)
    wide, high = parts.right - parts.left, parts.bottom - parts.top
    outer = int(np.argmax(wide * high))
    if wide[outer] < _LEAST * width or high[outer] < _LEAST * height or not _encloses(parts, outer):
        return None
    sides = (parts.top[outer], height - parts.bottom[outer], parts.left[outer], width - parts.right[outer])
    inset, side = max(sides), max(height, width)
    if inset > _FURTHEST_IN * side:
        return None
    line = sweep(parts.mask(np.arange(parts.count) == outer).astype(np.float32), 1, np.maximum) > 0
    rest = find_components(~line)
    is_hole = ~rest.touches_border
    if not is_hole.any():
        return None
    within = fill_holes(rest.mask(np.arange(rest.count) == np.where(is_hole, rest.area, -1).argmax()))
    box = _box(within)
    content = ink & within
    if not content.any() or np.count_nonzero(content) < 0.002 * ink.size:
        return None
    if np.count_nonzero(within) < 0.95 * hull_area(within)[0]:
        return None
    inner, of_content = (box[1] - box[0], box[3] - box[2]), _box(content)
    is_large = (
        of_content[1] - of_content[0] > _CONTENT * inner[0]
        or of_content[3] - of_content[2] > _CONTENT * inner[1]
    )
    if is_large and _is_straight(within, box):
        return Frame(within, True)
    return Frame(within, False) if inset <= _NEAR_BORDER * side else None


def _encloses(parts: Components, outer: int) -> bool:
    """Whether all other parts lie in the box of one, but for single pixels."""
    within = (
        (parts.top > parts.top[outer])
        & (parts.bottom < parts.bottom[outer])
        & (parts.left > parts.left[outer])
        & (parts.right < parts.right[outer])
    )
    within[outer] = True
    return bool(parts.area[~within].sum() <= _SPECKS * parts.shape[0] * parts.shape[1])


def _box(mask: Mask) -> tuple[int, int, int, int]:
    """First row, the one after the last, first column, the one after the last."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _is_straight(within: Mask, box: tuple[int, int, int, int]) -> bool:
    """Whether each side runs along its box for long enough."""
    top, bottom, left, right = box
    inner = within[top:bottom, left:right]
    return all(
        np.count_nonzero(reach <= 1) > _STRAIGHT * len(reach)
        for reach in (
            inner.argmax(axis=0),
            inner[::-1].argmax(axis=0),
            inner.argmax(axis=1),
            inner[:, ::-1].argmax(axis=1),
        )
    )
