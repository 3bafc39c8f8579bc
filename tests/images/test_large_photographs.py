"""A large JPEG of a photograph is scaled down while it is decoded; what a CNN sees stays nearly the same."""

import numpy as np
import pytest
from PIL import Image

from htgen.images.drawings import DRAWING_STEPS
from htgen.images.inputs import read_images
from htgen.images.preprocessing import Preprocessing
from htgen.images.reading import load_image


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
