"""Image file -> array: reading, and the preprocessing record that travels with stores, generators and CNNs.

Support images, query images and training images all go through `Preprocessing.read`, so that a CNN never
sees images prepared in another way than those it was made for.
"""

import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Literal, get_args

import numpy as np
from PIL import Image, ImageChops, ImageOps, UnidentifiedImageError

from htgen import heic
from htgen.errors import DataError, ModelError
from htgen.ink import (
    DRAWING_STEPS,
    NO_STEPS,
    Drawing,
    InkSteps,
    Polarity,
    background_value,
    detect_polarity,
    looks_drawn,
    normalise,
    read_ink,
)
from htgen.ink import Pixels as Pixels
from htgen.paths import kind_at

Ink = Literal["bright", "dark", "none"]
Fit = Literal["pad", "crop", "stretch"]
Transparency = Literal["fill", "ignore"]
Step = Literal["transparency", "polarity", "flatten", "crop", "aspect", "contrast", "stroke"]
"""In the order in which they are done."""

_CHOICES: dict[str, tuple[Any, ...]] = {
    "channels": (1, 3),
    "ink": get_args(Ink),
    "fit": get_args(Fit),
    "transparency": get_args(Transparency),
}
MAX_SIZE = 4096
_VISIBLE = 10
"""By how much values, of 255, must differ for something to be seen."""
_COMMON_ENDINGS = (".png", ".jpg", ".webp", ".bmp", ".gif", ".tif")
_OF_THE_SYSTEM = {"Thumbs.db", "desktop.ini"}


# ---------------------------------------------------------------------------------------------------- reading


def load_image(path: str | Path) -> Image.Image:
    """Read an image file upright, with its transparency; see `decode_image`.

    Raises:
        DataError: the file is missing, empty, truncated, damaged, too large or no image.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            return decode_image(file, str(path))
    except FileNotFoundError:
        raise DataError(f"there is no image {path}", "check the path") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a folder, not an image", "name a file in it") from None
    except OSError as error:
        raise DataError(
            f"cannot read image {path}: {error.strerror or error}", "check its permissions"
        ) from error
    except ValueError as error:  # a path that holds a NUL
        raise DataError(f"there is no image {str(path)!r}: {error}", "check the path") from error


def decode_image(file: BinaryIO, name: str) -> Image.Image:
    """Decode the first frame of an open image file, in any format and mode that Pillow reads.

    The EXIF rotation is applied. 16-bit values keep their upper 8 bits.

    Args:
        file: open in binary mode, at the start of the image.
        name: how errors call the file.

    Returns:
        An image of mode `L` (grey) or `RGB`, or `LA` or `RGBA` where the file tells what is transparent.

    Raises:
        DataError: the file is empty, truncated, damaged, too large or no image.
    """
    if not file.seekable():  # a pipe
        file = io.BytesIO(file.read())
    head = file.read(12)
    file.seek(0)
    if not head:
        raise DataError(f"cannot read image {name}: it is empty", "replace it, or remove it")
    if heic.is_heic(head) and not heic.teach_pillow():
        raise DataError(
            f"cannot read image {name}: it is HEIC, which needs a package that is not installed",
            f"{heic.INSTALL}, or convert it to PNG or JPEG",
        )
    try:
        with _as_data_errors(f"image {name}"), Image.open(file) as image:
            return _upright(image)
    except UnidentifiedImageError:
        raise DataError(
            f"cannot read image {name}: it is no image, or of an unknown format",
            "convert it to PNG or JPEG, replace it, or remove it",
        ) from None


def load_pillow_image(image: Image.Image) -> Image.Image:
    """An image that Pillow opened, as `decode_image` gives it from its file. One that was made otherwise,
    also from an opened one, is taken to be upright.

    Raises:
        DataError: it has no pixels, is truncated, damaged, too large, or has values that are not finite.
    """
    if 0 in image.size:
        raise DataError(f"an image of {image.width} x {image.height} pixels", "one that has pixels")
    with _as_data_errors("an image of Pillow"):
        image.load()
        # What was turned or cut since it was opened still has the file's EXIF entry, but no format.
        return _simplify(image) if image.format is None else _upright(image)


@contextmanager
def _as_data_errors(what: str) -> Iterator[None]:
    """What Pillow raises while it decodes an image, as errors that name it; but for an unknown format."""
    try:
        # Pillow warns about harmless oddities (a broken EXIF entry, more than 89 million pixels); beyond 179
        # million pixels it raises, and that limit is ours too.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except UnidentifiedImageError:
        raise
    except Image.DecompressionBombError:
        raise DataError(f"{what} has too many pixels", "scale it down, or remove it") from None
    # Decoders raise whatever a damaged file makes them stumble over: SyntaxError, ValueError, struct.error,
    # ...
    except Exception as error:
        raise DataError(
            f"cannot read {what}: it is damaged or incomplete ({error})", "replace it, or remove it"
        ) from error


def _upright(image: Image.Image) -> Image.Image:
    image.load()
    return _simplify(ImageOps.exif_transpose(image))


def _simplify(image: Image.Image) -> Image.Image:
    """Bring any mode to `L`, `LA`, `RGB` or `RGBA`."""
    if image.mode in ("L", "LA", "RGB", "RGBA") and "transparency" not in image.info:
        return image.copy()
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _scale_to_8_bits(image)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        if image.mode == "La":  # Pillow turns it into nothing else
            return image.convert("LA")
        is_grey = image.mode in ("1", "L")
        image = image.convert("RGBA")  # which all the others become
        return image.convert("LA") if is_grey else image
    return image.convert("L" if image.mode == "1" else "RGB")


def _scale_to_8_bits(image: Image.Image) -> Image.Image:
    """Values of 16 bits, 32 bits or floating point -> grey of 8 bits.

    16-bit files, and 32-bit integers within 0-65535 (Pillow opens some 16-bit files so), are divided by 257.
    Floating-point values within 0-1 are multiplied by 255. Anything else is stretched from its lowest to its
    highest value, because such files do not say what white is.
    """
    values = np.asarray(image).astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("it holds values that are not finite")
    low, high = values.min(), values.max()
    if image.mode != "F" and low >= 0 and high <= 65535:
        values = values / 257
    elif image.mode == "F" and low >= 0 and high <= 1:
        values = values * 255
    else:
        values = (values - low) * (255 / max(high - low, np.finfo(np.float64).tiny))
    return Image.fromarray(np.rint(values).astype(np.uint8))


def _without_transparency(image: Image.Image, transparency: Transparency) -> Image.Image:
    """An image of a mode that `_simplify` gives -> `L` or `RGB`."""
    if image.mode in ("L", "RGB"):
        return image
    mode = "L" if image.mode == "LA" else "RGB"
    if transparency == "ignore":
        return image.convert(mode)
    opacity = np.asarray(image.getchannel("A"), dtype=np.float64)
    # Premultiplied by nothing: the colours under full transparency are arbitrary, so they get no weight.
    grey = np.asarray(image.convert(mode).convert("L"), dtype=np.float64)
    is_dark = (grey * opacity).sum() < 127.5 * opacity.sum() or not opacity.any()
    canvas = Image.new("RGBA", image.size, (255, 255, 255, 255) if is_dark else (0, 0, 0, 255))
    return Image.alpha_composite(canvas, image.convert("RGBA")).convert(mode)


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

    Raises:
        ValueError: a value outside its range.
    """

    size: int
    channels: int
    ink: Ink
    fit: Fit
    steps: InkSteps = NO_STEPS
    transparency: Transparency = "fill"

    def __post_init__(self) -> None:
        if type(self.size) is not int or not 1 <= self.size <= MAX_SIZE:
            raise ValueError(f"size must be a whole number from 1 to {MAX_SIZE}, not {self.size!r}")
        for key, choices in _CHOICES.items():
            value = getattr(self, key)
            if value not in choices or type(value) is not type(choices[0]):
                raise ValueError(f"{key} must be {' or '.join(map(repr, choices))}, not {value!r}")
        if self.steps.change_pixels and not self.is_for_drawings:
            raise ValueError("steps are for grey drawings, with channels 1 and ink 'bright' or 'dark'")

    @property
    def is_for_drawings(self) -> bool:
        """Whether these are grey drawings, of which ink and paper can be told apart."""
        return self.channels == 1 and self.ink != "none"

    @property
    def possible(self) -> tuple[Step, ...]:
        """The steps that there may be for such images, taken or not, in the order in which they are done."""
        kept: dict[Step, bool] = {"transparency": True, "polarity": self.ink != "none", "aspect": True}
        return tuple(step for step in get_args(Step) if kept.get(step, self.is_for_drawings))

    def for_real_images(self) -> "Preprocessing":
        """The same with the steps for drawings, unless it has steps already or is for other images."""
        if not self.is_for_drawings or self.steps != NO_STEPS:
            return self
        return replace(self, steps=DRAWING_STEPS)

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

    def read(self, image: Image.Image) -> "Reading":
        """Look at an image: what it is, and what a CNN sees of it."""
        return Reading(_without_transparency(_simplify(image), self.transparency), self)

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
    """

    def __init__(self, image: Image.Image, preprocessing: Preprocessing) -> None:
        self._image, self._preprocessing = image, preprocessing

    @cached_property
    def _drawing(self) -> Drawing:
        return read_ink(self._image.convert("L"), self._preprocessing.steps, self._preprocessing._wanted)

    @property
    def polarity(self) -> Polarity:
        """What the image is taken to be."""
        return self._drawing.polarity

    @property
    def looks_drawn(self) -> bool:
        """Whether it may be a drawing; see `htgen.ink.looks_drawn`."""
        steps = self._preprocessing.steps
        if steps.flatten and steps.polarity:
            return looks_drawn(self._drawing)
        return looks_drawn(read_ink(self._image.convert("L"), DRAWING_STEPS, "light on dark"))

    @cached_property
    def is_blank(self) -> bool:
        """Whether nothing can be seen: what a CNN sees has hardly more than one value."""
        return int(self.pixels.max()) - int(self.pixels.min()) < _VISIBLE

    @cached_property
    def pixels(self) -> Pixels:
        """What a CNN sees: uint8 `[size, size, channels]`."""
        wish = self._preprocessing
        image = self._image.convert("L" if wish.channels == 1 else "RGB")
        if wish.steps.change_pixels:
            ink = np.rint(normalise(self._drawing, wish.steps, wish.fit, wish.size) * 255).astype(np.uint8)
            image = Image.fromarray(255 - ink if wish.ink == "dark" else ink)
        elif (
            wish.ink != "none" and wish.steps.polarity and detect_polarity(np.asarray(image)) != wish._wanted
        ):
            image = ImageChops.invert(image)
        return np.asarray(wish._fit(image)).reshape(wish.size, wish.size, wish.channels)


# ---------------------------------------------------------------------------------------------------- folders


def find_images(folder: str | Path) -> list[Path]:
    """The image files directly in a folder, by extension, sorted by name; hidden files are left out.

    Raises:
        DataError: there is no such folder, or it cannot be read.
    """
    return [path for path in _visible_files(folder) if _is_readable(path)]


def find_other_files(folder: str | Path) -> list[Path]:
    """The other files directly in a folder, sorted by name; people may take them for images, as HEIC files
    where these cannot be read.

    Raises:
        DataError: there is no such folder, or it cannot be read.
    """
    return [path for path in _visible_files(folder) if not _is_readable(path)]


def find_folders(folder: str | Path) -> list[Path]:
    """The folders directly in a folder, sorted by name; hidden ones and `__MACOSX` are left out.

    Raises:
        DataError: there is no such folder, or it cannot be read.
    """
    entries = _visible_entries(Path(folder))
    return [path for path in entries if kind_at(path) == "folder" and path.name != "__MACOSX"]


def _is_readable(path: Path) -> bool:
    """Whether there is a format of this ending that can be read."""
    ending = path.suffix.lower()
    if ending in heic.ENDINGS and not heic.teach_pillow():
        return False
    return Image.registered_extensions().get(ending) in Image.OPEN


def _visible_files(folder: str | Path) -> list[Path]:
    # A link that leads nowhere is a file that cannot be read, and is told as such.
    return [
        path
        for path in _visible_entries(Path(folder))
        if (kind_at(path) == "file" or path.is_symlink()) and path.name not in _OF_THE_SYSTEM
    ]


def class_folders(folder: str | Path, minimum: int = 2) -> dict[str, list[Path]]:
    """The images of a folder that has one sub-folder per class: class name -> image files, sorted by name.

    Args:
        folder: hidden sub-folders, `__MACOSX`, and files beside the sub-folders are left out.
        minimum: how many classes there must be.

    Raises:
        DataError: no such folder, fewer classes than `minimum`, or a class without image files.
    """
    folder = Path(folder)
    classes = find_folders(folder)
    remedy = f"make one sub-folder per class in {folder}, with the images of the class in it"
    if not classes:
        loose = len(find_images(folder))
        found = f"{loose} images but no sub-folders" if loose else "no sub-folders"
        raise DataError(f"{folder} has {found}: no classes", remedy)
    if len(classes) < minimum:
        names = ", ".join(repr(path.name) for path in classes)
        count = "one class" if len(classes) == 1 else f"{len(classes)} classes"
        raise DataError(f"{folder} has only {count} ({names}); at least {minimum} are needed", remedy)
    result = {path.name: find_images(path) for path in classes}
    empty = [name for name, images in result.items() if not images]
    if empty:
        others = f"; {len(empty) - 1} of the other classes also" if len(empty) > 1 else ""
        unknown = [path.name for path in find_other_files(folder / empty[0])]
        found = f"no image files, only files such as {unknown[0]!r}" if unknown else "no image files"
        endings = f"{', '.join(_COMMON_ENDINGS)}, ..."
        raise DataError(
            f"class {empty[0]!r} has no images: {folder / empty[0]} holds {found}{others}",
            f"convert them to PNG or JPEG ({endings}); for HEIC: {heic.INSTALL}"
            if unknown
            else f"put images in it ({endings})",
        )
    return result


def _visible_entries(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except FileNotFoundError:
        raise DataError(f"there is no folder {folder}", "check the path") from None
    except NotADirectoryError:
        raise DataError(f"{folder} is not a folder", "name the folder that it is in") from None
    except OSError as error:
        raise DataError(f"cannot read folder {folder}: {error.strerror}", "check its permissions") from error
