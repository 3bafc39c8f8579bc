"""`htgen export`: formats, limits, libraries, and what is refused."""

import json
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.arduino import run_sketch
from helpers.cnns import make_bundle
from helpers.compilers import needs_a_compiler
from PIL import Image

from htgen.cli import main
from htgen.cnn.bundle import Bundle
from htgen.images.drawings import DRAWING_STEPS

ROOT = Path(__file__).parents[2]


@pytest.fixture
def cnn(tmp_path) -> Path:
    path = tmp_path / "cnn.safetensors"
    make_bundle().save(path)
    return path


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["-o", "x.tflite"], "no format that there is"),
        (["-o", "x"], "no format that there is"),
        ([], "give one of"),
        (["-o", "x.h", "--arduino", "lib"], "give one of"),
        (["-o", "x.onnx", "--float"], "are for C"),
        (["-o", "x.onnx", "--bits", "8"], "are for C"),
        (["-o", "x.h", "--float", "--bits", "16"], "in whole numbers"),
        (["-o", "x.h", "--bits", "12"], "neither 8 nor 16"),
        (["-o", "x.py", "--flash", "32k"], "are for C"),
        (["-o", "x.h", "--float", "--prepare"], "in whole numbers"),
        (["-o", "x.h", "--flash", "32 kB"], "no number of bytes"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_is_written(
    options, says, cnn, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(["export", str(cnn), *options]) == 2
    assert says in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert [path.name for path in tmp_path.iterdir()] == ["cnn.safetensors"]


def test_limits(cnn, tmp_path, capsys):
    out = tmp_path / "x.h"
    assert main(["export", str(cnn), "-o", str(out), "--flash", "1k"]) == 5
    assert "bytes of flash, more than the 1024" in capsys.readouterr().err
    assert main(["export", str(cnn), "-o", str(out), "--ram", "100"]) == 5
    assert not out.exists()
    assert main(["export", str(cnn), "-o", str(out), "--flash", "32k", "--ram", "4K"]) == 0
    assert out.exists()


def test_indices_stay_when_a_class_is_added(cnn, tmp_path, capsys):
    """Of which a program may make use: the enum of the earlier header is the beginning of the later one."""
    earlier = Bundle.load(cnn)
    later_classes = ("aardvark", "ant", "bee", "cat", "dog")
    random = np.random.default_rng(0)
    tensors = {
        key: random.normal(0, 1, (5, *t.shape[1:])).astype(np.float32) if key.startswith("logits") else t
        for key, t in earlier.tensors.items()
    }
    later = Bundle(earlier.spec, later_classes, earlier.preprocessing, tensors)
    later.save(tmp_path / "later.safetensors")
    out = tmp_path / "x.h"
    assert main(["export", str(tmp_path / "later.safetensors"), "-o", str(out), "--like", str(cnn)]) == 0
    names = [line.split()[0] for line in out.read_text().splitlines() if line.startswith("    X_CLASS_")]
    assert names == [f"X_CLASS_{name}" for name in ("ANT", "BEE", "CAT", "AARDVARK", "DOG")]
    like = later.with_classes_like(earlier.classes)
    x = random.normal(0, 1, (3, 1, 20, 20)).astype(np.float32)
    for one, other in zip(later.classify(x), like.classify(x), strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, rel=1e-5)
    program = tmp_path / "x.py"
    assert main(["export", str(tmp_path / "later.safetensors"), "-o", str(program), "--like", str(cnn)]) == 0
    found = runpy.run_path(str(program))
    pixels = torch.from_numpy(np.rint((x + 1) * 128).clip(0, 255)).float()
    weights = found["load_file"](found["FILE"])
    probabilities = found["logits"](pixels, weights).softmax(dim=1).tolist()
    for one, row in zip(later.classify(pixels.numpy() / 128 - 1), probabilities, strict=True):
        assert dict(zip(found["CLASSES"], row, strict=True)) == pytest.approx(one.probabilities, abs=1e-5)
    assert main(["export", str(cnn), "-o", str(out), "--like", str(tmp_path / "later.safetensors")]) == 5
    assert "no class 'aardvark'" in capsys.readouterr().err


def test_a_library_in_place_of_a_file_is_one_error_that_names_it(cnn, tmp_path, capsys):
    file = tmp_path / "lib"
    file.write_text("kept")
    assert main(["export", str(cnn), "--arduino", str(file)]) == 7
    assert f"cannot write {file}" in capsys.readouterr().err
    assert file.read_text() == "kept"


@needs_a_compiler
def test_an_arduino_library_is_whole(cnn, tmp_path):
    library = tmp_path / "my symbols"
    assert main(["export", str(cnn), "--arduino", str(library)]) == 0
    files = {str(path.relative_to(library)) for path in library.rglob("*") if path.is_file()}
    assert files == {
        "library.properties",
        "src/my_symbols.h",
        "examples/my_symbols_once/my_symbols_once.ino",
    }
    properties = dict(
        line.split("=", 1) for line in (library / "library.properties").read_text().splitlines()
    )
    assert properties["name"] == "my_symbols"
    assert {"version", "author", "maintainer", "sentence", "architectures", "category", "url"} <= set(
        properties
    )
    assert run_sketch(library, tmp_path) in Bundle.load(cnn).classes


def test_a_folder_of_images_is_stored_for_the_selftest(cnn, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    assert main(["export", str(cnn), "-o", str(tmp_path / "x.h"), "--selftest", str(folder)]) == 4
    for i in range(2):
        noise = np.random.default_rng(i).integers(0, 256, (30, 30), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{i}.png")
    assert main(["export", str(cnn), "-o", str(tmp_path / "x.h"), "--selftest", str(folder)]) == 0
    assert "x_images[800]" in (tmp_path / "x.h").read_text()


def test_the_selftest_takes_the_images_of_sub_folders(cnn, tmp_path):
    """As a support folder has them: one for each class."""
    images = [np.random.default_rng(i).integers(0, 256, (20, 20), dtype=np.uint8) for i in range(3)]
    flat, labelled = tmp_path / "flat", tmp_path / "labelled"
    for path, image in zip(("a/0.png", "a/1.png", "b/0.png"), images, strict=True):
        for place in (flat / path.replace("/", ""), labelled / path):
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(place)
    texts = []
    for folder in (flat, labelled):
        assert main(["export", str(cnn), "-o", str(tmp_path / "x.h"), "--selftest", str(folder)]) == 0
        texts.append((tmp_path / "x.h").read_text())
    assert "x_images[1200]" in texts[0]
    assert texts[0] == texts[1]


@needs_a_compiler
def test_the_sketch_prepares_its_frame_where_the_library_can(tmp_path):
    cnn, library = tmp_path / "x.safetensors", tmp_path / "x"
    folder = ROOT / "examples" / "symbols"
    assert main(["generate", "--support", str(folder / "support"), "-o", str(cnn), "--device"]) == 0
    assert main(["export", str(cnn), "--arduino", str(library), "--prepare"]) == 0
    picture = next(iter(sorted((folder / "support").glob("*/*.png"))))
    with Image.open(picture) as image:
        frame = np.asarray(image.convert("L").resize((96, 96)))
    said = run_sketch(library, tmp_path, frame=frame.ravel().tolist())
    (wanted,) = Bundle.load(cnn).predict([frame])
    assert said == wanted.label == picture.parent.name
    assert run_sketch(library, tmp_path, frame=[255] * 96 * 96) == "no ink"


def test_what_has_no_c_in_float_is_told_what_it_has(tmp_path, capsys):
    """The advice is taken, and works."""
    cnn, out = tmp_path / "cnn.safetensors", tmp_path / "x.h"
    bundle = make_bundle()
    replace(bundle, spec=replace(bundle.spec, unit_features=True)).save(cnn)
    assert main(["export", str(cnn), "-o", str(out), "--float"]) == 5
    said = capsys.readouterr().err
    assert "features of length 1" in said
    assert "htgen export without --float" in said
    assert not out.exists()
    assert main(["export", str(cnn), "-o", str(out)]) == 0
    assert "x_to_length" in out.read_text()


def test_a_cnn_for_a_device_is_prepared_as_the_c_does(tmp_path, capsys):
    out, support = tmp_path / "x.safetensors", ROOT / "examples" / "symbols" / "support"
    assert main(["generate", "--support", str(support), "-o", str(out), "--device"]) == 0
    assert "those of a small device" in capsys.readouterr().out
    how = Bundle.load(out).preprocessing
    assert how.device
    assert how.steps.stroke == DRAWING_STEPS.stroke
    assert main(["export", str(out), "-o", str(tmp_path / "x.h"), "--prepare"]) == 0
    assert "x_prepare(const uint8_t *frame" in (tmp_path / "x.h").read_text()
    images = sorted((ROOT / "examples" / "symbols" / "new").glob("*.png"))
    capsys.readouterr()
    assert main(["predict", str(out), *map(str, images), "--json"]) == 0
    answers = [answer["class"] for answer in json.loads(capsys.readouterr().out)["predictions"]]
    wanted = (ROOT / "examples" / "symbols" / "answers.txt").read_text().splitlines()
    right = sum(
        image.name in line and answer in line
        for image, answer, line in zip(images, answers, wanted, strict=True)
    )
    assert right >= 23
    generate = ["generate", "--support", str(support), "-o", str(out), "--device"]
    assert main([*generate, "--no-crop"]) == 2
    assert main([*generate, "--generator", "photo-40"]) == 2


def test_a_cnn_that_is_missing_is_told_also_where_a_file_is_replaced(tmp_path, capsys):
    (tmp_path / "cnn.h").write_text("mine")
    assert main(["export", str(tmp_path / "nowhere"), "-o", str(tmp_path / "cnn.h")]) == 5
    assert "there is no file" in capsys.readouterr().err
    assert (tmp_path / "cnn.h").read_text() == "mine"


def test_a_cnn_that_is_missing_is_told_so_where_the_output_has_its_name(tmp_path, capsys):
    place = str(tmp_path / "missing.h")
    assert main(["export", place, "-o", place]) == 5
    assert "there is no file" in capsys.readouterr().err
    (tmp_path / "missing.h").write_bytes(b"CNN")
    assert main(["export", place, "-o", place]) == 2
    assert "it is the CNN itself" in capsys.readouterr().err
    assert (tmp_path / "missing.h").read_bytes() == b"CNN"
