"""An upright image -> the pixels that a CNN sees, by a record that travels with stores, generators and CNNs.

`htgen.images.reading` makes the upright image of a file; `htgen.images.inputs` does both.

Support images, query images and training images all go through `Preprocessing.read`, so that a CNN never
sees images prepared in another way than those it was made for.
"""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, replace
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from PIL import Image, ImageChops

from htgen.arrays import Mask, Pixels
from htgen.errors import ModelError
from htgen.images.coloured import has_colours_of_scene
from htgen.images.drawings import (
    DRAWING_STEPS,
    NO_STEPS,
    WORKING_SIDE,
    Drawing,
    InkSteps,
    looks_drawn,
    normalise,
    read_ink,
)
from htgen.images.gaps import Gaps, find_gaps, longer_side
from htgen.images.paper import Polarity, background_value, detect_polarity
from htgen.images.reading import NOTES, enough_memory, simplify
from htgen.images.resampling import mean_width
from htgen.images.transparency import Transparency, without_transparency

Ink = Literal["bright", "dark", "none"]

Fit = Literal["pad", "crop", "stretch"]

Step = Literal[
    "transparency", "clean", "polarity", "flatten", "crop", "aspect", "contrast", "outline", "stroke"
]
"""In the order in which they are done."""

_CHOICES: dict[str, tuple[Any, ...]] = {
    "channels": (1, 3),
    "ink": get_args(Ink),
    "fit": get_args(Fit),
    "transparency": get_args(Transparency),
}

MAX_SIZE = 4096

_ENOUGH = 3
"""Times the side of what a CNN sees: then no value, of 255, differs by more than 2 (8 photographs of
Caltech-101, enlarged to 4000 x 3000; 96 and 224 pixels)."""

_FEWEST_PIXELS = 16
"""Characters of so many are right in 81 % in place of 92 %, of 12 in 62 % (docs/lab/real-images.md)."""

_WHOLE = 0.98
"""Share of the image that is left at least where no paper was found in it."""

_VISIBLE = 10
"""By how much values, of 255, must differ for something to be seen."""


# ---------------------------------------------------------------------------------------------- preprocessing


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes the array that a CNN sees.

    Args:
        size: side of the square, 1 to 4096 pixels.
        channels: 1 (grey) or 3 (RGB).
        ink: for drawings, the values ink shall have: `bright` (high) or `dark` (low), whatever the file has;
            `none`: no drawings, values stay as they are.
        fit: how an image that is not square becomes so: `pad` with its background, `crop` its centre,
            `stretch`.
        steps: what is done with grey drawings (`channels` 1, `ink` not `none`) before they are scaled down.
        transparency: what is transparent is filled (`fill`) with white when the opaque part is dark on
            average and with black when it is bright, so that ink on no background stays visible; or all is
            taken as opaque (`ignore`), in the colours that lie beneath.
        device: grey drawings are prepared as a small device does it (`htgen.images.on_device`); of `steps`
            only `stroke` plays a part then, and `fit` none.

    Raises:
        ValueError: a value outside its range.
    """

    size: int
    channels: int
    ink: Ink
    fit: Fit
    steps: InkSteps = NO_STEPS
    transparency: Transparency = "fill"
    device: bool = False

    def __post_init__(self) -> None:
        if type(self.size) is not int or not 1 <= self.size <= MAX_SIZE:
            raise ValueError(f"size must be a whole number from 1 to {MAX_SIZE}, not {self.size!r}")
        for key, choices in _CHOICES.items():
            value = getattr(self, key)
            if value not in choices or type(value) is not type(choices[0]):
                raise ValueError(f"{key} must be {' or '.join(map(repr, choices))}, not {value!r}")
        if type(self.device) is not bool:
            raise ValueError(f"device must be true or false, not {self.device!r}")
        if (self.steps.change_pixels or self.device) and not self.is_for_drawings:
            raise ValueError("steps are for grey drawings, with channels 1 and ink 'bright' or 'dark'")

    @property
    def is_for_drawings(self) -> bool:
        """Whether these are grey drawings, of which ink and paper can be told apart."""
        return self.channels == 1 and self.ink != "none"

    @property
    def enough(self) -> int | None:
        """From how many pixels of the shorter side on more of them change nothing to speak of; None where all
        count, as thin ink does.
        """
        return None if self.ink != "none" else _ENOUGH * self.size

    @property
    def possible(self) -> tuple[Step, ...]:
        """The steps that there may be for such images, taken or not, in the order in which they are done."""
        kept: dict[Step, bool] = {"transparency": True, "polarity": self.ink != "none", "aspect": True}
        return tuple(step for step in get_args(Step) if kept.get(step, self.is_for_drawings))

    def for_real_images(self) -> "Preprocessing":
        """The same with the steps for drawings, unless it has steps already or is for other images.

        Generators from before there was the step `clean` get it: it changes nothing in the drawings that they
        were trained on.
        """
        if not self.is_for_drawings or self.steps not in (NO_STEPS, replace(DRAWING_STEPS, clean=False)):
            return self
        return replace(self, steps=DRAWING_STEPS)

    def on_device(self) -> "Preprocessing":
        """The same with the steps that a small device can do.

        Raises:
            ValueError: it is not for grey drawings.
        """
        return replace(self, steps=replace(NO_STEPS, stroke=self.steps.stroke), device=True)

    def prepares_as(self, other: "Preprocessing") -> bool:
        """Whether another one makes the same of drawings alone, which the step `clean` leaves as they are."""
        first, second = (
            replace(record, steps=replace(record.steps, clean=False)) for record in (self, other)
        )
        return first == second

    def without(self, *steps: Step) -> "Preprocessing":
        """The same without some steps; without `aspect`, images are stretched to a square, and without
        `transparency` they are taken as opaque.

        Raises:
            ValueError: there is no such step for such images.
        """
        changed = self
        for step in steps:
            if step not in self.possible:
                raise ValueError(f"there is no step {step!r} for such images: {', '.join(self.possible)}")
            if step == "aspect":
                changed = replace(changed, fit="stretch")
            elif step == "transparency":
                changed = replace(changed, transparency="ignore")
            else:
                off: dict[str, Any] = {step: type(getattr(NO_STEPS, step))(0)}
                changed = replace(changed, steps=replace(changed.steps, **off))
        return changed

    def to_dict(self) -> dict[str, Any]:
        """The record as plain JSON values; what is as it was before there were such keys is left out."""
        record: dict[str, Any] = {
            "size": self.size,
            "channels": self.channels,
            "ink": self.ink,
            "fit": self.fit,
        }
        if self.steps != NO_STEPS:
            record["steps"] = self.steps.to_dict()
        if self.transparency != "fill":
            record["transparency"] = self.transparency
        if self.device:
            record["device"] = True
        return record

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "Preprocessing":
        """Inverse of `to_dict`.

        Raises:
            ModelError: unknown or missing keys, or a value outside its range.
        """
        known = {field.name: field.default for field in fields(cls)}
        faults = [f"unknown key {key!r}" for key in sorted(map(str, set(record) - known.keys()))]
        needed = {key for key, default in known.items() if default is MISSING}
        faults += [f"missing key {key!r}" for key in sorted(needed - set(record))]
        if not faults:
            try:
                steps = InkSteps.from_dict(record.get("steps", {}))
                return cls(**{**record, "steps": steps})
            except (ValueError, TypeError) as error:
                faults = [str(error)]
        raise ModelError(
            f"the preprocessing record does not fit this version: {'; '.join(faults)}",
            "make the file again with this version of htgen, or use the version that wrote it",
        )

    @enough_memory()
    def read(self, image: Image.Image) -> "Reading":
        """Look at an image: what it is, and what a CNN sees of it.

        Raises:
            DataError: it has values that are not finite, or there is not enough memory, here or later.
        """
        return self.read_simple(simplify(image), tuple(image.info.get(NOTES, ())))

    @enough_memory()
    def read_simple(self, image: Image.Image, notes: tuple[str, ...] = ()) -> "Reading":
        """The same of an image that was simplified, and stays as it is from then on.

        Args:
            image: of mode `L`, `LA`, `RGB` or `RGBA`.
            notes: what is to be said about how it was read.
        """
        opaque = without_transparency(image, self.transparency, self.steps.cleans, self.ink != "none")
        return Reading(opaque.image, self, (*notes, *opaque.notes))

    def apply(self, image: Image.Image) -> Pixels:
        """Return the image as uint8 `[size, size, channels]`."""
        return self.read(image).pixels

    @property
    def _wanted(self) -> Polarity:
        return "dark on light" if self.ink == "dark" else "light on dark"

    def _fit(self, image: Image.Image) -> Image.Image:
        side = (self.size, self.size)
        width, height = image.size
        if self.fit == "stretch" or width == height:
            return image.resize(side, Image.Resampling.LANCZOS)
        if self.fit == "crop":
            short = min(width, height)
            left, top = (width - short) / 2, (height - short) / 2
            return image.resize(side, Image.Resampling.LANCZOS, box=(left, top, left + short, top + short))
        # Scaled first and padded then, so that a 1 x 50000 image never becomes 50000 x 50000.
        long = max(width, height)
        width, height = (max(1, round(length * self.size / long)) for length in (width, height))
        background = tuple(background_value(np.asarray(channel)) for channel in image.split())
        canvas = Image.new(image.mode, side, background if self.channels == 3 else background[0])
        scaled = image.resize((width, height), Image.Resampling.LANCZOS)
        canvas.paste(scaled, ((self.size - width) // 2, (self.size - height) // 2))
        return canvas


class Reading:
    """One image, read with one `Preprocessing`; what is asked for is computed then, once, and so is its ink
    (again for `looks_drawn` where a step that this needs is switched off).

    Args:
        image: of mode `L` or `RGB`.
        notes: what is to be said about how it was read.
    """

    def __init__(self, image: Image.Image, preprocessing: Preprocessing, notes: tuple[str, ...] = ()) -> None:
        self._image, self._preprocessing, self._notes = image, preprocessing, notes

    @property
    def _grey(self) -> Image.Image:
        return self._image if self._image.mode == "L" else self._image.convert("L")

    @cached_property
    @enough_memory()
    def _drawing(self) -> Drawing:
        return read_ink(self._grey, self._preprocessing.steps, self._preprocessing._wanted)

    @property
    def polarity(self) -> Polarity:
        """What the image is taken to be."""
        return self._drawing.polarity

    @property
    def looks_drawn(self) -> bool:
        """Whether it may be a drawing; see `htgen.images.drawings.looks_drawn`."""
        return looks_drawn(self._sure_drawing)

    @cached_property
    def is_photograph(self) -> bool:
        """Whether it is plainly no drawing, by how uneven it is or by its colours.

        Colours say nothing where paper was found among other things.
        """
        if self.is_blank:
            return False
        drawing = self._sure_drawing
        width, height = self._image.size
        whole = width * height * min(1.0, WORKING_SIDE / max(width, height)) ** 2
        is_whole = drawing.ink.size > _WHOLE * whole
        return not looks_drawn(drawing) or (is_whole and has_colours_of_scene(self._image))

    @cached_property
    @enough_memory()
    def _sure_drawing(self) -> Drawing:
        """The drawing, read with all that it takes to say what it is."""
        steps = self._preprocessing.steps
        if steps.flatten and steps.polarity and steps.clean:
            return self._drawing
        return read_ink(self._grey, DRAWING_STEPS, "light on dark")

    @property
    def warnings(self) -> tuple[str, ...]:
        """What may be read otherwise than it was meant, a sentence each without a full stop."""
        parts = self._sure_drawing.parts if self._preprocessing.is_for_drawings else None
        return self._notes if parts is None else self._notes + parts.warnings

    @property
    def gaps(self) -> Gaps | None:
        """How far apart the parts of the drawing lie; None where there is no drawing."""
        return None if (ink := self._where_ink_is) is None else find_gaps(ink)

    @property
    def stroke(self) -> float | None:
        """How wide strokes are, by the longer side of the ink; None where there is no drawing."""
        return None if (ink := self._where_ink_is) is None else mean_width(ink) / longer_side(ink)

    @property
    def _where_ink_is(self) -> Mask | None:
        """Where there is ink of the drawing, coarsely; None where there is no drawing."""
        parts = self._sure_drawing.parts if self._preprocessing.is_for_drawings else None
        return None if parts is None or parts.is_blank else parts.drawing

    @property
    def is_cut(self) -> bool:
        """Whether half of the image or more is cut off, because it is far from square."""
        short, long = sorted(self._image.size)
        return self._preprocessing.fit == "crop" and long >= 2 * short

    @property
    def is_tiny(self) -> bool:
        """Whether it has so few pixels that much of a drawing is lost."""
        return self._preprocessing.ink != "none" and max(self._image.size) < _FEWEST_PIXELS

    @cached_property
    def is_blank(self) -> bool:
        """Whether there is nothing to be seen: no ink, or hardly more than one value in what a CNN sees."""
        parts = self._sure_drawing.parts if self._preprocessing.is_for_drawings else None
        if parts is not None and parts.is_blank:
            return True
        return int(self.pixels.max()) - int(self.pixels.min()) < _VISIBLE

    @cached_property
    @enough_memory()
    def pixels(self) -> Pixels:
        """What a CNN sees: uint8 `[size, size, channels]`."""
        wish = self._preprocessing
        image = self._grey if wish.channels == 1 else self._image.convert("RGB")
        if wish.device:
            from htgen.images.on_device import prepare_on_device  # which few CNNs need

            ink = prepare_on_device(np.asarray(image), wish.size, wish.steps.stroke)
            return (255 - ink if wish.ink == "dark" else ink)[..., None]
        if wish.steps.change_pixels:
            ink = np.rint(normalise(self._drawing, wish.steps, wish.fit, wish.size) * 255).astype(np.uint8)
            image = Image.frombytes("L", ink.shape[::-1], (255 - ink if wish.ink == "dark" else ink).data)
        elif (
            wish.ink != "none" and wish.steps.polarity and detect_polarity(np.asarray(image)) != wish._wanted
        ):
            image = ImageChops.invert(image)
        pixels = np.frombuffer(wish._fit(image).tobytes(), np.uint8)
        return pixels.reshape(wish.size, wish.size, wish.channels)
