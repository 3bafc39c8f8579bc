"""Images that hold several drawings are told; drawings of several parts are not."""

import csv
import io
import json

import numpy as np
import pytest
from helpers.drawings import drawing
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from htgen.cli import main
from htgen.images.drawings import DRAWING_STEPS
from htgen.images.gaps import Gaps, find_gaps, widest
from htgen.images.inputs import read_images
from htgen.images.notices import ENCLOSED, SEVERAL
from htgen.images.preprocessing import Preprocessing
from htgen.images.strewn import LEFT_OUT

PREPROCESSING = Preprocessing(28, 1, "bright", "pad", DRAWING_STEPS)


def shape(kind: str, side: int = 100, width: int = 5) -> Image.Image:
    """A drawing that fills its image: one part, or several."""
    image = Image.new("L", (side, side), 255)
    draw = ImageDraw.Draw(image)
    low, high, middle, third = 3, side - 4, side // 2, side // 3
    if kind == "ring":
        draw.ellipse((low, low, high, high), outline=0, width=width)
    elif kind == "cross":
        draw.line((low, low, high, high), fill=0, width=width)
        draw.line((low, high, high, low), fill=0, width=width)
    elif kind == "box":
        draw.rectangle((low, low, high, high), outline=0, width=width)
    elif kind == "equals":
        draw.line((low, third, high, third), fill=0, width=width)
        draw.line((low, 2 * third, high, 2 * third), fill=0, width=width)
    elif kind == "i":
        draw.line((middle, third, middle, high), fill=0, width=width)
        draw.ellipse((middle - 5, low, middle + 5, low + 10), fill=0)
    return image


def page(*placed: tuple[Image.Image, int, int], size: tuple[int, int] = (500, 500)) -> Image.Image:
    """Drawings at places (left, top) of one white page."""
    image = Image.new("L", size, 255)
    for part, left, top in placed:
        image.paste(part, (left, top))
    return image


ring, cross, box = shape("ring"), shape("cross"), shape("box")

SEVERAL_DRAWINGS = {
    "side by side": page((ring, 100, 150), (cross, 240, 160)),
    "above each other": page((ring, 150, 100), (cross, 160, 240)),
    "across": page((ring, 100, 100), (cross, 240, 240)),
    "the same twice": page((ring, 100, 150), (ring, 240, 150)),
    "three in a row": page((ring, 20, 150), (cross, 160, 150), (box, 300, 150)),
    "four": page((ring, 100, 100), (cross, 240, 100), (box, 100, 240), (ring, 240, 240)),
    "one half as large": page((ring, 100, 150), (shape("cross", 50), 240, 180)),
    "light on dark": Image.eval(page((ring, 100, 150), (cross, 240, 160)), lambda value: 255 - value),
    "small": page((ring, 100, 150), (cross, 240, 160)).resize((90, 90), Image.Resampling.BOX),
    "far apart": page((ring, 10, 150), (cross, 380, 160)),
    "grey paper": Image.eval(page((ring, 100, 150), (cross, 240, 160)), lambda value: 60 + value // 2),
}


@pytest.fixture(scope="module")
def cnn(tmp_path_factory):
    """A CNN of drawings of one part and of several."""
    place = tmp_path_factory.mktemp("gaps")
    for kind in ("ring", "cross", "box", "equals", "i"):
        (place / "support" / kind).mkdir(parents=True)
        for number, side in enumerate((100, 120)):
            page((shape(kind, side), 150, 160)).save(place / "support" / kind / f"{number}.png")
    path = place / "cnn.safetensors"
    assert main(["generate", "--support", str(place / "support"), "-o", str(path), "--no-estimate"]) == 0
    return path


def rows(cnn, image, tmp_path, capsys) -> dict:
    image.save(tmp_path / "x.png")
    assert main(["predict", str(cnn), str(tmp_path / "x.png"), "--json"]) == 0
    return json.loads(capsys.readouterr().out)["predictions"][0]


@pytest.mark.parametrize("kind", SEVERAL_DRAWINGS)
def test_several_drawings_are_told(kind, cnn, tmp_path, capsys):
    assert SEVERAL in rows(cnn, SEVERAL_DRAWINGS[kind], tmp_path, capsys)["warnings"]


@pytest.mark.parametrize("kind", ["ring", "cross", "box", "equals", "i"])
@pytest.mark.parametrize("side", [60, 140])
def test_drawings_of_the_classes_are_not(kind, side, cnn, tmp_path, capsys):
    row = rows(cnn, page((shape(kind, side, 7), 90, 200)), tmp_path, capsys)
    assert row["class"] == kind
    assert SEVERAL not in row["warnings"]


def test_it_stands_in_the_table_and_in_csv(cnn, tmp_path, capsys):
    SEVERAL_DRAWINGS["side by side"].save(tmp_path / "x.png")
    assert main(["predict", str(cnn), str(tmp_path / "x.png")]) == 0
    printed = capsys.readouterr()
    assert SEVERAL in printed.out
    assert f"warning: {SEVERAL}: {tmp_path / 'x.png'}" in printed.err
    assert main(["predict", str(cnn), str(tmp_path / "x.png"), "--csv"]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert row["warnings"] == SEVERAL


def test_a_cnn_that_knows_nothing_of_gaps_says_nothing(cnn, tmp_path, capsys):
    from dataclasses import replace

    from htgen.cnn.bundle import Bundle

    replace(Bundle.load(cnn), gaps={}).save(tmp_path / "old")
    image = SEVERAL_DRAWINGS["side by side"]
    assert rows(tmp_path / "old", image, tmp_path, capsys)["warnings"] == []


def boxed(drawing: Image.Image, room: int, angle: float = 0, ink: int = 0) -> Image.Image:
    """A drawing within a line that is so many pixels away from it."""
    side = drawing.width + 2 * room
    image = Image.new("L", (side, side), 255)
    image.paste(drawing, (room, room))
    ImageDraw.Draw(image).rectangle((0, 0, side - 1, side - 1), outline=ink, width=4)
    around = Image.new("L", (side + 160, side + 200), 255)
    around.paste(image, (80, 100))
    return around.rotate(angle, Image.Resampling.BICUBIC, fillcolor=255)


def within(kind: str, points: list[tuple[int, int]]) -> Image.Image:
    """A drawing in the middle of a closed line."""
    image = page((shape(kind, 90), 205, 205))
    ImageDraw.Draw(image).line([*points, points[0]], fill=0, width=5)
    return image


def ring_around(kind: str, radius: int) -> Image.Image:
    image = page((shape(kind, 90), 205, 205))
    ImageDraw.Draw(image).ellipse((250 - radius,) * 2 + (250 + radius,) * 2, outline=0, width=5)
    return image


def with_a_gap(image: Image.Image) -> Image.Image:
    ImageDraw.Draw(image).rectangle((160, 60, 190, 130), fill=255)
    return image


ENCLOSED_DRAWINGS = {
    **{
        f"in a box {room} away, {angle}": boxed(shape("cross"), room, angle)
        for room in (20, 60, 90)
        for angle in (0, 8)
    },
    "i in a box": boxed(shape("i"), 60, -1.5),
    "in a ring": ring_around("cross", 120),
    "in a wide ring": ring_around("cross", 220),
    "in a diamond": within("cross", [(250, 90), (410, 250), (250, 410), (90, 250)]),
    "in a triangle": within("cross", [(250, 40), (460, 420), (40, 420)]),
    "in a box with a gap": with_a_gap(boxed(shape("cross"), 60)),
}


@pytest.mark.parametrize("kind", ENCLOSED_DRAWINGS)
def test_a_line_around_a_drawing_is_told(kind, cnn, tmp_path, capsys):
    assert ENCLOSED in rows(cnn, ENCLOSED_DRAWINGS[kind], tmp_path, capsys)["warnings"]


def test_a_box_that_an_example_has_is_not(tmp_path, capsys):
    folder = tmp_path / "support"
    for kind in ("cross", "ring"):
        (folder / kind).mkdir(parents=True)
        page((shape(kind), 90, 100)).save(folder / kind / "0.png")
        boxed(shape(kind), 50).save(folder / kind / "1.png")
    path = tmp_path / "cnn.safetensors"
    assert main(["generate", "--support", str(folder), "-o", str(path)]) == 0
    capsys.readouterr()
    assert ENCLOSED not in rows(path, boxed(shape("cross"), 60), tmp_path, capsys)["warnings"]


def test_what_touches_its_box_is_one_drawing():
    window = boxed(shape("cross"), 0)
    assert PREPROCESSING.read(window).gaps == Gaps(0, 0, False)
    assert PREPROCESSING.read(boxed(shape("cross"), 30)).gaps == Gaps(0, 0, True)
    assert PREPROCESSING.read(page((shape("box"), 90, 100))).gaps == Gaps(0, 0, False)


def test_files_that_say_nothing_of_boxes_know_nothing_of_them(cnn, tmp_path):
    from dataclasses import replace

    from htgen.cnn.bundle import Bundle

    bundle = Bundle.load(cnn)
    assert {gaps.is_enclosed for gaps in bundle.gaps.values()} == {False}
    unknown = {name: replace(gaps, is_enclosed=None) for name, gaps in bundle.gaps.items()}
    replace(bundle, gaps=unknown).save(tmp_path / "old")
    assert Bundle.load(tmp_path / "old").gaps == unknown
    mixed = {**bundle.gaps, "box": replace(bundle.gaps["box"], is_enclosed=True)}
    replace(bundle, gaps=mixed).save(tmp_path / "mixed")
    assert Bundle.load(tmp_path / "mixed").gaps == mixed


def test_a_drawing_that_is_taken_for_dust_is_told():
    """It is small, and much darker than what is around it."""
    image = page((shape("cross", 40, 9), 260, 210))
    ImageDraw.Draw(image).rectangle((120, 90, 440, 380), outline=60, width=2)
    read = PREPROCESSING.read(image)
    assert read.pixels[8:20, 8:20].max() == 0
    assert read.warnings == (LEFT_OUT,)


def test_gaps_travel_with_the_cnn(cnn):
    from htgen.cnn.bundle import Bundle

    gaps = Bundle.load(cnn).gaps
    assert list(gaps) == ["box", "cross", "equals", "i", "ring"]
    assert gaps["ring"] == gaps["cross"] == gaps["box"] == gaps["i"] == Gaps(0, 0, False)
    assert gaps["equals"].across == 0
    assert 0.2 < gaps["equals"].down < 0.4


def test_an_image_of_no_drawing_has_no_gaps():
    photo = Preprocessing(40, 3, "none", "crop")
    ((_, read),) = read_images([drawing()], photo)
    assert read.gaps is None
    ((_, read),) = read_images([Image.new("L", (50, 50), 255)], PREPROCESSING)
    assert read.gaps is None


@given(st.integers(5, 40), st.integers(5, 40), st.integers(1, 60), st.booleans())
def test_a_gap_counts_by_the_smaller_of_two_similar_parts(first, second, gap, is_down):
    ink = np.zeros((50, first + gap + second + 9), bool)
    ink[5 : 5 + first, 4 : 4 + first] = True
    ink[2 : 2 + second, 4 + first + gap : 4 + first + gap + second] = True
    smaller, larger = sorted((first, second))
    is_similar = smaller >= 0.4 * larger and smaller**2 >= 0.12 * larger**2
    width = gap / smaller if is_similar else 0.0
    found = find_gaps(ink.T if is_down else ink)
    assert found == (Gaps(0, width, False) if is_down else Gaps(width, 0, False))
    assert widest([found, Gaps(0.1, 0.0)]) == Gaps(max(found.across, 0.1), found.down)
    assert Gaps.from_list(found.to_list()).across == pytest.approx(found.across, abs=6e-4)


@pytest.mark.parametrize("values", [[], [1], [1, 2, 3], [-1, 0], [float("nan"), 0], [True, 0], ["a", "b"], 3])
def test_gaps_that_are_none_are_refused(values):
    with pytest.raises((ValueError, TypeError)):
        Gaps.from_list(values)
