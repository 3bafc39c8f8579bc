"""A scene is told by its colours; paper, inks and light of any colour are no scene."""

import colorsys

import numpy as np
import pytest
from helpers.drawings import FULL, drawing, page, to_image
from helpers.drawn_things import bright_scene_with_a_sign, coloured_scene
from PIL import Image, ImageOps

from htgen.images.coloured import has_colours_of_scene
from htgen.images.inputs import read_images
from htgen.images.notices import PHOTOGRAPH


def inks_on_paper(seed: int, noise: float = 4) -> Image.Image:
    """Drawings by pens of several colours, on coloured paper in a light of another colour at each side."""
    rng = np.random.default_rng(seed)
    side = int(rng.integers(100, 300))
    values = np.full((side, side, 3), rng.uniform(180, 250, 3))
    for _ in range(int(rng.integers(1, 5))):
        size = int(side * rng.uniform(0.3, 0.7))
        share = np.asarray(drawing(size), float)[..., None] / 255
        y, x = rng.integers(0, side - size, 2)
        area = values[y : y + size, x : x + size]
        values[y : y + size, x : x + size] = area * share + rng.uniform(0, 180, 3) * (1 - share)
    down, across = np.mgrid[0 : 1 : side * 1j, 0 : 1 : side * 1j][..., None]
    values *= 1 - rng.uniform(0, 0.35) * down - rng.uniform(0, 0.3, 3) * across
    return to_image(values + rng.normal(0, noise, values.shape))


def flat_picture(seed: int) -> Image.Image:
    """An icon of many colours, each of them even, that fills the image."""
    rng = np.random.default_rng(seed)
    cells = [[colorsys.hsv_to_rgb(*rng.uniform(0, 1, 3)) for _ in range(5)] for _ in range(5)]
    return to_image(np.array(cells) * 255).resize((200, 200), Image.Resampling.NEAREST)


def test_scenes_are_told_by_their_colours_and_in_grey_they_are_not():
    scenes = [coloured_scene(seed) for seed in range(12)]
    assert all(map(has_colours_of_scene, scenes))
    assert not any(has_colours_of_scene(one.convert("L")) for one in scenes)
    assert not any(has_colours_of_scene(one.convert("L").convert("RGB")) for one in scenes)
    grown = [one.resize((700, 500), Image.Resampling.BICUBIC) for one in scenes]
    assert all(map(has_colours_of_scene, grown))
    assert not any(has_colours_of_scene(one.resize((40, 40))) for one in scenes)  # too few pixels


@pytest.mark.parametrize("make", [inks_on_paper, flat_picture, lambda seed: inks_on_paper(seed, 15)])
def test_inks_and_even_areas_of_any_colour_are_no_scene(make):
    assert not any(has_colours_of_scene(make(seed)) for seed in range(30))


@pytest.mark.parametrize("shape", [(1, 400), (400, 1), (60, 2), (3, 64), (1, 1)])
def test_images_of_any_shape_have_an_answer(shape):
    rng = np.random.default_rng(0)
    assert has_colours_of_scene(Image.fromarray(rng.integers(0, 256, (*shape, 3), np.uint8))) in (True, False)


def test_what_is_told_of_an_image_among_drawings():
    """Either by how uneven it is, or by its colours; of paper among other things only the paper counts."""
    paper = ImageOps.colorize(page(90, 30, 200, 200, 120), (20, 30, 120), (250, 245, 220))
    on_scene = coloured_scene(1, 280)
    on_scene.paste(paper.resize((150, 150)), (55, 55))
    assert has_colours_of_scene(on_scene)
    by_colours = bright_scene_with_a_sign(0)
    assert FULL.read(by_colours).looks_drawn
    images = [
        coloured_scene(0).convert("L"),
        by_colours,
        by_colours.convert("L"),
        inks_on_paper(0),
        paper,
        on_scene,
    ]
    told = [PHOTOGRAPH in read.warnings for _, read in read_images(images, FULL)]
    assert told == [True, True, False, False, False, False]
