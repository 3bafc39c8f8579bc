"""What is not the drawing changes nothing in what a CNN sees: surroundings, specks, dust, things beside."""

import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from helpers.drawings import FULL, PLAIN, distance, drawing, page, to_image
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from htgen.images.drawings import InkSteps
from htgen.images.preprocessing import Preprocessing

UNCLEANED = FULL.without("clean")


def with_box(*box: int, fill: int = 0, size: int = 200) -> Image.Image:
    image = drawing(size, ink=30, paper=245)
    ImageDraw.Draw(image).rectangle(box, fill=fill)
    return image


def framed(width: int, inset: int = 0, fill: int = 0, size: int = 200) -> Image.Image:
    image = drawing(size, ink=30, paper=245)
    ImageDraw.Draw(image).rectangle(
        [inset, inset, size - 1 - inset, size - 1 - inset], outline=fill, width=width
    )
    return image


def on_ground(paper: Image.Image, size: tuple[int, int], at: tuple[int, int], ground: int) -> Image.Image:
    image = Image.new("L", size, ground)
    image.paste(paper, at)
    return image


def photo() -> Image.Image:
    """Paper under uneven light, with noise."""
    y, x = np.mgrid[0:1:200j, 0:1:200j]
    ink = 1 - np.asarray(drawing(200), float) / 255
    noise = np.random.default_rng(0).normal(0, 3, (200, 200))
    return to_image((225 - 60 * x - 20 * y) * (1 - 0.7 * ink) + noise)


def on_a_table(angle: float) -> Image.Image:
    table = to_image(np.random.default_rng(1).normal(70, 5, (300, 380)))
    turned = photo().convert("LA").rotate(angle, Image.Resampling.BICUBIC, expand=True)
    table.paste(turned.convert("L"), (60, 30), turned.getchannel("A"))
    return table


def turned_scan() -> Image.Image:
    paper = ImageOps.expand(drawing(160, ink=30, paper=245), 25, fill=245)
    return paper.rotate(TURNED["wedges of a turned scan"], Image.Resampling.BICUBIC, fillcolor=0)


TURNED = {"wedges of a turned scan": -7, "askew on a table": 9}


SURROUNDINGS: dict[str, Callable[[], Image.Image]] = {
    "black bars beside": lambda: on_ground(drawing(200, ink=30, paper=235), (280, 200), (40, 0), 0),
    "grey bars above": lambda: on_ground(drawing(200, ink=30, paper=235), (200, 300), (0, 60), 50),
    "one bar": lambda: on_ground(drawing(200, ink=30, paper=235), (250, 200), (0, 0), 0),
    "white bars beside chalk": lambda: on_ground(drawing(200, ink=220, paper=40), (280, 200), (40, 0), 255),
    "thin frame": lambda: framed(2),
    "thick frame": lambda: framed(14),
    "grey frame, further in": lambda: framed(4, inset=4, fill=70),
    "thin frame of a large image": lambda: framed(1, size=600),
    "scanner edge": lambda: with_box(0, 0, 18, 199),
    "two scanner edges": lambda: ImageOps.expand(drawing(200, ink=30, paper=245), (0, 9, 12, 0), fill=10),
    "wedges of a turned scan": turned_scan,
    "on a table": lambda: on_a_table(0),
    "askew on a table": lambda: on_a_table(TURNED["askew on a table"]),
}


@pytest.mark.parametrize("name", SURROUNDINGS)
def test_what_runs_along_the_border_is_no_ink(name: str) -> None:
    image = SURROUNDINGS[name]()
    clean = drawing().rotate(TURNED.get(name, 0), Image.Resampling.BICUBIC, fillcolor=255)
    assert distance(image, clean=clean) < 0.4
    if name not in ("white bars beside chalk", "thin frame of a large image"):
        assert distance(image, UNCLEANED, clean) > 0.5
    if "table" not in name:
        assert distance(ImageOps.invert(image), clean=clean) < 0.4
    assert FULL.read(image).looks_drawn


@pytest.mark.parametrize(
    ("kind", "at"),
    [
        ("disc", (8, 8)),
        ("disc", (250, 260)),
        ("squares", (10, 6)),
        ("squares", (6, 12)),
        ("name", (100, 270)),
    ],
)
def test_small_things_of_another_kind_near_the_border_are_left_out(kind: str, at: tuple[int, int]) -> None:
    image = page(90, 90, 300, 300, 140)
    clean = image.copy()
    pen = ImageDraw.Draw(image)
    x, y = at
    if kind == "disc":
        pen.ellipse([x, y, x + 36, y + 36], fill=40)
    elif kind == "squares":
        step = (28, 0) if x > y else (0, 28)
        for i in range(6):
            left, top = x + i * step[0], y + i * step[1]
            pen.rectangle([left, top, left + 16, top + 16], fill=90)
    else:
        pen.text(at, "Ada, 7", fill=30, font_size=22)
    assert distance(image, clean=clean) < 0.1
    assert distance(image, UNCLEANED, clean) > 0.5


def test_parts_of_a_drawing_stay() -> None:
    """Dots and accents are strokes as wide as the others, also far up and small."""
    image = Image.new("L", (105, 105), 255)
    pen = ImageDraw.Draw(image)
    pen.line([(50, 45), (50, 95)], fill=0, width=3)
    pen.ellipse([48, 10, 52, 14], fill=0)
    pen.line([(14, 40), (14, 60)], fill=0, width=3)
    np.testing.assert_array_equal(FULL.apply(image), UNCLEANED.apply(image))
    assert FULL.read(image).warnings == ()


def test_what_is_not_plain_is_told() -> None:
    image = page(90, 90, 300, 300, 140)
    ImageDraw.Draw(image).line([(14, 12), (30, 26)], fill=0, width=5)
    assert FULL.read(image).warnings == (
        "something small lies beside the drawing; it is taken as part of it",
    )
    assert FULL.read(page(90, 90)).warnings == ()


# ------------------------------------------------------------------------------------------- specks, dust


@pytest.mark.parametrize("side", [48, 64, 128, 200])
@pytest.mark.parametrize("share", [0.003, 0.01, 0.02])
@pytest.mark.parametrize("kind", ["dark", "bright", "grey"])
def test_single_pixels_are_no_ink(side: int, share: float, kind: str) -> None:
    rng = np.random.default_rng(side)
    clean = drawing(side, 0.05, 20, 250)
    values = np.asarray(clean).copy()
    specks = rng.random(values.shape) < share
    values[specks] = rng.integers(0, 120, int(specks.sum())) if kind == "grey" else 0
    if kind == "bright":
        values = 255 - values
    assert distance(Image.fromarray(values), clean=clean) < 0.2


@pytest.mark.parametrize(("side", "ink", "paper"), [(64, 20, 245), (128, 20, 235), (160, 130, 245)])
def test_dithered_drawings_stay(side: int, ink: int, paper: int) -> None:
    clean = drawing(side, 0.05, ink, paper)
    assert distance(clean.convert("1"), clean=clean) < 0.35


def test_a_dot_of_one_pixel_stays_among_lines_of_one_pixel() -> None:
    image = Image.new("L", (40, 40), 255)
    ImageDraw.Draw(image).line([(20, 15), (20, 35)], fill=0)
    image.putpixel((20, 8), 0)
    np.testing.assert_array_equal(FULL.apply(image), UNCLEANED.apply(image))


@pytest.mark.parametrize(("side", "ink"), [(300, 205), (300, 170), (150, 190), (500, 200)])
def test_dark_dust_does_not_hide_a_pale_drawing(side: int, ink: int) -> None:
    image = drawing(side, 0.03, ink, 250)
    clean = image.copy()
    pen = ImageDraw.Draw(image)
    grain = max(4, side // 45)
    for x, y in ((0.07, 0.1), (0.9, 0.83), (0.5, 0.37), (0.25, 0.5)):
        pen.ellipse([side * x, side * y, side * x + grain, side * y + grain], fill=0)
    assert distance(image, clean=clean) < 0.3
    assert distance(image, UNCLEANED, clean) > 0.5


@pytest.mark.parametrize("radius", [7, 11])
def test_large_grains_do_not_hide_a_pale_drawing(radius: int) -> None:
    image = drawing(400, 0.03, 205, 250)
    clean = image.copy()
    for x, y in ((40, 60), (350, 330), (200, 150), (55, 230), (205, 372)):
        ImageDraw.Draw(image).ellipse([x - radius, y - radius, x + radius, y + radius], fill=0)
    assert distance(image, clean=clean) < 0.35
    assert distance(image, UNCLEANED, clean) > 0.5


# ---------------------------------------------------------------------------- ink that reaches the border


@pytest.mark.parametrize("margin", [0, 1])
@pytest.mark.parametrize("side", [8, 16, 28, 90])
def test_a_drawing_cut_to_its_ink_is_read_as_with_margins(side: int, margin: int) -> None:
    wide = drawing(side * 2, 0.1)
    rows, columns = (np.flatnonzero((np.asarray(wide) < 128).any(axis=axis)) for axis in (1, 0))
    tight = wide.crop((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
    tight = ImageOps.expand(tight.resize((side, side), Image.Resampling.BOX), margin, fill=255)
    padded = ImageOps.expand(tight, max(2, side // 4), fill=255)
    for image, clean in ((tight, padded), (ImageOps.invert(tight), padded)):
        assert FULL.read(image).polarity == ("dark on light" if image is tight else "light on dark")
        assert distance(image, clean=clean) < 0.35


@pytest.mark.parametrize("share", [0.5, 0.7, 0.9, 0.98, 1.0])
@pytest.mark.parametrize("shape", ["disc", "square", "triangle", "askew"])
def test_filled_shapes_are_not_turned_over(shape: str, share: float) -> None:
    if shape == "square" and share == 1:
        return  # nothing but ink
    corners = {"square": [(0, 0), (1, 0), (1, 1), (0, 1)], "triangle": [(0.5, 0), (1, 1), (0, 1)]}
    corners["askew"] = [(0.05, 0), (1, 0.05), (0.95, 1), (0, 0.95)]
    image = Image.new("L", (400, 400), 255)
    low = 200 - 200 * share
    pen = ImageDraw.Draw(image)
    if shape == "disc":
        pen.ellipse([low, low, 400 - low, 400 - low], fill=20)
    else:
        pen.polygon([(low + 400 * share * x, low + 400 * share * y) for x, y in corners[shape]], fill=20)
    image = image.resize((128, 128), Image.Resampling.BOX)
    assert FULL.read(image).polarity == "dark on light"
    assert FULL.read(ImageOps.invert(image)).polarity == "light on dark"
    middle = FULL.without("stroke").apply(image)[14, 14, 0]
    assert middle > 240


# ------------------------------------------------------------------------------------------------- empty


def light(kind: str) -> np.ndarray:
    y, x = np.mgrid[-0.5:0.5:240j, -0.5:0.5:320j]
    if kind == "vignette":
        return 235 - 180 * (x * x + y * y)
    if kind == "lamp":
        return 150 + 90 * np.exp(-((x - 0.2) ** 2 + (y + 0.1) ** 2) * 12)
    if kind == "soft shadow":
        edge = Image.fromarray(np.where(x + 0.3 * y > 0.1, 130, 220).astype(np.uint8))
        return np.asarray(edge.filter(ImageFilter.GaussianBlur(14)), float)
    return np.full(x.shape, {"white": 245.0, "grey": 128.0, "board": 40.0}[kind])


@pytest.mark.parametrize("kind", ["white", "grey", "board", "vignette", "lamp", "soft shadow"])
@pytest.mark.parametrize("noise", [0, 3, 6])
def test_empty_pages_are_blank_and_look_all_the_same(kind: str, noise: float) -> None:
    image = to_image(light(kind) + np.random.default_rng(0).normal(0, noise, light(kind).shape))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=70)
    for version in (image, Image.open(file)):
        reading = FULL.read(version)
        assert reading.is_blank
        assert reading.looks_drawn
        assert reading.pixels.max() == 0


@pytest.mark.parametrize("side", [64, 128])
def test_specks_on_an_empty_page_are_nothing(side: int) -> None:
    specks = np.random.default_rng(0).random((side, side)) < 0.01
    assert FULL.read(to_image(np.where(specks, 0, 250))).is_blank


@pytest.mark.parametrize(
    "image",
    [
        drawing(300, 0.03, 232, 250),
        drawing(600, 0.004, 120, 250),
        drawing(12, 0.1, 90, 250),
        drawing(300, 0.03, 170, 240).filter(ImageFilter.GaussianBlur(4)),
        to_image(
            np.asarray(drawing(240, 0.03, 190, 240), float)
            + np.random.default_rng(0).normal(0, 6, (240, 240))
        ),
        ImageOps.expand(Image.new("L", (16, 16), 0), 100, fill=255),
        to_image(np.asarray(drawing(240, 0.03, 60, 95), float)),
    ],
)
def test_faint_and_small_drawings_are_not_blank(image: Image.Image) -> None:
    assert not FULL.read(image).is_blank
    assert FULL.apply(image).max() > 100


# ------------------------------------------------------------------------------------------------ the record


def test_a_clean_drawing_stays_bit_for_bit() -> None:
    for image in (
        drawing(),
        drawing(400),
        drawing(28, 0.08),
        page(10, 215),
        photo(),
        drawing(ink=255, paper=0),
    ):
        np.testing.assert_array_equal(FULL.apply(image), UNCLEANED.apply(image))


def test_records_from_before_this_step_read_as_they_did() -> None:
    old = {"polarity": True, "flatten": True, "crop": 0.9, "contrast": True, "stroke": 0.058}
    record = Preprocessing.from_dict({**PLAIN.to_dict(), "steps": old})
    assert record.to_dict()["steps"] == old
    assert record == UNCLEANED
    assert distance(framed(8), record) > 0.5  # as before, for its CNN was made so
    assert FULL.to_dict()["steps"] == {**old, "clean": True}


def test_generators_from_before_this_step_get_it() -> None:
    assert UNCLEANED.for_real_images() == FULL
    assert UNCLEANED.prepares_as(FULL)
    assert not PLAIN.prepares_as(FULL)


def test_images_that_are_scaled_alone_are_not_cleaned() -> None:
    alone = replace(PLAIN, steps=InkSteps(clean=True))
    np.testing.assert_array_equal(alone.apply(framed(8)), PLAIN.apply(framed(8)))
