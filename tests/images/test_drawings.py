"""Each step undoes its damage, and leaves alone what has none."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from helpers.drawings import DAMAGES, FULL, PLAIN, distance, drawing, page, to_image
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from htgen.errors import ModelError
from htgen.images.drawings import DRAWING_STEPS, NO_STEPS, InkSteps
from htgen.images.paper import background_value
from htgen.images.preprocessing import Preprocessing


@pytest.mark.parametrize("name", DAMAGES)
def test_each_step_undoes_its_damage(name: str) -> None:
    image, step = DAMAGES[name]
    with_all, without = distance(image, FULL), distance(image, FULL.without(step))
    assert with_all < 0.55
    assert with_all < 0.5 * without


@pytest.mark.parametrize("kind", ["plain", "negative", "enlarged", "huge", "transparent"])
def test_what_has_no_damage_becomes_the_same(kind: str) -> None:
    image = drawing()
    if kind == "negative":
        image = Image.fromarray(255 - np.asarray(image))
    elif kind in ("enlarged", "huge"):
        image = drawing(480 if kind == "enlarged" else 2000)
    elif kind == "transparent":
        mask = Image.fromarray(255 - np.asarray(image))
        image = Image.new("LA", image.size, (255, 0))
        image.putalpha(mask)
    assert distance(image, FULL) < 0.12


def test_ink_is_full_and_paper_is_empty() -> None:
    rough = DAMAGES["noise"][0]
    assert FULL.apply(rough).max() > 240
    assert np.mean(FULL.apply(rough) == 0) > 0.5
    assert np.mean(FULL.without("contrast").apply(rough) == 0) < 0.5


@pytest.mark.parametrize("share", [0.4, 0.75, 1.0])
@pytest.mark.parametrize("size", [(90, 90), (300, 100), (100, 300)])
def test_the_longer_side_of_the_ink_becomes_the_share_that_is_wanted(
    share: float, size: tuple[int, int]
) -> None:
    image = page(5, 10, *size, side=60)
    pixels = Preprocessing(100, 1, "bright", "pad", InkSteps(crop=share)).apply(image)[..., 0]
    rows, columns = np.flatnonzero((pixels > 127).any(axis=1)), np.flatnonzero((pixels > 127).any(axis=0))
    lengths = [int(np.ptp(found)) + 1 for found in (rows, columns)]
    assert max(lengths) == pytest.approx(100 * share, abs=6)
    for found in (rows, columns):
        assert (found[0] + found[-1]) / 2 == pytest.approx(49.5, abs=3)
    assert min(lengths) < 0.95 * max(lengths)  # its aspect is kept
    stretched = Preprocessing(100, 1, "bright", "stretch", InkSteps(crop=share)).apply(image)[..., 0]
    for axis in (0, 1):
        length = np.ptp(np.flatnonzero((stretched > 127).any(axis=axis))) + 1
        assert length == pytest.approx(100 * share, abs=6)


def test_specks_do_not_count_as_ink_when_cropping() -> None:
    clean, specked = page(120, 120), page(120, 120)
    specked.putpixel((2, 2), 0)
    specked.putpixel((290, 5), 0)
    np.testing.assert_array_equal(FULL.apply(specked), FULL.apply(clean))


def test_a_filled_shape_stays_filled() -> None:
    image = Image.new("L", (120, 120), 230)
    ImageDraw.Draw(image).ellipse([30, 30, 90, 90], fill=30)
    assert FULL.without("stroke").apply(image)[14, 14, 0] > 240


def test_strokes_become_as_wide_as_wanted_or_nearer() -> None:
    def area(width: float, steps: InkSteps) -> float:
        return float((Preprocessing(112, 1, "bright", "pad", steps).apply(drawing(224, width)) > 127).mean())

    wanted = area(0.04, NO_STEPS)
    for width in (0.015, 0.065):
        evened = area(width, InkSteps(stroke=0.04))
        assert abs(evened - wanted) < 0.6 * abs(area(width, NO_STEPS) - wanted)


def test_without_polarity_images_are_taken_as_they_should_be() -> None:
    taken = FULL.without("polarity")
    assert taken.read(drawing()).polarity == "light on dark"
    assert FULL.read(drawing()).polarity == "dark on light"
    negative = Image.fromarray(255 - np.asarray(drawing()))
    np.testing.assert_array_equal(taken.apply(negative), FULL.apply(negative))
    assert np.abs(taken.apply(drawing()).astype(int) - FULL.apply(drawing())).mean() > 10


def test_dark_ink_is_the_negative_of_bright_ink() -> None:
    dark = replace(FULL, ink="dark")
    for image, _ in DAMAGES.values():
        assert np.abs(255 - dark.apply(image).astype(int) - FULL.apply(image)).max() <= 1


@pytest.mark.parametrize("value", [0, 90, 255])
def test_an_empty_page_stays_empty(value: int) -> None:
    assert FULL.apply(Image.new("L", (50, 40), value)).max() == 0


STEPS = st.builds(
    InkSteps,
    polarity=st.booleans(),
    flatten=st.booleans(),
    crop=st.sampled_from([0.0, 0.1, 0.75, 1.0]),
    contrast=st.booleans(),
    stroke=st.sampled_from([0.0, 0.01, 0.05, 0.2]),
)


@settings(max_examples=150, deadline=None)
@given(
    steps=STEPS,
    fit=st.sampled_from(["pad", "crop", "stretch"]),
    ink=st.sampled_from(["bright", "dark"]),
    width=st.integers(1, 60),
    height=st.integers(1, 60),
    seed=st.integers(0, 5),
)
def test_any_image_through_any_steps_becomes_a_square(
    steps: InkSteps, fit: Any, ink: Any, width: int, height: int, seed: int
) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    image = Image.fromarray(noise if seed else np.full_like(noise, 7))
    pixels = Preprocessing(9, 1, ink, fit, steps).apply(image)
    assert pixels.shape == (9, 9, 1)
    assert pixels.dtype == np.uint8


@pytest.mark.parametrize(("width", "height"), [(100_000, 1), (1, 100_000), (1, 1)])
def test_extreme_shapes_need_little_memory(width: int, height: int) -> None:
    assert FULL.apply(Image.new("L", (width, height), 255)).max() == 0


def scene(seed: int) -> Image.Image:
    """What a photograph of things is to a reader of drawings: areas of all values, with textures."""
    rng = np.random.default_rng(seed)
    values = np.zeros((120, 120))
    for cells, strength in ((3, 60), (7, 40), (20, 25), (60, 15)):
        coarse = Image.fromarray(rng.normal(0, strength, (cells, cells)).astype(np.float32))
        values += np.asarray(coarse.resize((120, 120), Image.Resampling.BICUBIC))
    return to_image(120 + values)


def test_pictures_that_are_no_drawings_are_told_apart() -> None:
    assert sum(not FULL.read(scene(seed)).looks_drawn for seed in range(20)) >= 15
    for name, (image, _) in DAMAGES.items():
        assert FULL.read(image).looks_drawn, name
    for value in (0, 255):
        assert FULL.read(Image.new("L", (30, 30), value)).looks_drawn
    filled = Image.new("L", (120, 120), 230)
    ImageDraw.Draw(filled).ellipse([20, 20, 100, 100], fill=30)
    assert FULL.read(filled).looks_drawn


# ---------------------------------------------------------------------------------------------- the record


def test_a_record_without_steps_means_what_it_meant() -> None:
    """Files from before there were steps."""
    record = {"size": 28, "channels": 1, "ink": "bright", "fit": "pad"}
    old = Preprocessing.from_dict(record)
    assert old.steps == NO_STEPS
    assert old.to_dict() == record
    shaded, _ = DAMAGES["gradient"]
    expected = Image.fromarray(255 - np.asarray(shaded)).resize((28, 28), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(old.apply(shaded)[..., 0], np.asarray(expected))
    wide = page(5, 5, 200, 100)
    assert old.apply(wide).max() > 100
    assert background_value(old.apply(wide)[..., 0]) == 0


@given(STEPS)
def test_steps_travel_with_the_record(steps: InkSteps) -> None:
    preprocessing = replace(PLAIN, steps=steps)
    assert Preprocessing.from_dict(preprocessing.to_dict()) == preprocessing


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ({"sharpen": True}, "unknown step 'sharpen'"),
        ({"crop": 2}, "crop must be 0 or from 0.1 to 1, not 2"),
        ({"crop": True}, "crop must be"),
        ({"flatten": 1}, "flatten must be true or false"),
        ({"stroke": float("nan")}, "stroke"),
        (["crop"], "mapping"),
        (3, "not iterable"),
    ],
)
def test_wrong_steps(steps: Any, message: str) -> None:
    with pytest.raises(ModelError) as caught:
        Preprocessing.from_dict({**PLAIN.to_dict(), "steps": steps})
    assert message in caught.value.message


def test_steps_are_for_grey_drawings() -> None:
    for channels, ink in ((3, "bright"), (1, "none")):
        with pytest.raises(ValueError, match="grey drawings"):
            Preprocessing(28, channels, ink, "pad", DRAWING_STEPS)
        other = Preprocessing(28, channels, ink, "pad")
        assert other.for_real_images() == other
    assert PLAIN.for_real_images() == FULL
    chosen = replace(PLAIN, steps=InkSteps(crop=0.5))
    assert chosen.for_real_images() == chosen


def test_any_step_can_be_left_out() -> None:
    bare = FULL.without("clean", "polarity", "flatten", "crop", "contrast", "stroke")
    assert bare.steps == InkSteps(polarity=False)
    assert FULL.without("aspect").fit == "stretch"
    assert FULL.without("transparency").transparency == "ignore"
    assert FULL.without() == FULL
    with pytest.raises(ValueError, match="no step 'sharpen'"):
        FULL.without("sharpen")
