"""The lines of ruled and squared paper are no ink; lines that are drawn stay."""

import numpy as np
import pytest
from helpers.drawings import FULL, distance, page, ruled
from PIL import Image, ImageDraw, ImageOps

from htgen.images.ruled import RULED, _levels, _may_have_lines, without_rules

CLEAN = page(70, 60, 300, 260, 150)
EMPTY = Image.new("L", (300, 260), 255)


@pytest.mark.parametrize("turn", [0, 1.5, -4])
@pytest.mark.parametrize("spacing", [16, 30])
@pytest.mark.parametrize("is_squared", [True, False])
def test_a_drawing_on_such_paper_is_read_without_its_lines(
    spacing: int, turn: float, is_squared: bool
) -> None:
    image = ruled(CLEAN, spacing, turn, is_squared=is_squared)
    assert FULL.read(image).warnings[0] == RULED
    assert distance(image, clean=CLEAN) < 0.3


@pytest.mark.parametrize("turn", [0, 3])
@pytest.mark.parametrize("line", [90, 200])
@pytest.mark.parametrize("is_squared", [True, False])
def test_a_sheet_of_such_paper_is_empty(turn: float, line: int, is_squared: bool) -> None:
    for image in (
        ruled(EMPTY, 20, turn, line, is_squared),
        ruled(EMPTY.rotate(90, expand=True), 20, turn, line),
    ):
        reading = FULL.read(image)
        assert reading.is_blank
        assert reading.warnings[0] == RULED


@pytest.mark.parametrize("is_turned", [False, True])
def test_the_line_of_a_margin_is_one_of_the_papers_lines(is_turned: bool) -> None:
    """Across it there are many, so that a single one is enough."""
    values = np.asarray(ruled(EMPTY, 24, 0, is_squared=False)).copy()
    values[:, 30:32] = np.minimum(values[:, 30:32], 120)
    found = without_rules(np.ascontiguousarray(values.T) if is_turned else values)
    assert found.min() > 200
    alone = np.asarray(EMPTY).copy()
    alone[:, 30:32] = 120
    assert without_rules(alone) is alone


def test_ruled_paper_on_a_table_is_told() -> None:
    sheet = ruled(CLEAN, 22, 0, 120)
    table = Image.new("L", (sheet.width + 60, sheet.height + 60), 70)
    table.paste(sheet, (30, 30))
    assert RULED in FULL.read(table).warnings


def test_a_board_with_lines_is_read() -> None:
    image = ImageOps.invert(ruled(CLEAN, 20, 1))
    assert distance(image, clean=CLEAN) < 0.3


def strokes(side: int, *lines: tuple[int, int, int, int]) -> Image.Image:
    image = Image.new("L", (side, side), 255)
    for line in lines:
        ImageDraw.Draw(image).line(line, fill=0, width=5)
    return image


@pytest.mark.parametrize(
    "image",
    [
        CLEAN,
        strokes(120, (0, 40, 119, 40), (0, 80, 119, 80)),  # two lines across
        strokes(120, (40, 0, 40, 119), (80, 0, 80, 119), (0, 40, 119, 40), (0, 80, 119, 80)),  # a hash
        strokes(120, (2, 0, 2, 119), (0, 2, 119, 2), (0, 60, 119, 60), (0, 117, 119, 117)),  # an E, cut out
        strokes(120, (0, 20, 119, 20), (0, 40, 119, 40), (0, 95, 119, 95)),  # lines at uneven distances
        strokes(120, (25, 20, 95, 20), (25, 50, 95, 50), (25, 80, 95, 80)),  # lines with margins
        Image.effect_noise((120, 120), 60),
    ],
)
def test_what_is_drawn_stays(image: Image.Image) -> None:
    values = np.asarray(image)
    assert without_rules(values) is values


@pytest.mark.parametrize("margin", [0, 1, 2, 4, 8])
@pytest.mark.parametrize("side", [60, 100, 250])
@pytest.mark.parametrize("noise", [0, 6])
def test_bars_of_letters_with_a_small_margin_are_drawn(side: int, margin: int, noise: float) -> None:
    """An E and three bars, cut to their ink or nearly so: their lines end before the border, or along it."""
    first, last = margin, side - 1 - margin
    bars = [(first, y, last, y) for y in (first, side // 2, last)]
    for lines in (bars, [*bars, (first, first, first, last)]):
        image = Image.new("L", (side, side), 255)
        for line in lines:
            ImageDraw.Draw(image).line(line, fill=0, width=max(1, side // 50))
        values = np.asarray(image) - np.abs(np.random.default_rng(0).normal(0, noise, (side, side)))
        values = np.clip(values, 0, 255).astype(np.uint8)
        assert without_rules(values) is values


def test_ink_that_crosses_a_line_stays_whole() -> None:
    """Where a stroke is darker than the line, not a pixel of it is lost."""
    image = ruled(strokes(200, (20, 100, 180, 100), (60, 30, 140, 170)), 20, 0, 190)
    drawn = np.asarray(strokes(200, (20, 100, 180, 100), (60, 30, 140, 170))) == 0
    assert np.asarray(without_rules(np.asarray(image)))[drawn].max() < 60
    assert np.median(without_rules(np.asarray(image))[~drawn]) > 240


def test_what_strips_have_in_common_is_found_for_all_slopes_at_once() -> None:
    """Beside one strip and slope after the other. What rules out lines beforehand rules out none of these."""
    hand, width, ruled_out = np.random.default_rng(0), 64, 0
    x, slopes = (np.arange(32) + 0.5) * (width / 32) - width / 2, np.linspace(-0.09, 0.09, 7)
    for share in (0.1, 0.4, 0.8, 0.9, 1.0):
        rows = np.arange(50)
        taken = hand.uniform(0, 0.1, (50, 32)) * (hand.uniform(size=(50, 32)) < share)
        taken = taken.astype(np.float32)
        levels = _levels(taken, x, slopes)
        for slope, found in zip(slopes, levels, strict=True):
            moved = np.stack([np.interp(rows + slope * x[i], rows, taken[:, i]) for i in range(32)])
            ends = np.minimum(moved[:2].max(axis=0), moved[-2:].max(axis=0))
            np.testing.assert_array_equal(found, np.minimum(np.quantile(moved, 0.2, axis=0), ends))
        for strips in (taken, np.where(np.arange(32) < 2, 0, taken)):
            has_line = (_levels(strips, x, slopes) > 0.03).any()
            assert _may_have_lines(strips, 1) or not has_line
            ruled_out += not _may_have_lines(strips, 1)
    assert 0 < ruled_out < 10
