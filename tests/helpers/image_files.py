"""Images as files, and one to put into them."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from htgen.images.reading import decode_image


def drawing(width: int = 40, height: int = 40, ink: int = 20, paper: int = 230) -> Image.Image:
    """A cross with margins."""
    image = Image.new("L", (width, height), paper)
    pen = ImageDraw.Draw(image)
    pen.line([(width * 0.2, height * 0.2), (width * 0.8, height * 0.8)], fill=ink, width=3)
    pen.line([(width * 0.2, height * 0.8), (width * 0.8, height * 0.2)], fill=ink, width=3)
    return image


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def decoded(content: bytes) -> Image.Image:
    return decode_image(io.BytesIO(content), "test")


def png16(values: np.ndarray) -> bytes:
    """A PNG of 16 bits, written by hand: the bytes do not depend on how Pillow writes them."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0)
    end = chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + end
