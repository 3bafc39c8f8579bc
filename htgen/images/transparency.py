"""What is transparent in an image: filled, or taken as opaque."""

from typing import Literal

import numpy as np
from PIL import Image

from htgen.arrays import Mask
from htgen.images.components import fill_holes, find_components, hull_area
from htgen.images.surroundings import cut_to, has_content, without_edge

Transparency = Literal["fill", "ignore"]

_SIDE = 128
"""Resolution at which paper is searched."""

_VISIBLE = 10
"""By how much values must differ for something to be seen."""

NOTHING_OPAQUE = "all of it is transparent; the colours that lie beneath were read"


def without_transparency(image: Image.Image, transparency: Transparency, paper: bool = False) -> Image.Image:
    """An image of mode `L`, `LA`, `RGB` or `RGBA` -> `L` or `RGB`.

    Where nothing is opaque, and there is something beneath, all is taken as opaque.

    Args:
        transparency: see `htgen.images.preprocessing.Preprocessing`.
        paper: whether the opaque part may be paper, with a drawing on it; it is cut to the paper then, and
            corners that are left are filled as the paper is.
    """
    if image.mode in ("L", "RGB"):
        return image
    mode = "L" if image.mode == "LA" else "RGB"
    lowest, highest = _extremes(image.getchannel("A"))
    if transparency == "ignore" or lowest == 255 or (highest == 0 and is_hidden(image)):
        return image.convert(mode)
    if paper and (page := _page(image)) is not None:
        return page
    canvas = Image.new("RGBA", image.size, (255, 255, 255, 255) if _is_dark(image) else (0, 0, 0, 255))
    return Image.alpha_composite(canvas, image.convert("RGBA")).convert(mode)


def is_hidden(image: Image.Image) -> bool:
    """Whether nothing of an image is opaque, and something lies beneath."""
    if "A" not in image.getbands() or _extremes(image.getchannel("A"))[1] > 0:
        return False
    low, high = _extremes(image.convert("L" if image.mode == "LA" else "RGB").convert("L"))
    return high - low >= _VISIBLE


def _extremes(grey: Image.Image) -> tuple[int, int]:
    """The least and the greatest value of an image of mode `L`."""
    values = np.flatnonzero(grey.histogram())
    return int(values[0]), int(values[-1])


def _is_dark(image: Image.Image) -> bool:
    """Whether the opaque part is dark on average; also where there is none.

    The colours under full transparency are arbitrary, so they get no weight.
    """
    weight = brightness = 0
    for top in range(0, image.height, 256):
        strip = image.crop((0, top, image.width, min(top + 256, image.height)))
        opacity = np.asarray(strip.getchannel("A"), dtype=np.int64)
        grey = np.asarray(strip.convert("L" if image.mode == "LA" else "RGB").convert("L"), dtype=np.int64)
        weight, brightness = weight + int(opacity.sum()), brightness + int((grey * opacity).sum())
    return brightness < 127.5 * weight or not weight


def _page(image: Image.Image) -> Image.Image | None:
    """The paper, if the opaque part is one: convex, and with something on it."""
    small = image.copy()
    small.thumbnail((_SIDE, _SIDE), Image.Resampling.BOX)
    paper = np.asarray(small.getchannel("A")) > 127
    if min(paper.shape) < 16 or not _is_page(paper):
        return None
    grey = small.convert("L" if image.mode == "LA" else "RGB").convert("L")
    if not has_content(np.asarray(grey), paper):
        return None
    pixels = np.asarray(image.convert("L" if image.mode == "LA" else "RGB").convert("L"))
    return Image.fromarray(cut_to(pixels, without_edge(paper)))


def _is_page(opaque: Mask) -> bool:
    parts = find_components(opaque)
    if not parts.count or parts.area.max() < 0.95 * parts.area.sum():
        return False
    whole = fill_holes(parts.mask(np.arange(parts.count) == parts.area.argmax()))
    if without_edge(whole).sum() < 0.25 * whole.size or opaque.sum() < 0.9 * whole.sum():
        return False
    return bool(whole.sum() >= 0.93 * hull_area(whole)[0])
