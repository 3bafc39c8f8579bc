"""A file in any format and mode that is read -> an upright image."""

import io
import math
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from htgen.errors import DataError
from htgen.files import kind_at, open_regular, unreadable
from htgen.images import heic
from htgen.images.depth import find_scale, has_more_bits
from htgen.images.formats import describe_unread, open_image
from htgen.images.largest import IN_WORDS, expect_small
from htgen.images.pages import count_pages, split_page, turn_to
from htgen.images.png import open_png, read_plain, scale_transparent_value

NOTES = "htgen notes"
"""The key of `Image.info` with what is to be said about how an image was read: sentences, a tuple."""

DAMAGED_IN_PART = "the file is damaged; some of the picture may be missing or wrong"
"""The note about a file that could be decoded all the same."""

_MOST_BYTES = 1 << 29
"""Of a pipe that an image comes from."""

_MANY_PIXELS = 16_000_000
"""Larger images are scaled down, by a whole factor, as they are read."""

_ROWS = 64
"""So many rows of the result are scaled down at once."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""By which EXIF orientations are undone."""

_ORIENTATION = 0x0112


# ---------------------------------------------------------------------------------------------------- reading


def load_image(path: str | Path, enough: int | None = None) -> Image.Image:
    """Read an image file upright, with its transparency; see `decode_image`.

    Args:
        path: the file; `scan.tif#2` is its second page or frame, if there is no file of that name.
        enough: as for `decode_image`.

    Raises:
        DataError: the file is missing, empty, truncated, damaged, too large or no image, or has no such page.
    """
    named, page = path if isinstance(path, Path) else Path(path), None
    if "#" in named.name and kind_at(named) is None:
        named, page = split_page(path)
    try:
        with open_regular(named) as file:
            return decode_image(file, str(path), page, enough)
    except FileNotFoundError:
        raise DataError(f"there is no image {path}", "check the path") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a folder, not an image", "name a file in it") from None
    except OSError as error:
        raise unreadable(f"image {path}", error) from error
    except ValueError as error:  # a path that holds a NUL
        raise DataError(f"there is no image {str(path)!r}: {error}", "check the path") from error


def decode_image(
    file: BinaryIO, name: str, page: int | None = None, enough: int | None = None
) -> Image.Image:
    """Decode an open image file, in any raster format and mode that Pillow reads without other programs.

    The EXIF rotation is applied; pixels that are not square, as those of a fax, become so; values of more
    than 8 bits become 8 (`htgen.images.depth.find_scale`). Of several pages the first of full size that holds
    more than text is read, of the frames of an animation the last that is not empty; `Image.info[NOTES]`
    says so. An image of more than 16 million pixels is scaled down by a whole factor.

    Args:
        file: open in binary mode, at the start of the image.
        name: how errors call the file.
        page: the page or frame to read, counted from 1; None: choose.
        enough: pixels of the shorter side. A larger JPEG is scaled down to no less while it is decoded, by
            1, 2, 4 or 8, which takes a fraction of the time. None: as many as there are.

    Returns:
        An image of mode `L` (grey) or `RGB`, or `LA` or `RGBA` where the file tells what is transparent.

    Raises:
        DataError: the file is empty, truncated, damaged, too large or no image, or has no such page.
    """
    if not file.seekable():  # a pipe
        file = io.BytesIO(file.read(_MOST_BYTES + 1))
        if len(file.getbuffer()) > _MOST_BYTES:
            raise DataError(f"image {name} has more than {_MOST_BYTES} bytes", "a file of it")
    head = _peek(file)
    if not head:
        raise DataError(f"cannot read image {name}: it is empty", "replace it, or remove it")
    if page is None and (plain := read_plain(file, head)) is not None:
        return plain.convert("L") if plain.mode == "1" else plain
    if heic.is_heic(head) and not heic.teach_pillow():
        raise DataError(
            f"cannot read image {name}: it is HEIC, which needs a package that is not installed",
            f"{heic.INSTALL}, or convert it to PNG or JPEG",
        )
    try:
        with _as_data_errors(f"image {name}"), open_image(open_png(file), head) as opened:
            scale_transparent_value(opened)
            with _tiff_faults(opened) as faults:
                note = turn_to(opened, page)
                image = _upright(opened, enough)
            notes = ((note,) if note else ()) + ((DAMAGED_IN_PART,) if faults else ())
            if notes:
                image.info[NOTES] = notes
            return image
    except UnidentifiedImageError:
        raise _unidentified(head, name) from None


def _peek(file: BinaryIO) -> bytes:
    """The first 32 bytes of a file, which is left at its start."""
    head = file.read(32)
    file.seek(0)
    return head


def _unidentified(head: bytes, name: str) -> DataError:
    """The error for a file that is of no format that is read."""
    found = describe_unread(head)
    if found is None:
        return DataError(
            f"cannot read image {name}: it is no image, or of an unknown format",
            "convert it to PNG or JPEG, replace it, or remove it",
        )
    return DataError(f"cannot read image {name}: it is {found[0]}", found[1])


def load_pillow_image(image: Image.Image) -> Image.Image:
    """An image that Pillow opened, as `decode_image` gives it from its file, but for the page: it is the one
    that was turned to. One that was made otherwise, also from an opened one, is taken to be upright.

    Raises:
        DataError: it has no pixels, is truncated, damaged, too large, or has values that are not finite.
    """
    if 0 in image.size:
        raise DataError(f"an image of {image.width} x {image.height} pixels", "one that has pixels")
    if image.format in ("EPS", "WMF"):
        raise DataError(f"an image of Pillow is {image.format}, no raster", "convert it to PNG or JPEG")
    with _as_data_errors("an image of Pillow"):
        with _tiff_faults(image):
            image.load()
        # What was turned or cut since it was opened still has the file's EXIF entry, but no format.
        return simplify(image) if image.format is None else _upright(image)


@contextmanager
def _tiff_faults(image: Image.Image) -> Iterator[list[str]]:
    """What is found wrong in a TIFF while it is decoded, and would be printed otherwise."""
    if image.format != "TIFF":
        yield []
        return
    from htgen.images.tiff_faults import noted  # and what it takes to call libtiff

    with noted() as faults:
        yield faults


def list_pages(path: str | Path) -> list[Path]:
    """Names for all pages or frames of a file, as `load_image` takes them: `scan.tif#1`, `scan.tif#2`, ...

    Returns:
        The path itself where there is one page.

    Raises:
        DataError: as `load_image`.
    """
    path = Path(path)
    try:
        with (
            open_regular(path) as file,
            _as_data_errors(f"image {path}"),
            open_image(open_png(file), _peek(file)) as image,
        ):
            count = count_pages(image)
    except (OSError, ValueError):  # with a better error
        load_image(path)
        return [path]
    return [path.with_name(f"{path.name}#{number + 1}") for number in range(count)] if count > 1 else [path]


class NoMemory(DataError):
    """There is not enough memory to read an image."""


def no_memory(what: str) -> NoMemory:
    """The error for an image (`what`) that there is too little memory for."""
    return NoMemory(
        f"cannot read {what}: there is not enough memory", "scale it down, or a machine with more memory"
    )


@contextmanager
def enough_memory(what: str = "an image") -> Iterator[None]:
    """Memory that runs out, as an error of the image that is read.

    Raises:
        NoMemory: it does.
    """
    try:
        yield
    except MemoryError:
        raise no_memory(what) from None


@contextmanager
def _as_data_errors(what: str) -> Iterator[None]:
    """Turn what Pillow raises while it decodes an image into errors that name it (`what`).

    Raises:
        DataError: the image is damaged or too large, or there is too little memory for it.
        UnidentifiedImageError: it is of no format that Pillow reads; that one stays as it is.
    """
    try:
        # Pillow warns about harmless oddities (a broken EXIF entry, more than 89 million pixels); beyond 179
        # million pixels it raises, and that limit is ours too.
        with enough_memory(what), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (UnidentifiedImageError, DataError):
        raise
    except Image.DecompressionBombError:
        raise DataError(f"{what} has too many pixels", f"scale it down; the most are {IN_WORDS}") from None
    except EOFError as error:
        if not re.match("it has .* and no ", str(error)):
            raise _damaged(what, error) from error
        raise DataError(f"cannot read {what}: {error}", "name one that there is") from None
    # Decoders raise whatever a damaged file makes them stumble over: SyntaxError, ValueError, struct.error,
    # ...
    except Exception as error:
        raise _damaged(what, error) from error


def _damaged(what: str, error: Exception) -> DataError:
    return DataError(f"cannot read {what}: it is damaged or incomplete ({error})", "replace it, or remove it")


# ----------------------------------------------------------------------------- any mode, any size -> 8 bits


def _upright(image: Image.Image, enough: int | None = None) -> Image.Image:
    """The page that an open file is turned to, as `decode_image` gives it."""
    if enough is not None and image.format in ("JPEG", "MPO") and min(image.size) > enough:
        width, height = (math.ceil(side * enough / min(image.size)) for side in image.size)
        image.draft(image.mode, (width, height))
    factor = math.ceil(math.sqrt(image.width * image.height / _MANY_PIXELS))
    full = image.size
    if factor > 1 and image.format == "JPEG":
        image.draft(image.mode, (image.width // factor, image.height // factor))
        factor = math.ceil(math.sqrt(image.width * image.height / _MANY_PIXELS))
    expect_small(image, full)
    image.load()
    turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    result = _reduced(image, factor) if factor > 1 else simplify(image)
    result = _with_square_pixels(result, image)
    return result if turn is None else result.transpose(turn)


def _reduced(image: Image.Image, factor: int) -> Image.Image:
    """An image scaled down by a whole factor, part by part: a copy of a large one takes much memory."""
    convert = _converter(image)
    result: Image.Image | None = None
    for top in range(0, image.height, _ROWS * factor):
        bottom = min(image.height, top + _ROWS * factor)
        part = convert(image.crop((0, top, image.width, bottom))).reduce(factor)
        if result is None:
            result = Image.new(part.mode, (part.width, math.ceil(image.height / factor)))
        result.paste(part, (0, top // factor))
    assert result is not None
    return result


def simplify(image: Image.Image) -> Image.Image:
    """Bring any mode to `L`, `LA`, `RGB` or `RGBA`."""
    return _converter(image)(image)


def _converter(image: Image.Image) -> Callable[[Image.Image], Image.Image]:
    """What does so with an image or a part of it."""
    if has_more_bits(image):
        return find_scale(image).apply
    return _convert


def _convert(image: Image.Image) -> Image.Image:
    if image.mode in ("L", "LA", "RGB", "RGBA") and "transparency" not in image.info:
        return image.copy()
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        if image.mode == "La":  # Pillow turns it into nothing else
            return image.convert("LA")
        is_grey = image.mode in ("1", "L")
        image = image.convert("RGBA")  # which all the others become
        return image.convert("LA") if is_grey else image
    return image.convert("L" if image.mode == "1" else "RGB")


def _with_square_pixels(image: Image.Image, file: Image.Image) -> Image.Image:
    """A scan whose file tells unequal resolutions, such as a fax, stretched to what was scanned."""
    dpi = file.info.get("dpi")
    if file.format != "TIFF" or not isinstance(dpi, tuple) or not all(30 <= value <= 5000 for value in dpi):
        return image
    ratio = float(dpi[0]) / float(dpi[1])
    if not (1.15 < ratio < 6 or 1.15 < 1 / ratio < 6):
        return image
    width, height = image.size
    size = (width, round(height * ratio)) if ratio > 1 else (round(width / ratio), height)
    return image.resize(size, Image.Resampling.BICUBIC)
