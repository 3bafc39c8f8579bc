"""The formats that are read: rasters, told by their content, that no other program is needed for."""

import logging
import struct
from contextlib import suppress
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from htgen.images import heic

# What Pillow logs of a damaged file would be printed where nobody listens; the error says it.
logging.getLogger("PIL").addHandler(logging.NullHandler())

_READ = (
    *("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP", "AVIF", "HEIF", "PPM", "MPO", "JPEG2000", "ICO", "TGA"),
    *("QOI", "PCX", "DCX", "DDS", "DIB", "PSD", "SGI", "SUN", "IM", "MSP", "XBM", "XPM", "FITS", "FLI"),
    *("ICNS", "CUR", "SPIDER", "PIXAR", "FTEX", "BLP", "XVTHUMB", "GBR"),
)
"""Names of Pillow. EPS and WMF are left out, for which Pillow starts other programs."""

_DRAWN = {b"%!PS": "PostScript", b"\xc5\xd0\xd3\xc6": "PostScript", b"\xd7\xcd\xc6\x9a": "a Windows metafile"}

_OTHERS = {
    b"%PDF": "a PDF document",
    b"<svg": "an SVG drawing",
    b"<?xm": "XML, as SVG drawings are",
}

_ARCHIVES = {
    b"PK\x03\x04": "a ZIP archive, or a document that is one",
    b"\x1f\x8b": "an archive or a file compressed with gzip",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
}

_CONVERT = "convert it to PNG or JPEG, or remove it"
_UNPACK = "unpack it, if there are images in it, or remove it"
_REPLACE = "replace it, or remove it"

_USUAL = {"PNG": b"\x89PNG\r\n\x1a\n", "JPEG": b"\xff\xd8\xff", "GIF": b"GIF8"}
"""Formats that Pillow reads without loading what reads all the others, and how their files begin."""

_USUAL_ENDINGS = {".png", ".jpg", ".jpeg", ".gif"}


def open_image(file: BinaryIO, head: bytes) -> Image.Image:
    """Open an image of any format that can be read here; its pixels are not decoded yet.

    Args:
        file: at its start.
        head: its first 32 bytes.

    Raises:
        UnidentifiedImageError: it is of none.
    """
    if head.startswith(_USUAL["PNG"]):
        with suppress(SyntaxError):  # which the file is for Pillow, if it is none
            return _open_png(file)
        file.seek(0)
    usual = [name for name, mark in _USUAL.items() if head.startswith(mark)]
    if usual:
        try:
            return Image.open(file, formats=usual)
        except UnidentifiedImageError:
            file.seek(0)
    return Image.open(file, formats=_readable())


def _open_png(file: BinaryIO) -> Image.Image:
    """As `Image.open` does, which first loads what reads four other formats."""
    from PIL.PngImagePlugin import PngImageFile

    image = PngImageFile(file)
    if Image.MAX_IMAGE_PIXELS is not None and image.width * image.height > 2 * Image.MAX_IMAGE_PIXELS:
        raise Image.DecompressionBombError(f"{image.width} x {image.height} pixels")
    return image


def _readable() -> tuple[str, ...]:
    """The names, as Pillow knows them, of the formats that can be read here."""
    Image.init()
    return tuple(name for name in _READ if name in Image.OPEN)


def is_known_ending(ending: str) -> bool:
    """Whether there is a format with this ending, as `.png`, that can be read here."""
    if ending in _USUAL_ENDINGS:
        return True
    if ending in heic.ENDINGS and not heic.teach_pillow():
        return False
    return Image.registered_extensions().get(ending) in _readable()


def describe_unread(head: bytes) -> tuple[str, str] | None:
    """What a file is that begins so and is not read, and what to try; None if it is nothing that is known.

    Args:
        head: at least 4 bytes.
    """
    for start, what in (_DRAWN | _OTHERS | _ARCHIVES).items():
        if head.startswith(start):
            return what, _UNPACK if start in _ARCHIVES else _CONVERT
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        what = "a TIFF of a kind that is not read, such as floating point of 16 or 64 bits or in colour"
        return what, _CONVERT
    if head.lstrip(b"\xef\xbb\xbf \r\n\t").lower().startswith((b"<!doctype html", b"<html")):
        return "a web page, such as a download that failed leaves", _REPLACE
    if head[4:8] == b"ftyp":
        return "a film, or an image of a kind that is not read", _CONVERT
    if head[8:10] == b'{"':
        return "a file of safetensors, as CNN files are", _REPLACE
    return None


def is_image(head: bytes) -> bool:
    """Whether a file is an image, whatever its name, by marks that no other files have.

    Args:
        head: its first 32 bytes.
    """
    if head.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"qoif", b"8BPS\0\1")):
        return True
    if head.startswith((b"II*\0", b"MM\0*", b"\0\0\0\x0cjP  \r\n", b"\xff\x4f\xff\x51")):
        return True
    if head[:4] == b"RIFF":
        return head[8:12] == b"WEBP"
    if head[:2] == b"BM" and len(head) >= 18:
        return struct.unpack_from("<I", head, 14)[0] in (12, 40, 52, 56, 64, 108, 124)
    if head[4:12] in (b"ftypavif", b"ftypavis"):
        return True
    return heic.is_heic(head) and heic.teach_pillow()
