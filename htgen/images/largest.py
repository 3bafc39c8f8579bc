"""How large an image may be: what Pillow takes to decode it stays below 400 MB, with all that follows."""

import struct
from typing import BinaryIO

from PIL import Image

_MOST = 270_000_000
"""Bytes that decoding may take; what comes after it, and Python, take some 100 MB more."""

_OF_FORMAT = {"WEBP": 12.0, "AVIF": 7.0, "HEIF": 7.0, "JPEG2000": 20.0, "GIF": 3.0}
"""Bytes a pixel, measured, of decoders that need more than the pixels."""

_IN_PYTHON = 27.0
"""The same where Pillow decodes in Python, as DDS and QOI: a few million pixels take seconds."""

_OF_MODE = {"1": 1.0, "L": 1.0, "P": 1.0, "I;16": 3.0, "I;16B": 3.0, "I;16L": 3.0, "I": 6.0, "F": 6.0}
"""Bytes a pixel of grey images; all others take four, and a little."""

_OF_ROW = 40.0
"""Bytes a row, beside its pixels: it is found by an address, and several steps have rows of their own."""

IN_WORDS = (
    "60 million pixels in colour, 178 in grey, 22 as WebP, 38 as AVIF, 13 as JPEG 2000, 36 as progressive "
    "JPEG or in one strip of a compressed TIFF, 10 in formats such as DDS and QOI; any other JPEG"
)

_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)

_FRAMES = (*_PROGRESSIVE, 0xC0, 0xC1, 0xC3, 0xC5, 0xC7, 0xC9, 0xCB, 0xCD, 0xCF)
"""Markers of a JPEG by which its size and colours are told."""

_SCAN = 0xDA

_BITS, _STRIPS, _COLOURS, _ROWS_OF_STRIP, _TILE_WIDTH, _TILE_LENGTH, _TILES = (
    258,
    273,
    277,
    278,
    322,
    323,
    324,
)
"""Tags of TIFF."""


def expect_small(image: Image.Image, full: tuple[int, int] | None = None) -> None:
    """Refuse an image that would take too much memory, before it is decoded.

    Args:
        full: the size in the file of a JPEG that is scaled down while it is decoded (`Image.draft`).

    Raises:
        Image.DecompressionBombError: it has too many pixels.
    """
    cost = max(_OF_FORMAT.get(image.format or "", 0), _OF_MODE.get(image.mode, 4.5))
    if any(tile[0] in Image.DECODERS for tile in getattr(image, "tile", ())):
        cost = max(cost, _IN_PYTHON)
    held = _coefficient_bytes(image, full or (image.width, image.height)) + _strip_bytes(image)
    if (image.width * cost + _OF_ROW) * image.height + held > _MOST:
        raise Image.DecompressionBombError(f"{image.width} x {image.height} pixels of {image.mode}")


def _coefficient_bytes(image: Image.Image, size: tuple[int, int]) -> int:
    """What the decoder of a JPEG that comes in several scans holds until the last one: 2 bytes for each value
    of each colour, at this size. 0 for all other images, and those that were decoded already."""
    layers, file = getattr(image, "layer", None), getattr(image, "fp", None)
    if not layers or file is None or not _has_several_scans(file, 0):
        return 0
    sides = [(max(1, layer[1]), max(1, layer[2])) for layer in layers]
    most = max(side[0] for side in sides) * max(side[1] for side in sides)
    return 2 * size[0] * size[1] * sum(across * down for across, down in sides) // most


def _has_several_scans(file: BinaryIO, start: int) -> bool:
    """Whether a JPEG is progressive, or has its colours one after the other; also where its markers cannot be
    followed. The file is left where it was.

    Args:
        start: where in the file the JPEG begins.
    """
    place = file.tell()
    try:
        file.seek(start + 2)
        colours = 1
        while len(head := file.read(4)) == 4 and head[0] == 0xFF:
            marker, length = head[1], struct.unpack(">H", head[2:])[0]
            if marker == 0xFF:  # filling
                file.seek(-3, 1)
            elif marker in _PROGRESSIVE:
                return True
            elif marker == _SCAN:
                return file.read(1) < bytes([colours])
            elif marker in _FRAMES:
                colours = (file.read(max(length - 2, 0)) + bytes(6))[5]
            else:
                file.seek(length - 2, 1)
        return True
    finally:
        file.seek(place)


def _strip_bytes(image: Image.Image) -> int:
    """What libtiff takes for one strip or tile of a TIFF, which is the whole image where it likes."""
    tags, file = getattr(image, "tag_v2", None), getattr(image, "fp", None)
    if tags is None or "libtiff" not in [tile[0] for tile in getattr(image, "tile", ())]:
        return 0

    def numbers(tag: int, otherwise: int) -> tuple[int, ...]:
        found = tags.get(tag)
        found = found if isinstance(found, tuple) else (found,)
        return tuple(number for number in found if isinstance(number, int) and number > 0) or (otherwise,)

    rows = min(numbers(_ROWS_OF_STRIP, image.height)[0], image.height)
    size = image.width * rows
    if _TILE_WIDTH in tags:
        size = numbers(_TILE_WIDTH, image.width)[0] * numbers(_TILE_LENGTH, image.height)[0]
    samples = size * numbers(_COLOURS, 1)[0]
    held = samples * max(numbers(_BITS, 1)) // 8
    if image.info.get("compression") in ("jpeg", "tiff_jpeg") and file is not None:
        start = numbers(_TILES if _TILE_WIDTH in tags else _STRIPS, 0)[0]
        held += 2 * samples * _has_several_scans(file, start)
    return held
