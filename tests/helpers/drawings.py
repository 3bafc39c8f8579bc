"""Drawings, and how far what a CNN sees of one is from what it sees of another."""

from dataclasses import replace

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from htgen.images.drawings import DRAWING_STEPS
from htgen.images.preprocessing import Preprocessing

PLAIN = Preprocessing(28, 1, "bright", "pad")
FULL = replace(PLAIN, steps=DRAWING_STEPS)


def drawing(size: int = 120, width: float = 0.04, ink: int = 0, paper: int = 255) -> Image.Image:
    """A hook and a bar, with margins, as wide and high as most training characters."""
    image = Image.new("L", (4 * size, 4 * size), paper)
    pen = ImageDraw.Draw(image)

    def line(*points: tuple[float, float]) -> None:
        pen.line([(4 * size * x, 4 * size * y) for x, y in points], fill=ink, width=round(4 * size * width))

    line((0.25, 0.2), (0.25, 0.8), (0.75, 0.8), (0.6, 0.5))
    line((0.45, 0.3), (0.75, 0.3))
    return image.resize((size, size), Image.Resampling.BOX)


def to_image(values: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def distance(
    image: Image.Image, preprocessing: Preprocessing = FULL, clean: Image.Image | None = None
) -> float:
    """How far what becomes of an image is from what becomes of the clean drawing, relative to its ink.

    Both are blurred: half a pixel's shift is little.
    """
    blur = ImageFilter.GaussianBlur(1.2)
    images = (image, clean or drawing())
    pixels = (Image.fromarray(preprocessing.apply(i)[..., 0]).filter(blur) for i in images)
    found, expected = (np.asarray(p, dtype=float) for p in pixels)
    return float(np.abs(found - expected).sum() / expected.sum())


def half_lit(
    clean: Image.Image, random: np.random.Generator, paper: float, ink: float, noise: float = 6
) -> Image.Image:
    """A drawing, black on white, on paper in light that falls off, half in a shadow with a soft edge."""
    values = ink + (paper - ink) * np.asarray(clean, float) / 255
    height, width = values.shape
    angle, offset = random.uniform(0, 2 * np.pi), random.uniform(-0.5, 0.5)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    along = x * np.cos(angle) + y * np.sin(angle)
    light = (1 - 0.13 * (along + 1.4)) * (1 - 0.35 / (1 + np.exp(-(along - offset) / 0.08)))
    return to_image(values * light + random.normal(0, noise, values.shape))


def unevenly_lit(kind: str, clean: Image.Image, depth: float, blur: float, seed: int = 0) -> Image.Image:
    """A drawing, black on white, on paper in the shadow of a hand or fingers, or in a beam of light."""
    width, height = clean.size
    shade = Image.new("L", clean.size)
    pen = ImageDraw.Draw(shade)
    if kind == "hand":
        pen.ellipse((0.5 * width, 0.6 * height, 1.1 * width, 1.5 * height), fill=255)
    elif kind == "fingers":
        for x in (0.1, 0.22, 0.34):
            pen.rectangle((x * width, 0.55 * height, (x + 0.07) * width, height), fill=255)
        pen.rectangle((0.08 * width, 0.8 * height, 0.43 * width, height), fill=255)
    else:
        pen.polygon([(0, 0), (0.3 * width, 0), (width, height), (0.6 * width, height)], fill=255)
    share = np.asarray(shade.filter(ImageFilter.GaussianBlur(blur)), float) / 255
    light = 1 + depth * share if kind == "beam" else 1 - depth * share
    values = (60 + 100 * np.asarray(clean, float) / 255) * light
    return to_image(values + np.random.default_rng(seed).normal(0, 3, values.shape))


def ruled(
    clean: Image.Image, spacing: int, turn: float = 0, line: int = 150, is_squared: bool = True
) -> Image.Image:
    """A drawing, black on white, on squared or ruled paper that lies at an angle, in degrees."""
    width, height = clean.size
    sheet = Image.new("L", (4 * width, 4 * height), 250)
    pen = ImageDraw.Draw(sheet)
    for y in range(3, 4 * height, 2 * spacing):
        pen.line([(0, y), (4 * width, y)], fill=line, width=4)
    for x in range(5, 4 * width, 2 * spacing if is_squared else 4 * width):
        pen.line([(x, 0), (x, 4 * height)], fill=line, width=4)
    lying = sheet.rotate(turn, Image.Resampling.BICUBIC).resize((2 * width, 2 * height), Image.Resampling.BOX)
    corner = (width // 2, height // 2)
    rules = np.asarray(lying.crop((*corner, corner[0] + width, corner[1] + height)), float)
    values = rules * (0.15 + 0.85 * np.asarray(clean, float) / 255)
    return to_image(values + np.random.default_rng(spacing).normal(0, 1.5, values.shape))


def thick_wheel() -> Image.Image:
    """A disc with four small holes: lines so thick that little is between them."""
    image = Image.new("L", (105, 105), 255)
    pen = ImageDraw.Draw(image)
    pen.ellipse((30, 24, 84, 80), fill=0)
    for x, y in ((42, 38), (60, 36), (44, 58), (62, 60)):
        pen.ellipse((x, y, x + 8, y + 8), fill=255)
    return image


def page(x: int, y: int, width: int = 300, height: int = 300, side: int = 75) -> Image.Image:
    """The drawing with its left upper corner at a place of a larger page."""
    image = Image.new("L", (width, height), 255)
    image.paste(drawing().resize((side, side), Image.Resampling.LANCZOS), (x, y))
    return image


def scene(seed: int) -> Image.Image:
    """Coloured things everywhere, with soft borders: what looks like a photograph."""
    chance = np.random.default_rng(seed)
    small = chance.uniform(0, 255, (7, 7, 3)).astype(np.uint8)
    return Image.fromarray(small).resize((120, 120), Image.Resampling.BICUBIC)


def sign(has_post: bool) -> Image.Image:
    """A round sign with a pale field and, if wanted, a pale post far from it."""
    image = Image.new("L", (200, 200), 255)
    pen = ImageDraw.Draw(image)
    pen.ellipse((20, 20, 180, 180), outline=10, width=6)
    pen.rectangle((60, 60, 140, 110), fill=180)
    if has_post:
        pen.line((60, 150, 140, 150), 180, 18)
    return image


def faint(contrast: int) -> Image.Image:
    """A thin drawing on dark paper in light that falls off."""
    image = Image.new("L", (300, 300), 0)
    ImageDraw.Draw(image).line([(127, 127), (172, 127), (127, 172), (172, 172)], fill=255, width=4)
    values = np.linspace(20, 200, 300) + np.asarray(image) / 255 * contrast
    return to_image(values + np.random.default_rng(1).normal(0, 1.5, values.shape))


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Values of any grey, `[height, width]`."""
    return np.random.default_rng(seed).uniform(0, 255, (height, width)).astype(np.float32)


def sloping_light() -> np.ndarray:
    """Light that falls off to 40 % from one corner to the other, `[120, 120]`."""
    y, x = np.mgrid[0:1:120j, 0:1:120j]
    return 1 - 0.6 * (0.7 * x + 0.3 * y)


def edge_of_a_shadow() -> np.ndarray:
    """A shadow that takes 40 % of the light, from one column to the next few."""
    return np.broadcast_to(1 - 0.4 / (1 + np.exp(-(np.arange(120) - 66) / 3)), (120, 120))


_NOISE = np.random.default_rng(0).normal(0, 18, (120, 120))

DAMAGES: dict[str, tuple[Image.Image, str]] = {
    "gradient": (to_image(np.asarray(drawing(), float) * sloping_light()), "flatten"),
    "gradient on a blackboard": (to_image(255 - np.asarray(drawing(), float) * sloping_light()), "flatten"),
    "shadow with an edge": (to_image(np.asarray(drawing(ink=40), float) * edge_of_a_shadow()), "flatten"),
    "pale": (drawing(ink=150, paper=190), "contrast"),
    "noise": (to_image(np.asarray(drawing(ink=60, paper=220), float) + _NOISE), "contrast"),
    "small in a corner": (page(10, 215), "crop"),
    "beside on a wide page": (page(320, 10, 400, 100, 80), "crop"),
    "thick": (drawing().filter(ImageFilter.MinFilter(7)), "stroke"),
    "thin": (drawing(480, 0.008), "stroke"),
}
"""Drawings by what is wrong with them, and the step that mends it."""


def over_soft_brush(width: int, blur: float, depth: float) -> Image.Image:
    """A thin mark over the stroke of a wide soft brush, away from the border."""
    brush = Image.new("L", (200, 200), 0)
    ImageDraw.Draw(brush).line([(30, 150), (90, 60), (170, 110)], fill=255, width=width)
    share = np.asarray(brush.filter(ImageFilter.GaussianBlur(blur)), float) / 255
    image = to_image(250 * (1 - depth * share))
    ImageDraw.Draw(image).line([(60, 160), (100, 40), (150, 150)], fill=30, width=5)
    return image
