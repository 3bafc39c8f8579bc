"""Shadows on a page are no ink, whatever their edges; filled shapes are no shadows."""

import numpy as np
import pytest
from helpers.drawings import (
    FULL,
    distance,
    drawing,
    faint,
    half_lit,
    over_soft_brush,
    page,
    sign,
    to_image,
    unevenly_lit,
)
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from htgen.images.preprocessing import Preprocessing
from htgen.images.shadows import LIGHT_WITHIN, without_shadows
from htgen.images.surroundings import without_surroundings


def shadowed(kind: str, depth: float, blur: float, ink: bool) -> Image.Image:
    """A page in a shadow with an edge, in light that falls off, with noise; and a drawing on it."""
    side, noise = 300, np.random.default_rng(len(kind))
    shade = Image.new("L", (side, side), 0)
    draw = ImageDraw.Draw(shade)
    if kind == "side":
        draw.polygon([(0, 0), (150, 0), (70, side), (0, side)], fill=255)
    elif kind == "corner":
        draw.polygon([(side, 0), (side, 210), (110, 0)], fill=255)
    else:  # a head
        draw.ellipse((120, 160, 280, 400), fill=255)
    share = np.asarray(shade.filter(ImageFilter.GaussianBlur(blur))) / 255
    light = 235 - 30 * np.linspace(0, 1, side)
    values = light * (1 - depth * share)
    if ink:
        lines = Image.new("L", (side, side), 0)
        ImageDraw.Draw(lines).ellipse((90, 90, 210, 210), outline=255, width=6)
        values = values * (1 - 0.8 * np.asarray(lines) / 255)
    return Image.fromarray((values + noise.normal(0, 2, values.shape)).clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("kind", ["side", "corner", "head"])
@pytest.mark.parametrize("depth", [0.25, 0.5, 0.65])
@pytest.mark.parametrize("blur", [0, 2])
def test_a_shadow_alone_is_an_empty_page(kind: str, depth: float, blur: float) -> None:
    preprocessing = Preprocessing(28, 1, "bright", "pad").for_real_images()
    assert preprocessing.read(shadowed(kind, depth, blur, ink=False)).is_blank
    assert not preprocessing.read(shadowed(kind, depth, blur, ink=True)).is_blank


@pytest.mark.parametrize("grey", [0, 60, 120])
def test_a_filled_shape_up_to_the_border_is_no_shadow(grey: int) -> None:
    preprocessing = Preprocessing(28, 1, "bright", "pad").for_real_images()
    image = Image.new("L", (200, 200), 255)
    ImageDraw.Draw(image).ellipse((2, 2, 197, 197), fill=grey)
    assert not preprocessing.read(image).is_blank


@pytest.mark.parametrize("blur", [0, 2, 4])
def test_a_filled_shape_with_a_line_beside_it_is_no_shadow(blur: float) -> None:
    """Its edge is soft where the picture is blurred, though much less so than that of a shadow."""
    clean = Image.new("L", (300, 300), 240)
    pen = ImageDraw.Draw(clean)
    pen.polygon([(0, 0), (150, 0), (110, 299), (0, 299)], fill=60)
    pen.line([(190, 60), (260, 240)], fill=60, width=9)
    assert distance(clean.filter(ImageFilter.GaussianBlur(blur)), clean=clean) < 0.2


def crossed(random: np.random.Generator, width: int) -> Image.Image:
    clean = Image.new("L", (400, 300), 255)
    left, top = int(random.integers(20, 280)), int(random.integers(20, 180))
    corners = [(left, top), (left + 80, top), (left, top + 90), (left + 80, top + 90)]
    ImageDraw.Draw(clean).line(corners, 0, width)
    return clean


@pytest.mark.parametrize("seed", range(12))
def test_a_drawing_on_a_page_half_in_shadow_is_the_drawing(seed: int) -> None:
    """Light and shadow are no two values of a filled shape: the ink is darker than both."""
    random = np.random.default_rng(seed)
    clean = crossed(random, 6)
    taken = half_lit(clean, random, random.uniform(150, 240), random.uniform(40, 90))
    assert not FULL.read(taken).is_blank
    assert distance(taken, clean=clean) < 0.5


@pytest.mark.parametrize("side", [100, 150])
@pytest.mark.parametrize("paper", [150, 230])
def test_ink_as_dark_as_a_soft_shadow_is_the_drawing(side: int, paper: int) -> None:
    """There are two values alone, as there are of a filled shape with a line beside it."""
    clean = page(230, 100, 400, 300, side)
    taken = half_lit(clean, np.random.default_rng(6), paper, 20 + 0.25 * paper)
    assert distance(taken, clean=clean) < 0.6


@pytest.mark.parametrize("paper", [150, 190, 240])
@pytest.mark.parametrize("seed", range(8))
def test_what_is_left_of_a_soft_edge_is_not_of_the_drawing(paper: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    clean = crossed(random, 3)
    taken = half_lit(clean, random, paper, 0.55 * paper)
    assert without_surroundings(np.asarray(taken)).grey.shape == (300, 400)
    assert not FULL.read(taken).is_blank
    assert distance(taken, clean=clean) < 0.7


@pytest.mark.parametrize("size", [(120, 360), (300, 300)])
@pytest.mark.parametrize("darkest", [0, 12])
@pytest.mark.parametrize("power", [0.7, 1, 1.5])
def test_light_that_falls_off_to_black_is_an_empty_page(
    size: tuple[int, int], darkest: float, power: float
) -> None:
    """A gradient has most of its values near its two ends, and is no image of two values."""
    share = np.linspace(0, 1, size[1])[:, None].repeat(size[0], 1) ** power
    noise = np.random.default_rng(0).normal(0, 2, share.shape)
    for light in (share, share.T, share[::-1]):
        page = 240 - (240 - darkest) * light
        assert FULL.read(to_image(page + noise.reshape(page.shape))).is_blank
    ink = np.asarray(drawing(size[0]), float) / 255
    drawn = page.copy()
    drawn[-size[0] :] *= 0.3 + 0.7 * ink
    assert not FULL.read(to_image(drawn + noise)).is_blank


def test_pale_strokes_apart_from_a_pale_area_are_of_the_drawing() -> None:
    assert distance(sign(has_post=True), clean=sign(has_post=False)) > 0.1


def test_a_faint_drawing_in_light_that_falls_off_is_not_blank() -> None:
    assert FULL.read(faint(0)).is_blank
    for contrast in (20, 30, 45):
        assert not FULL.read(faint(contrast)).is_blank


@pytest.mark.parametrize("kind", ["hand", "fingers", "beam"])
@pytest.mark.parametrize(("depth", "blur"), [(0.3, 8), (0.5, 8), (0.5, 16)])
@pytest.mark.parametrize("size", [300, 120])
def test_the_shadow_of_a_hand_and_a_beam_of_light_are_no_ink(
    kind: str, depth: float, blur: float, size: int
) -> None:
    clean = page(180, 60, 400, 360, 140)
    lit = unevenly_lit(kind, clean, depth, blur).resize((size, size * 9 // 10), Image.Resampling.BOX)
    reading = FULL.read(lit)
    assert (reading.is_blank, reading.warnings) == (False, ())
    assert distance(lit, clean=clean) < 0.3


@pytest.mark.parametrize("kind", ["hand", "beam"])
def test_chalk_in_such_light_is_read(kind: str) -> None:
    clean = page(180, 60, 400, 360, 140)
    board = unevenly_lit(kind, ImageOps.invert(clean), 0.5, 12)
    assert distance(board, clean=clean) < 0.3


@pytest.mark.parametrize(("width", "blur", "depth"), [(30, 8, 0.3), (45, 8, 0.7), (60, 12, 0.5)])
def test_what_is_wide_and_soft_within_the_image_is_told(width: int, blur: float, depth: float) -> None:
    """As by a brush; light comes from a lamp or past a hand, which are beside the paper."""
    image = over_soft_brush(width, blur, depth)
    assert without_shadows(np.asarray(image))[1] == LIGHT_WITHIN
    assert LIGHT_WITHIN in FULL.read(image).warnings
    for kind in ("hand", "beam", "fingers"):
        for ink in (page(180, 60, 400, 360, 140), page(90, 30, 400, 360, 220)):
            values = np.asarray(unevenly_lit(kind, ink, 0.5, 12))
            lit, told = without_shadows(values)
            assert lit is not values
            assert told is None


def test_light_that_is_even_or_not_plain_is_left_as_it_is() -> None:
    """A filled shape is blurred as the lines beside it are; and grains of dust are no drawing."""
    plain = np.asarray(page(60, 60))
    assert without_shadows(plain)[0] is plain
    shapes = Image.new("L", (300, 300), 240)
    ImageDraw.Draw(shapes).rectangle((0, 0, 120, 299), fill=110)
    ImageDraw.Draw(shapes).line([(190, 60), (260, 240)], fill=60, width=5)
    for blur in (0, 1, 3):
        values = np.asarray(shapes.filter(ImageFilter.GaussianBlur(blur)))
        assert without_shadows(values)[0] is values
    spot = Image.new("L", (300, 300), 240)
    ImageDraw.Draw(spot).ellipse((60, 60, 240, 240), fill=90)
    spot = spot.filter(ImageFilter.GaussianBlur(12))
    ImageDraw.Draw(spot).ellipse((20, 20, 32, 32), fill=0)
    values = np.asarray(spot)
    assert without_shadows(values)[0] is values


@pytest.mark.parametrize(("noise", "is_left"), [(0, False), (30, True)])
def test_light_on_paper_that_is_as_uneven_as_ink_is_left_as_it_is(noise: float, is_left: bool) -> None:
    """What is narrow is then the grain of the paper, and its edges say nothing of the light."""
    lit = np.asarray(unevenly_lit("fingers", page(180, 60, 400, 360, 140), 0.5, 12), float)
    values = np.asarray(to_image(lit + np.random.default_rng(1).normal(0, noise, lit.shape)))
    assert (without_shadows(values)[0] is values) == is_left
