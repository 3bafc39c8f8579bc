"""Which images are copies: drawn ones, whose copies are made here, and other drawings of the same."""

import io
import random
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from htgen.generator.copies import _correlations, find_copies
from htgen.images.inputs import prepare_images
from htgen.images.preprocessing import Preprocessing

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
from draw_symbols import SYMBOLS, draw

DRAWINGS = Preprocessing(28, 1, "bright", "pad").for_real_images()
PHOTOGRAPHS = Preprocessing(48, 3, "none", "crop")


def drawings(count: int, seed: int = 0) -> list[Image.Image]:
    """As many drawings of each symbol, by one hand."""
    hand = random.Random(seed)
    return [draw(strokes, hand) for strokes in SYMBOLS.values() for _ in range(count)]


def copy(image: Image.Image, degrees: float, scale: float, quality: int) -> Image.Image:
    size = round(image.width * scale), round(image.height * scale)
    turned = image.resize(size, Image.Resampling.BICUBIC).rotate(
        degrees, Image.Resampling.BICUBIC, fillcolor=255
    )
    file = io.BytesIO()
    turned.convert("L").save(file, "JPEG", quality=quality)
    return Image.open(file)


def test_turned_scaled_and_compressed_copies_are_found():
    originals = drawings(2)
    copies = [copy(image, 3, 0.8, 60) for image in originals] + [
        copy(image, -5, 1.6, 85) for image in originals
    ]
    groups = find_copies(prepare_images([*originals, *copies], DRAWINGS), drawn=True)
    count = len(originals)
    assert groups[:count].tolist() == list(range(count))
    missed = (groups[count:].reshape(2, count) != np.arange(count)).sum()
    assert missed <= 1  # of 24


def test_other_drawings_of_the_same_are_hardly_ever_copies():
    """Symbols with as little jitter as these may be; none of two kinds are."""
    images = prepare_images(drawings(8, seed=5), DRAWINGS)
    groups = find_copies(images, drawn=True)
    assert (groups != np.arange(len(images))).sum() <= 2  # of 48
    assert (groups // 8 == np.arange(len(images)) // 8).all()


def test_dark_ink_is_found_when_turned_over():
    """The caller turns dark ink to light; the groups are then the same."""
    originals = drawings(1)
    everything = [*originals, *(copy(image, 2, 1, 80) for image in originals)]
    light = prepare_images(everything, DRAWINGS)
    dark = prepare_images(everything, Preprocessing(28, 1, "dark", "pad").for_real_images())
    np.testing.assert_array_equal(find_copies(-dark, drawn=True), find_copies(light, drawn=True))


def test_copies_of_photographs_are_found():
    noise = np.random.default_rng(0)
    scenes = [
        Image.fromarray(noise.integers(0, 256, (7, 9, 3), dtype=np.uint8)).resize(
            (180, 140), Image.Resampling.BICUBIC
        )
        for _ in range(6)
    ]
    turned = [scene.rotate(2, Image.Resampling.BICUBIC).crop((5, 5, 175, 135)) for scene in scenes]
    turned = [scene.resize((180, 140), Image.Resampling.BICUBIC) for scene in scenes[:3]] + turned[3:]
    groups = find_copies(prepare_images([*scenes, *turned], PHOTOGRAPHS), drawn=False)
    assert groups[:6].tolist() == list(range(6))
    assert groups[6:9].tolist() == [0, 1, 2]


def test_photographs_of_one_texture_in_other_colours_are_no_copies():
    texture = Image.fromarray(np.random.default_rng(1).integers(0, 256, (7, 9), dtype=np.uint8))
    texture = texture.resize((180, 140), Image.Resampling.BICUBIC)
    colours = [(200, 60, 50), (50, 150, 60), (60, 100, 210), (230, 210, 60)]
    originals = [ImageOps.colorize(texture, (0, 0, 0), colour) for colour in colours]
    compressed = []
    for image in originals:
        file = io.BytesIO()
        image.point(lambda value: int(0.8 * value)).save(file, "JPEG", quality=60)
        compressed.append(Image.open(file))
    groups = find_copies(prepare_images([*originals, *compressed], PHOTOGRAPHS), drawn=False)
    assert groups.tolist() == [0, 1, 2, 3] * 2
    in_grey = [originals[0], originals[0].convert("L").convert("RGB")]
    assert find_copies(prepare_images(in_grey, PHOTOGRAPHS), drawn=False).tolist() == [0, 0]


@pytest.mark.parametrize("value", [-1.0, 0.0, 1.0])
def test_images_of_nothing_are_no_copies(value):
    assert find_copies(np.full((3, 1, 28, 28), value, np.float32), drawn=True).tolist() == [0, 1, 2]


def test_no_image_and_one_image():
    assert find_copies(np.zeros((0, 1, 28, 28), np.float32), drawn=True).tolist() == []
    assert find_copies(np.zeros((1, 1, 28, 28), np.float32), drawn=True).tolist() == [0]


def test_correlations_are_those_of_turned_images():
    rng = np.random.default_rng(5)
    polar = rng.standard_normal((6, 12, 360)).astype(np.float32)
    polar /= np.sqrt((polar**2).sum(axis=(1, 2), keepdims=True))
    polar[5] = np.roll(polar[0], 7, axis=1)
    pairs = [(0, 5), (0, 1), (2, 3), (1, 4), (5, 0)]
    first, second = np.array(pairs).T
    found = _correlations(np.fft.rfft(polar, axis=2), first, second)
    slow = [max((polar[a] * np.roll(polar[b], t, axis=1)).sum() for t in range(-10, 11)) for a, b in pairs]
    np.testing.assert_allclose(found, slow, atol=1e-6)
    assert found[0] == pytest.approx(1)
