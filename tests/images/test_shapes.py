"""Numbers of a drawing's shape against slow and plain ways, and what does not change them."""

from itertools import product

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from htgen.images.shapes import NUMBERS, shape_numbers

SQUARES = st.tuples(*[st.shared(st.integers(1, 14))] * 2)
INKS = arrays(np.uint8, SQUARES, elements=st.sampled_from([0, 90, 255]))


def slow_parts(mask: np.ndarray) -> int:
    """How many parts there are, by walking from pixel to pixel."""
    left, count = {(int(y), int(x)) for y, x in np.argwhere(mask)}, 0
    while left:
        count, todo = count + 1, [left.pop()]
        while todo:
            y, x = todo.pop()
            near = {(y + dy, x + dx) for dy, dx in product((-1, 0, 1), repeat=2)} & left
            left -= near
            todo += near
    return count


def slow_widest(mask: np.ndarray) -> int:
    """The odd side of the largest square, each tried."""
    side = 1
    while any(
        mask[y : y + side + 2, x : x + side + 2].all()
        for y, x in product(range(len(mask) - side - 1), repeat=2)
    ):
        side += 2
    return side


@settings(max_examples=60, deadline=None)
@given(INKS)
def test_parts_holes_and_widest_stroke(ink):
    mask = ink > 127
    assume(mask.any())
    found = dict(zip(NUMBERS, shape_numbers(ink), strict=True))
    assert np.isclose(np.exp(found["parts"]), slow_parts(mask))
    assert np.isclose(np.exp(found["holes"]), slow_parts(np.pad(~mask, 1, constant_values=True)))
    assert np.isclose(found["widest stroke"] * len(ink), slow_widest(mask))


@settings(max_examples=60, deadline=None)
@given(INKS)
def test_mirrored_and_turned_ink_has_the_same_numbers(ink):
    assume((ink > 127).any())
    expected = shape_numbers(ink)
    for same in (ink[:, ::-1], ink[::-1], ink[::-1, ::-1]):
        assert np.allclose(shape_numbers(same), expected, atol=1e-5)


def test_likeness_is_a_correlation():
    ink = np.zeros((40, 40), np.uint8)
    ink[5:35, 10:31] = 255  # a box
    ink[5:20, 14:27] = 0  # a cup
    assert shape_numbers(ink)[0] > 0.999
    assert shape_numbers(ink.T)[0] < 0.5
    assert shape_numbers(np.kron(np.eye(5), np.full((6, 6), 255)).astype(np.uint8))[0] < 0.5


def test_a_single_pixel_and_full_ink():
    ink = np.zeros((9, 9), np.uint8)
    ink[4, 4] = 255
    assert shape_numbers(ink).tolist() == [0, 1 / 9, 0, 0]
    assert shape_numbers(np.full((9, 9), 255, np.uint8))[1:].tolist() == [1, 0, 0]
