"""Files of every format, and hostile ones -> upright images of 8 bits, grey or in colour."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from helpers.image_files import decoded, drawing, encoded, png16
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageOps

from htgen.errors import DataError
from htgen.images.preprocessing import Preprocessing
from htgen.images.reading import load_image
from htgen.images.transparency import Transparency


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"])
def test_formats(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"x.{kind.lower()}"
    path.write_bytes(encoded(drawing(), kind))
    image = load_image(path)
    assert image.mode in ("L", "RGB")
    error = np.abs(np.asarray(image.convert("L"), dtype=int) - np.asarray(drawing(), dtype=int))
    assert error.mean() < 6  # JPEG and WebP lose a little


def test_grey_stays_grey_and_colour_stays_colour() -> None:
    assert decoded(encoded(drawing(), "PNG")).mode == "L"
    assert decoded(encoded(drawing().convert("1"), "PNG")).mode == "L"
    assert decoded(encoded(drawing().convert("RGB"), "PNG")).mode == "RGB"
    assert decoded(encoded(drawing().convert("P"), "PNG")).mode == "RGB"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(orientation: int) -> None:
    upright = drawing(40, 24)
    ImageDraw.Draw(upright).rectangle([0, 0, 11, 7], fill=0)
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(np.asarray(decoded(encoded(stored, "PNG", exif=exif))), np.asarray(upright))


def test_16_bit_png_is_scaled_not_clipped() -> None:
    values = np.array([[0, 257, 257 * 100], [257 * 128, 257 * 200, 65535]])
    assert np.asarray(decoded(png16(values))).tolist() == [[0, 1, 100], [128, 200, 255]]


def test_dark_16_bit_image_is_not_stretched() -> None:
    assert np.asarray(decoded(png16(np.full((2, 2), 255)))).tolist() == [[1, 1], [1, 1]]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 0.2, 1]], np.float32), [0, 51, 255]),
        (np.array([[-10, 0, 10]], np.float32), [0, 128, 255]),
        (np.array([[7, 7, 7]], np.float32), [0, 0, 0]),
        (np.array([[0, 257 * 9, 65535]], np.int32), [0, 9, 255]),
        (np.array([[0, 50_000, 100_000]], np.int32), [0, 128, 255]),
    ],
)
def test_tiff_of_32_bits(values: np.ndarray, expected: list[int]) -> None:
    assert np.asarray(decoded(encoded(Image.fromarray(values), "TIFF")))[0].tolist() == expected


def test_values_that_are_not_finite_are_refused() -> None:
    with pytest.raises(DataError, match="not finite"):
        decoded(encoded(Image.fromarray(np.array([[0, np.nan]], np.float32)), "TIFF"))


def test_cmyk_jpeg_keeps_its_colours() -> None:
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    pixel = np.asarray(decoded(encoded(red, "JPEG", quality=95)))[8, 8]
    assert pixel[0] > 240
    assert max(pixel[1:]) < 20


def on_transparent(ink: int, mode: str) -> bytes:
    """Ink on full transparency whose hidden colour equals the ink."""
    mask = ImageOps.invert(drawing(ink=0, paper=255))
    image = Image.new("LA", mask.size, (ink, 0))
    image.putalpha(mask)
    return encoded(image.convert(mode), "PNG")


def shown(content: bytes, transparency: Transparency = "fill") -> np.ndarray:
    """What a CNN of 40x40 sees of a file of that size, `[40, 40]`."""
    return Preprocessing(40, 1, "none", "pad", transparency=transparency).apply(decoded(content))[..., 0]


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize(("ink", "paper"), [(0, 255), (60, 255), (255, 0), (200, 0)])
def test_transparency_contrasts_with_the_ink(mode: str, ink: int, paper: int) -> None:
    image = shown(on_transparent(ink, mode))
    assert image[0, 0] == paper
    assert image[20, 20] == ink
    assert decoded(on_transparent(ink, mode)).mode == mode


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_transparency_can_be_ignored(mode: str) -> None:
    image = Image.new("LA", (40, 40), (90, 0))
    image.paste((90, 255), (0, 0, 20, 40))
    content = encoded(image.convert(mode), "PNG")
    assert (shown(content)[:, 20:] == 255).all()
    assert (shown(content, "ignore") == 90).all()


@pytest.mark.parametrize("ink", [0, 255])
def test_transparent_palette_and_key_colour(ink: int) -> None:
    key = 255 - ink
    palette = drawing(ink=ink, paper=key).convert("P")
    hidden = palette.getpixel((0, 0))
    keyed = encoded(drawing(ink=ink, paper=128), "PNG", transparency=128)
    for content in (encoded(palette, "PNG", transparency=hidden), keyed):
        image = shown(content)
        assert (image[0, 0], image[20, 20]) == (key, ink)
    assert decoded(keyed).mode == "LA"


def test_wholly_transparent_image_is_an_empty_page() -> None:
    assert shown(encoded(Image.new("RGBA", (40, 40), (9, 9, 9, 0)), "PNG")).min() == 255


# ------------------------------------------------------------------------------------------- hostile files


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        load_image(path)
    assert str(path) in caught.value.message
    assert caught.value.hint
    return caught.value.message


@pytest.mark.parametrize(
    "content", [b"", b"text", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\xff\xd8\xff", b"%PDF-1.4"]
)
def test_what_is_no_image(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(content)
    assert ("it is empty" in refusal(path)) == (content == b"")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "WEBP"])
def test_truncated_file(tmp_path: Path, kind: str) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8))
    content = encoded(noise, kind)
    path = tmp_path / "x"
    path.write_bytes(content[: len(content) // 2])
    refusal(path)


def test_decompression_bomb(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    content = bytearray(png16(np.zeros((1, 1))))
    content[16:24] = struct.pack(">II", 60_000, 60_000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)
    assert "too many pixels" in refusal(path)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    assert "there is no image" in refusal(tmp_path / "nowhere.png")
    assert "is a folder" in refusal(tmp_path)


SAMPLES = [encoded(drawing(), kind) for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")]
SAMPLES.append(encoded(drawing().convert("P"), "PNG", transparency=0))


@settings(max_examples=300, deadline=None)
@given(
    sample=st.sampled_from(SAMPLES),
    edits=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6),
    length=st.integers(0, 2000),
)
def test_any_damage_gives_an_image_or_a_data_error(
    sample: bytes, edits: list[tuple[int, int]], length: int
) -> None:
    content = bytearray(sample[:length])
    for position, value in edits:
        if position < len(content):
            content[position] = value
    try:
        image = decoded(bytes(content))
    except DataError:
        return
    assert image.mode in ("L", "LA", "RGB", "RGBA")
