"""Parts, holes and hulls against slow and plain ways."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from htgen.images.components import fill_holes, find_components, hull_area


def slow_parts(mask: np.ndarray) -> list[set[tuple[int, int]]]:
    """Parts by walking from pixel to pixel."""
    left = {(int(y), int(x)) for y, x in np.argwhere(mask)}
    parts = []
    while left:
        part, todo = set(), [left.pop()]
        while todo:
            y, x = todo.pop()
            part.add((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            todo += near
        parts.append(part)
    return parts


MASKS = st.builds(
    lambda height, width, share, seed: np.random.default_rng(seed).random((height, width)) < share,
    st.integers(1, 24),
    st.integers(1, 24),
    st.sampled_from([0.0, 0.1, 0.4, 0.6, 0.9, 1.0]),
    st.integers(0, 1000),
)


@settings(max_examples=150, deadline=None)
@given(MASKS)
def test_parts_are_those_of_a_walk_from_pixel_to_pixel(mask: np.ndarray) -> None:
    found, expected = find_components(mask), slow_parts(mask)
    assert found.count == len(expected)
    other = np.random.default_rng(0).random(mask.shape) < 0.5
    height, width = mask.shape
    for number in range(found.count):
        part = found.mask(np.arange(found.count) == number)
        pixels = {(int(y), int(x)) for y, x in np.argwhere(part)}
        assert pixels in expected
        rows, columns = zip(*pixels, strict=True)
        assert found.area[number] == len(pixels)
        assert (found.top[number], found.bottom[number]) == (min(rows), max(rows) + 1)
        assert (found.left[number], found.right[number]) == (min(columns), max(columns) + 1)
        assert found.extent[number] == max(max(rows) - min(rows), max(columns) - min(columns)) + 1
        edge = min(rows) == 0 or min(columns) == 0 or max(rows) == height - 1 or max(columns) == width - 1
        assert found.touches_border[number] == edge
        assert found.counts(other)[number] == (part & other).sum()


@settings(max_examples=100, deadline=None)
@given(MASKS)
def test_each_part_is_named_by_the_larger_part_that_it_lies_in(mask: np.ndarray) -> None:
    wide = np.zeros_like(mask)
    for y, x in np.argwhere(mask):
        wide[max(y - 1, 0) : y + 2, max(x - 2, 0) : x + 3] = True
    parts, groups = find_components(mask), find_components(wide)
    names = groups.name_at(parts)
    for number in range(parts.count):
        part = parts.mask(np.arange(parts.count) == number)
        group = groups.mask(np.arange(groups.count) == names[number])
        assert not (part & ~group).any()


def test_holes_are_filled_and_bays_are_not() -> None:
    mask = np.zeros((9, 9), bool)
    mask[1:8, 1:8] = True
    mask[3:5, 3:5] = False  # a hole
    mask[1:3, 6] = False  # a bay
    filled = mask.copy()
    filled[3:5, 3:5] = True
    np.testing.assert_array_equal(fill_holes(mask), filled)


def test_hulls() -> None:
    image = Image.new("L", (101, 101))
    ImageDraw.Draw(image).polygon([(20, 20), (80, 40), (60, 100), (0, 80)], fill=255)
    mask = np.asarray(image) > 0
    hull, rectangle = hull_area(mask)
    assert hull == pytest.approx(mask.sum(), rel=0.04)
    assert rectangle == pytest.approx(4000, rel=0.08)  # a square of sides of 63.2, turned by 18 degrees
    mask[:70, 40:] = False
    assert hull_area(mask)[0] > 1.2 * mask.sum()
    assert hull_area(np.ones((3, 5), bool)) == (15.0, 15.0)
