"""PNG files without what an image does not need: long texts, colour profiles, damaged side chunks.

Pillow refuses a PNG whose texts or profile are large once decompressed, or one of whose chunks is damaged. So
these chunks are passed over; what is needed is left to Pillow and its limits.
"""

import io
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO

from PIL import Image, ImageFile

_MARK = b"\x89PNG\r\n\x1a\n"

_LONGEST_TEXT = 1 << 16
"""Bytes of a text that may say how the image is turned."""

_PASSED_OVER = {b"tEXt", b"zTXt", b"iCCP"}

_SAYS_NOTHING = {(b"tIME", 7), (b"pHYs", 9), (b"gAMA", 4), (b"cHRM", 32), (b"sRGB", 1)}
"""Names and lengths of chunks that change no pixel, damaged or not."""

_FEW = 1 << 20
"""Pixels, and bytes, of an image that is small."""

_PLAIN = {
    (1, 0): ("1", "1"),
    (2, 0): ("L", "L;2"),
    (4, 0): ("L", "L;4"),
    (8, 0): ("L", "L"),
    (8, 2): ("RGB", "RGB"),
    (8, 4): ("LA", "LA"),
    (8, 6): ("RGBA", "RGBA"),
}
"""By bits and kind of colour, the mode of an image and the name of Pillow for pixels of the file."""

_OF_OTHER_BITS: dict[str, Callable[[int], int]] = {
    "L;2": lambda value: 85 * value,
    "L;4": lambda value: 17 * value,
    "RGB;16B": lambda value: value >> 8,
}
"""By the name of Pillow for pixels of a file that it brings to 8 bits: what does so with one value."""


def open_png(file: BinaryIO) -> BinaryIO:
    """A PNG file without the chunks that are not needed; any other file as it is.

    Args:
        file: that can seek, at its start, where it is left.
    """
    kept = _kept_parts(file) if file.read(8) == _MARK else None
    file.seek(0)
    return file if kept is None else io.BufferedReader(_Parts(file, kept))


def read_plain(file: BinaryIO, head: bytes) -> Image.Image | None:
    """A small image of a PNG file of nothing but pixels, in one piece; None for others, and damaged ones.

    Its pixels are decoded as Pillow decodes them; what is left out takes most of the time there.

    Args:
        file: that can seek, at its start, where it is left.
        head: its first 32 bytes.
    """
    if not head.startswith(_MARK + b"\0\0\0\rIHDR") or head[26:29] != bytes(3):  # interlaced, or unknown
        return None
    width, height = int.from_bytes(head[16:20]), int.from_bytes(head[20:24])
    kind = _PLAIN.get((head[24], head[25]))
    if kind is None or not 0 < width * height <= _FEW:
        return None
    length = file.seek(0, io.SEEK_END)
    file.seek(0)
    if length > _FEW:
        return None
    with suppress(ValueError, MemoryError):  # of which Pillow tells more
        pixels = _compressed_pixels(file.read())
        file.seek(0)
        return None if pixels is None else Image.frombytes(kind[0], (width, height), pixels, "zip", kind[1])
    file.seek(0)
    return None


def _compressed_pixels(data: bytes) -> bytes | None:
    """The one chunk of pixels of a PNG file; None where others count too, or one is cut off.

    Pixels in several pieces are left to Pillow as well: it tells which of them it lacks.
    """
    pixels, begin = None, 33
    if zlib.crc32(data[12:29]) != int.from_bytes(data[29:33]):
        return None
    while (name := data[begin + 4 : begin + 8]) != b"IEND":
        length = int.from_bytes(data[begin : begin + 4])
        end = begin + 12 + length
        if name == b"IDAT":
            if pixels is not None or length > ImageFile.MAXBLOCK:
                return None
            pixels = data[begin + 8 : end - 4]
        elif name not in _PASSED_OVER and (name, length) not in _SAYS_NOTHING:
            return None
        if end > len(data):
            return None
        begin = end
    return pixels


def scale_transparent_value(image: Image.Image) -> None:
    """Bring the value or colour that means "transparent" to the 8 bits of the pixels; Pillow does not."""
    value, tiles = image.info.get("transparency"), getattr(image, "tile", ())
    scale = _OF_OTHER_BITS.get(str(tiles[0][3])) if image.format == "PNG" and tiles else None
    if scale is not None and isinstance(value, int | tuple):
        image.info["transparency"] = scale(value) if isinstance(value, int) else tuple(map(scale, value))


def _kept_parts(file: BinaryIO) -> list[tuple[int, int]] | None:
    """Where the parts that are kept begin and end in the file; None if that is all of it."""
    parts, begin, all_kept = [(0, 8)], 8, True
    while len(head := file.read(8)) == 8:
        length, name = int.from_bytes(head[:4]), head[4:]
        end = begin + 12 + length
        if _is_needed(file, name, length):
            parts.append((begin, end))
        else:
            all_kept = False
        begin = file.seek(end)
        if name == b"IEND":
            break
    return None if all_kept else parts


def _is_needed(file: BinaryIO, name: bytes, length: int) -> bool:
    """Whether a chunk is needed, and not damaged if it is a side chunk; the file stands after its head."""
    if name in _PASSED_OVER:
        return False
    if not name[0] & 0x20 or name == b"fdAT":  # the image itself
        return True
    if length > 16 * _LONGEST_TEXT:
        return False
    data = file.read(length)
    if zlib.crc32(name + data) != int.from_bytes(file.read(4)):
        return False
    return name != b"iTXt" or _is_short(data)


def _is_short(data: bytes) -> bool:
    """Whether a text of UTF-8 is short, once it is decompressed."""
    _, _, rest = data.partition(b"\0")
    if rest[:1] != b"\1":
        return len(data) <= _LONGEST_TEXT
    text = rest[2:].split(b"\0", 2)[-1]
    try:
        return len(zlib.decompressobj().decompress(text, _LONGEST_TEXT + 1)) <= _LONGEST_TEXT
    except zlib.error:
        return False


class _Parts(io.RawIOBase):
    """Parts of a file, read as one.

    Args:
        file: that can seek; it stays the caller's to close.
        parts: where each begins and ends.
    """

    def __init__(self, file: BinaryIO, parts: list[tuple[int, int]]) -> None:
        super().__init__()
        self._file, self._parts, self._position = file, parts, 0
        self._length = sum(end - begin for begin, end in parts)

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """As any file does."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._length}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        """Read up to the end of one part."""
        position = self._position
        for begin, end in self._parts:
            if position < end - begin:
                self._file.seek(begin + position)
                data = self._file.read(min(len(buffer), end - begin - position))
                buffer[: len(data)] = data
                self._position += len(data)
                return len(data)
            position -= end - begin
        return 0
