"""Whether ink is dark on light, and what the paper is."""

import numpy as np
import pytest
from helpers.image_files import drawing
from PIL import Image, ImageDraw, ImageOps

from htgen.images.paper import background_value, detect_polarity


def both_ways(image: Image.Image) -> list[str]:
    """What is found for an image and for its negative."""
    return [detect_polarity(np.asarray(version)) for version in (image, ImageOps.invert(image))]


RIGHT = ["dark on light", "light on dark"]


@pytest.mark.parametrize(("ink", "paper"), [(0, 255), (20, 230), (100, 130), (0, 90), (180, 255)])
def test_polarity_of_a_drawing(ink: int, paper: int) -> None:
    assert both_ways(drawing(ink=ink, paper=paper)) == RIGHT


@pytest.mark.parametrize("letter", ["E", "L", "O", "H", "frame"])
def test_polarity_when_ink_touches_the_border(letter: str) -> None:
    """Letters cropped tightly: ink covers up to the whole border, but little of the area."""
    image = Image.new("L", (40, 40), 255)
    pen = ImageDraw.Draw(image)
    bars = {
        "E": [(0, 0, 2, 39), (0, 0, 39, 2), (0, 19, 39, 21), (0, 37, 39, 39)],
        "L": [(0, 0, 5, 39), (0, 34, 39, 39)],
        "O": [(0, 0, 2, 39), (37, 0, 39, 39), (0, 0, 39, 2), (0, 37, 39, 39)],
        "H": [(0, 0, 4, 39), (35, 0, 39, 39), (0, 17, 39, 22)],
        "frame": [(0, 0, 0, 39), (39, 0, 39, 39), (0, 0, 39, 0), (0, 39, 39, 39)],
    }
    for bar in bars[letter]:
        pen.rectangle(bar, fill=0)
    assert both_ways(image) == RIGHT


def test_polarity_of_a_blob_that_covers_most_of_the_area() -> None:
    image = Image.new("L", (40, 40), 255)
    ImageDraw.Draw(image).ellipse([1, 1, 38, 38], fill=0)
    assert np.asarray(image).mean() < 110
    assert both_ways(image) == RIGHT


def test_polarity_of_a_shaded_photograph_of_paper() -> None:
    """The paper is darker at the edges than in the middle, and noisy; the strokes are few."""
    y, x = np.mgrid[-1:1:60j, -1:1:60j]
    paper = 235 - 45 * (x**2 + y**2) / 2 + np.random.default_rng(0).normal(0, 4, (60, 60))
    paper[28:31, 15:45] = 60
    assert both_ways(Image.fromarray(paper.astype(np.uint8))) == RIGHT


def test_polarity_of_an_empty_page() -> None:
    assert both_ways(Image.new("L", (9, 9), 255)) == RIGHT


def test_polarity_of_colour_and_single_channel_arrays() -> None:
    grey = np.asarray(drawing())
    assert detect_polarity(grey[..., None]) == detect_polarity(grey)
    blue_on_yellow = np.where(grey[..., None] < 128, (0, 0, 200), (250, 240, 80)).astype(np.uint8)
    assert detect_polarity(blue_on_yellow) == "dark on light"
    assert detect_polarity(255 - blue_on_yellow) == "light on dark"


def test_background_value() -> None:
    assert background_value(np.asarray(drawing(ink=20, paper=230))) == 230
    assert background_value(np.array([[7]], np.uint8)) == 7
