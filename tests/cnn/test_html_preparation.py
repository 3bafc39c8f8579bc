"""The scripts of an exported page prepare images as Python does; they run in Node here."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.drawings import (
    FULL,
    drawing,
    faint,
    half_lit,
    over_soft_brush,
    page,
    ruled,
    sign,
    thick_wheel,
    to_image,
    unevenly_lit,
)
from helpers.drawn_things import bright_scene_with_a_sign, coloured_scene
from helpers.javascript import as_picture
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from htgen.images.drawings import ICON_STEPS, NO_STEPS
from htgen.images.notices import PHOTOGRAPH
from htgen.images.preprocessing import Preprocessing


def on_table() -> Image.Image:
    image = to_image(np.random.default_rng(0).normal(70, 4, (200, 260)))
    image.paste(drawing(140), (60, 30))
    return image


def page_on_scene() -> Image.Image:
    image = coloured_scene(1)
    image.paste(page(60, 40, 200, 200, 100), (20, 20))
    return image


def thick_closed_line() -> Image.Image:
    image = Image.new("L", (120, 120), 250)
    pen = ImageDraw.Draw(image)
    pen.ellipse((14, 14, 105, 105), outline=20, width=28)
    pen.line((30, 60, 90, 60), 20, 9)
    return image


def no_entry() -> Image.Image:
    image = Image.new("RGBA", (120, 120))
    pen = ImageDraw.Draw(image)
    pen.ellipse((2, 2, 117, 117), fill=(200, 20, 30))
    pen.rectangle((20, 50, 100, 70), fill="white")
    return image


def cut_out() -> Image.Image:
    image = Image.new("RGBA", (120, 120))
    pen = ImageDraw.Draw(image)
    pen.ellipse((20, 40, 90, 110), fill=(240, 220, 200))
    pen.line((60, 60, 110, 10), fill=(220, 220, 250), width=9)
    return image


def with_dust() -> Image.Image:
    values = np.asarray(drawing(128)).copy()
    random = np.random.default_rng(0)
    values[random.integers(0, 128, 60), random.integers(0, 128, 60)] = 0
    return Image.fromarray(values)


def with_a_name_beneath() -> Image.Image:
    image = page(90, 60, 300, 300, 120)
    pen = ImageDraw.Draw(image)
    for x in range(130, 175, 8):
        pen.rectangle((x, 285, x + 4, 292), fill=0)
    return image


def transparent() -> Image.Image:
    image = Image.new("RGBA", (120, 120), (200, 30, 30, 0))
    image.putalpha(ImageOps.invert(drawing()))
    return image


def thick_ring() -> Image.Image:
    image = Image.new("L", (105, 105), 255)
    pen = ImageDraw.Draw(image)
    pen.ellipse((25, 20, 80, 85), outline=0, width=9)
    pen.line((25, 52, 80, 52), 0, 9)
    return image


def paper_with_round_corners() -> Image.Image:
    opaque = Image.new("L", (120, 120), 0)
    ImageDraw.Draw(opaque).rounded_rectangle((4, 4, 115, 115), 30, fill=255)
    image = drawing().convert("RGBA")
    image.putalpha(opaque)
    return image


def speech_bubble(ink: Image.Image) -> Image.Image:
    opaque = Image.new("L", (120, 160), 0)
    ImageDraw.Draw(opaque).polygon(
        [(2, 2), (117, 2), (117, 117), (60, 117), (8, 157), (25, 117), (2, 117)], fill=255
    )
    image = Image.new("RGBA", opaque.size, (255, 255, 255, 255))
    image.paste(ink, (0, 0))
    image.putalpha(opaque)
    return image


def shaded() -> Image.Image:
    across, down = np.meshgrid(np.linspace(1, 0.55, 120), np.linspace(1, 0.8, 120))
    noise = np.random.default_rng(1).normal(0, 5, (120, 120))
    return to_image(np.asarray(drawing(ink=40, paper=230), float) * across * down + noise)


def on_round_paper() -> Image.Image:
    mask = Image.new("L", (200, 200), 0)
    ImageDraw.Draw(mask).ellipse((8, 8, 191, 191), fill=255)
    return Image.composite(page(60, 60, 200, 200, 80), Image.new("L", (200, 200), 40), mask)


def in_a_frame(shape: str, box: tuple[int, ...]) -> Image.Image:
    image = page(45, 45, 200, 200, 110)
    pen = ImageDraw.Draw(image)
    (pen.ellipse if shape == "round" else pen.rectangle)(box, outline=20, width=4)
    return image


def with_dots(side: int, count: int, size: int) -> Image.Image:
    image = drawing(side, 0.05)
    pen = ImageDraw.Draw(image)
    for x, y in np.random.default_rng(3).integers(0, side - size, (count, 2)).tolist():
        pen.rectangle((x, y, x + size - 1, y + size - 1), fill=0)
    return image


def with_grains(ink: int, size: int) -> Image.Image:
    image = drawing(300, 0.05, ink=ink)
    for x, y in ((6, 10), (150, 160), (20, 270)):
        ImageDraw.Draw(image).ellipse((x, y, x + size, y + size), fill=0)
    return image


def empty_within(margins: tuple[int, int, int, int], slope: float = 0) -> Image.Image:
    """An empty page; black above it, below it, and left and right of it."""
    across = np.linspace(0, slope, 200)[None, :].repeat(160, 0)
    return to_image(np.pad(240 - across, (margins[:2], margins[2:])))


def half_in_shadow(has_drawing: bool) -> Image.Image:
    values = np.asarray(drawing(120, ink=60) if has_drawing else Image.new("L", (120, 120), 255), float)
    noise = np.random.default_rng(4).normal(0, 2, values.shape)
    return to_image(values * np.where(np.arange(120) < 60, 0.9, 0.5) + noise)


def soft_shadow() -> Image.Image:
    down, across = np.mgrid[:160, :160]
    share = 1 / (1 + np.exp((np.hypot(down, across) - 70) / 6))
    return to_image(235 * (1 - 0.5 * share) + np.random.default_rng(5).normal(0, 1.5, share.shape))


def gradient(has_drawing: bool, power: float) -> Image.Image:
    """Light that falls off to nearly black."""
    values = np.asarray(drawing(160) if has_drawing else Image.new("L", (160, 160), 255), float)
    return to_image(values * (1 - 0.98 * np.linspace(0, 1, 160)[:, None] ** power))


def thick_box() -> Image.Image:
    image = Image.new("L", (105, 105), 255)
    pen = ImageDraw.Draw(image)
    pen.rounded_rectangle((30, 24, 80, 84), 12, outline=0, width=12)
    pen.line((30, 60, 84, 60), 0, 9)
    return image


def grains_alone() -> Image.Image:
    image = Image.new("L", (300, 300), 240)
    for x, y in ((60, 80), (200, 150), (120, 270)):
        ImageDraw.Draw(image).ellipse((x, y, x + 14, y + 14), fill=20)
    return image


def empty_within_a_line() -> Image.Image:
    image = Image.new("L", (200, 200), 240)
    ImageDraw.Draw(image).rectangle((20, 20, 180, 180), outline=20, width=4)
    return image


def chess_board() -> Image.Image:
    fields = np.add.outer(np.arange(4), np.arange(4)) % 2
    return to_image(255 * fields.repeat(30, 0).repeat(30, 1))


def soft_shadow_and(side: int, seed: int) -> Image.Image:
    return half_lit(page(230, 100, 400, 300, side), np.random.default_rng(seed), 190, 70)


def lines_across() -> Image.Image:
    image = Image.new("L", (200, 160), 240)
    ImageDraw.Draw(image).line([(90, 0), (96, 159)], fill=200, width=3)
    return image


def lines_to_the_border() -> Image.Image:
    image = Image.new("L", (120, 120), 255)
    pen = ImageDraw.Draw(image)
    pen.line([(0, 4), (119, 4)], fill=0, width=9)
    pen.line([(4, 0), (4, 119)], fill=0, width=9)
    pen.line([(115, 0), (115, 119), (60, 60)], fill=0, width=9)
    return image


IMAGES = {
    "clean": drawing(),
    "white on black": ImageOps.invert(drawing()),
    "large": drawing(480),
    "small": drawing(28),
    "tiny": drawing(9),
    "one pixel": Image.new("L", (1, 1), 130),
    "empty": Image.new("L", (60, 60), 255),
    "wide": page(260, 20, 400, 120, 90),
    "tall": page(20, 260, 120, 400, 90),
    "thick": drawing().filter(ImageFilter.MinFilter(9)),
    "thin": drawing(480, 0.008),
    "pale": drawing(ink=165, paper=185),
    "shaded": shaded(),
    "on a table": on_table(),
    "with dust": with_dust(),
    "with a name beneath": with_a_name_beneath(),
    "transparent": transparent(),
    "paper with round corners": paper_with_round_corners(),
    "disc with a bar": no_entry(),
    "bright thing on transparency": cut_out(),
    "speech bubble": speech_bubble(drawing()),
    "empty speech bubble": speech_bubble(Image.new("L", (120, 120), 255)),
    "thick ring with a bar": thick_ring(),
    "coloured": ImageOps.colorize(drawing(), (180, 20, 60), (250, 240, 200)),
    "noise of a camera": to_image(np.random.default_rng(3).normal(235, 4, (60, 80))),
    "noise alone": to_image(np.random.default_rng(2).normal(120, 40, (64, 64))),
}

UNPLAIN = {
    "on round paper": on_round_paper(),
    "in a frame set in": in_a_frame("straight", (14, 14, 185, 185)),
    "in a frame farther in": in_a_frame("straight", (22, 22, 177, 177)),
    "in a round line along the border": in_a_frame("round", (1, 1, 198, 198)),
    "with dots of 2 x 2": with_dots(128, 40, 2),
    "with few dots": with_dots(200, 6, 2),
    "with grains": with_grains(0, 12),
    "with dark grains on pale ink": with_grains(190, 20),
    "empty within a frame": empty_within((12, 12, 12, 12)),
    "empty beside a bar": empty_within((0, 0, 30, 0)),
    "empty on a table, lit from a side": empty_within((40, 40, 40, 40), 50),
    "a filled shape": empty_within((60, 60, 60, 60)),
    "half in shadow": half_in_shadow(True),
    "half in shadow, empty": half_in_shadow(False),
    "a soft shadow": soft_shadow(),
    "ink as dark as a soft shadow": soft_shadow_and(120, 6),
    "ink and the soft edge of a shadow": soft_shadow_and(150, 3),
    "light that falls off to black": gradient(False, 0.8),
    "light that falls off to black early": gradient(False, 0.6),
    "a drawing in such light": gradient(True, 1),
    "faint in such light": faint(30),
    "pale strokes apart from a pale area": sign(has_post=True),
    "an empty page on a table": empty_within((50, 30, 70, 40)),
    "an empty page within a line": empty_within_a_line(),
    "thick box with a bar": thick_box(),
    "grains alone": grains_alone(),
    "a chess board": chess_board(),
    "lines along the border": lines_to_the_border(),
    "in the shadow of a hand": unevenly_lit("hand", page(90, 30, 200, 180, 70), 0.5, 6),
    "in a sharp shadow": unevenly_lit("hand", page(90, 30, 200, 180, 70), 0.4, 0.5),
    "in the sharp shadow of fingers": unevenly_lit("fingers", page(30, 60, 400, 360, 140), 0.5, 2),
    "chalk in sharp light": unevenly_lit("beam", ImageOps.invert(page(90, 30, 200, 180, 70)), 0.6, 1),
    "an empty page in a sharp shadow": unevenly_lit("fingers", Image.new("L", (160, 150), 255), 0.4, 1),
    "on squared paper": ruled(page(40, 20, 160, 150, 100), 20, 2),
    "an empty sheet of ruled paper": ruled(Image.new("L", (160, 150), 255), 24, -1, is_squared=False),
    "squared paper on a table": ImageOps.expand(ruled(page(40, 20, 160, 150, 100), 20, 0), 24, 70),
    "a line from border to border": lines_across(),
    "a wheel of thick lines": thick_wheel(),
    "a thick ring with a bar": thick_closed_line(),
    "over a soft brush": over_soft_brush(45, 8, 0.5),
    "a scene in colours": coloured_scene(0),
    "a sign before a scene in colours": bright_scene_with_a_sign(0),
    "a page on such a scene": page_on_scene(),
    "in a beam of light": unevenly_lit("beam", page(90, 30, 200, 180, 70), 0.5, 6),
}

RECORDS = {
    "all steps": FULL,
    "scaled alone": replace(FULL, steps=NO_STEPS),
    "as a device": FULL.on_device(),
    "dark ink, stretched": replace(FULL, ink="dark", fit="stretch"),
    "without clean": FULL.without("clean"),
    "without flatten": FULL.without("flatten"),
    "without crop": FULL.without("crop"),
    "icons": replace(FULL, steps=ICON_STEPS),
    "without crop, cut": replace(FULL.without("crop"), fit="crop"),
    "without transparency": FULL.without("transparency"),
    "colour": Preprocessing(32, 3, "none", "crop"),
    "colour with margins": Preprocessing(32, 3, "none", "pad"),
}


@pytest.mark.parametrize("record", RECORDS)
@pytest.mark.parametrize("name", IMAGES)
def test_images_are_prepared_as_in_python(js, name, record):
    compare_prepared(js, IMAGES[name], RECORDS[record])


@pytest.mark.parametrize("name", UNPLAIN)
def test_what_is_no_drawing_is_left_out_as_in_python(js, name):
    compare_prepared(js, UNPLAIN[name], FULL)
    compare_prepared(js, ImageOps.invert(UNPLAIN[name]), FULL)


@pytest.mark.parametrize("name", list(UNPLAIN)[::4])  # a device leaves nothing out
def test_a_device_prepares_it_as_in_python(js, name):
    compare_prepared(js, UNPLAIN[name], FULL.on_device())


def compare_prepared(js, image: Image.Image, how: Preprocessing) -> None:
    reading = how.read(image)
    found = js.call("prepare", as_picture(image), how.to_dict())
    difference = np.abs(np.array(found["pixels"]) - reading.pixels.reshape(-1).astype(int))
    # A value may lie on the other side of a half; then it is one grey level off. Pillow rounds between the
    # two directions of a scaling, and which comes first is its own choice for images of bytes.
    is_bytes = how.device is False and not how.steps.change_pixels and image.width != image.height
    assert difference.max() <= (20 if is_bytes else 1)
    assert difference.mean() <= (0.5 if is_bytes else 0.01)
    assert found["isBlank"] == reading.is_blank
    is_photograph = how.is_for_drawings and reading.is_photograph
    assert found["warnings"] == [*([PHOTOGRAPH] if is_photograph else []), *reading.warnings]
