"""What is transparent is filled as the paper beside it, or in contrast to ink that has none."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from helpers.drawings import FULL, PLAIN, distance, drawing, to_image
from helpers.drawn_things import ball
from PIL import Image, ImageDraw, ImageFilter

from htgen.images.preprocessing import Preprocessing
from htgen.images.transparency import BLACK_GROUND, NOTHING_OPAQUE, SHAPE_OF_PAPER


def opaque_within(image: Image.Image, shape: str, margin: int = 0) -> Image.Image:
    """An image of which only a shape is opaque."""
    alpha = Image.new("L", image.size, 0)
    pen = ImageDraw.Draw(alpha)
    box = [margin, margin, image.width - 1 - margin, image.height - 1 - margin]
    if shape == "disc":
        pen.ellipse(box, fill=255)
    else:
        pen.rounded_rectangle(box, {"square": 0, "rounded": 12, "round": 60}[shape], fill=255)
    image = image.copy()
    image.putalpha(alpha.filter(ImageFilter.GaussianBlur(1)))
    return image


def shaded() -> Image.Image:
    y, x = np.mgrid[0:1:200j, 0:1:200j]
    return to_image((235 - 60 * x - 30 * y) * np.asarray(drawing(200, ink=80), float) / 255)


PAPERS = {
    "white": drawing(200, ink=20),
    "colour": Image.merge("RGB", [drawing(200, ink=30, paper=v) for v in (250, 240, 170)]),
    "board": drawing(200, ink=230, paper=40),
    "shaded": shaded(),
}


@pytest.mark.parametrize("paper", PAPERS)
@pytest.mark.parametrize(("shape", "margin"), [("rounded", 0), ("round", 0), ("square", 14), ("disc", 0)])
def test_surroundings_that_are_transparent_are_filled_as_the_paper(
    paper: str, shape: str, margin: int
) -> None:
    assert distance(opaque_within(PAPERS[paper], shape, margin)) < 0.3


@pytest.mark.parametrize("paper", PAPERS)
def test_a_turned_page_on_transparency(paper: str) -> None:
    image = PAPERS[paper].copy()
    image.putalpha(255)
    turned = image.rotate(8, Image.Resampling.BICUBIC, expand=True)
    clean = drawing(200).rotate(8, Image.Resampling.BICUBIC, expand=True, fillcolor=255)
    assert distance(turned, clean=clean) < 0.3


def cut_out(image: Image.Image, corners: list[tuple[float, float]]) -> Image.Image:
    """An image that is opaque within a polygon alone."""
    alpha = Image.new("L", image.size)
    ImageDraw.Draw(alpha).polygon(corners, fill=255)
    image = image.convert("RGBA")
    image.putalpha(alpha)
    return image


def speech_bubble(image: Image.Image) -> Image.Image:
    """A page with a tail, which lies outside of it."""
    tall = Image.new(image.mode, (200, 270), image.getpixel((0, 0)))
    tall.paste(image, (0, 0))
    return cut_out(tall, [(4, 4), (195, 4), (195, 190), (95, 190), (15, 265), (45, 190), (4, 190)])


def torn(image: Image.Image) -> Image.Image:
    """A page with deep jags on all sides."""
    ends = [(10.0 * i, 0.0 if i % 2 else 20.0) for i in range(20)]
    sides = [ends, [(199 - y, x) for x, y in ends], [(199 - x, 199 - y) for x, y in ends]]
    return cut_out(image, [point for side in (*sides, [(y, 199 - x) for x, y in ends]) for point in side])


@pytest.mark.parametrize("paper", ["white", "colour", "board"])
@pytest.mark.parametrize("shape", [speech_bubble, torn])
def test_a_page_that_is_not_convex_is_a_page_where_there_is_ink_on_it(
    paper: str, shape: Callable[[Image.Image], Image.Image]
) -> None:
    assert distance(shape(PAPERS[paper])) < 0.3


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (230, 30, 30)])
@pytest.mark.parametrize("kind", ["even", "with eyes", "with an outline"])
def test_a_shape_that_is_not_convex_is_the_drawing_where_no_ink_is_on_it(
    colour: tuple[int, int, int], kind: str
) -> None:
    other = (255, 255, 255) if sum(colour) < 384 else (0, 0, 0)
    image = Image.new("RGB", (200, 270), colour)
    pen = ImageDraw.Draw(image)
    corners = [(4, 4), (195, 4), (195, 190), (95, 190), (15, 265), (45, 190), (4, 190)]
    if kind == "with eyes":
        for left in (50, 120):
            pen.ellipse([left, 60, left + 25, 85], fill=other)
    elif kind == "with an outline":
        pen.line([*corners, corners[0]], fill=other, width=16)
    pixels = FULL.without("stroke").apply(cut_out(image, corners))
    silhouette = FULL.without("stroke").apply(cut_out(Image.new("RGB", (200, 270)), corners))
    assert ((pixels > 127) == (silhouette > 127)).mean() > 0.8


@pytest.mark.parametrize(
    "colour", [(0, 0, 0), (255, 255, 255), (128, 128, 128), (230, 30, 30), (250, 230, 20)]
)
def test_ink_alone_stays_ink(colour: tuple[int, int, int]) -> None:
    image = Image.new("RGBA", (120, 120), (*colour, 0))
    image.putalpha(Image.fromarray(255 - np.asarray(drawing())))
    assert distance(image) < 0.2
    filled = Image.new("RGBA", (120, 120), (*colour, 0))
    mask = Image.new("L", (120, 120))
    ImageDraw.Draw(mask).rectangle([30, 40, 90, 80], fill=255)
    filled.putalpha(mask)
    assert (FULL.without("stroke").apply(filled)[10:18, 6:22] > 240).all()


def test_what_lies_beneath_is_read_where_nothing_is_opaque() -> None:
    image = drawing().convert("RGBA")
    image.putalpha(0)
    for preprocessing in (FULL, PLAIN):
        reading = preprocessing.read(image)
        assert not reading.is_blank
        assert reading.warnings == (NOTHING_OPAQUE,)
        np.testing.assert_array_equal(reading.pixels, preprocessing.apply(drawing()))
    ignored = PLAIN.without("transparency").read(image)
    assert ignored.warnings == ()
    empty = Image.new("RGBA", (40, 40), (9, 9, 9, 0))
    assert FULL.read(empty).is_blank
    assert FULL.read(empty).warnings == ()


def test_that_the_opaque_part_is_taken_for_paper_is_told_where_it_is_no_sheet() -> None:
    """An icon may be a dark disc with a bar on it; paper is a sheet, maybe with round corners, or bright."""
    no_entry = Image.new("RGB", (120, 120), (200, 20, 30))
    ImageDraw.Draw(no_entry).rectangle((20, 50, 100, 70), fill="white")
    reading = FULL.read(opaque_within(no_entry, "disc"))
    assert reading.polarity == "light on dark"
    assert SHAPE_OF_PAPER in reading.warnings
    for name, paper in PAPERS.items():
        is_told = SHAPE_OF_PAPER in FULL.read(opaque_within(paper, "disc")).warnings
        assert is_told == (name == "board")
        for shape in ("square", "rounded", "round"):
            sheet = opaque_within(paper, shape)
            for image in (sheet, sheet.rotate(20, Image.Resampling.BICUBIC, expand=True)):
                assert SHAPE_OF_PAPER not in FULL.read(image).warnings


def test_a_bright_thing_that_is_cut_out_gets_a_black_ground_and_this_is_told() -> None:
    """Among photographs alone: in drawings it does not matter how bright the ground is."""
    photographs = Preprocessing(96, 3, "none", "crop")
    for colour, told in (((230, 220, 200), True), ((60, 90, 40), False)):
        thing = opaque_within(ball(0, colour), "disc", 20)
        reading = photographs.read(thing)
        assert (BLACK_GROUND in reading.warnings, int(reading.pixels[0, 0, 0]) < 10) == (told, told)
        assert BLACK_GROUND not in replace(photographs, transparency="ignore").read(thing).warnings
        assert BLACK_GROUND not in FULL.read(thing).warnings
    assert not photographs.read(ball()).warnings
