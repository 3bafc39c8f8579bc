"""Photographs of odd kinds and shapes. A large JPEG is scaled down while it is decoded; what a CNN sees stays
nearly the same.
"""

import numpy as np
import pytest
import tifffile
from PIL import Image

from htgen.images.drawings import DRAWING_STEPS
from htgen.images.inputs import read_images
from htgen.images.notices import MIDDLE_ALONE
from htgen.images.preprocessing import Preprocessing
from htgen.images.reading import load_image

PHOTO = Preprocessing(32, 3, "none", "crop")


def picture(width: int, height: int) -> Image.Image:
    """Soft colours, with edges and a little noise."""
    hand = np.random.default_rng(0)
    coarse = Image.fromarray(hand.integers(0, 256, (9, 12, 3), dtype=np.uint8))
    image = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    image[height // 3 : height // 2, width // 3 : width // 2] += 60
    return Image.fromarray((image + hand.integers(-5, 6, image.shape)).clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("kind", ["JPEG", "MPO"])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize(
    ("size", "enough", "expected"),
    [
        ((800, 600), 75, (100, 75)),
        ((800, 600), 76, (200, 150)),
        ((800, 600), 599, (800, 600)),
        ((800, 600), 5000, (800, 600)),
        ((1600, 80), 30, (800, 40)),
        ((64, 640), 8, (8, 80)),
    ],
)
def test_no_side_becomes_smaller_than_enough(kind, mode, size, enough, expected, tmp_path):
    if kind == "MPO" and mode == "CMYK":
        kind = "JPEG"
    picture(*size).convert(mode).save(tmp_path / "image.jpg", kind)
    image = load_image(tmp_path / "image.jpg", enough)
    assert image.size == expected
    assert image.mode == ("L" if mode == "L" else "RGB")
    assert load_image(tmp_path / "image.jpg").size == size


def test_it_is_turned_as_its_entry_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(800, 600).save(tmp_path / "image.jpg", exif=exif)
    assert load_image(tmp_path / "image.jpg", 75).size == (75, 100)


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_a_cnn_sees_nearly_the_same(fit, tmp_path):
    how = Preprocessing(32, 3, "none", fit)
    picture(1600, 1200).save(tmp_path / "image.jpg", quality=95)
    whole = how.apply(load_image(tmp_path / "image.jpg")).astype(int)
    ((_, read),) = read_images([tmp_path / "image.jpg"], how)
    assert np.abs(read.pixels - whole).max() <= 3
    assert np.abs(read.pixels - whole).mean() < 0.5
    assert whole.std() > 20


@pytest.mark.parametrize("ink", ["bright", "dark"])
def test_of_drawings_every_pixel_counts(ink, tmp_path):
    paper = np.full((900, 1200), 240, np.uint8)
    paper[300:600, 500] = 30  # thinner than what is scaled together
    Image.fromarray(paper).save(tmp_path / "image.jpg", quality=95)
    how = Preprocessing(28, 1, ink, "pad", DRAWING_STEPS)
    assert how.enough is None
    ((_, read),) = read_images([tmp_path / "image.jpg"], how)
    assert np.array_equal(read.pixels, how.apply(load_image(tmp_path / "image.jpg")))
    assert not read.is_blank


def seen(path, how: Preprocessing = PHOTO):
    ((_, read),) = read_images([path], how)
    return read


def test_photographs_in_cmyk_and_of_16_bits_are_seen_as_others(tmp_path):
    image = picture(120, 90)
    whole = np.asarray(image)
    expected = PHOTO.apply(image).astype(int)
    image.convert("CMYK").save(tmp_path / "four.tif")
    tifffile.imwrite(tmp_path / "sixteen.tif", whole.astype(np.uint16) * 257, photometric="rgb")
    image.convert("CMYK").save(tmp_path / "four.jpg", quality=100, subsampling=0)
    for name, most in (("four.tif", 0), ("sixteen.tif", 0), ("four.jpg", 8)):
        read = seen(tmp_path / name)
        assert np.abs(read.pixels - expected).max() <= most, name
        assert not read.is_blank


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_photographs_have_three_equal_channels(dtype, tmp_path):
    grey = np.asarray(picture(120, 90).convert("L"))
    values = grey.astype(dtype) * (257 if dtype == np.uint16 else 1)
    Image.fromarray(values).save(tmp_path / "grey.png")
    pixels = seen(tmp_path / "grey.png").pixels
    assert (pixels == pixels[:, :, :1]).all()
    assert np.array_equal(pixels, PHOTO.apply(Image.fromarray(grey)))


@pytest.mark.parametrize(
    ("size", "fit", "is_told"),
    [
        ((200, 100), "crop", True),
        ((100, 900), "crop", True),
        ((199, 100), "crop", False),
        ((900, 100), "stretch", False),
        ((900, 100), "pad", False),
    ],
)
def test_what_is_far_from_square_is_told_where_it_is_cut(size, fit, is_told, tmp_path):
    picture(*size).save(tmp_path / "image.png")
    how = Preprocessing(32, 3, "none", fit)
    assert seen(tmp_path / "image.png", how).warnings == ((MIDDLE_ALONE,) if is_told else ())
    even = Image.new("RGB", size, (9, 9, 9))
    even.save(tmp_path / "even.png")
    assert MIDDLE_ALONE not in seen(tmp_path / "even.png", how).warnings  # nothing is to be seen anyway
