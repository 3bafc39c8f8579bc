"""A file in any format and mode that Pillow reads -> an upright image."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from htgen.errors import DataError
from htgen.images import heic

Transparency = Literal["fill", "ignore"]


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
        return simplify(image) if image.format is None else _upright(image)


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
    return simplify(ImageOps.exif_transpose(image))


def simplify(image: Image.Image) -> Image.Image:
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


def without_transparency(image: Image.Image, transparency: Transparency) -> Image.Image:
    """An image of a mode that `simplify` gives -> `L` or `RGB`."""
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
