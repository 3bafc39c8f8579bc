import numpy as np
import pytest
from helpers.drawings import distance, page, to_image, unevenly_lit
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from htgen.images.preprocessing import Preprocessing
from htgen.images.sharp_shadows import SHADOW_KEPT, SHADOW_LEFT_OUT, without_sharp_shadow

FULL = Preprocessing(28, 1, "bright", "pad").for_real_images()


@pytest.mark.parametrize("kind", ["hand", "fingers", "beam"])
@pytest.mark.parametrize(("depth", "blur"), [(0.3, 0), (0.5, 1), (0.5, 2)])
@pytest.mark.parametrize("size", [400, 150])
def test_a_sharp_shadow_is_no_ink_and_told(kind: str, depth: float, blur: float, size: int) -> None:
    clean = page(120, 60, 400, 360, 140)
    lit = unevenly_lit(kind, clean, depth, blur).resize((size, size * 9 // 10), Image.Resampling.BOX)
    reading = FULL.read(lit)
    assert (reading.is_blank, reading.warnings) == (False, (SHADOW_LEFT_OUT,))
    assert distance(lit, clean=clean) < 0.25


@pytest.mark.parametrize("kind", ["hand", "beam"])
def test_chalk_in_a_sharp_shadow_is_read(kind: str) -> None:
    clean = page(120, 60, 400, 360, 140)
    board = unevenly_lit(kind, ImageOps.invert(clean), 0.4, 1)
    assert FULL.read(board).warnings == (SHADOW_LEFT_OUT,)
    assert distance(board, clean=clean) < 0.25


@pytest.mark.parametrize("seed", range(6))
def test_whatever_is_drawn_lies_in_the_shadow_or_beside_it_or_both(seed: int) -> None:
    hand = np.random.default_rng(seed)
    clean = page(*hand.integers(20, 220, 2).tolist(), 400, 360, 120)
    shade = Image.new("L", clean.size)
    ends = [(hand.uniform(60, 340), 0), (hand.uniform(60, 340), 360)]
    ImageDraw.Draw(shade).polygon([(-1, -1), *ends, (-1, 361)], fill=255)
    share = np.asarray(shade.filter(ImageFilter.GaussianBlur(1)), float) / 255
    values = (50 + 160 * np.asarray(clean, float) / 255) * (1 - hand.uniform(0.2, 0.6) * share)
    lit = to_image(values + hand.normal(0, 3, values.shape))
    assert SHADOW_LEFT_OUT in FULL.read(lit).warnings
    assert distance(lit, clean=clean) < 0.25


def test_an_empty_page_in_a_sharp_shadow_is_blank_or_told() -> None:
    for kind in ("hand", "fingers", "beam"):
        reading = FULL.read(unevenly_lit(kind, Image.new("L", (400, 360), 255), 0.4, 1))
        assert reading.is_blank or SHADOW_KEPT in reading.warnings, kind


@pytest.mark.parametrize("grey", [100, 140, 180])
@pytest.mark.parametrize("blur", [0, 1])
def test_an_area_and_lines_of_the_same_pen_stay_and_are_told(grey: int, blur: float) -> None:
    image = Image.new("L", (300, 300), 240)
    pen = ImageDraw.Draw(image)
    pen.polygon([(0, 0), (150, 0), (110, 299), (0, 299)], fill=grey)
    pen.line([(190, 60), (260, 240)], fill=grey, width=9)
    values = np.asarray(image.filter(ImageFilter.GaussianBlur(blur)))
    kept, told = without_sharp_shadow(values)
    assert kept is values
    assert told == SHADOW_KEPT


def round_paper() -> Image.Image:
    image = Image.new("L", (200, 200), 150)
    ImageDraw.Draw(image).ellipse((4, 4, 195, 195), fill=255)
    image.paste(page(20, 20, 110, 110, 70), (45, 45))
    return image


def grey_disc() -> Image.Image:
    image = page(150, 20, 260, 200, 90)
    ImageDraw.Draw(image).ellipse((30, 60, 120, 150), fill=130)
    return image


@pytest.mark.parametrize(
    "image",
    [
        page(60, 60),
        ImageOps.invert(page(60, 60)),
        to_image(255 * (np.add.outer(np.arange(120) // 30, np.arange(120) // 30) % 2)),
        round_paper(),  # its ground is wide, but there is no paper at the border
        grey_disc(),
        page(5, 5, 200, 180, 170).point(lambda v: 110 if v < 128 else 240),  # grey ink near the border
        Image.new("L", (90, 120), 77),
        to_image(np.random.default_rng(0).uniform(0, 255, (90, 120))),
        Image.linear_gradient("L"),
        Image.new("L", (3, 2), 9),
    ],
)
def test_paper_of_one_tone_and_what_is_no_shadow_stay_as_they_are(image: Image.Image) -> None:
    values = np.asarray(image)
    kept, told = without_sharp_shadow(values)
    assert kept is values
    assert told is None
