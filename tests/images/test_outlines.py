"""The step `outline`: solid shapes become outlines."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageDraw

from htgen.images.drawings import DRAWING_STEPS, ICON_STEPS, InkSteps
from htgen.images.preprocessing import Preprocessing

SIDE = 224


def prepare(image: Image.Image, steps: InkSteps, size: int = 112) -> npt.NDArray[np.float64]:
    return Preprocessing(size, 1, "bright", "pad", steps).apply(image)[..., 0] / 255


def house(width: int | None) -> Image.Image:
    """A house, solid, or with walls of so many pixels."""
    corners = [(40, 200), (40, 100), (112, 30), (184, 100), (184, 200)]
    image = Image.new("L", (SIDE, SIDE), 255)
    draw = ImageDraw.Draw(image)
    if width is None:
        draw.polygon(corners, fill=0)
    else:
        draw.line([*corners, corners[0], corners[1]], fill=0, width=width, joint="curve")
    return image


def test_of_solid_shapes_an_edge_of_that_width_is_left() -> None:
    """Compared with a slow count of the ink within reach of paper, pixel by pixel."""
    ink = prepare(house(None), InkSteps()) > 0.5
    left = prepare(house(None), InkSteps(outline=0.03)) > 0.5
    reach = round(0.03 * 4 * 112)  # the step works at four times the size
    big = np.kron(ink, np.ones((4, 4), bool))
    padded = np.pad(big, reach, constant_values=False)
    inside = np.array(
        [
            [padded[y : y + 2 * reach + 1, x : x + 2 * reach + 1].all() for x in range(2, 448, 4)]
            for y in range(2, 448, 4)
        ]
    )
    assert np.mean(left == (ink & ~inside)) > 0.985
    assert 0.1 < left.sum() / ink.sum() < 0.35


def test_thin_strokes_stay_as_they_are() -> None:
    thin = house(6)
    np.testing.assert_allclose(
        prepare(thin, InkSteps(outline=0.05)), prepare(thin, InkSteps(outline=0.2)), atol=0.02
    )
    assert np.abs(prepare(thin, InkSteps(outline=0.05)) - prepare(thin, InkSteps())).mean() < 0.01


@pytest.mark.parametrize("size", [28, 32, 112])
def test_solid_icons_look_like_their_outlines(size: int) -> None:
    def distance(steps: InkSteps) -> float:
        return float(np.abs(prepare(house(None), steps, size) - prepare(house(10), steps, size)).mean())

    assert distance(ICON_STEPS) < 0.35 * distance(replace(ICON_STEPS, outline=0.0))


def test_the_record_of_other_generators_has_no_such_key() -> None:
    assert "outline" not in DRAWING_STEPS.to_dict()
    for steps in (DRAWING_STEPS, ICON_STEPS):
        assert InkSteps.from_dict(steps.to_dict()) == steps
    assert ICON_STEPS.to_dict()["outline"] == 0.03


@pytest.mark.parametrize("value", [-0.1, 0.005, 0.3, True, "0.03", None])
def test_wrong_widths(value: object) -> None:
    with pytest.raises(ValueError, match=r"outline must be 0 or from 0\.01 to 0\.2"):
        InkSteps(outline=value)  # type: ignore[arg-type]


def test_it_is_a_step_that_can_be_left_out() -> None:
    icons = Preprocessing(28, 1, "bright", "pad", ICON_STEPS)
    assert icons.for_real_images() == icons
    assert icons.without("outline").steps == replace(ICON_STEPS, outline=0.0)
