"""PNG files without what an image does not need: long texts, colour profiles, damaged side chunks.

Pillow refuses a PNG whose texts or profile are large once decompressed, or one of whose chunks is damaged. So
these chunks are passed over; what is needed is left to Pillow and its limits.
"""

import io
import zlib
from collections.abc import Callable
from typing import BinaryIO

from PIL import Image

_MARK = b"\x89PNG\r\n\x1a\n"

_LONGEST_TEXT = 1 << 16
"""Bytes of a text that may say how the image is turned."""

_PASSED_OVER = {b"tEXt", b"zTXt", b"iCCP"}

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
