"""Files as people have them: pages, side chunks, more bits, unequal resolution, large, and no images."""

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.drawings import FULL, distance, drawing
from PIL import Image, ImageDraw, PngImagePlugin

from htgen.errors import DataError
from htgen.images.preprocessing import Preprocessing
from htgen.images.reading import NOTES, decode_image, list_pages, load_image, load_pillow_image


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def decoded(content: bytes, page: int | None = None) -> Image.Image:
    return decode_image(io.BytesIO(content), "test", page)


def values_of(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("L"), dtype=int)


# ------------------------------------------------------------------------------------------ pages and frames


def cover(size: int = 200) -> Image.Image:
    image = Image.new("L", (size, size), 250)
    pen = ImageDraw.Draw(image)
    pen.text((size * 0.3, size * 0.4), "COVER SHEET", fill=10)
    pen.text((size * 0.3, size * 0.5), "page 1 of 2", fill=10)
    return image


def partly(share: float) -> Image.Image:
    image = Image.new("L", (200, 200), 255)
    image.paste(drawing(200).crop((0, 0, int(200 * share), 200)), (0, 0))
    return image


EMPTY = Image.new("L", (200, 200), 255)


@pytest.mark.parametrize(
    ("pages", "chosen"),
    [
        ([drawing(200), partly(0.6)], 1),
        ([cover(), drawing(200)], 2),
        ([cover(), drawing(200), drawing(200)], 2),
        ([drawing(30), drawing(200)], 2),
        ([drawing(200), drawing(30)], 1),
        ([EMPTY, drawing(200)], 2),
        ([cover(), cover()], 1),
        ([EMPTY, EMPTY], 1),
    ],
)
def test_the_first_page_that_holds_a_drawing_is_read(pages: list[Image.Image], chosen: int) -> None:
    content = saved(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    image = decoded(content)
    np.testing.assert_array_equal(values_of(image), values_of(pages[chosen - 1]))
    (note,) = image.info[NOTES]
    assert f"page {chosen} of {len(pages)}" in note
    assert FULL.read(image).warnings == (note, *FULL.read(pages[chosen - 1]).warnings)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
@pytest.mark.parametrize("shares", [(0, 0.5), (0.45,), (0.3, 0.45, 0.6)])
def test_the_last_frame_is_read(kind: str, shares: tuple[float, ...]) -> None:
    frames = [*map(partly, shares), drawing(200)]
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    content = saved(frames[0], kind, save_all=True, append_images=frames[1:], duration=100, **options)
    image = decoded(content)
    assert np.abs(values_of(image) - values_of(drawing(200))).mean() < 1
    assert f"frame {len(frames)} of {len(frames)}" in image.info[NOTES][0]


def test_a_last_frame_that_is_empty_is_passed_over() -> None:
    frames = [partly(0.5), drawing(200), EMPTY]
    image = decoded(saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=100))
    assert "frame 2 of 3" in image.info[NOTES][0]


def test_any_page_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "scan.tif"
    pages = [cover(), drawing(200), partly(0.5)]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    assert list_pages(path) == [tmp_path / f"scan.tif#{number}" for number in (1, 2, 3)]
    for name, page in zip(list_pages(path), pages, strict=True):
        image = load_image(name)
        np.testing.assert_array_equal(values_of(image), values_of(page))
        assert NOTES not in image.info
    with pytest.raises(DataError, match=r"it has 3 pages, and no page 4") as caught:
        load_image(tmp_path / "scan.tif#4")
    assert "scan.tif#4" in caught.value.message
    with pytest.raises(DataError, match="there is no image"):
        load_image(tmp_path / "scan.tif#0")


def test_a_file_of_such_a_name_is_that_file(tmp_path: Path) -> None:
    path = tmp_path / "drawing#2"
    path.write_bytes(saved(drawing(40), "PNG"))
    np.testing.assert_array_equal(values_of(load_image(path)), values_of(drawing(40)))
    assert list_pages(path) == [path]
    with pytest.raises(DataError, match="it has 1 frame, and no frame 2"):
        load_image(f"{path}#2")
    with pytest.raises(DataError, match="there is no image"):
        list_pages(tmp_path / "nowhere.png")


# ---------------------------------------------------------------------------------------------------- PNG


def test_long_texts_and_profiles_of_a_png_do_no_harm() -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("mxfile", "A" * 2_000_000, zip=True)
    long = PngImagePlugin.PngInfo()
    long.add_itxt("XML:com.adobe.xmp", "A" * 2_000_000, zip=True)
    for options in ({"pnginfo": text}, {"pnginfo": long}, {"icc_profile": b"\0" * 2_000_000}):
        np.testing.assert_array_equal(
            values_of(decoded(saved(drawing(), "PNG", **options))), values_of(drawing())
        )


def chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    found, place = [], 8
    while place < len(content):
        length = struct.unpack_from(">I", content, place)[0]
        found.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + length]))
        place += 12 + length
    return found


def test_a_side_chunk_that_is_damaged_is_passed_over_and_the_image_is_not() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "hello")
    content = saved(drawing(), "PNG", pnginfo=info)
    for name in (b"hello", b"IDAT"):
        broken = bytearray(content)
        broken[broken.find(name) + 6] ^= 0xFF
        if name == b"IDAT":
            with pytest.raises(DataError):
                decoded(bytes(broken))
        else:
            np.testing.assert_array_equal(values_of(decoded(bytes(broken))), values_of(drawing()))


def test_how_a_png_is_turned_is_read_from_its_text() -> None:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    upright = drawing(40).crop((0, 0, 40, 24))
    stored = upright.transpose(Image.Transpose.ROTATE_90)
    xmp = b'<x xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
    parts = chunks(saved(stored, "PNG"))
    parts.insert(1, (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp))
    parts.insert(1, (b"tEXt", b"Comment\0" + b"A" * 100))
    content = b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)
    np.testing.assert_array_equal(values_of(decoded(content)), values_of(upright))


# ------------------------------------------------------------------------------------- more than 8 bits


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "int32"])
def test_few_bits_in_many(bits: int, kind: str) -> None:
    grey = np.asarray(drawing(60, ink=10))
    values = np.rint(grey.astype(float) * ((1 << bits) - 1) / 255)
    image = Image.fromarray(values.astype(np.int32 if kind == "int32" else np.uint16))
    found = values_of(decoded(saved(image, "TIFF" if kind == "int32" else kind)))
    assert np.abs(found - grey).max() <= 1


@pytest.mark.parametrize("no_data", [-9999.0, -3.4e38, np.nan, np.inf, 1e30])
@pytest.mark.parametrize("scale", [1.0, 255.0])
def test_places_without_data_are_no_ink(no_data: float, scale: float) -> None:
    values = np.asarray(drawing(120, ink=20), np.float32) / 255 * scale
    values[:18], values[:, :12] = no_data, no_data
    image = decoded(saved(Image.fromarray(values.astype(np.float32)), "TIFF"))
    assert image.mode == "LA"
    assert distance(image) < 0.2


@pytest.mark.parametrize("no_data", [np.inf, -np.inf, np.nan, 1e30, -3.4e38])
@pytest.mark.parametrize("side", [30, 200])
def test_places_without_data_choose_no_page(no_data: float, side: int) -> None:
    blank, drawn = (np.full((side, side), 0.9, np.float32), np.asarray(drawing(side), np.float32) / 255)
    for values in (blank, drawn):
        values[3, 4] = no_data
    pages = [Image.fromarray(values) for values in (blank, drawn, blank)]
    image = decoded(saved(pages[0], "TIFF", save_all=True, append_images=pages[1:]))
    assert "page 2 of 3" in image.info[NOTES][0]
    assert distance(image, clean=drawing(side)) < 0.2
    without = Image.fromarray(np.where(np.arange(side) > side // 3, np.float32(no_data), drawn))
    image = decoded(saved(without, "TIFF", save_all=True, append_images=pages[1:]))
    assert "page 2 of 3" in image.info[NOTES][0]


def test_the_value_that_a_tiff_names_is_no_data() -> None:
    values = np.asarray(drawing(120, ink=20), np.float32)
    values[:18] = 300
    content = saved(Image.fromarray(values), "TIFF", tiffinfo={42113: "300"})
    assert distance(decoded(content)) < 0.2


@pytest.mark.parametrize("kind", [np.uint16, np.float32])
@pytest.mark.parametrize("side", [60, 1500])
def test_a_tiff_may_say_that_the_least_value_is_white(kind: type[np.generic], side: int) -> None:
    """Pillow turns over those of 8 bits alone, and the answer must not hang on how many bits there are."""
    grey = np.asarray(drawing(side, ink=10))
    values = (255 - grey.astype(kind)) * kind(257 if kind is np.uint16 else 1 / 255)
    found = values_of(decoded(saved(Image.fromarray(values), "TIFF", tiffinfo={262: 0})))
    assert np.abs(found - grey).max() <= 1


def test_ordinary_low_values_are_data() -> None:
    for values in ([[0, 5, 10]], [[-9999, 0, 9999]], [[-1000, -498, 0]]):
        image = decoded(saved(Image.fromarray(np.array(values, np.float32)), "TIFF"))
        assert np.asarray(image).tolist() == [[0, 128, 255]]


# ------------------------------------------------------------------------------------- shape and size


@pytest.mark.parametrize("dpi", [(204, 98), (204, 51), (100, 200)])
def test_scans_of_unequal_resolution_are_stretched(dpi: tuple[int, int]) -> None:
    square = drawing(300)
    x, y = dpi[0] / max(dpi), dpi[1] / max(dpi)
    squashed = square.resize((round(300 * x), round(300 * y)), Image.Resampling.BOX)
    image = decoded(saved(squashed, "TIFF", dpi=dpi))
    assert image.width == pytest.approx(image.height, rel=0.02)
    assert distance(image) < 0.3
    same = decoded(saved(square, "TIFF", dpi=(200, 196)))
    assert same.size == square.size


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "1", "I;16"])
def test_large_images_are_scaled_down_as_they_are_read(mode: str) -> None:
    grey = Image.new("L", (5000, 4000), 255)
    ImageDraw.Draw(grey).rectangle([1000, 1000, 3000, 2000], fill=0)
    image = (
        Image.fromarray(np.asarray(grey).astype(np.uint16) * 257) if mode == "I;16" else grey.convert(mode)
    )
    exif = Image.Exif()
    exif[0x0112] = 6
    found = decoded(saved(image, "PNG", compress_level=1, exif=exif))
    assert found.size == (2000, 2500)
    expected = values_of(grey.reduce(2).transpose(Image.Transpose.ROTATE_270))
    assert np.abs(values_of(found) - expected).mean() < 1.5
    jpeg = decoded(saved(grey, "JPEG"))
    assert jpeg.width * jpeg.height <= 16_000_000


SCRIPT = """
import resource, sys
from htgen.images.reading import load_image
from htgen.images.preprocessing import Preprocessing
from htgen.errors import DataError
p = Preprocessing(28, 1, "bright", "pad").for_real_images()
if len(sys.argv) > 2:
    resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]), int(sys.argv[2])))
try:
    p.apply(load_image(sys.argv[1]))
except DataError as error:
    print(error.message)
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted otherwise")
def test_48_megapixels_need_400_megabytes_and_too_little_memory_is_an_error_of_the_image(
    tmp_path: Path,
) -> None:
    path = tmp_path / "large.png"
    image = Image.new("RGBA", (8000, 6000), (255, 255, 255, 255))
    image.putpixel((0, 0), (0, 0, 0, 0))
    image.save(path, compress_level=1)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

    def run(*arguments: str) -> list[str]:
        command = [sys.executable, "-c", SCRIPT, str(path), *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, env=environment
        ).stdout.split("\n")

    assert int(run()[0]) < 400_000
    assert "there is not enough memory" in run(str(330 * 2**20))[0]


# ------------------------------------------------------------------------------- what is no raster image


def test_postscript_starts_no_other_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    path = tmp_path / "cup.png"
    drawing().save(path, "EPS")
    with pytest.raises(DataError, match="PostScript") as caught:
        load_image(path)
    assert "convert" in str(caught.value.hint)
    with Image.open(path) as image, pytest.raises(DataError, match="EPS"):
        load_pillow_image(image)
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize(
    ("content", "what", "remedy"),
    [
        (b"%PDF-1.4 ...", "a PDF document", "convert"),
        (b"PK\x03\x04\x14\0\0\0", "a ZIP archive", "unpack"),
        (b"\x1f\x8b\x08\0", "gzip", "unpack"),
        (b"\xef\xbb\xbf\n<!DOCTYPE html><html>404", "a web page", "replace"),
        (b"\0\0\0\x20ftypisom\0\0\2\0isomiso2", "a film", "convert"),
        (b"\x10\1\0\0\0\0\0\0" + b'{"__metadata__":{}}', "as CNN files are", "replace"),
        (b"<svg xmlns=...", "an SVG drawing", "convert"),
        (b"\xd7\xcd\xc6\x9a\0\0\0\0\0\0", "a Windows metafile", "convert"),
        (b"II*\0" + b"\0" * 60, "a TIFF of a kind that is not read", "convert"),
    ],
)
def test_what_is_known_and_not_read_is_called_by_its_name(content: bytes, what: str, remedy: str) -> None:
    with pytest.raises(DataError) as caught:
        decoded(content)
    assert what in caught.value.message
    assert str(caught.value.hint).startswith(f"{remedy} it")


def test_notes_need_no_drawing() -> None:
    frames = [partly(0.5), drawing(200)]
    image = decoded(saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=100))
    assert len(Preprocessing(40, 3, "none", "crop").read(image).warnings) == 1
