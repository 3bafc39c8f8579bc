"""An upright image -> what a CNN sees, and the record of how."""

import json
from typing import Any

import numpy as np
import pytest
from helpers.image_files import drawing
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageOps

from htgen.errors import ModelError
from htgen.images.preprocessing import Preprocessing

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
