"""Ink and paper: from a grey image of a drawing, of whatever kind, to bright ink on an empty ground.

People bring photographs of paper, scans and exported drawings. The steps below bring them to what generators
of drawings were trained on. Each can be left out; which were taken, and with which numbers, travels with
every CNN (`htgen.images.preprocessing.Preprocessing.steps`), so that support and query images go through the
same.

All sizes in pixels are relative to the image or to what it becomes, so that a drawing of any resolution is
treated alike. Nothing here depends on other images.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from htgen.arrays import Floats, Pixels
from htgen.images.beside import FAINT, Parts, find_parts
from htgen.images.ground import find_ground
from htgen.images.ordered import Ordered
from htgen.images.paper import (
    SHADE_SIDE,
    Polarity,
    background_value,
    detect_polarity,
    find_levels,
    find_shade,
    has_peaks,
    is_explained,
    paper_light,
    side_of_ink,
    taken_share,
)
from htgen.images.resampling import (
    COARSE_SIDE,
    pad,
    quantile_of,
    resize,
    shrink,
    shrink_to,
)
from htgen.images.ruled import RULED, without_rules
from htgen.images.shadows import without_shadows
from htgen.images.sharp_shadows import without_sharp_shadow
from htgen.images.specks import without_specks
from htgen.images.strokes import even_strokes, outlines, stretch_contrast
from htgen.images.surroundings import without_surroundings

WORKING_SIDE = 1024
"""Larger images are scaled down first: what a CNN sees of them is much smaller still."""

_LIGHT_SIDE = 32
"""Resolution at which the light on the paper is estimated."""

_BOX_SIDE = 128
"""Resolution at which the ink is searched."""

_STRAY = 0.005
"""Share of the ink that may lie outside its box at each of the four sides: specks."""

_FULL_INK = 0.999
"""Quantile of an image's amounts of ink that is taken for the ink itself, where shadows are told from it."""

_SMALLEST_WINDOW = 4.0
"""Of an image at least so many pixels are shown on each side."""

_SMOOTH = 0.1
"""Share of an image's variance that smooth light leaves at most where it is all there is."""

_NOTHING, _SURE = 0.002, 0.5
"""The same where nothing is drawn, and the amount of ink that is no light."""

_UNEVEN = 0.1
"""Paper that varies more, compared with the ink's distance from it, is none."""

_CLEAN, _DARK = 0.0039, 0.8
"""Amounts of ink: on clean paper, less than a level of grey, and in plain strokes."""


@dataclass(frozen=True)
class InkSteps:
    """How drawings are brought to one form, before they are scaled down. The order is that of the fields.

    Args:
        polarity: turn over what is dark on light where the other is wanted, and the reverse; otherwise
            images are taken to be as wanted.
        flatten: take away what is uneven in the paper's light: shadows, gradients, a grey ground.
        crop: cut to the ink and a margin around it, so that the longer side of the ink's box is this share
            of the result's side, 0.1 to 1. 0: the whole image.
        contrast: stretch the ink to the full range, and clear the paper of noise.
        outline: leave of what is thicker only an edge as wide as this share of the result's side, 0.01 to
            0.2, so that solid shapes and their outlines look alike. 0: solid shapes stay solid.
        stroke: make strokes about as wide as this share of the result's side, 0.01 to 0.2. 0: as they are.
        clean: leave out what is not the drawing: what lies around the paper, single pixels, dust, and small
            things near the border; paper is what is beside a drawing that reaches the border; an empty page
            becomes empty. This changes nothing in an image of a drawing alone. It is done first,
            and only with one of the four steps before: images that are scaled alone are read as they are.

    Raises:
        ValueError: a value outside its range.
    """

    polarity: bool = True
    flatten: bool = False
    crop: float = 0.0
    contrast: bool = False
    outline: float = 0.0
    stroke: float = 0.0
    clean: bool = False

    def __post_init__(self) -> None:
        for key in ("polarity", "flatten", "contrast", "clean"):
            if type(getattr(self, key)) is not bool:
                raise ValueError(f"{key} must be true or false, not {getattr(self, key)!r}")
        for key, low, high in (("crop", 0.1, 1.0), ("outline", 0.01, 0.2), ("stroke", 0.01, 0.2)):
            value = getattr(self, key)
            if type(value) not in (int, float) or not (value == 0 or low <= value <= high):
                raise ValueError(f"{key} must be 0 or from {low:g} to {high:g}, not {value!r}")

    @property
    def change_pixels(self) -> bool:
        """Whether there is more to do than to turn images over."""
        return bool(self.flatten or self.crop or self.contrast or self.outline or self.stroke)

    @property
    def cleans(self) -> bool:
        """Whether the step `clean` is done."""
        return self.clean and self.change_pixels

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `clean` and `outline` are left out where they are not done, as before there were
        these steps."""
        record = asdict(self)
        for key in ("clean", "outline"):
            if not record[key]:
                del record[key]
        return record

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "InkSteps":
        """Inverse of `to_dict`.

        Raises:
            ValueError: unknown keys, or a value outside its range.
        """
        unknown = set(record) - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"unknown step {', '.join(map(repr, sorted(unknown)))}")
        return cls(**record)


NO_STEPS = InkSteps()
"""Drawings are turned over where they must be, and scaled."""

DRAWING_STEPS = InkSteps(flatten=True, crop=0.9, contrast=True, stroke=0.058, clean=True)
"""What generators of drawings are used with: chosen on Omniglot's validation alphabets
(docs/lab/real-images.md).

The stroke is the median of the training alphabets' strokes, enlarged as their ink is.
"""

ICON_STEPS = replace(DRAWING_STEPS, outline=0.03, clean=False)
"""What generators of icons are used with: solid icons become outlines (docs/lab/experiments.md).

There is no step `clean`: it takes a solid icon for paper that lies on something.
"""


# ----------------------------------------------------------------------------------------- one image's ink


class Drawing(NamedTuple):
    """An image as an amount of ink.

    Attributes:
        ink: `[H, W]`, about 0 (`ground`) to 1; noise of the paper may be below.
        ground: the amount at places without ink.
        polarity: what the image was.
        parts: what the ink is made of, at `_BOX_SIDE`; None without the step `clean`.
        page: the paper as it was, `[H, W]`, where ink was found in another way than on even paper.
    """

    ink: Floats
    ground: float
    polarity: Polarity
    parts: Parts | None = None
    page: Pixels | None = None


def read_ink(grey: Image.Image, steps: InkSteps, as_wanted: Polarity) -> Drawing:
    """Tell ink from paper: the steps `clean`, `polarity` and `flatten`.

    Args:
        grey: of mode `L`; at most `WORKING_SIDE` of it is kept.
        as_wanted: the polarity that images are taken to have without the step `polarity`.
    """
    if max(grey.size) > WORKING_SIDE:
        grey = grey.copy()
        grey.thumbnail((WORKING_SIDE, WORKING_SIDE), Image.Resampling.BOX)
    pixels = np.frombuffer(grey.tobytes(), np.uint8).reshape(grey.height, grey.width)
    if not steps.cleans:
        return _read_ink(pixels, steps, as_wanted)
    unruled = without_rules(pixels)
    told = () if unruled is pixels else (RULED,)
    clean = without_specks(unruled)
    (coarse,) = shrink_to(clean, COARSE_SIDE)
    lit, doubt = without_shadows(clean, coarse)
    if lit is clean:
        lit, doubt = without_sharp_shadow(clean, coarse)
    paper = without_surroundings(lit, coarse if lit is clean else None)
    if not told and paper.grey.shape != pixels.shape:
        unruled = without_rules(paper.grey)
        told, paper = () if unruled is paper.grey else (RULED,), paper._replace(grey=unruled)
    pixels = paper.grey
    drawing = _read_ink(pixels, steps, as_wanted)
    ink = shrink(drawing.ink - np.float32(drawing.ground), _BOX_SIDE)
    parts = find_parts(ink, pixels, drawing.polarity == "light on dark")
    if paper.is_empty:
        parts = Parts(np.zeros_like(parts.drawing), is_blank=True)
    if doubt is not None and not parts.is_blank:
        told = (*told, doubt)
    parts = parts._replace(warnings=tuple(dict.fromkeys(told + paper.warnings + parts.warnings)))
    ink = drawing.ink if parts.limit is None else np.minimum(drawing.ink, drawing.ground + parts.limit)
    if parts.others is not None:
        others = np.asarray(Image.fromarray(parts.others).resize(ink.shape[::-1], Image.Resampling.NEAREST))
        ink = np.where(others, np.float32(drawing.ground), ink)
    page = pixels if drawing.page is not None or parts.others is not None else None
    return drawing._replace(ink=ink, parts=parts, page=page)


def _read_ink(pixels: Pixels, steps: InkSteps, as_wanted: Polarity) -> Drawing:
    """The same for an image `[H, W]` that is cleaned, or shall not be."""
    coarse, small = shrink_to(pixels, SHADE_SIDE, _LIGHT_SIDE)
    ground = find_ground(np.rint(coarse).astype(np.uint8)) if steps.cleans else None
    told = ground.polarity if ground is not None else None
    if not steps.flatten:
        polarity = (told or detect_polarity(pixels)) if steps.polarity else as_wanted
        bright = pixels if polarity == "light on dark" else 255 - pixels
        return Drawing(
            (bright / np.float32(255)).astype(np.float32), background_value(bright) / 255, polarity
        )
    light = paper_light(small)
    difference = coarse - (known := resize(light, coarse.shape[::-1], Image.Resampling.BICUBIC))
    if ground is not None and is_explained(difference, coarse, _SMOOTH):
        ground = told = None
    polarity = (told or side_of_ink(difference, float(light.mean()))) if steps.polarity else as_wanted
    if ground is not None:
        light = ground.light(pixels, small, polarity)
    values = pixels.astype(np.float32)
    if polarity == "light on dark":
        values, coarse, light = 255 - values, 255 - coarse, 255 - light
    ink = taken_share(values, light, steps.cleans)
    if ground is not None:  # two values: there are no shadows
        return Drawing(ink, 0.0, polarity, page=pixels)
    darkest = quantile_of(ink, _FULL_INK)
    may_be_light = steps.cleans and polarity == "light on dark" and darkest < _SURE
    if may_be_light and is_explained(difference, coarse, _NOTHING) and not has_peaks(difference):
        return Drawing(np.zeros_like(ink), 0.0, polarity)
    taken = taken_share(coarse, light, steps.cleans, known if polarity == "dark on light" else None)
    shade = find_shade(taken, darkest, steps.cleans)
    ink -= (shade := resize(shade, values.shape[::-1], Image.Resampling.BILINEAR))
    return Drawing(np.divide(ink, 1 - shade, out=ink), 0.0, polarity)


def looks_drawn(drawing: Drawing) -> bool:
    """Whether an image may be a drawing: the paper is even, compared with how far the ink is from it.

    Photographs of other things are uneven everywhere; more than half of them are told by this, and next to no
    scan, so that a folder of photographs stands out. Colours play no part: ink may have any.

    Args:
        drawing: read with the steps `polarity` and `flatten`.
    """
    if drawing.parts is not None and drawing.parts.is_blank:
        return True
    if drawing.page is not None:
        drawing = _read_ink(drawing.page, replace(DRAWING_STEPS, clean=False), drawing.polarity)
    ink = shrink(drawing.ink, SHADE_SIDE)
    if _is_plainly_drawn(ink):
        return True
    levels = find_levels(Ordered(ink))
    is_ink = ink > levels.threshold
    if not is_ink.any() or is_ink.all():
        return True
    return bool(levels.spread < _UNEVEN * (ink[is_ink].mean() - ink[~is_ink].mean()))


def _is_plainly_drawn(ink: Floats) -> bool:
    """Whether `looks_drawn` would find no more than even paper, as far as counting tells: most of it is
    `_CLEAN`, so the middle of the paper is, and half of the paper is no farther from that than twice as much;
    a few values are `_DARK`, a third of which the threshold is at least, and so is the mean of the ink above.
    """
    spread, threshold = 1.4826 * 2 * _CLEAN, (_DARK - 2 * _CLEAN) / 3
    return bool(
        2 * np.count_nonzero(np.abs(ink) <= _CLEAN) > ink.size + 1
        and np.count_nonzero(ink >= _DARK) >= 0.002 * ink.size + 2  # so that the darkest of all levels is
        and 1.001 * spread < _UNEVEN * (threshold - float(ink.mean()))
    )


def normalise(drawing: Drawing, steps: InkSteps, fit: str, size: int) -> Floats:
    """Cut out, clear and bring to an even stroke: the steps `crop`, `contrast`, `outline` and `stroke`.

    Args:
        fit: what becomes of another shape than a square, as in `Preprocessing.fit`; with `crop` it is the
            ink's box that is stretched, or gets margins.
        size: side of the image that the CNN sees.

    Returns:
        `[S, S]`, 0..1, bright ink; S is at most four times `size`.
    """
    if drawing.parts is not None and drawing.parts.is_blank:
        return np.zeros((size, size), np.float32)
    canvas = _cut(drawing, *_window(drawing, steps.crop, fit), 4 * size)
    if steps.contrast:
        canvas = stretch_contrast(canvas)
    canvas = np.clip(canvas, 0, 1)
    if steps.outline:
        canvas = outlines(canvas, steps.outline, size)
    return even_strokes(canvas, steps.stroke, size) if steps.stroke else canvas


Span = tuple[float, float]
"""Centre and length along one axis, in pixels."""


def _window(drawing: Drawing, crop: float, fit: str) -> tuple[Span, Span]:
    """What is cut out, (x, y); it may reach beyond the image."""
    height, width = drawing.ink.shape
    x, y = (width / 2, float(width)), (height / 2, float(height))
    box = _ink_box(drawing) if crop else None
    if box is not None:
        x, y = ((centre, max(length / crop, _SMALLEST_WINDOW)) for centre, length in box)
    elif fit == "crop":
        return (x[0], min(x[1], y[1])), (y[0], min(x[1], y[1]))
    if fit == "stretch":
        return x, y
    side = max(x[1], y[1])
    return (x[0], side), (y[0], side)


def _ink_box(drawing: Drawing) -> tuple[Span, Span] | None:
    """Where the ink is; None where there is none."""
    if drawing.parts is not None:
        is_ink = drawing.parts.drawing
    else:
        ink = shrink(drawing.ink - np.float32(drawing.ground), _BOX_SIDE)
        levels = find_levels(Ordered(ink))
        is_ink = ink > levels.threshold
        if not is_ink.any() or ink[is_ink].mean() < levels.paper + FAINT:
            return None
    spans = []
    for axis, full in ((0, drawing.ink.shape[1]), (1, drawing.ink.shape[0])):
        mass = is_ink.sum(axis=axis).cumsum()
        first = int(np.count_nonzero(mass <= _STRAY * mass[-1]))
        last = int(np.count_nonzero(mass < (1 - _STRAY) * mass[-1])) + 1
        scale = full / len(mass)
        spans.append(((first + last) / 2 * scale, (last - first) * scale))
    return spans[0], spans[1]


def _cut(drawing: Drawing, x: Span, y: Span, limit: int) -> Floats:
    """A window as a square of its own resolution, or of `limit` pixels where that is less."""
    height, width = drawing.ink.shape
    left, right = x[0] - x[1] / 2, x[0] + x[1] / 2
    top, bottom = y[0] - y[1] / 2, y[0] + y[1] / 2
    margins = [
        (max(0, int(np.ceil(-low))), max(0, int(np.ceil(high - length))))
        for low, high, length in ((top, bottom, height), (left, right, width))
    ]
    ink = pad(drawing.ink, margins, drawing.ground)
    (above, _), (before, _) = margins
    box = (
        max(left + before, 0),
        max(top + above, 0),
        min(right + before, ink.shape[1]),
        min(bottom + above, ink.shape[0]),
    )
    side = max(1, min(round(max(x[1], y[1])), limit))
    return resize(ink, (side, side), box=box)
