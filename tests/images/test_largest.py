"""An image that would take too much memory is refused before it is decoded."""

import io
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from htgen.errors import DataError
from htgen.images.largest import _coefficient_bytes, expect_small
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
        (13, "RGBA", "JPEG2000"),
        (59, "P", "GIF"),
    ],
)
def test_the_limits(million, mode, form):
    expect_small(Opened(1000 * million, 1000, mode, form))
    with pytest.raises(Image.DecompressionBombError):
        expect_small(Opened(2000 * million, 1000, mode, form))


def peak_of(data: bytes, tmp_path: Path) -> float:
    """Megabytes that a process takes at most for reading an image, more than before."""
    (tmp_path / "image").write_bytes(data)
    code = (
        "import resource, sys; from htgen.images.reading import load_image; "
        "used = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024; "
        "load_image(sys.argv[1]) if sys.argv[2] else None; print(used())"
    )

    def used(what: str) -> float:
        command = [sys.executable, "-c", code, str(tmp_path / "image"), what]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    return used("read") - used("")


def encoded(size: tuple[int, int], mode: str, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image = Image.new(mode, size)
    image.paste(image.getpixel((0, 0)), (0, 0, 9, 9))
    image.save(buffer, form, **options)
    return buffer.getvalue()


def in_several_scans(image: bytes, changed: bytes) -> bytes:
    """A JPEG whose first scan has one colour alone, so that others must follow."""
    place = image.index(b"\xff\xda")
    assert image[place + 4] == 3
    return image[: place + 2] + b"\0\x08\x01" + image[place + 5 : place + 7] + changed + image[place + 14 :]


@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:0", "4:2:2"])
def test_what_a_jpeg_in_several_scans_takes(sampling):
    """All its values are held at full size, however small it is decoded: 2 bytes each."""
    size = (640, 480)
    shares = {"4:4:4": 3, "4:2:2": 2, "4:2:0": 1.5}
    baseline = encoded(size, "RGB", "JPEG", subsampling=sampling)
    several = in_several_scans(baseline, b"\0\x3f\0")
    progressive = encoded(size, "RGB", "JPEG", subsampling=sampling, progressive=True)
    for data, is_held in ((baseline, False), (progressive, True), (several, True)):
        with Image.open(io.BytesIO(data)) as image:
            held = _coefficient_bytes(image, image.size)
        assert held == is_held * 2 * shares[sampling] * size[0] * size[1]


@pytest.mark.parametrize(
    ("size", "mode", "form", "options"),
    [
        ((13_300, 13_300), "RGB", "JPEG", {"quality": 20}),
        ((6_000, 6_000), "RGB", "JPEG", {"quality": 20, "progressive": True, "subsampling": 0}),
        ((8_000, 8_000), "RGB", "JPEG", {"quality": 20, "progressive": True}),
        ((5_900, 5_900), "RGB", "TIFF", {"compression": "tiff_lzw", "strip_size": 1 << 30}),
        ((3_670, 3_670), "RGBA", "JPEG2000", {}),
    ],
)
def test_decoding_the_largest_stays_small(size, mode, form, options, tmp_path):
    data = encoded(size, mode, form, **options)
    assert peak_of(data, tmp_path) < 320
    more = (size[0] * 5 // 4, size[1] * 5 // 4)
    if form != "JPEG" or "progressive" in options:
        with pytest.raises(DataError, match="too many pixels"):
            decode_image(io.BytesIO(encoded(more, mode, form, **options)), "x")


def test_a_tiff_in_many_strips_may_be_larger():
    size = (7_700, 7_700)
    with Image.open(io.BytesIO(encoded(size, "RGB", "TIFF", compression="tiff_lzw"))) as image:
        expect_small(image)
    whole = encoded(size, "RGB", "TIFF", compression="tiff_lzw", strip_size=1 << 30)
    with Image.open(io.BytesIO(whole)) as image, pytest.raises(Image.DecompressionBombError):
        expect_small(image)


def test_what_is_decoded_in_python_may_have_ten_million_pixels():
    header = b"qoif" + (4000).to_bytes(4, "big") + (2600).to_bytes(4, "big") + b"\4\0"
    with pytest.raises(DataError, match="too many pixels"):
        decode_image(io.BytesIO(header + bytes(64)), "x")
    assert decode_image(io.BytesIO(encoded((40, 26), "RGBA", "QOI")), "x").size == (40, 26)


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


def test_an_image_of_a_column_pays_for_its_rows():
    expect_small(Opened(1, 5_000_000, "L"))
    with pytest.raises(Image.DecompressionBombError):
        expect_small(Opened(1, 15_000_000, "RGB"))
