"""An image that would take too much memory is refused before it is decoded."""

import io

import pytest
from PIL import Image

from htgen.errors import DataError
from htgen.images.largest import expect_small
from htgen.images.reading import decode_image


class Opened:
    """What is asked of an image that was opened, and nothing decoded."""

    def __init__(self, width: int, height: int, mode: str, form: str = "PNG") -> None:
        self.width, self.height, self.mode, self.format = width, height, mode, form


@pytest.mark.parametrize(
    ("million", "mode", "form"),
    [
        (59, "RGBA", "PNG"),
        (59, "RGB", "TIFF"),
        (178, "L", "TIFF"),
        (178, "1", "TIFF"),
        (89, "I;16", "PNG"),
        (44, "F", "TIFF"),
        (22, "RGB", "WEBP"),
        (38, "RGB", "AVIF"),
        (17, "RGB", "JPEG2000"),
        (59, "P", "GIF"),
    ],
)
def test_the_limits(million, mode, form):
    expect_small(Opened(1000 * million, 1000, mode, form))
    with pytest.raises(Image.DecompressionBombError):
        expect_small(Opened(2000 * million, 1000, mode, form))


def test_a_large_one_is_told_before_it_is_decoded():
    buffer = io.BytesIO()
    Image.new("1", (9000, 9000)).save(buffer, "PNG")
    assert decode_image(io.BytesIO(buffer.getvalue()), "x").size == (3000, 3000)
    data = bytearray(buffer.getvalue())
    data[24:26] = bytes([8, 6])  # bits and colours in its header: RGBA, of which there is not enough
    import struct
    import zlib

    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    with pytest.raises(DataError, match="x has too many pixels") as caught:
        decode_image(io.BytesIO(data), "x")
    assert "60 million pixels in colour" in (caught.value.hint or "")
