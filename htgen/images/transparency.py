"""What is transparent in an image: filled, or taken as opaque."""

from typing import Literal

import numpy as np
from PIL import Image

from htgen.arrays import Mask, Pixels
from htgen.images.components import fill_holes, find_components, hull_area
from htgen.images.paper import otsu
from htgen.images.surroundings import cut_to, has_content, without_edge

Transparency = Literal["fill", "ignore"]

_SIDE = 128
"""Resolution at which paper is searched."""

_VISIBLE = 10
"""By how much values must differ for something to be seen."""

_CONVEX = 0.93
"""Share of its hull that paper fills, whatever is on it."""

_NOT_CONVEX = 0.75
"""The same of paper with ink on it: a speech bubble with a tail, or torn edges."""

_CLEAR = 40
"""Grey levels by which that ink differs from its paper, in the mean."""

_INK = 0.02, 0.4
"""Share of the opaque part that such ink takes."""

_REACH = 0.2
"""Share of the opaque part that one stroke of it reaches over, in height or in width: eyes do not."""

_RIM = 0.1
"""Share of the opaque part's rim that is ink at most; the outline of an icon is all of it."""

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
    """The paper, if the opaque part is one: convex, or of two levels; and with something on it."""
    small = image.copy()
    small.thumbnail((_SIDE, _SIDE), Image.Resampling.BOX)
    paper = np.asarray(small.getchannel("A")) > 127
    if min(paper.shape) < 16:
        return None
    grey = np.asarray(small.convert("L" if image.mode == "LA" else "RGB").convert("L"))
    if not _is_page(grey, paper) or not has_content(grey, paper):
        return None
    pixels = np.asarray(image.convert("L" if image.mode == "LA" else "RGB").convert("L"))
    return Image.fromarray(cut_to(pixels, without_edge(paper)))


def _is_page(grey: Pixels, opaque: Mask) -> bool:
    parts = find_components(opaque)
    if not parts.count or parts.area.max() < 0.95 * parts.area.sum():
        return False
    whole = fill_holes(parts.mask(np.arange(parts.count) == parts.area.argmax()))
    if without_edge(whole).sum() < 0.25 * whole.size or opaque.sum() < 0.9 * whole.sum():
        return False
    share = whole.sum() / hull_area(whole)[0]
    return bool(share >= _CONVEX or (share >= _NOT_CONVEX and _holds_ink(grey, opaque)))


def _holds_ink(grey: Pixels, opaque: Mask) -> bool:
    """Whether the opaque part is of two levels, and the lesser one lies within the other, as ink on paper."""
    dark = opaque & (grey <= otsu(np.bincount(grey[opaque], minlength=256)))
    bright = opaque & ~dark
    ink = dark if dark.sum() <= bright.sum() else bright
    if not _INK[0] * opaque.sum() <= ink.sum() <= _INK[1] * opaque.sum():
        return False
    if grey[bright].mean() - grey[dark].mean() < _CLEAR:
        return False
    rim = opaque & ~without_edge(opaque)
    if (ink & rim).sum() > _RIM * rim.sum():
        return False
    parts, around = find_components(ink), find_components(opaque)
    high = np.max(parts.bottom - parts.top) >= _REACH * np.max(around.bottom - around.top)
    return bool(high or np.max(parts.right - parts.left) >= _REACH * np.max(around.right - around.left))
