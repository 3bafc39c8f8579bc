"""Preparation of small devices: what it must not depend on."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from htgen.errors import ModelError
from htgen.images.on_device import prepare_on_device
from htgen.images.preprocessing import Preprocessing


def page(size=(200, 150), corner=(60, 40), side=50, ink=40, paper=210) -> np.ndarray:
    """A figure of a ring and a bar, drawn at four times the size."""
    image = Image.new("L", (4 * size[0], 4 * size[1]), paper)
    draw = ImageDraw.Draw(image)
    x, y, s = 4 * corner[0], 4 * corner[1], 4 * side
    draw.ellipse((x, y, x + 0.6 * s, y + 0.6 * s), outline=ink, width=max(4, s // 12))
    draw.line((x + 0.3 * s, y + 0.6 * s, x + s, y + s), fill=ink, width=max(4, s // 12))
    return np.asarray(image.resize(size, Image.Resampling.BOX))


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


PLAIN = prepare_on_device(page(), 28)


def test_it_is_bright_ink_that_fills_the_image():
    assert PLAIN.shape == (28, 28)
    assert PLAIN.dtype == np.uint8
    assert PLAIN.max() == 255
    ys, xs = np.nonzero(PLAIN > 100)
    assert max(np.ptp(ys), np.ptp(xs)) in range(22, 27)
    assert (PLAIN == 0).mean() > 0.5


def test_polarity_plays_no_part():
    assert likeness(prepare_on_device(255 - page(), 28), PLAIN) > 0.999


@pytest.mark.parametrize(
    "changes",
    [
        {"corner": (5, 5)},
        {"corner": (140, 90)},
        {"side": 100, "corner": (50, 20)},
        {"side": 30},
        {"size": (400, 300)},
        {"ink": 120, "paper": 180},
        {"ink": 0, "paper": 90},
    ],
)
def test_place_size_and_contrast_play_no_part(changes):
    assert likeness(prepare_on_device(page(**changes), 28), PLAIN) > 0.85


def test_light_plays_little_part():
    frame = page().astype(float)
    y, x = np.mgrid[-1:1:150j, -1:1:200j]
    ramp = 0.75 + 0.2 * x
    shadow = np.where(x + 0.3 * y > 0.1, 0.65, 1)
    for light in (ramp, shadow):
        lit = np.clip(frame * light, 0, 255).astype(np.uint8)
        assert likeness(prepare_on_device(lit, 28), PLAIN) > 0.9


def test_a_blob_stays_filled():
    frame = np.full((100, 100), 220, np.uint8)
    frame[30:70, 30:70] = 30
    assert (prepare_on_device(frame, 28)[4:24, 4:24] == 255).all()


@pytest.mark.parametrize("value", [0, 100, 200, 255])
@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (64, 64), (5000, 2)])
def test_an_empty_frame_is_an_empty_image(value, shape):
    assert not prepare_on_device(np.full(shape, value, np.uint8), 28).any()


def test_the_record_says_so_and_comes_back():
    wish = Preprocessing(28, 1, "bright", "pad").for_real_images().on_device()
    assert Preprocessing.from_dict(wish.to_dict()) == wish
    np.testing.assert_array_equal(wish.apply(Image.fromarray(page()))[..., 0], PLAIN)
    dark = Preprocessing(28, 1, "dark", "pad", device=True)
    np.testing.assert_array_equal(dark.apply(Image.fromarray(page()))[..., 0], 255 - PLAIN)
    with pytest.raises(ValueError, match="grey drawings"):
        Preprocessing(28, 3, "none", "crop").on_device()
    with pytest.raises(ModelError, match="device"):
        Preprocessing.from_dict({**wish.to_dict(), "device": 1})
