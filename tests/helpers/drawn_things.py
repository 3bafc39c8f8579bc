"""What is drawn and what is not, in many ways."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from helpers.drawings import drawing, scene, to_image
from htgen.arrays import Floats


def ball(paper: int = 255, colour: tuple[int, int, int] = (90, 140, 60)) -> Image.Image:
    """A shaded thing on plain paper, as shops show theirs."""
    y, x = np.mgrid[-1:1:120j, -1:1:120j]
    shade = np.clip(1.3 - np.hypot(x - 0.2, y - 0.2), 0, 1.2)[..., None] * np.array(colour)
    inside = (np.hypot(x, y) < 0.6)[..., None]
    return Image.fromarray(np.clip(np.where(inside, shade, paper), 0, 255).astype(np.uint8))


def in_light(image: Image.Image) -> Image.Image:
    """On photographed paper: light falls off, and there is noise."""
    values = 40 + np.asarray(image.convert("RGB")) / 255 * 180
    light = np.linspace(1, 0.85, image.width)[None, :, None]
    noise = np.random.default_rng(0).normal(0, 1, values.shape)
    return Image.fromarray(np.clip(values * light + noise, 0, 255).astype(np.uint8))


def icon() -> Image.Image:
    image = Image.new("RGB", (64, 64), "white")
    ImageDraw.Draw(image).polygon([(8, 50), (32, 8), (56, 50)], fill=(20, 60, 200))
    return image


DRAWN_THINGS = {
    "black on white": drawing(),
    "white on black": drawing(ink=255, paper=0),
    "grey on grey": drawing(ink=60, paper=200),
    "bold": drawing(width=0.12),
    "blurred": drawing(300).filter(ImageFilter.GaussianBlur(2)),
    "photographed": in_light(drawing(300)),
    "icon": icon(),
}

THINGS = {
    **{f"scene {seed}": scene(seed) for seed in range(4)},
    **{f"grey scene {seed}": scene(seed).convert("L") for seed in range(4)},
    "on white": ball(),
    "on black": ball(0),
    "grey on white": ball().convert("L"),
    "nearly white on white": ball(255, (230, 230, 228)),
    "sky": Image.fromarray(np.linspace(90, 220, 120).astype(np.uint8)[:, None].repeat(120, axis=1)),
    "noise": Image.fromarray(np.random.default_rng(0).integers(0, 256, (120, 120, 3)).astype(np.uint8)),
    "one colour": Image.new("RGB", (120, 120), (200, 30, 30)),
}


def coloured_scene(seed: int, side: int = 240) -> Image.Image:
    """Pale things of all colours, with textures."""
    cells = np.random.default_rng(seed).normal(0, 25, (24, 24))
    return _textured(70 + 0.45 * _colours(seed, side), cells)


def bright_scene_with_a_sign(seed: int, side: int = 240) -> Image.Image:
    """Things of all colours that are as bright, with a faint texture; before them a black sign."""
    colours = _colours(seed, side)
    colours -= colours.mean(axis=2, keepdims=True)
    cells = np.random.default_rng(seed).normal(0, 8, (48, 48))
    sign = np.asarray(drawing(side, width=0.12), float)[..., None] / 255
    return _textured(170 + 0.5 * colours, cells, 0.15 + 0.85 * sign)


def _colours(seed: int, side: int) -> Floats:
    return np.asarray(scene(seed).resize((side, side), Image.Resampling.BICUBIC), np.float64)


def _textured(values: Floats, cells: Floats, light: Floats | float = 1.0) -> Image.Image:
    image = Image.fromarray(cells.astype(np.float32))
    texture = np.asarray(image.resize((values.shape[1], values.shape[0]), Image.Resampling.BICUBIC))
    return to_image((values + texture[..., None]) * light)
