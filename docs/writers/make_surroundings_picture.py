"""Write docs/images/surroundings.png: drawings among other things, and what a CNN sees of them.

    python docs/writers/make_surroundings_picture.py

Three columns: the image, what a CNN sees without the step `clean`, and with it.
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from htgen.images import Preprocessing
from htgen.images.drawings import DRAWING_STEPS

ROOT = Path(__file__).resolve().parents[2]
DRAWING = ROOT / "examples" / "symbols" / "new" / "03.png"
TARGET = ROOT / "docs" / "images" / "surroundings.png"
SIDE, GAP = 140, 10
SEEN = Preprocessing(28, 1, "bright", "pad", steps=DRAWING_STEPS)


def page() -> Image.Image:
    """The drawing on white paper, 240 pixels wide."""
    canvas = Image.new("L", (240, 240), 255)
    drawing = Image.open(DRAWING).convert("L").resize((150, 150), Image.Resampling.LANCZOS)
    canvas.paste(drawing, (45, 45))
    return canvas


def with_rounded_corners() -> Image.Image:
    """Opaque paper whose corners are transparent."""
    image = page().convert("LA")
    mask = Image.new("L", image.size, 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, 239, 239), 50, fill=255)
    image.putalpha(mask)
    return image


def with_black_bars() -> Image.Image:
    """A page between black bars."""
    image = Image.new("L", (320, 240), 0)
    image.paste(page(), (40, 0))
    return image


def on_a_table() -> Image.Image:
    """A page on a dark table."""
    image = Image.new("L", (340, 340), 70)
    image.paste(page(), (50, 60))
    return image


def with_a_frame() -> Image.Image:
    """A frame along the border."""
    image = page()
    ImageDraw.Draw(image).rectangle((0, 0, 239, 239), outline=0, width=8)
    return image


def on_a_round_plate() -> Image.Image:
    """Round paper on a dark ground."""
    mask = Image.new("L", (240, 240), 0)
    ImageDraw.Draw(mask).ellipse((4, 4, 235, 235), fill=255)
    return Image.composite(page(), Image.new("L", (240, 240), 40), mask)


def with_a_line_around() -> Image.Image:
    """A frame that is set in from the border."""
    image = page()
    ImageDraw.Draw(image).rectangle((18, 18, 221, 221), outline=0, width=4)
    return image


def with_magnets() -> Image.Image:
    """Two discs in corners of the page."""
    image = page()
    for x, y in ((8, 8), (206, 10)):
        ImageDraw.Draw(image).ellipse((x, y, x + 24, y + 24), fill=40)
    return image


def with_single_pixels() -> Image.Image:
    """One pixel of a hundred is dark, in an image of 128 pixels."""
    pixels = np.array(page().resize((128, 128), Image.Resampling.LANCZOS))
    pixels[np.random.default_rng(0).random(pixels.shape) < 0.01] = 0
    return Image.fromarray(pixels)


KINDS = (
    with_rounded_corners,
    with_black_bars,
    on_a_table,
    with_a_frame,
    on_a_round_plate,
    with_a_line_around,
    with_magnets,
    with_single_pixels,
)


def cell(image: Image.Image) -> Image.Image:
    """An image in a square, transparency as a checkerboard."""
    image = image.convert("RGBA")
    image.thumbnail((SIDE, SIDE), Image.Resampling.NEAREST if image.width < 40 else Image.Resampling.LANCZOS)
    if image.width < SIDE // 2:
        image = image.resize((SIDE, SIDE), Image.Resampling.NEAREST)
    board = np.indices((SIDE, SIDE)).sum(axis=0) // 10 % 2 * 30 + 200
    square = Image.fromarray(board.astype(np.uint8)).convert("RGBA")
    square.alpha_composite(image, ((SIDE - image.width) // 2, (SIDE - image.height) // 2))
    return square.convert("RGB")


def main() -> None:
    """Draw all kinds, one a column: image above, then without `clean`, then with it."""
    size = (GAP + len(KINDS) * (SIDE + GAP), GAP + 3 * (SIDE + GAP))
    sheet = Image.new("RGB", size, (128, 128, 128))
    for column, kind in enumerate(KINDS):
        image = kind()
        seen = [Image.fromarray(p.apply(image)[..., 0]) for p in (SEEN.without("clean"), SEEN)]
        for row, one in enumerate((image, *seen)):
            sheet.paste(cell(one), (GAP + column * (SIDE + GAP), GAP + row * (SIDE + GAP)))
    sheet.save(TARGET, optimize=True)


if __name__ == "__main__":
    main()
