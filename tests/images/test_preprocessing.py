import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageOps

from htgen.errors import DataError, ModelError
from htgen.images.paper import background_value, detect_polarity
from htgen.images.preprocessing import Preprocessing
from htgen.images.reading import decode_image, load_image
from htgen.images.transparency import Transparency


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


# ------------------------------------------------------------------------------------------------ reading


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


def png16(values: np.ndarray) -> bytes:
    """A PNG of 16 bits, written by hand: the bytes do not depend on how Pillow writes them."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0)
    end = chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + end


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


# ----------------------------------------------------------------------------------------------- polarity


def both_ways(image: Image.Image) -> list[str]:
    """What is found for an image and for its negative."""
    return [detect_polarity(np.asarray(version)) for version in (image, ImageOps.invert(image))]


RIGHT = ["dark on light", "light on dark"]


@pytest.mark.parametrize(("ink", "paper"), [(0, 255), (20, 230), (100, 130), (0, 90), (180, 255)])
def test_polarity_of_a_drawing(ink: int, paper: int) -> None:
    assert both_ways(drawing(ink=ink, paper=paper)) == RIGHT


@pytest.mark.parametrize("letter", ["E", "L", "O", "H", "frame"])
def test_polarity_when_ink_touches_the_border(letter: str) -> None:
    """Letters cropped tightly: ink covers up to the whole border, but little of the area."""
    image = Image.new("L", (40, 40), 255)
    pen = ImageDraw.Draw(image)
    bars = {
        "E": [(0, 0, 2, 39), (0, 0, 39, 2), (0, 19, 39, 21), (0, 37, 39, 39)],
        "L": [(0, 0, 5, 39), (0, 34, 39, 39)],
        "O": [(0, 0, 2, 39), (37, 0, 39, 39), (0, 0, 39, 2), (0, 37, 39, 39)],
        "H": [(0, 0, 4, 39), (35, 0, 39, 39), (0, 17, 39, 22)],
        "frame": [(0, 0, 0, 39), (39, 0, 39, 39), (0, 0, 39, 0), (0, 39, 39, 39)],
    }
    for bar in bars[letter]:
        pen.rectangle(bar, fill=0)
    assert both_ways(image) == RIGHT


def test_polarity_of_a_blob_that_covers_most_of_the_area() -> None:
    image = Image.new("L", (40, 40), 255)
    ImageDraw.Draw(image).ellipse([1, 1, 38, 38], fill=0)
    assert np.asarray(image).mean() < 110
    assert both_ways(image) == RIGHT


def test_polarity_of_a_shaded_photograph_of_paper() -> None:
    """The paper is darker at the edges than in the middle, and noisy; the strokes are few."""
    y, x = np.mgrid[-1:1:60j, -1:1:60j]
    paper = 235 - 45 * (x**2 + y**2) / 2 + np.random.default_rng(0).normal(0, 4, (60, 60))
    paper[28:31, 15:45] = 60
    assert both_ways(Image.fromarray(paper.astype(np.uint8))) == RIGHT


def test_polarity_of_an_empty_page() -> None:
    assert both_ways(Image.new("L", (9, 9), 255)) == RIGHT


def test_polarity_of_colour_and_single_channel_arrays() -> None:
    grey = np.asarray(drawing())
    assert detect_polarity(grey[..., None]) == detect_polarity(grey)
    blue_on_yellow = np.where(grey[..., None] < 128, (0, 0, 200), (250, 240, 80)).astype(np.uint8)
    assert detect_polarity(blue_on_yellow) == "dark on light"
    assert detect_polarity(255 - blue_on_yellow) == "light on dark"


def test_background_value() -> None:
    assert background_value(np.asarray(drawing(ink=20, paper=230))) == 230
    assert background_value(np.array([[7]], np.uint8)) == 7


# ------------------------------------------------------------------------------------------ preprocessing

PREPROCESSINGS = st.builds(
    Preprocessing,
    size=st.integers(1, 40),
    channels=st.sampled_from([1, 3]),
    ink=st.sampled_from(["bright", "dark", "none"]),
    fit=st.sampled_from(["pad", "crop", "stretch"]),
    transparency=st.sampled_from(["fill", "ignore"]),
)


@settings(max_examples=150, deadline=None)
@given(
    preprocessing=PREPROCESSINGS,
    width=st.integers(1, 50),
    height=st.integers(1, 50),
    mode=st.sampled_from(
        ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "CMYK", "I", "F", "I;16", "YCbCr", "HSV"]
    ),
)
def test_any_image_becomes_a_square(preprocessing: Preprocessing, width: int, height: int, mode: str) -> None:
    pixels = preprocessing.apply(Image.new(mode, (width, height)))
    assert pixels.shape == (preprocessing.size, preprocessing.size, preprocessing.channels)
    assert pixels.dtype == np.uint8


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(15, 60),
    height=st.integers(15, 60),
    channels=st.sampled_from([1, 3]),
    fit=st.sampled_from(["pad", "crop", "stretch"]),
)
def test_a_drawing_and_its_negative_become_the_same(width: int, height: int, channels: int, fit: Any) -> None:
    image = drawing(width, height)
    bright = Preprocessing(28, channels, "bright", fit)
    np.testing.assert_array_equal(bright.apply(image), bright.apply(ImageOps.invert(image)))
    dark = Preprocessing(28, channels, "dark", fit)
    np.testing.assert_array_equal(dark.apply(image), dark.apply(ImageOps.invert(image)))
    assert np.median(bright.apply(image)) < 128 < np.median(dark.apply(image))


def test_without_ink_nothing_is_inverted() -> None:
    plain = Preprocessing(40, 1, "none", "crop")
    for image in (drawing(), ImageOps.invert(drawing())):
        np.testing.assert_array_equal(plain.apply(image)[..., 0], np.asarray(image))


def halves(width: int, height: int) -> Image.Image:
    """Red left or upper half, green other half, one row or column of blue at the very end."""
    image = Image.new("RGB", (width, height), (255, 0, 0))
    pen = ImageDraw.Draw(image)
    pen.rectangle(
        [width // 2 if width > height else 0, 0 if width > height else height // 2, width, height], "lime"
    )
    return image


@pytest.mark.parametrize(("width", "height"), [(40, 20), (20, 40)])
def test_fits(width: int, height: int) -> None:
    image = halves(width, height)

    def apply(fit: Any) -> np.ndarray:
        pixels = Preprocessing(20, 3, "none", fit).apply(image)
        return pixels if width > height else pixels.transpose(1, 0, 2)  # always with the halves side by side

    for fit in ("crop", "stretch"):
        assert apply(fit)[0, 0].tolist() == [255, 0, 0]
        assert apply(fit)[19, 19].tolist() == [0, 255, 0]
    padded = apply("pad")
    inside = padded[5:15]
    assert inside[5, 3].tolist() == [255, 0, 0]
    assert inside[5, 16].tolist() == [0, 255, 0]
    np.testing.assert_array_equal(padded[:5], np.broadcast_to(padded[0, 0], (5, 20, 3)))
    np.testing.assert_array_equal(padded[15:], np.broadcast_to(padded[0, 0], (5, 20, 3)))


def test_crop_keeps_the_centre_only() -> None:
    image = Image.new("L", (60, 20), 0)
    ImageDraw.Draw(image).rectangle([20, 0, 39, 19], fill=255)
    assert Preprocessing(20, 1, "none", "crop").apply(image).min() == 255
    assert Preprocessing(20, 1, "none", "stretch").apply(image).min() == 0


@pytest.mark.parametrize("paper", [0, 230, 255])
def test_padding_continues_the_background(paper: int) -> None:
    pixels = Preprocessing(28, 1, "none", "pad").apply(drawing(60, 20, ink=120, paper=paper))
    assert (pixels[:8] == paper).all()
    assert (pixels[-8:] == paper).all()


@pytest.mark.parametrize(("width", "height"), [(100_000, 1), (1, 100_000), (1, 1)])
@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
def test_extreme_shapes_need_little_memory(width: int, height: int, fit: Any) -> None:
    assert Preprocessing(28, 1, "bright", fit).apply(Image.new("L", (width, height), 255)).max() == 0


@given(PREPROCESSINGS)
def test_record_round_trip(preprocessing: Preprocessing) -> None:
    assert Preprocessing.from_dict(json.loads(json.dumps(preprocessing.to_dict()))) == preprocessing


GOOD = {"size": 28, "channels": 1, "ink": "bright", "fit": "pad"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 0}, "size"),
        ({"size": 4097}, "size"),
        ({"size": 28.0}, "size"),
        ({"size": True}, "size"),
        ({"size": "28"}, "size"),
        ({"channels": 2}, "channels must be 1 or 3"),
        ({"channels": True}, "channels"),
        ({"ink": "blue"}, "ink must be 'bright' or 'dark' or 'none', not 'blue'"),
        ({"ink": None}, "ink"),
        ({"fit": ["pad"]}, "fit"),
        ({"transparency": "skip"}, "transparency must be 'fill' or 'ignore', not 'skip'"),
        ({"mean": 0.5}, "unknown key 'mean'"),
    ],
)
def test_wrong_records(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError) as caught:
        Preprocessing.from_dict({**GOOD, **change})
    assert message in caught.value.message


def test_every_missing_key_is_named() -> None:
    with pytest.raises(ModelError) as caught:
        Preprocessing.from_dict({})
    for key in GOOD:
        assert f"missing key {key!r}" in caught.value.message
