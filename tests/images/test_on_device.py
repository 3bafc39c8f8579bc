"""Preparation of small devices: what it must not depend on."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from htgen.errors import ModelError
from htgen.images.on_device import FAINT, Window, is_dark_on_light, means, prepare_on_device
from htgen.images.preprocessing import Preprocessing


def page(size=(200, 150), corner=(60, 40), side=50, ink=40, paper=210) -> np.ndarray:
    """A figure of a ring and a bar, drawn at four times the size."""
    image = Image.new("L", (4 * size[0], 4 * size[1]), paper)
    draw = ImageDraw.Draw(image)
    x, y, s = 4 * corner[0], 4 * corner[1], 4 * side
    draw.ellipse((x, y, x + 0.6 * s, y + 0.6 * s), outline=ink, width=max(4, s // 12))
    draw.line((x + 0.3 * s, y + 0.6 * s, x + s, y + s), fill=ink, width=max(4, s // 12))
    return np.asarray(image.resize(size, Image.Resampling.BOX))


def prepared(frame: np.ndarray, size: int = 28, stroke: float = 0.0) -> np.ndarray:
    return prepare_on_device(frame, size, stroke)


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


PLAIN = prepared(page())


def test_it_is_bright_ink_that_fills_the_image():
    assert PLAIN.shape == (28, 28)
    assert PLAIN.dtype == np.uint8
    assert PLAIN.max() == 255
    ys, xs = np.nonzero(PLAIN > 100)
    assert max(np.ptp(ys), np.ptp(xs)) in range(22, 27)
    assert (PLAIN == 0).mean() > 0.5


def test_polarity_plays_no_part():
    assert likeness(prepared(255 - page()), PLAIN) > 0.999


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
    assert likeness(prepared(page(**changes)), PLAIN) > 0.85


def test_light_plays_little_part():
    frame = page().astype(float)
    y, x = np.mgrid[-1:1:150j, -1:1:200j]
    ramp = 0.75 + 0.2 * x
    shadow = np.where(x + 0.3 * y > 0.1, 0.65, 1)
    for light in (ramp, shadow):
        lit = np.clip(frame * light, 0, 255).astype(np.uint8)
        assert likeness(prepared(lit), PLAIN) > 0.9


def test_a_blob_stays_filled():
    frame = np.full((100, 100), 220, np.uint8)
    frame[30:70, 30:70] = 30
    assert (prepared(frame)[4:24, 4:24] == 255).all()


def strokes(width: float) -> np.ndarray:
    """Three strokes of a width in pixels, of a page of 200."""
    image = Image.new("L", (800, 800), 210)
    draw = ImageDraw.Draw(image)
    for ends in ((200, 200, 600, 200), (200, 200, 500, 600), (400, 200, 600, 600)):
        draw.line(ends, fill=40, width=round(4 * width))
    return np.asarray(image.resize((200, 200), Image.Resampling.BOX))


def ink(frame: np.ndarray, stroke: float) -> float:
    return float(prepared(frame, stroke=stroke).mean())


def test_strokes_become_about_as_wide_as_is_wanted():
    """Ink of thin, middle and thick strokes: apart as they are, alike when made even."""
    widths = (3, 6, 9)
    assert ink(strokes(9), 0) > 1.6 * ink(strokes(3), 0)
    even = [ink(strokes(width), 0.058) for width in widths]
    assert max(even) < 1.2 * min(even)
    wider = [ink(strokes(width), 0.1) for width in widths]
    assert min(wider) > 1.4 * max(even)


def test_what_strokes_are_made_even_of_does_not_vanish():
    """A blob stays one, a hair beside it or not, and however thin strokes shall be."""
    frame = np.full((100, 100), 220, np.uint8)
    frame[30:70, 30:70] = 30
    assert (prepared(frame, stroke=0.058)[4:24, 4:24] == 255).all()
    for width in (2, 5, 12):
        assert prepared(strokes(width), stroke=0.01).max() >= 128


@pytest.mark.parametrize("stroke", [0, 0.058])
@pytest.mark.parametrize("value", [0, 100, 200, 255])
@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (64, 64), (5000, 2)])
def test_an_empty_frame_is_an_empty_image(value, shape, stroke):
    assert not prepared(np.full(shape, value, np.uint8), stroke=stroke).any()


@pytest.mark.parametrize("level", [20, 235])
@pytest.mark.parametrize("spread", [1, 2, 4, 6])
def test_noise_is_no_ink(level, spread):
    """Of a camera, on an empty page or board."""
    for seed in range(20):
        noise = np.random.default_rng(seed).normal(level, spread, (120, 160))
        assert not prepared(np.clip(np.round(noise), 0, 255).astype(np.uint8)).any(), seed


@pytest.mark.parametrize("level", [60, 110, 200])
@pytest.mark.parametrize("side", [-1, 1])
def test_thin_lines_tell_their_side_in_any_light(level, side):
    """Each cell of a large frame holds little of them."""
    frame = np.random.default_rng(0).normal(level, 2, (480, 640))
    frame[100:380, 200:202] += 50 * side
    cells, _ = means(np.clip(np.round(frame), 0, 255).astype(np.int64), Window(0, 0, 10240, 7680), 32, 32)
    assert np.abs(cells - level).max() < FAINT
    assert is_dark_on_light(cells) == (side < 0)


def test_the_record_says_so_and_comes_back():
    wish = Preprocessing(28, 1, "bright", "pad").on_device()
    even = Preprocessing(28, 1, "bright", "pad").for_real_images().on_device()
    assert Preprocessing.from_dict(even.to_dict()) == even
    np.testing.assert_array_equal(
        even.apply(Image.fromarray(page()))[..., 0], prepared(page(), stroke=even.steps.stroke)
    )
    assert Preprocessing.from_dict(wish.to_dict()) == wish
    np.testing.assert_array_equal(wish.apply(Image.fromarray(page()))[..., 0], PLAIN)
    dark = Preprocessing(28, 1, "dark", "pad", device=True)
    np.testing.assert_array_equal(dark.apply(Image.fromarray(page()))[..., 0], 255 - PLAIN)
    with pytest.raises(ValueError, match="grey drawings"):
        Preprocessing(28, 3, "none", "crop").on_device()
    with pytest.raises(ModelError, match="device"):
        Preprocessing.from_dict({**wish.to_dict(), "device": 1})
