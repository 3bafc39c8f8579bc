"""The paper of a drawing: its light, its levels, and on which side of them the ink is."""

import numpy as np
import pytest
from helpers.drawings import DAMAGES, drawing, noise, sloping_light
from PIL import Image

from htgen.images.ordered import Ordered
from htgen.images.paper import background_value, find_levels, paper_light, side_of_ink
from htgen.images.resampling import medians


def small(image: Image.Image, size: int) -> np.ndarray:
    return np.asarray(image.convert("L").resize((size, size), Image.Resampling.BOX), np.float32)


def test_the_light_follows_the_paper_and_not_the_ink() -> None:
    image = np.asarray(drawing(), np.float32) * sloping_light().astype(np.float32)
    assert np.abs(paper_light(image) / (255 * sloping_light()) - 1).max() < 0.01


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
    levels = find_levels(Ordered(ink))
    np.testing.assert_allclose(
        (levels.paper, levels.spread, levels.threshold), slow_levels(ink), rtol=1e-6, atol=1e-7
    )


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
