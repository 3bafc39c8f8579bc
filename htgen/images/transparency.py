"""What is transparent in an image: filled, or taken as opaque."""

from typing import Literal, NamedTuple

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

_SHEET = 0.85
"""Share of the smallest rectangle around it that paper fills; it is not plain that other shapes are paper."""

_BRIGHT = 160
"""The middle value of what is plainly paper, of any shape, as a round sticker."""

NOTHING_OPAQUE = "all of it is transparent; the colours that lie beneath were read"

SHAPE_OF_PAPER = "its opaque part is taken for paper, and only what is on that for the drawing"

BLACK_GROUND = "it is a bright thing on transparency, which is taken as black; others may get a white ground"


class Opaque(NamedTuple):
    """An image without transparency.

    Attributes:
        image: of mode `L` or `RGB`.
        notes: what is to be said about how it was filled.
    """

    image: Image.Image
    notes: tuple[str, ...] = ()


def without_transparency(
    image: Image.Image, transparency: Transparency, paper: bool = False, is_drawn: bool = True
) -> Opaque:
    """Fill what is transparent in an image of mode `L`, `LA`, `RGB` or `RGBA`.

    Where nothing is opaque, and there is something beneath, all is taken as opaque.

    Args:
        transparency: see `htgen.images.preprocessing.Preprocessing`.
        paper: whether the opaque part may be paper, with a drawing on it; it is cut to the paper then, and
            corners that are left are filled as the paper is.
        is_drawn: whether images are of drawings, in which it does not matter how bright the ground is.
    """
    if image.mode in ("L", "RGB"):
        return Opaque(image)
    mode = "L" if image.mode == "LA" else "RGB"
    lowest, highest = _extremes(image.getchannel("A"))
    if transparency == "ignore" or lowest == 255:
        return Opaque(image.convert(mode))
    if highest == 0 and _hides_something(image):
        return Opaque(image.convert(mode), (NOTHING_OPAQUE,))
    if paper and (page := _page(image)) is not None:
        return page
    is_dark = _is_dark(image)
    canvas = Image.new("RGBA", image.size, (255, 255, 255, 255) if is_dark else (0, 0, 0, 255))
    filled = Image.alpha_composite(canvas, image.convert("RGBA")).convert(mode)
    return Opaque(filled, () if is_dark or is_drawn else (BLACK_GROUND,))


def _hides_something(image: Image.Image) -> bool:
    """Whether there is something to be seen beneath the transparency."""
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


def _page(image: Image.Image) -> Opaque | None:
    """The paper, if the opaque part is one: convex, or of two levels; and with something on it."""
    small = image.copy()
    small.thumbnail((_SIDE, _SIDE), Image.Resampling.BOX)
    paper = np.asarray(small.getchannel("A")) > 127
    if min(paper.shape) < 16:
        return None
    grey = np.asarray(small.convert("L" if image.mode == "LA" else "RGB").convert("L"))
    share = _share_of_rectangle(grey, paper)
    if share is None or not has_content(grey, paper):
        return None
    pixels = np.asarray(image.convert("L" if image.mode == "LA" else "RGB").convert("L"))
    is_plain = share >= _SHEET or np.median(grey[paper]) >= _BRIGHT
    notes = () if is_plain else (SHAPE_OF_PAPER,)
    return Opaque(Image.fromarray(cut_to(pixels, without_edge(paper))), notes)


def _share_of_rectangle(grey: Pixels, opaque: Mask) -> float | None:
    """How much of the smallest rectangle around it the opaque part fills; None where it is no paper."""
    parts = find_components(opaque)
    if not parts.count or parts.area.max() < 0.95 * parts.area.sum():
        return None
    whole = fill_holes(parts.mask(np.arange(parts.count) == parts.area.argmax()))
    if without_edge(whole).sum() < 0.25 * whole.size or opaque.sum() < 0.9 * whole.sum():
        return None
    area, (hull, rectangle) = int(whole.sum()), hull_area(whole)
    is_page = area >= _CONVEX * hull or (area >= _NOT_CONVEX * hull and _holds_ink(grey, opaque))
    return area / rectangle if is_page else None


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
