"""Round paper, round frames, and frames set in from the border change nothing in what a CNN sees."""

import numpy as np
import pytest
from helpers.drawings import FULL, distance, drawing, thick_wheel, to_image
from PIL import Image, ImageDraw, ImageOps

from htgen.images.frames import _frame_of, find_frame
from htgen.images.surroundings import DARK_PAPER, EMPTY, FRAME_KEPT, FRAME_LEFT_OUT, without_surroundings

UNCLEANED = FULL.without("clean")


def smooth_mask(shape: str, box: tuple[int, ...], radius: int, size: tuple[int, int]) -> Image.Image:
    mask = Image.new("L", (4 * size[0], 4 * size[1]), 0)
    pen, corners = ImageDraw.Draw(mask), [4 * value for value in box]
    if shape == "ellipse":
        pen.ellipse(corners, fill=255)
    else:
        pen.rounded_rectangle(corners, 4 * radius, fill=255)
    return mask.resize(size, Image.Resampling.BOX)


def page(size: tuple[int, int], side: int) -> Image.Image:
    """The drawing in the middle of white paper."""
    image = Image.new("L", size, 245)
    image.paste(drawing(side, ink=30, paper=245), ((size[0] - side) // 2, (size[1] - side) // 2))
    return image


def on_ground(
    shape: str, box: tuple[int, ...], radius: int, size: tuple[int, int], ground: int
) -> Image.Image:
    inner = page(size, round(0.66 * min(box[2] - box[0], box[3] - box[1])))
    return Image.composite(inner, Image.new("L", size, ground), smooth_mask(shape, box, radius, size))


def lined(
    inset: int, width: int, radius: int = 0, size: tuple[int, int] = (200, 200), side: int = 120
) -> Image.Image:
    """The drawing within a line, with paper on both sides of the line."""
    outer = (inset, inset, size[0] - inset, size[1] - inset)
    inner = (inset + width, inset + width, size[0] - inset - width, size[1] - inset - width)
    line = np.asarray(smooth_mask("", outer, radius, size), int)
    line = line - np.asarray(smooth_mask("", inner, max(0, radius - width), size))
    mask = Image.fromarray(line.clip(0, 255).astype(np.uint8))
    return Image.composite(Image.new("L", size, 20), page(size, side), mask)


@pytest.mark.parametrize(
    ("shape", "box", "radius", "size", "ground"),
    [
        ("rectangle", (4, 4, 196, 196), 45, (200, 200), 0),
        ("rectangle", (4, 4, 196, 196), 75, (200, 200), 0),
        ("rectangle", (0, 0, 200, 200), 90, (200, 200), 30),
        ("rectangle", (10, 10, 310, 190), 85, (320, 200), 60),
        ("ellipse", (0, 0, 200, 200), 0, (200, 200), 0),
        ("ellipse", (30, 15, 210, 195), 0, (260, 220), 60),
        ("ellipse", (10, 10, 290, 190), 0, (300, 200), 20),
        ("ellipse", (2, 2, 78, 78), 0, (80, 80), 0),
    ],
)
def test_round_paper_on_a_dark_ground_is_paper(
    shape: str, box: tuple[int, ...], radius: int, size: tuple[int, int], ground: int
) -> None:
    image = on_ground(shape, box, radius, size, ground)
    for version in (image, ImageOps.invert(image)):
        assert distance(version) < 0.4
        assert distance(version, UNCLEANED) > 0.5
        allowed = {FRAME_LEFT_OUT} if version is image else {FRAME_LEFT_OUT, DARK_PAPER}
        assert set(FULL.read(version).warnings) <= allowed


@pytest.mark.parametrize("inset", [10, 14, 18, 26])
@pytest.mark.parametrize(("width", "radius"), [(1, 0), (4, 0), (7, 0), (3, 25)])
def test_a_frame_set_in_from_the_border_is_left_out_and_told(inset: int, width: int, radius: int) -> None:
    image = lined(inset, width, radius)
    for version in (image, ImageOps.invert(image)):
        assert distance(version) < 0.4
        assert distance(version, UNCLEANED) > 0.5
        assert FULL.read(version).warnings == (FRAME_LEFT_OUT,)


@pytest.mark.parametrize("size", [(64, 64), (150, 100), (600, 400)])
def test_frames_are_left_out_at_any_resolution(size: tuple[int, int]) -> None:
    short = min(size)
    image = lined(round(0.07 * short), max(1, short // 90), 0, size, round(0.7 * short))
    assert distance(image) < 0.4


def test_what_is_known_before_parts_are_found_rules_out_no_frame() -> None:
    found = []
    for size in ((90, 90), (120, 70)):
        for inset in range(0, 31, 3):
            values = np.asarray(lined(inset, 3, inset // 2, size, 30))
            frame, slow = find_frame(values, (127,)), _frame_of(values <= 127)
            assert (frame is None) == (slow is None)
            if frame is not None and slow is not None:
                assert frame.is_plain == slow.is_plain
                assert np.array_equal(frame.within, slow.within)
            found.append(frame is not None)
    assert 4 < sum(found) < len(found) - 4


def test_two_frames_within_each_other_are_left_out() -> None:
    image = lined(8, 3, side=110)
    ImageDraw.Draw(image).rectangle([15, 15, 184, 184], outline=20, width=2)
    assert distance(image) < 0.4


@pytest.mark.parametrize("wobble", [0, 6])
def test_a_line_around_the_rest_that_may_be_drawn_stays(wobble: int) -> None:
    """A clock, a face, a box drawn by hand: away from the border, nothing is said."""
    image = Image.new("L", (200, 200), 255)
    pen = ImageDraw.Draw(image)
    if wobble:
        corners = [
            (30, 30 + wobble),
            (172, 30 - wobble),
            (168, 175),
            (30 + 2 * wobble, 168),
            (30, 30 + wobble),
        ]
        pen.line(corners, fill=0, width=6)
    else:
        pen.ellipse([25, 25, 175, 175], outline=0, width=6)
    for x in (75, 120):
        pen.ellipse([x, 70, x + 8, 78], fill=0)
    pen.arc([70, 80, 130, 140], 20, 160, fill=0, width=6)
    np.testing.assert_array_equal(FULL.apply(image), UNCLEANED.apply(image))
    assert FULL.read(image).warnings == ()


def test_a_round_line_along_the_border_is_told() -> None:
    image = Image.new("L", (200, 200), 255)
    pen = ImageDraw.Draw(image)
    pen.ellipse([2, 2, 197, 197], outline=0, width=6)
    pen.line([(60, 60), (140, 140)], fill=0, width=6)
    pen.line([(60, 140), (140, 60)], fill=0, width=6)
    np.testing.assert_array_equal(FULL.apply(image), UNCLEANED.apply(image))
    assert FULL.read(image).warnings == (FRAME_KEPT,)


def surrounded(kind: str, paper: np.ndarray) -> Image.Image:
    height, width = paper.shape
    if kind == "frame":
        values = np.pad(paper[6:-6, 6:-6], 6)
    elif kind == "bars":
        values = np.pad(paper, ((0, 0), (30, 30)))
    elif kind == "scanner":
        values = np.where(np.arange(width) < 9, 0, paper)
    elif kind == "corners":
        mask = smooth_mask("", (5, 5, width - 5, height - 5), 30, (width, height))
        values = np.where(np.asarray(mask) > 127, paper, 20)
    else:
        values = np.pad(paper, 40, constant_values=70)
    return to_image(values)


@pytest.mark.parametrize("kind", ["frame", "bars", "scanner", "corners", "table"])
@pytest.mark.parametrize("is_lit", [False, True])
def test_an_empty_page_within_something_is_blank_and_told(kind: str, is_lit: bool) -> None:
    paper = np.full((200, 200), 240.0)
    if is_lit:
        noise = np.random.default_rng(0).normal(0, 2.5, paper.shape)
        paper += noise - np.linspace(0, 50, 200)
    image = surrounded(kind, paper)
    if kind == "table" and not is_lit:  # a filled square is the same
        assert not FULL.read(image).is_blank
        return
    assert FULL.read(image).is_blank
    assert FULL.read(image).warnings == (EMPTY,)
    assert FULL.apply(image).max() == 0
    drawn = surrounded(kind, np.minimum(paper, np.asarray(page((200, 200), 140))))
    assert not FULL.read(drawn).is_blank


LINES = {
    "window": [[(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)], [(0.5, 0), (0.5, 1)], [(0, 0.5), (1, 0.5)]],
    "envelope": [[(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)], [(0, 0), (0.5, 0.6), (1, 0)]],
    "E": [[(1, 0), (0, 0), (0, 1), (1, 1)], [(0, 0.5), (0.8, 0.5)]],
    "H": [[(0, 0), (0, 1)], [(1, 0), (1, 1)], [(0, 0.5), (1, 0.5)]],
    "three bars": [[(0, 0), (1, 0)], [(0, 1), (1, 1)], [(0.1, 0.5), (0.9, 0.5)]],
    "box in a box": [
        [(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)],
        [(0.3, 0.3), (0.7, 0.3), (0.7, 0.7), (0.3, 0.7), (0.3, 0.3)],
    ],
    "two bars": [[(0, 0), (1, 0)], [(0, 1), (1, 1)]],
    "square": [[(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)]],
}


@pytest.mark.parametrize("width", [4, 8, 14])
@pytest.mark.parametrize("name", LINES)
def test_lines_along_the_very_edge_stay_or_it_is_told(name: str, width: int) -> None:
    def draw(margin: int) -> Image.Image:
        image = Image.new("L", (200 + 2 * margin,) * 2, 255)
        low, length = margin + width // 2, 199 - width
        for line in LINES[name]:
            points = [(low + x * length, low + y * length) for x, y in line]
            ImageDraw.Draw(image).line(points, fill=20, width=width)
            for x, y in points:  # square ends
                box = [x - width // 2, y - width // 2, x - width // 2 + width, y - width // 2 + width]
                ImageDraw.Draw(image).rectangle(box, fill=20)
        return image

    image = draw(0)
    if name in ("window", "envelope", "E", "H"):
        for version in (image, ImageOps.invert(image)):
            assert distance(version, clean=draw(30)) < 0.35
    else:
        expected = {FRAME_LEFT_OUT} if name in ("three bars", "box in a box") else {EMPTY}
        assert expected <= set(FULL.read(image).warnings)


@pytest.mark.parametrize("is_inverted", [False, True])
def test_thick_lines_with_little_between_them_are_no_paper(is_inverted: bool) -> None:
    page = thick_wheel()
    values = np.asarray(ImageOps.invert(page) if is_inverted else page)
    assert without_surroundings(values).grey is values
    assert FULL.read(Image.fromarray(values)).polarity == (
        "light on dark" if is_inverted else "dark on light"
    )


@pytest.mark.parametrize("is_inverted", [False, True])
@pytest.mark.parametrize("within", ["bar", "cross", "dot"])
def test_a_thick_ring_with_something_in_it_is_no_round_paper(within: str, is_inverted: bool) -> None:
    page = Image.new("L", (105, 105), 255)
    pen = ImageDraw.Draw(page)
    pen.ellipse((25, 20, 80, 85), outline=0, width=9)
    if within == "dot":
        pen.ellipse((48, 48, 57, 57), fill=0)
    else:
        pen.line((25, 52, 80, 52), 0, 9)
    if within == "cross":
        pen.line((52, 20, 52, 85), 0, 9)
    values = np.asarray(page)
    values = 255 - values if is_inverted else values
    assert without_surroundings(values).grey is values


@pytest.mark.parametrize("is_inverted", [False, True])
@pytest.mark.parametrize("width", [10, 12])
@pytest.mark.parametrize("radius", [0, 12])
def test_a_thick_box_with_something_in_it_is_no_paper_either(
    radius: int, width: int, is_inverted: bool
) -> None:
    """What is in it is as bright as what is around it; ink on paper is not as dark as a table."""
    image = Image.new("L", (105, 105), 255)
    pen = ImageDraw.Draw(image)
    pen.rounded_rectangle((30, 24, 80, 84), radius, outline=0, width=width)
    pen.line((30, 60, 84, 60), 0, 9)
    values = np.asarray(ImageOps.invert(image) if is_inverted else image)
    assert without_surroundings(values).grey is values


@pytest.mark.parametrize("kind", ["ellipse", "rectangle"])
@pytest.mark.parametrize("width", [16, 20, 24, 28])
def test_thick_lines_taken_for_paper_are_told(kind: str, width: int) -> None:
    """Whatever is in them, and however near the border they are: what is read wrong is never silent."""
    taken = 0
    for margin in (6, 14, 22):
        for within in ("nothing", "bar", "cross"):
            image = Image.new("L", (120, 120), 250)
            pen = ImageDraw.Draw(image)
            getattr(pen, kind)((margin, margin, 119 - margin, 119 - margin), outline=20, width=width)
            inner = margin + width // 2
            if within != "nothing":
                pen.line((inner, 60, 119 - inner, 60), 20, 9)
            if within == "cross":
                pen.line((60, inner, 60, 119 - inner), 20, 9)
            reading = FULL.read(image)
            if reading.polarity != "dark on light":
                taken += DARK_PAPER in reading.warnings
                assert reading.warnings
    assert taken or width == 16


def test_bright_paper_on_a_dark_ground_is_no_news() -> None:
    table = Image.new("L", (200, 200), 60)
    table.paste(drawing(120), (40, 40))
    assert DARK_PAPER not in FULL.read(table).warnings
    sheet = Image.new("L", (300, 300), 250)
    sheet.paste(drawing(220, ink=40, paper=150), (30, 50))
    assert DARK_PAPER not in FULL.read(sheet).warnings  # its ink is darker still
    board = Image.new("L", (200, 200), 230)
    board.paste(ImageOps.invert(drawing(120)), (40, 40))
    assert DARK_PAPER in FULL.read(board).warnings
