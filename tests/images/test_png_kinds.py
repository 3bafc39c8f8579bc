"""Every kind of pixels that a PNG file can have, written by hand, is read as the pixels that were written."""

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
import pytest

from htgen.images.reading import decode_image

HEIGHT, WIDTH = 11, 13
"""So that rows end within a byte."""

PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
"""Of an interlaced file: first row and column, and the steps to the next ones."""

Chunks = list[tuple[bytes, bytes]]


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def rows_of(values: np.ndarray, bits: int) -> bytes:
    """Each row begins with its filter, none, and a new byte."""
    found = b""
    for row in values:
        digits = ((row.reshape(-1, 1) >> np.arange(bits)[::-1]) & 1).astype(np.uint8)
        found += b"\0" + np.packbits(digits.reshape(-1)).tobytes()
    return found


def png(values: np.ndarray, bits: int, kind: int, is_interlaced: bool, more: Chunks) -> bytes:
    parts = [values[y::down, x::right] for y, x, down, right in PASSES] if is_interlaced else [values]
    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, bits, kind, 0, 0, is_interlaced)
    data = b"".join(rows_of(part, bits) for part in parts if part.size)
    chunks = [(b"IHDR", head), *more, (b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in chunks)


def eight_bits(values: np.ndarray, bits: int) -> np.ndarray:
    return np.rint(values * 255 / ((1 << bits) - 1)).astype(int)


def kinds() -> Iterator[tuple[str, int, int, np.ndarray, Chunks, np.ndarray, np.ndarray]]:
    """Name, bits, kind, values, further chunks, RGB and opacity as they are meant."""
    hand, opaque = np.random.default_rng(0), np.full((HEIGHT, WIDTH), 255)
    for bits in (1, 2, 4, 8, 16):
        grey = hand.integers(0, 1 << bits, (HEIGHT, WIDTH))
        seen, clear = np.repeat(eight_bits(grey, bits)[..., None], 3, 2), int(grey[3, 3])
        yield f"grey {bits}", bits, 0, grey, [], seen, opaque
        told = [(b"tRNS", struct.pack(">H", clear))]
        yield f"grey {bits}, one clear", bits, 0, grey, told, seen, np.where(grey == clear, 0, 255)
        if bits <= 8:
            colours = hand.integers(0, 256, (1 << bits, 3))
            table = [(b"PLTE", colours.astype(np.uint8).tobytes())]
            yield f"palette {bits}", bits, 3, grey, table, colours[grey], opaque
            shares = np.append(hand.integers(0, 256, (1 << bits) // 2), [255] * (1 << bits))
            table += [(b"tRNS", shares[: (1 << bits) // 2].astype(np.uint8).tobytes())]
            yield f"palette {bits}, some clear", bits, 3, grey, table, colours[grey], shares[grey]
    for bits in (8, 16):
        for kind, channels in ((2, 3), (4, 2), (6, 4)):
            values = hand.integers(0, 1 << bits, (HEIGHT, WIDTH, channels))
            seen = eight_bits(values, bits)
            colour = np.repeat(seen[..., :1], 3, 2) if channels == 2 else seen[..., :3]
            yield (
                f"{channels} x {bits}",
                bits,
                kind,
                values,
                [],
                colour,
                opaque if kind == 2 else seen[..., -1],
            )
            if kind == 2:
                clear = values[4, 4]
                told = [(b"tRNS", struct.pack(">HHH", *clear.tolist()))]
                is_clear = (values == clear).all(2)
                yield f"3 x {bits}, one clear", bits, 2, values, told, colour, np.where(is_clear, 0, 255)


@pytest.mark.parametrize("is_interlaced", [False, True])
def test_every_kind_is_read(is_interlaced: bool) -> None:
    for name, bits, kind, values, more, colour, opacity in kinds():
        content = png(values, bits, kind, is_interlaced, more)
        found = np.asarray(decode_image(io.BytesIO(content), name).convert("RGBA"), int)
        assert np.abs(found[..., 3] - opacity).max() <= 1, name
        off = np.abs(found[..., :3] - colour).max(2)
        assert off[opacity > 0].max(initial=0) <= 1, name


def test_transparent_paper_says_how_many_bits_dark_ink_has() -> None:
    grey = np.full((HEIGHT, WIDTH), 65535)
    grey[2:8, 3:9], grey[4, 4] = 2570, 0
    content = png(grey, 16, 0, False, [(b"tRNS", struct.pack(">H", 65535))])
    found = np.asarray(decode_image(io.BytesIO(content), "dark ink").convert("RGBA"), int)
    assert found[2, 3].tolist() == [10, 10, 10, 255]
    assert found[4, 4].tolist() == [0, 0, 0, 255]
    assert found[0, 0, 3] == 0
