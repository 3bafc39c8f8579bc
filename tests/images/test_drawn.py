"""Drawings among photographs are told, where the CNN knows that its classes are photographs."""

import json
from dataclasses import replace

import numpy as np
import pytest
from helpers.drawings import drawing, scene
from helpers.drawn_things import DRAWN_THINGS, THINGS, in_light
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from htgen.cli import main
from htgen.cnn.bundle import Bundle
from htgen.errors import ModelError
from htgen.images.drawn import is_drawn
from htgen.images.inputs import read_images
from htgen.images.notices import DRAWN
from htgen.images.preprocessing import Preprocessing

PHOTOGRAPHS = Preprocessing(96, 3, "none", "crop")


@pytest.mark.parametrize("size", [48, 96, 128, 224])
def test_drawings_are_told_from_things(size):
    preprocessing = replace(PHOTOGRAPHS, size=size)
    apply = preprocessing.apply
    assert [name for name, image in DRAWN_THINGS.items() if not is_drawn(apply(image))] == []
    assert [name for name, image in THINGS.items() if is_drawn(apply(image))] == []


def test_grey_images_are_judged_as_coloured_ones_without_colours():
    for image in (drawing(), in_light(drawing()), scene(0).convert("L")):
        coloured = PHOTOGRAPHS.apply(image.convert("L"))
        assert is_drawn(coloured) == is_drawn(coloured[..., :1])


@given(arrays(np.uint8, st.tuples(*(st.integers(1, 40),) * 2, st.sampled_from([1, 3]))))
@settings(max_examples=40)
def test_any_pixels_have_an_answer(pixels):
    side = min(pixels.shape[:2])
    found = is_drawn(pixels[:side, :side])
    assert found in (True, False)
    assert not (found and side < 16)


def test_it_is_asked_of_photographs_alone():
    def asked(preprocessing: Preprocessing, image: Image.Image) -> bool | None:
        ((_, read),) = read_images([image], preprocessing)
        return read.is_drawn

    assert asked(PHOTOGRAPHS, drawing()) is True
    assert asked(PHOTOGRAPHS, scene(0)) is False
    assert asked(PHOTOGRAPHS, Image.new("L", (100, 100), 255)) is False
    assert asked(Preprocessing(28, 1, "bright", "pad"), drawing()) is None


# ---------------------------------------------------------------------------------------------- what is told


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Classes of photographs, one of which has a drawing too; and what is new."""
    place = tmp_path_factory.mktemp("drawn")
    for number, name in enumerate(("field", "lake", "mixed")):
        (place / "classes" / name).mkdir(parents=True)
        for image in range(3):
            scene(10 * number + image).save(place / "classes" / name / f"{image}.png")
    drawing().save(place / "classes" / "mixed" / "drawn.png")
    drawing(130).save(place / "new.png")
    scene(77).save(place / "scene.png")
    generator = ["--generator", "photo-small", "--no-estimate"]
    assert main(["generate", str(place / "classes"), "-o", str(place / "cnn"), *generator]) == 0
    return place


def warnings(cnn, image, capsys) -> tuple[str, list[str]]:
    capsys.readouterr()
    assert main(["predict", str(cnn), str(image), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["predictions"]
    return row["class"], row["warnings"]


def of_class(place, name: str):
    """The CNN, whose last layer answers with one class."""
    cnn = Bundle.load(place / "cnn")
    bias = np.where(np.array(cnn.classes) == name, 1e4, 0).astype(np.float32)
    path = place / f"always {name}"
    replace(cnn, tensors={**cnn.tensors, "logits.bias": bias}).save(path)
    return path


def test_a_drawing_is_told_where_the_class_is_of_photographs_alone(place, capsys):
    assert Bundle.load(place / "cnn").photographs == ("field", "lake")
    assert warnings(of_class(place, "lake"), place / "new.png", capsys) == ("lake", [DRAWN])
    assert warnings(of_class(place, "mixed"), place / "new.png", capsys) == ("mixed", [])
    assert warnings(of_class(place, "lake"), place / "scene.png", capsys) == ("lake", [])


def test_it_is_said_beside_the_table_and_by_test(place, tmp_path, capsys):
    cnn = of_class(place, "lake")
    assert main(["predict", str(cnn), str(place / "new.png")]) == 0
    told = capsys.readouterr()
    assert told.out.splitlines()[1].endswith(f"warning: {DRAWN}")
    assert told.err == f"warning: {DRAWN}: {place / 'new.png'}\n"
    (tmp_path / "field").mkdir()
    drawing().save(tmp_path / "field" / "x.png")
    assert main(["test", str(cnn), str(tmp_path)]) == 0
    assert f"found as lake 100.0 %; warning: {DRAWN}" in capsys.readouterr().out


def test_files_from_before_say_nothing(place, capsys):
    replace(Bundle.load(of_class(place, "lake")), photographs=()).save(place / "old")
    assert warnings(place / "old", place / "new.png", capsys) == ("lake", [])


def test_classes_that_come_and_go_are_known(place, tmp_path):
    for name, images in {"lake": [drawing()], "new": [scene(5)], "drawn": [drawing(), scene(6)]}.items():
        (tmp_path / name).mkdir()
        for number, image in enumerate(images):
            image.save(tmp_path / name / f"{number}.png")
    command = ["generate", str(place / "cnn"), "--add", str(tmp_path), "-o", str(place / "grown")]
    assert main([*command, "--no-estimate"]) == 0
    assert Bundle.load(place / "grown").photographs == ("field", "new")
    dropped = place / "dropped"
    assert main(["generate", str(place / "grown"), "--drop", "field", "-o", str(dropped)]) == 0
    assert Bundle.load(dropped).photographs == ("new",)


def test_cnns_of_drawings_have_no_photographs(tmp_path):
    for name in "ab":
        (tmp_path / "classes" / name).mkdir(parents=True)
        scene(ord(name)).save(tmp_path / "classes" / name / "0.png")
    arguments = ["--generator", "glyph-8", "--no-estimate", "-o", str(tmp_path / "cnn")]
    assert main(["generate", str(tmp_path / "classes"), *arguments]) == 0
    assert Bundle.load(tmp_path / "cnn").photographs == ()


def test_a_file_of_other_classes_is_refused(place):
    with pytest.raises(ModelError, match="classes of photographs must be classes"):
        replace(Bundle.load(place / "cnn"), photographs=("none",))
