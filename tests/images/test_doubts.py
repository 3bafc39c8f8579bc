"""What may be no drawing is told beside the answer; drawings that are plain have no such line."""

import numpy as np
import pytest
from helpers.drawings import FULL, drawing, page, to_image
from PIL import Image, ImageDraw, ImageOps

from htgen.images.doubts import AROUND, FOLD, SHEET, SPOTS, TONES


def sheet(ground: int, angle: float = 0) -> Image.Image:
    paper = Image.new("L", (150, 110), 235).rotate(
        angle, Image.Resampling.BICUBIC, expand=True, fillcolor=ground
    )
    image = Image.new("L", (240, 200), ground)
    image.paste(paper, ((240 - paper.width) // 2, (200 - paper.height) // 2))
    return image


@pytest.mark.parametrize("ground", [10, 60, 110])
@pytest.mark.parametrize("angle", [0, 4, 15])
def test_a_bright_sheet_with_nothing_on_it_is_told(ground: int, angle: float) -> None:
    assert FULL.read(sheet(ground, angle)).warnings == (SHEET,)
    assert FULL.read(ImageOps.invert(sheet(ground, angle))).warnings == ()  # paper is bright


def test_another_bright_shape_is_no_sheet() -> None:
    image = Image.new("L", (200, 200), 10)
    ImageDraw.Draw(image).polygon([(100, 20), (180, 170), (20, 170)], fill=235)
    assert FULL.read(image).warnings == ()


def framed(inset: int, image: Image.Image) -> Image.Image:
    far = image.width - 1 - inset
    ImageDraw.Draw(image).rectangle([inset, inset, far, far], outline=20, width=3)
    return image


@pytest.mark.parametrize("inset", [10, 18, 26])
def test_a_line_around_nothing_or_that_the_drawing_touches_is_told(inset: int) -> None:
    empty = framed(inset, Image.new("L", (200, 200), 250))
    touching = framed(inset, page(inset - 24, 50, 200, 200, 110))
    for image in (empty, touching):
        for version in (image, ImageOps.invert(image)):
            assert not FULL.read(version).is_blank
            assert FULL.read(version).warnings == (AROUND,)


def test_a_box_drawn_by_hand_is_no_line_around_the_rest() -> None:
    image = Image.new("L", (200, 200), 255)
    corners = [(34, 40), (168, 30), (172, 160), (28, 170), (34, 40)]
    ImageDraw.Draw(image).line(corners, fill=0, width=5)
    assert FULL.read(image).warnings == ()


@pytest.mark.parametrize("inset", [34, 45, 58])
@pytest.mark.parametrize("panes", [0, 1])
def test_a_square_or_window_in_the_middle_is_no_line_around_the_rest(inset: int, panes: int) -> None:
    image = framed(inset, Image.new("L", (200, 200), 250))
    for _ in range(panes):
        ImageDraw.Draw(image).line([100, inset, 100, 199 - inset], 20, 3)
        ImageDraw.Draw(image).line([inset, 100, 199 - inset, 100], 20, 3)
    assert FULL.read(image).warnings == ()


@pytest.mark.parametrize("radius", [4, 7])
@pytest.mark.parametrize("count", [1, 3, 7])
def test_grains_on_an_empty_page_are_told(radius: int, count: int) -> None:
    image = Image.new("L", (300, 300), 245)
    for x, y in np.random.default_rng(count).integers(20, 280, (count, 2)).tolist():
        ImageDraw.Draw(image).ellipse([x - radius, y - radius, x + radius, y + radius], fill=30)
    assert SPOTS in FULL.read(image).warnings
    assert SPOTS not in FULL.read(page(120, 120, 300, 300, 60)).warnings  # small, of strokes


@pytest.mark.parametrize("fields", [1, 4, 6])
def test_two_tones_of_which_either_may_be_paper_are_told(fields: int) -> None:
    board = np.add.outer(np.arange(fields), np.arange(fields)) % 2 * 255
    board = board.repeat(120 // fields, 0).repeat(120 // fields, 1)
    if fields == 1:
        board[:, 55:] = 255
    image = Image.fromarray(board.astype(np.uint8))
    for version in (image, ImageOps.invert(image)):
        assert FULL.read(version).warnings == (TONES,)


@pytest.mark.parametrize("side", [16, 28, 120, 400])
def test_a_plain_drawing_has_no_such_line(side: int) -> None:
    for image in (drawing(side, 0.06), ImageOps.invert(drawing(side, 0.06)), drawing(side, 0.2)):
        assert not {SPOTS, TONES, SHEET, AROUND} & {*FULL.read(image).warnings}


@pytest.mark.parametrize("turn", [0, 90])
@pytest.mark.parametrize("lean", [0, 12])
def test_a_fold_alone_is_told(turn: int, lean: int) -> None:
    values = np.full((240, 300), 235.0)
    y, x = np.mgrid[:240, :300]
    place = x - 140 - lean * (y / 240 - 0.5)
    values[place < 0] *= 0.92
    values[np.abs(place) < 1.5] *= 0.8
    noise = np.random.default_rng(0).normal(0, 2, values.shape)
    assert FOLD in FULL.read(to_image(values + noise).rotate(turn, expand=True)).warnings


@pytest.mark.parametrize("end", [(140, 180), (140, 239)])
def test_a_line_that_ends_within_the_page_or_has_a_second_one_is_no_fold(end: tuple[int, int]) -> None:
    image = Image.new("L", (300, 240), 240)
    ImageDraw.Draw(image).line([(140, 0), end], fill=60, width=4)
    if end[1] == 239:
        ImageDraw.Draw(image).line([(80, 120), (200, 120)], fill=60, width=4)
    assert FULL.read(image).warnings == ()
