"""Dots of several pixels all over an image are no ink, at any resolution; a drawing's own dots stay."""

import numpy as np
import pytest
from helpers.drawings import FULL, distance, drawing
from PIL import Image, ImageDraw

from htgen.images.strewn import KEPT, LEFT_OUT

UNCLEANED = FULL.without("clean")


def with_dots(side: int, shape: tuple[int, int], count: int, value: int = 0) -> Image.Image:
    values = np.asarray(drawing(side, 0.05, 20, 250)).copy()
    rng = np.random.default_rng(side + count)
    for y, x in rng.integers(0, side - max(shape), (count, 2)):
        values[y : y + shape[0], x : x + shape[1]] = value
    return Image.fromarray(values)


@pytest.mark.parametrize("side", [64, 100, 128, 200, 300])
@pytest.mark.parametrize("shape", [(1, 2), (2, 2), (3, 2)])
@pytest.mark.parametrize("value", [0, 100])
def test_strewn_dots_are_no_ink(side: int, shape: tuple[int, int], value: int) -> None:
    image = with_dots(side, shape, round(0.01 * side * side / shape[0] / shape[1]), value)
    assert distance(image, clean=drawing(side, 0.05)) < 0.35
    assert not FULL.read(image).is_blank


@pytest.mark.parametrize("side", [90, 200])
def test_few_dots_are_left_out_and_told(side: int) -> None:
    image = drawing(side, 0.05)
    for x, y in ((0.05, 0.1), (0.9, 0.07), (0.08, 0.93), (0.95, 0.8), (0.5, 0.55)):
        ImageDraw.Draw(image).rectangle([side * x, side * y, side * x + 1, side * y + 1], fill=0)
    assert distance(image, clean=drawing(side, 0.05)) < 0.2
    assert FULL.read(image).warnings == (LEFT_OUT,)


def test_grains_beside_a_dark_drawing_are_told() -> None:
    image = drawing(300, 0.05)
    for x, y in ((6, 10), (150, 160)):
        ImageDraw.Draw(image).ellipse([x, y, x + 12, y + 12], fill=0)
    assert FULL.read(image).warnings == (KEPT,)


@pytest.mark.parametrize("count", [2, 8])
def test_dots_of_the_drawing_stay(count: int) -> None:
    """Two dots above a letter; a dotted line within a ring."""
    image = Image.new("L", (105, 105), 255)
    pen = ImageDraw.Draw(image)
    if count == 2:
        pen.line([(30, 90), (52, 35), (74, 90)], fill=0, width=3)
        spots = [(40, 20), (64, 20)]
    else:
        pen.ellipse([20, 20, 85, 85], outline=0, width=3)
        spots = [(30 + 6 * k, 50) for k in range(count)]
    for x, y in spots:
        pen.rectangle([x, y, x + 2, y + 2], fill=0)
    np.testing.assert_array_equal(FULL.apply(image), UNCLEANED.apply(image))
    assert FULL.read(image).warnings == ()
