"""Each step undoes its damage, and leaves alone what has none."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from helpers.drawings import FULL, PLAIN, distance, drawing, page, to_image
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter

from htgen.errors import ModelError
from htgen.images.drawings import DRAWING_STEPS, NO_STEPS, InkSteps
from htgen.images.paper import background_value, find_levels, paper_light, side_of_ink
from htgen.images.preprocessing import Preprocessing
from htgen.images.resampling import mean_width, medians, quantile, quantile_of, sweep


def slope() -> np.ndarray:
    y, x = np.mgrid[0:1:120j, 0:1:120j]
    return 1 - 0.6 * (0.7 * x + 0.3 * y)


def edge() -> np.ndarray:
    """A shadow that takes 40 % of the light, from one column to the next few."""
    return np.broadcast_to(1 - 0.4 / (1 + np.exp(-(np.arange(120) - 66) / 3)), (120, 120))


NOISE = np.random.default_rng(0).normal(0, 18, (120, 120))

DAMAGES: dict[str, tuple[Image.Image, str]] = {
    "gradient": (to_image(np.asarray(drawing(), float) * slope()), "flatten"),
    "gradient on a blackboard": (to_image(255 - np.asarray(drawing(), float) * slope()), "flatten"),
    "shadow with an edge": (to_image(np.asarray(drawing(ink=40), float) * edge()), "flatten"),
    "pale": (drawing(ink=150, paper=190), "contrast"),
    "noise": (to_image(np.asarray(drawing(ink=60, paper=220), float) + NOISE), "contrast"),
    "small in a corner": (page(10, 215), "crop"),
    "beside on a wide page": (page(320, 10, 400, 100, 80), "crop"),
    "thick": (drawing().filter(ImageFilter.MinFilter(7)), "stroke"),
    "thin": (drawing(480, 0.008), "stroke"),
}


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


def test_the_light_follows_the_paper_and_not_the_ink() -> None:
    image = np.asarray(drawing(), np.float32) * slope().astype(np.float32)
    assert np.abs(paper_light(image) / (255 * slope()) - 1).max() < 0.01


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


# ---------------------------------------------------------------------- fast ways against slow and plain ones


def slow_light(grey: np.ndarray) -> np.ndarray:
    """Twelve passes of reweighted least squares over all pixels, nothing prepared, none left out."""
    height, width = grey.shape
    y, x = (axis.ravel() for axis in np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j])
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)
    border = np.pad(np.zeros((max(height - 2, 0), max(width - 2, 0))), 1, constant_values=1)[:height, :width]
    weight = (0.7 / grey.size + 0.3 / border.sum() * border).ravel()
    values = grey.ravel().astype(float)
    light = np.full(grey.size, float(background_value(np.rint(grey).astype(np.uint8))))
    for _ in range(12):
        root = np.sqrt(weight / np.maximum(np.abs(values - light), 1))
        light = terms @ np.linalg.lstsq(terms * root[:, None], values * root, rcond=1e-9)[0]
    return light.reshape(height, width)


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 255, (height, width)).astype(np.float32)


def small(image: Image.Image, size: int) -> np.ndarray:
    return np.asarray(image.convert("L").resize((size, size), Image.Resampling.BOX), np.float32)


@pytest.mark.parametrize("name", DAMAGES)
def test_the_light_is_that_of_plain_least_squares(name: str) -> None:
    grey = small(DAMAGES[name][0], 32)
    assert np.abs(paper_light(grey) - slow_light(grey)).max() < 1e-4


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 2), (2, 9), (9, 2), (3, 3), (20, 32)])
def test_the_light_is_that_of_plain_least_squares_on_any_shape(shape: tuple[int, int]) -> None:
    grey = noise(*shape)
    assert np.abs(paper_light(grey) - slow_light(grey)).max() < 1e-4


def slow_levels(ink: np.ndarray) -> tuple[float, float, float]:
    """Paper, spread and threshold, every threshold tried, with the statistics of numpy."""
    counts = np.histogram(ink, bins=256, range=(0, 1))[0].astype(float)
    bins, separations = np.arange(256), []
    for last in bins:
        below, above = counts[: last + 1], counts[last + 1 :]
        if not below.sum() or not above.sum():
            separations.append(0.0)
            continue
        gap = (bins[: last + 1] @ below) / below.sum() - (bins[last + 1 :] @ above) / above.sum()
        separations.append(below.sum() * above.sum() * gap**2)
    best = np.flatnonzero(np.array(separations) >= max(separations) * (1 - 1e-9))
    threshold = (best.mean() + 1) / 256
    paper = ink[ink < threshold]
    if not paper.size:
        return 0.0, 0.0, threshold
    middle = float(np.median(paper))
    spread = 1.4826 * float(np.median(np.abs(paper - middle)))
    third = middle + (float(np.percentile(ink, 99.8)) - middle) / 3
    return middle, spread, max(threshold, middle + 4 * spread, third)


@pytest.mark.parametrize("kind", [*DAMAGES, "outside the range", "one value", "two values", "one pixel"])
def test_levels_are_those_of_plain_statistics(kind: str) -> None:
    if kind in DAMAGES:
        ink = 1 - small(DAMAGES[kind][0], 61) / np.float32(255)
    else:
        ink = {
            "outside the range": noise(30, 31) / np.float32(150) - np.float32(0.3),
            "one value": np.full((5, 5), 0.25, np.float32),
            "two values": np.repeat(np.float32([0.0, 1.0]), [90, 11]),
            "one pixel": np.float32([[0.5]]),
        }[kind]
    levels = find_levels(np.sort(ink, axis=None))
    np.testing.assert_allclose(
        (levels.paper, levels.spread, levels.threshold), slow_levels(ink), rtol=1e-6, atol=1e-7
    )


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (40, 40), (89, 91), (200, 130)])
@pytest.mark.parametrize("kind", ["noise", "few values", "one value", "columns"])
def test_quantiles_of_many_values_are_those_of_all_in_order(shape: tuple[int, int], kind: str) -> None:
    values = {
        "noise": noise(*shape),
        "few values": noise(*shape) // np.float32(100),
        "one value": np.ones(shape, np.float32),
        "columns": np.tile(np.arange(shape[1], dtype=np.float32), (shape[0], 1)),
    }[kind]
    ordered = np.sort(values, axis=None)
    for share in (0.0, 0.01, 0.5, 0.6, 0.998, 0.9999):
        assert quantile_of(values, share) == quantile(ordered, share)


@pytest.mark.parametrize("mask", [noise(20, 30) > 180, np.ones((3, 4), bool), np.zeros((3, 4), bool)])
def test_the_mean_width_is_that_of_the_whole_outline(mask: np.ndarray) -> None:
    outline = sum(np.count_nonzero(np.diff(np.pad(mask, 1), axis=axis)) for axis in (0, 1))
    assert mean_width(mask) == (2 * np.count_nonzero(mask) / outline if outline else 0)


@pytest.mark.parametrize("shape", [(1, 1), (2, 7), (13, 12)])
@pytest.mark.parametrize("reach", [1, 2, 5])
def test_sweeps_are_those_of_every_window(shape: tuple[int, int], reach: int) -> None:
    values, (height, width) = noise(*shape), shape

    def around(y: int, x: int) -> np.ndarray:
        return values[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1]

    places = [(y, x) for y in range(height) for x in range(width)]
    for extreme, reduce in ((np.minimum, np.min), (np.maximum, np.max)):
        expected = np.reshape([reduce(around(y, x)) for y, x in places], shape)
        np.testing.assert_array_equal(sweep(values, reach, extreme), expected)


@pytest.mark.parametrize("shape", [(1, 1), (2, 7), (1, 30), (13, 12), (30, 25)])
@pytest.mark.parametrize("levels", [3, 256])
def test_medians_are_those_of_every_window(shape: tuple[int, int], levels: int) -> None:
    values, (height, width) = noise(*shape) // (256 // levels), shape
    places = [(y, x) for y in range(height) for x in range(width)]
    offsets = np.arange(-5, 6)
    rows = [np.median(values[y, np.clip(x + offsets, 0, width - 1)]) for y, x in places]
    along = np.reshape(rows, shape)
    columns = [np.median(along[np.clip(y + offsets, 0, height - 1), x]) for y, x in places]
    np.testing.assert_array_equal(medians(values), np.reshape(columns, shape))


def test_the_side_of_the_ink_is_what_says_it_most_clearly() -> None:
    """Strokes darker than the paper, a wide bright shape, and thin bright lines, each more or less bright."""
    strokes = np.where(small(drawing(), 64) < 128, -100, 0)
    shape, lines = np.zeros((2, 64, 64))
    shape[24:54, 30:60] = 1
    lines[::16] = 1
    decided_by = set()
    for shape_value in (0, 60, 80, 100, 120, 150, 200):
        for line_value in (0, 50, 80, 110):
            for sign in (1, -1):
                difference = sign * (strokes + shape_value * shape + line_value * lines).astype(np.float32)
                ratios = []
                for values, weight in ((difference, 1.0), (difference - medians(difference), 0.9)):
                    cubes = np.where(np.abs(values) < 1, 0, values).astype(float) ** 3
                    ratios.append(weight * cubes.sum() / np.abs(cubes).sum())
                clearest = max(ratios, key=abs)
                decided_by.add(ratios.index(clearest))
                expected = "dark on light" if clearest < 0 else "light on dark"
                assert side_of_ink(difference, 255) == expected
    assert decided_by == {0, 1}


@pytest.mark.parametrize(("paper", "expected"), [(0, "light on dark"), (255, "dark on light")])
def test_an_empty_page_is_what_its_paper_says(paper: int, expected: str) -> None:
    assert side_of_ink(np.full((64, 64), 0.9, np.float32), paper) == expected


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
