"""The commands as a user runs them, with a toy generator that is trained for a second."""

import csv
import hashlib
import io
import json
import operator
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import drawing, toy_values
from PIL import Image
from rich.cells import cell_len
from safetensors.numpy import save

from htgen.cli import main
from htgen.cli.stores import Seen, seen_classes
from htgen.config.files import dump_config, load_config
from htgen.datasets.splits import resolve_split
from htgen.datasets.store import Store
from htgen.generator.generator import load_generator
from htgen.images import heic
from htgen.training.events import Validated
from htgen.training.follow import checkpoints
from htgen.training.run_folder import RunFolder
from htgen.training.state import read_state, write_state
from htgen.training.trainer import Trainer


@pytest.fixture(scope="module")
def config_path(store_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "toy.yaml"
    values = toy_values(store_path)
    values["train"] |= {"steps": 60, "val_every": 30, "save_every": 30, "log_every": 20}
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.fixture(scope="module")
def run_path(config_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "toy"
    assert main(["train", "--config", str(config_path), "--run", str(path)]) == 0
    return path


@pytest.fixture
def support(tmp_path: Path) -> Path:
    """Three classes of three drawings, dark on light, of other sizes than the generator's."""
    for kind in range(3):
        folder = tmp_path / "support" / f"kind{kind}"
        folder.mkdir(parents=True)
        for i in range(3):
            image = Image.fromarray(255 - drawing(5 * kind, i)[..., 0])
            image.resize((40 + i, 40 + i)).save(folder / f"{i}.png")
    return tmp_path / "support"


@pytest.fixture
def cnn(run_path: Path, support: Path, tmp_path: Path) -> Path:
    path = tmp_path / "cnn.safetensors"
    assert main(["generate", "--support", str(support), "-o", str(path), "--generator", str(run_path)]) == 0
    return path


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "htgen", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


# ------------------------------------------------------------------------------------------ start-up


@pytest.mark.parametrize(
    "code",
    [
        "import htgen",
        "import htgen.cli",
        "from htgen.cli import main; main(['--help'])",
        "from htgen.cli import main; main(['configs'])",
        "import htgen; htgen.Bundle",
        "import htgen; htgen.load_generator()",
        "from htgen.cli import main; main(['inspect', 'nothing'])",
    ],
)
def test_light_uses_do_not_import_torch(code):
    check = f"{code}\nimport sys; sys.exit(any(m == 'torch' or m.startswith('torch.') for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", check], capture_output=True, check=False).returncode == 0


def test_predicting_does_not_import_torch(cnn, support):
    code = (
        "import sys; from htgen.cli import main; "
        f"main(['predict', {str(cnn)!r}, {str(support / 'kind0')!r}]); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_generating_does_not_import_torch(support, tmp_path):
    output = tmp_path / "cnn.safetensors"
    code = (
        "import sys; from htgen.cli import main; "
        f"assert main(['generate', '--support', {str(support)!r}, '-o', {str(output)!r}]) == 0; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
    assert output.exists()


def test_every_public_name_can_be_imported():
    import htgen

    assert sorted(htgen.__all__) == htgen.__all__
    for name in htgen.__all__:
        assert getattr(htgen, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        operator.attrgetter("no_such_name")(htgen)


# -------------------------------------------------------------------------------- generate and predict


def test_from_a_folder_to_predictions(run_path, support, tmp_path, capsys):
    output = tmp_path / "cnn.safetensors"
    assert main(["generate", "--support", str(support), "-o", str(output), "--generator", str(run_path)]) == 0
    said = capsys.readouterr().out
    assert "kind0 (3), kind1 (3), kind2 (3)" in said
    assert "9 dark on light; 9 inverted" in said
    assert f"{output.stat().st_size} bytes" in said
    assert "% of 9 images right when left out" in said

    new = tmp_path / "new"
    new.mkdir()
    for kind in range(3):
        Image.fromarray(drawing(5 * kind, 7)[..., 0]).save(new / f"{kind}.png")  # light on dark this time
    assert main(["predict", str(output), str(new)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["image", "class", "probability", "runner-up"]
    assert [line.split()[1] for line in lines[1:]] == ["kind0", "kind1", "kind2"]


def test_steps_are_recorded_in_the_file_and_each_can_be_left_out(run_path, support, tmp_path, capsys):
    from htgen import Bundle
    from htgen.images.drawings import DRAWING_STEPS

    output = tmp_path / "cnn.safetensors"
    command = ["generate", "--support", str(support), "-o", str(output), "--generator", str(run_path)]
    assert main(command) == 0
    every = "light made even, cut to the ink, contrast stretched, strokes made even"
    assert every in capsys.readouterr().out
    assert Bundle.load(output).preprocessing.steps == DRAWING_STEPS
    for step in ("polarity", "flatten", "crop", "contrast", "stroke"):
        assert main([*command, f"--no-{step}"]) == 0
        expected = replace(DRAWING_STEPS, **{step: type(getattr(DRAWING_STEPS, step))(0)})
        assert Bundle.load(output).preprocessing.steps == expected
        said = capsys.readouterr().out
        assert ("taken to be light on dark" in said) == (step == "polarity")
        assert (every in said) == (step == "polarity")
    assert main([*command, "--no-aspect"]) == 0
    assert Bundle.load(output).preprocessing.fit == "stretch"
    assert "stretched to a square" in capsys.readouterr().out
    assert main(["inspect", str(output)]) == 0
    assert "crop 0.9" in capsys.readouterr().out


def test_without_transparency_hidden_colours_count(run_path, support, tmp_path, capsys):
    """All images are transparent but for a corner, so there is nothing else to see but what lies beneath."""
    hidden = tmp_path / "hidden"
    for path in support.glob("*/*.png"):
        (hidden / path.parent.name).mkdir(parents=True, exist_ok=True)
        image = Image.open(path).convert("LA")
        image.putalpha(0)
        image.putpixel((0, 0), (0, 255))
        image.save(hidden / path.parent.name / path.name)
    output = tmp_path / "cnn.safetensors"
    command = ["generate", "--support", str(hidden), "-o", str(output), "--generator", str(run_path)]
    queries = sorted(hidden.glob("*/*.png"))
    right = {}
    for option in ([], ["--no-transparency"]):
        assert main([*command, *option]) == 0
        said = capsys.readouterr().out
        assert ("transparency ignored" in said) == bool(option)
        assert main(["predict", str(output), *map(str, queries), "--json"]) == 0
        answers = json.loads(capsys.readouterr().out)["predictions"]
        right[bool(option)] = sum(a["class"] == q.parent.name for a, q in zip(answers, queries, strict=True))
    assert right[False] == len(queries) / 3  # one answer for all
    assert right[True] > len(queries) / 2


def test_the_same_folder_gives_the_same_bytes(run_path, support, cnn, tmp_path):
    again = tmp_path / "again.safetensors"
    assert main(["generate", "--support", str(support), "-o", str(again), "--generator", str(run_path)]) == 0
    assert again.read_bytes() == cnn.read_bytes()


def test_json_and_csv_agree_with_the_model(cnn, support, capsys):
    from htgen import load_cnn

    folder = support / "kind1"
    capsys.readouterr()
    assert main(["predict", str(cnn), str(folder), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["model"] == str(cnn)
    expected = load_cnn(cnn).predict(sorted(folder.iterdir()))
    for entry, prediction, path in zip(
        document["predictions"], expected, sorted(folder.iterdir()), strict=True
    ):
        assert entry["image"] == str(path)
        assert entry["class"] == prediction.label
        assert entry["probability"] == max(entry["probabilities"].values())
        assert entry["probabilities"] == pytest.approx(prediction.probabilities, abs=1e-5)
    assert main(["predict", str(cnn), str(folder), "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["class"] for row in rows] == [e["class"] for e in document["predictions"]]
    assert float(rows[0]["p(kind2)"]) == pytest.approx(
        document["predictions"][0]["probabilities"]["kind2"], abs=1e-5
    )


def test_unsure_answers_are_rejected(cnn, support, capsys):
    capsys.readouterr()
    command = ["predict", str(cnn), *(str(support / f"kind{kind}") for kind in range(3))]
    assert main([*command, "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)["predictions"]
    threshold = sorted(p["probability"] for p in plain)[4]
    rejecting = [*command, "--reject", repr(threshold)]
    assert main([*rejecting, "--json"]) == 0
    kept = json.loads(capsys.readouterr().out)["predictions"]
    assert sum(p["class"] is None for p in kept) == 4
    for before, after in zip(plain, kept, strict=True):
        assert after["class"] == (before["class"] if before["probability"] >= threshold else None)
        assert after["probabilities"] == before["probabilities"]
    assert main([*rejecting, "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["class"] or None for row in rows] == [p["class"] for p in kept]
    assert main(rejecting) == 0
    table = capsys.readouterr().out.splitlines()[1:]
    for line, before, after in zip(table, plain, kept, strict=True):
        best = f"{before['class']}  {100 * before['probability']:.1f} %"
        assert ("none of these" in line) == (after["class"] is None)
        if after["class"] is None:
            assert line.endswith(best.replace("  ", " "))
    assert main([*command, "--reject", "1.5"]) == 2


def test_files_folders_and_patterns_are_expanded(cnn, support, capsys):
    capsys.readouterr()
    pattern = str(support / "kind2" / "*.png")
    assert (
        main(
            ["predict", str(cnn), str(support / "kind0"), str(support / "kind1" / "1.png"), pattern, "--json"]
        )
        == 0
    )
    images = [p["image"] for p in json.loads(capsys.readouterr().out)["predictions"]]
    assert [Path(i).parent.name for i in images] == ["kind0"] * 3 + ["kind1"] + ["kind2"] * 3


def test_files_of_no_known_format_are_named(cnn, support, run_path, tmp_path, capsys):
    for name in ("2.docx", "scan3", "Thumbs.db", ".hidden"):
        (support / "kind0" / name).write_bytes(b"something")
    capsys.readouterr()
    (support / "kind0" / "deep").mkdir()
    told = (
        f"warning: not of a known image format, in {support / 'kind0'}: 2.docx; scan3\n"
        f"warning: sub-folders are not looked into, in {support / 'kind0'}: deep\n"
    )
    output = tmp_path / "new.safetensors"
    assert main(["generate", "--support", str(support), "-o", str(output), "--generator", str(run_path)]) == 0
    assert capsys.readouterr().err == told
    assert main(["predict", str(cnn), str(support / "kind0")]) == 0
    assert capsys.readouterr().err == told
    for image in (support / "kind0").glob("*.png"):
        image.unlink()
    shutil.copy(support / "kind1" / "1.png", support / "loose.png")
    assert main(["generate", "--support", str(support), "-o", str(output), "--generator", str(run_path)]) == 4
    error = capsys.readouterr().err
    assert "kind0 holds no image files, only files such as '2.docx'" in error
    assert "convert them to PNG or JPEG" in error
    (support / "kind0" / "2.docx").rename(support / "kind0" / "2.png")
    assert main(["predict", str(cnn), str(support / "kind0"), "--json"]) == 1
    assert "of an unknown format" in json.loads(capsys.readouterr().out)["predictions"][0]["error"]
    shutil.copy(support / "kind1" / "1.png", support / "kind0" / "1.png")
    assert main(["generate", "--support", str(support), "-o", str(output), "--generator", str(run_path)]) == 1
    assert f"images beside the folders of classes, in {support}: loose.png" in capsys.readouterr().err


def test_heic_is_read_or_told_how(run_path, support, tmp_path, monkeypatch, capsys):
    """As PNG with the optional package; without it in one line, at each of three places."""
    assert heic.teach_pillow()
    drawing = Image.open(support / "kind0" / "0.png").convert("RGB").resize((80, 64))
    for ending in ("heic", "HIF"):
        drawing.save(support / "kind0" / f"9.{ending}", "HEIF", quality=-1)
    drawing.save(tmp_path / "same.png")
    output = tmp_path / "cnn.safetensors"
    generating = ["generate", "--support", str(support), "-o", str(output), "--generator", str(run_path)]
    assert main(generating) == 0
    assert "kind0 (5)" in capsys.readouterr().out
    images = [str(support / "kind0" / "9.heic"), str(tmp_path / "same.png")]
    assert main(["predict", str(output), *images, "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)["predictions"]
    for name, probability in first["probabilities"].items():
        assert probability == pytest.approx(second["probabilities"][name], abs=0.05)

    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    heic.teach_pillow.cache_clear()
    try:
        assert main(generating) == 0
        captured = capsys.readouterr()
        assert "kind0 (3)" in captured.out
        assert "(pip install 'htgen[heic]' for HEIC)" in captured.err
        assert main(["predict", str(output), images[0], "--json"]) == 1
        (row,) = json.loads(capsys.readouterr().out)["predictions"]
        assert "it is HEIC, which needs a package that is not installed" in row["error"]
        for image in (support / "kind0").glob("*.png"):
            image.unlink()
        assert main(generating) == 4
        assert "pip install 'htgen[heic]'" in capsys.readouterr().err
    finally:
        monkeypatch.undo()
        heic.teach_pillow.cache_clear()


def test_an_image_in_which_nothing_is_to_be_seen_is_told(cnn, support, run_path, tmp_path, capsys):
    names = ("clear.png", "page.png", "white.png")
    blank = [support / "kind0" / name for name in names]
    Image.new("RGBA", (50, 40), (9, 9, 9, 0)).save(blank[0])
    noise = np.random.default_rng(0).normal(200, 1.5, (300, 300)) + np.linspace(0, 30, 300)
    Image.fromarray(noise.astype(np.uint8)).save(blank[1])  # an empty sheet in uneven light
    Image.new("L", (50, 40), 255).save(blank[2])
    told = f"warning: nothing is to be seen in {'; '.join(map(str, blank))}\n"
    capsys.readouterr()
    assert main(["predict", str(cnn), str(support / "kind0")]) == 0
    assert capsys.readouterr().err == told
    output = tmp_path / "new.safetensors"
    assert main(["generate", "--support", str(support), "-o", str(output), "--generator", str(run_path)]) == 0
    assert told in capsys.readouterr().err
    others = tmp_path / "others"
    others.mkdir()
    for name in names:
        (support / "kind0" / name).rename(others / name)
    generating = ["generate", "--support", str(support), "-o", str(output), "--generator", str(run_path)]
    assert main([*generating, "--unlabeled", str(others)]) == 0
    assert told.replace(str(support / "kind0"), str(others)) in capsys.readouterr().err


def test_a_name_that_no_file_can_have_is_one_that_there_is_not(cnn, support, tmp_path, capsys):
    long, out = "x" * 300, str(tmp_path / "store")
    image = str(support / "kind0" / "0.png")
    capsys.readouterr()
    assert main(["predict", str(cnn), image, long, "--json"]) == 1
    rows = json.loads(capsys.readouterr().out)["predictions"]
    assert ["class" in row for row in rows] == [True, False]
    for arguments, code in {
        ("evaluate", "glyph-8", "--data", long): 4,
        ("train", "--config", long): 3,
        ("inspect", long): 5,
        ("prepare-data", "omniglot", "--source", long, "--out", out): 4,
        ("prepare-data", "emnist", "--source", long, "--out", out): 4,
    }.items():
        assert main([*arguments]) == code, arguments
        assert long in capsys.readouterr().err


def test_what_is_a_step_of_drawings_alone_cannot_be_left_out_with_photographs(support, tmp_path, capsys):
    output = str(tmp_path / "cnn.safetensors")
    arguments = ["generate", "--support", str(support), "-o", output, "--generator", "photo-40"]
    assert main([*arguments, "--no-crop"]) == 2
    assert "photo-40" in capsys.readouterr().err
    assert main([*arguments, "--no-aspect", "--no-transparency"]) == 0


def test_a_pattern_that_finds_only_an_empty_folder_is_an_error(cnn, tmp_path, capsys):
    empty = tmp_path / "new" / "empty"
    empty.mkdir(parents=True)
    (empty / "1.docx").write_bytes(b"x")
    assert main(["predict", str(cnn), str(tmp_path / "new" / "*"), "--csv"]) == 4
    captured = capsys.readouterr()
    assert f"warning: not of a known image format, in {empty}: 1.docx" in captured.err
    assert "empty holds no image files" in captured.err
    assert captured.out == ""


def test_names_that_a_terminal_would_obey_are_shown_as_they_are(run_path, support, tmp_path, capsys):
    (support / "kind0").rename(support / ":heart: [red]a\nb\x1b[2J")
    output = tmp_path / "cnn.safetensors"
    assert main(["generate", "--support", str(support), "-o", str(output), "--generator", str(run_path)]) == 0
    shown = ":heart: [red]a\\nb\\x1b[2J"
    assert shown in capsys.readouterr().out
    assert main(["predict", str(output), str(support / "kind1")]) == 0
    assert main(["predict", str(output), *map(str, support.glob(":*"))]) == 0
    table = capsys.readouterr().out
    assert shown in table
    assert main(["inspect", str(output)]) == 0
    assert shown in (said := capsys.readouterr().out)
    assert "\x1b" not in table + said


def test_an_unreadable_image_is_told_in_its_row_and_the_others_are_classified(cnn, support, capsys):
    (support / "kind0" / "1.png").write_bytes(b"not an image")
    capsys.readouterr()
    assert main(["predict", str(cnn), str(support / "kind0"), str(support / "gone.png"), "--json"]) == 1
    predictions = json.loads(capsys.readouterr().out)["predictions"]
    assert ["class" in p for p in predictions] == [True, False, True, False]
    assert "1.png" in predictions[1]["error"]
    assert main(["predict", str(cnn), str(support / "kind0")]) == 1
    captured = capsys.readouterr()
    assert captured.out.splitlines()[2].split()[1:3] == ["-", "error:"]
    assert "1 of 3 images could not be read" in captured.err


def test_a_link_that_leads_nowhere_is_told_in_its_row(cnn, support, tmp_path, capsys):
    folder = tmp_path / "new"
    folder.mkdir()
    (folder / "gone.png").symlink_to(tmp_path / "nowhere.png")
    assert main(["predict", str(cnn), str(folder), "--json"]) == 1
    (row,) = json.loads(capsys.readouterr().out)["predictions"]
    assert "there is no image" in row["error"]


def test_columns_stay_in_line_beside_wide_letters(cnn, support, tmp_path, capsys):
    source = next(path for path in support.rglob("*.png"))
    paths = [tmp_path / "日本語.png", tmp_path / "latin-name.png"]
    for path in paths:
        path.write_bytes(source.read_bytes())
    assert main(["predict", str(cnn), *map(str, paths)]) == 0
    lines = capsys.readouterr().out.splitlines()
    label = lines[1].split()[1]
    assert len({cell_len(line[: line.index(f" {label} ")]) for line in lines[1:]}) == 1


def test_an_empty_folder_of_unlabelled_images_is_refused(support, tmp_path, capsys):
    (tmp_path / "none").mkdir()
    words = ["generate", "--support", str(support), "--unlabeled", str(tmp_path / "none")]
    assert main([*words, "-o", str(tmp_path / "x.safetensors")]) == 4
    assert "holds no image files" in capsys.readouterr().err
    assert not (tmp_path / "x.safetensors").exists()


def test_photographs_are_noticed_and_coloured_ink_is_not(run_path, support, tmp_path, capsys):
    output = tmp_path / "cnn.safetensors"
    command = ["generate", "--support", str(support), "-o", str(output), "--generator", str(run_path)]
    for path in support.glob("*/*.png"):
        ink = np.asarray(Image.open(path).convert("L"))[..., None] / 255
        Image.fromarray((ink * (250, 240, 200) + (1 - ink) * (30, 60, 200)).astype(np.uint8)).save(path)
    assert main(command) == 0
    assert main(["predict", str(output), str(support / "kind0")]) == 0
    assert "photographs" not in capsys.readouterr().err
    rng = np.random.default_rng(0)
    for path in support.glob("*/*.png"):
        grid = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        grid.resize((80, 60), Image.Resampling.BICUBIC).save(path)
    assert main(["predict", str(output), str(support / "kind0")]) == 0
    assert "of 3 images look like photographs" in capsys.readouterr().err
    assert main(command) == 0
    assert "of 9 images look like photographs" in capsys.readouterr().err
    for number in range(9):  # what cannot be read is not counted as a drawing
        (support / "kind0" / f"broken{number}.png").write_bytes(b"")
    assert main(["predict", str(output), str(support / "kind0")]) == 1
    assert "of 3 images look like photographs" in capsys.readouterr().err


def test_unreadable_support_images_are_left_out_and_said(run_path, support, tmp_path, capsys):
    (support / "kind0" / "1.png").write_bytes(b"")
    output = tmp_path / "cnn.safetensors"
    assert main(["generate", "--support", str(support), "-o", str(output), "--generator", str(run_path)]) == 1
    captured = capsys.readouterr()
    assert output.exists()
    assert "kind0 (2)" in captured.out
    assert "1.png" in captured.err


def test_one_image_per_class_gives_no_estimate(run_path, support, tmp_path, capsys):
    for path in support.glob("*/[12].png"):
        path.unlink()
    output = tmp_path / "cnn.safetensors"
    assert main(["generate", "--support", str(support), "-o", str(output), "--generator", str(run_path)]) == 0
    assert "two images of every class" in capsys.readouterr().out


def break_support(support: Path, how: str) -> None:
    if how == "missing":
        support.rename(support.with_name("gone"))
    elif how == "file":
        support.rename(support.with_name("gone"))
        support.write_text("x")
    elif how in ("empty", "one class"):
        for folder in sorted(support.iterdir())[how == "one class" :]:
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()
    elif how == "empty class":
        for file in (support / "kind1").iterdir():
            file.unlink()
    elif how == "nothing readable":
        for file in (support / "kind1").iterdir():
            file.write_bytes(file.read_bytes()[:60])
    elif how == "too many":
        for i in range(10):
            (support / f"more{i}").mkdir()
            Image.fromarray(np.zeros((9, 9), np.uint8)).save(support / f"more{i}" / "x.png")


@pytest.mark.parametrize(
    ("how", "code", "says"),
    [
        ("missing", 4, "there is no folder"),
        ("file", 4, "is not a folder"),
        ("empty", 4, "no classes"),
        ("one class", 4, "only one class ('kind0')"),
        ("empty class", 4, "class 'kind1' has no images"),
        ("nothing readable", 4, "class 'kind1' has no image that can be read"),
        ("too many", 5, "13 classes; 'toy' knows 6 at most"),
    ],
)
def test_a_support_folder_that_cannot_be_used_is_one_clear_error(
    how, code, says, run_path, support, tmp_path, capsys
):
    break_support(support, how)
    output = tmp_path / "out" / "cnn.safetensors"
    capsys.readouterr()
    assert (
        main(["generate", "--support", str(support), "-o", str(output), "--generator", str(run_path)]) == code
    )
    captured = capsys.readouterr()
    error = captured.err[captured.err.index("error: ") :]
    assert says in error
    assert "\n  try: " in error
    assert "Traceback" not in captured.err
    assert captured.out == ""
    assert not output.exists()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["predict", "nothing.safetensors", "x.png"], 5),
        (["generate", "--support", ".", "-o", "x", "--generator", "nope"], 4),
        (["evaluate", "nope"], 5),
        (["train", "--config", "nope"], 3),
        (["train", "--config", "glyph-8", "--set", "a=b"], 3),
        (["train", "--config", "glyph-8", "--run", "r"], 4),
        (["train", "--run", "nope", "--resume"], 6),
        (["configs", "show", "nope"], 3),
        (["train"], 2),
        (["train", "--resume"], 2),
        (["train", "--config", "glyph-8", "--resume", "--run", "x"], 2),
        (["frobnicate"], 2),
        (["predict"], 2),
    ],
)
def test_every_mistake_has_its_exit_code_and_leaves_nothing(arguments, code, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == code
    assert "Traceback" not in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_results_that_cannot_be_written_are_one_clear_error(cnn, support, tmp_path):
    command = ["sh", "-c", 'ulimit -f 0; exec "$@"', "sh", sys.executable, "-m", "htgen", "predict"]
    with (tmp_path / "table").open("w") as full:
        done = subprocess.run(
            [*command, cnn, support / "kind0"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 7
    assert done.stderr.startswith("error: cannot write")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("form", [[], ["--csv"], ["--json"]])
def test_names_that_stdout_cannot_encode_are_escaped(form, cnn, support):
    (support / "kind0" / "1.png").rename(support / "kind0" / "日本é.png")
    command = [sys.executable, "-m", "htgen", "predict", cnn, support / "kind0", *form]
    environment = os.environ | {"PYTHONIOENCODING": "latin-1"}
    done = subprocess.run(command, capture_output=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert b"\\u65e5\\u672c" in done.stdout


def test_a_closed_stdout_does_not_stop_a_command(support, tmp_path):
    output = tmp_path / "cnn.safetensors"
    command = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "htgen", "generate"]
    done = subprocess.run(
        [*command, "--support", support, "-o", output], stderr=subprocess.PIPE, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert output.exists()


def test_a_shipped_name_is_never_a_folder_of_that_name(support, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "glyph-8").mkdir()
    assert main(["generate", "--support", str(support), "-o", "x.safetensors"]) == 0


def test_output_that_cannot_be_written_is_one_clear_error(run_path, support, tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    output = tmp_path / "file" / "cnn.safetensors"
    assert main(["generate", "--support", str(support), "-o", str(output), "--generator", str(run_path)]) == 7
    assert f"cannot write {output}" in capsys.readouterr().err


# --------------------------------------------------------------------------------- train and evaluate


def test_evaluation_repeats_to_the_digit_and_says_how_it_was_made(run_path, capsys):
    documents = []
    for seed in ("0", "0", "1"):
        arguments = [
            "--split",
            "toy:test",
            "--way",
            "3",
            "--query",
            "2",
            "--tasks",
            "40",
            "--seed",
            seed,
            "--json",
        ]
        assert main(["evaluate", str(run_path), *arguments]) == 0
        documents.append(json.loads(capsys.readouterr().out))
    assert documents[0] == documents[1]
    assert documents[0]["accuracy"] != documents[2]["accuracy"]
    first = documents[0]
    assert 0 <= first["accuracy"] <= 1
    assert 0 < first["interval95"] < 0.2
    assert (first["tasks"], first["way"], first["shot"], first["transductive"]) == (40, 3, 1, False)
    assert main(["evaluate", str(run_path), "--way", "3", "--query", "2", "--tasks", "40"]) == 0
    assert f"toy on toy:test, 3-way 1-shot: {100 * first['accuracy']:.2f}" in capsys.readouterr().out


def test_evaluation_can_show_the_queries(run_path, capsys):
    arguments = ["evaluate", str(run_path), "--way", "3", "--query", "2", "--tasks", "40", "--transductive"]
    assert main([*arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["transductive"], document["queries_shown"]) == (True, True)
    assert main(arguments) == 0
    assert "(transductive: the generator saw the query images)" in capsys.readouterr().out
    reference = ["evaluate", str(run_path), "--way", "5", "--protocol", "reference", "--transductive"]
    assert main(reference) == 2
    assert "each CNN classifies 16 batches there" in capsys.readouterr().err


def test_evaluation_can_augment_as_training_or_validation_did(run_path, capsys):
    arguments = ["evaluate", str(run_path), "--way", "3", "--query", "2", "--tasks", "40"]
    found = {}
    for choice in ("none", "training", "validation"):
        assert main([*arguments, "--augment", choice, "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert document["augment"] == choice
        found[choice] = document["accuracy"]
    assert found["none"] == found["validation"]  # the run turns classes in training only
    assert found["none"] != found["training"]
    assert main([*arguments, "--augment", "training"]) == 0
    assert "(images augmented as in training)" in capsys.readouterr().out


def test_a_store_that_was_prepared_otherwise_is_told(run_path, store_path, tmp_path, capsys):
    other = tmp_path / "other"
    shutil.copytree(store_path, other)
    manifest = other / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"fit": "pad"', '"fit": "crop"'))
    arguments = ["--way", "3", "--tasks", "2", "--split", "toy:train", "--data"]
    for command in (["evaluate", "--query", "2"], ["calibrate", "--shot", "1"]):
        for store, told in ((store_path, 0), (other, 1)):
            assert main([*command, str(run_path), *arguments, str(store)]) == 0
            assert capsys.readouterr().err.count("was not prepared as the one") == told


def test_a_store_that_is_nowhere_is_told_with_the_places(tmp_path, monkeypatch, store_path, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", "glyph-8", "--tasks", "2"]) == 4
    said = capsys.readouterr().err
    assert "the generator was trained on is not in " in said
    assert "data/omniglot-drawings\n  try: --data STORE" in said
    shutil.copytree(store_path, tmp_path / "data" / "omniglot-drawings")
    assert main(["evaluate", "glyph-8", "--tasks", "2"]) == 2  # found there, but of other classes
    assert "toy:test" in capsys.readouterr().err


def test_more_classes_than_the_generator_or_the_split_has_are_refused(run_path, capsys):
    assert main(["evaluate", str(run_path), "--way", "7"]) == 5
    assert main(["evaluate", str(run_path), "--way", "4", "--query", "2"]) == 4
    assert "'toy:test' has 3 classes" in capsys.readouterr().err
    assert main(["evaluate", str(run_path), "--way", "3", "--query", "20"]) == 4
    assert "has 8 images; an episode needs 21" in capsys.readouterr().err


@pytest.mark.parametrize("how", ["cut off", "changed"])
def test_a_damaged_store_is_told(how, config_path, store_path, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(store_path, copy)
    with (copy / "images.npy").open("r+b") as file:
        if how == "cut off":
            file.truncate(1000)
        else:
            file.seek(-10, os.SEEK_END)
            file.write(b"0123456789")
    assert (
        main(["train", "--config", str(config_path), "--data", str(copy), "--run", str(tmp_path / "r")]) == 4
    )
    assert str(copy) in capsys.readouterr().err


@pytest.mark.parametrize("name", ["2024", "a #b", "x: y"])
def test_a_store_may_have_any_name(name, config_path, store_path, tmp_path):
    shutil.copytree(store_path, tmp_path / name)
    settings = ["--set", "train.steps=2", "--run", str(tmp_path / "r")]
    assert main(["train", "--config", str(config_path), "--data", str(tmp_path / name), *settings]) == 0


def test_training_tells_its_progress_in_plain_lines(config_path, tmp_path, capsys):
    assert (
        main(["train", "--config", str(config_path), "--run", str(tmp_path / "r"), "--set", "train.steps=20"])
        == 0
    )
    captured = capsys.readouterr()
    assert "step 20 / 20  loss" in captured.err
    assert "validation" in captured.err
    assert "best.safetensors" in captured.out
    assert main(["train", "--config", str(config_path), "--run", str(tmp_path / "r")]) == 6


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_the_run_goes_on_from_there(number, code, config_path, tmp_path):
    folder = tmp_path / "r"
    command = [sys.executable, "-m", "htgen", "train", "--config", config_path, "--run", folder]
    process = subprocess.Popen(
        [*command, "--set", "train.steps=100000", "--set", "train.save_every=100000"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 60
    while not (folder / "metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code
    assert "stopped at step" in said
    assert "Traceback" not in said
    stopped = int(said.split("stopped at step ")[1].split(";")[0])
    resumed = run("train", "--run", folder, "--resume", "--device", "nonsense")
    assert resumed.returncode == 2
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["train"]["steps"] = stopped + 5
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    resumed = run("train", "--run", folder, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert f"from step {stopped}" in resumed.stderr


def test_a_run_that_is_told_to_end_where_it_was_stopped_is_validated(config_path, tmp_path, capsys):
    """Before its first validation, that is: it ends with a generator, as every other one."""
    folder = tmp_path / "r"
    config = load_config(config_path, ["train.steps=100", "train.val_every=100", "train.save_every=100"])
    with RunFolder(folder) as run_folder:
        trainer = Trainer(config, run_folder)
        run_folder.start(dump_config(config), overwrite=False)
        for event in trainer.events(stop=lambda: trainer.step == 4):
            assert not isinstance(event, Validated)
    values = yaml.safe_load((folder / "config.yaml").read_text())
    values["train"]["steps"] = 4
    (folder / "config.yaml").write_text(yaml.safe_dump(values))
    capsys.readouterr()
    assert main(["train", "--run", str(folder), "--resume"]) == 0
    said = capsys.readouterr()
    assert "best validation accuracy" in said.out
    assert "shared features" not in said.out
    assert load_generator(folder).file.provenance["step"] == 4
    before = (folder / "metrics.jsonl").read_text()
    assert main(["train", "--run", str(folder), "--resume"]) == 0  # once
    assert (folder / "metrics.jsonl").read_text() == before


def test_a_state_whose_config_is_of_another_version_is_told(config_path, tmp_path, capsys):
    folder = tmp_path / "r"
    assert main(["train", "--config", str(config_path), "--run", str(folder), "--set", "train.steps=2"]) == 0
    header, tensors = read_state(folder / "latest.safetensors")
    config = json.loads(header["config"])
    config["train"]["gone"] = 1
    header = {**header, "config": json.dumps(config)}
    state = {name: torch.tensor(array) for name, array in tensors.items()}
    write_state(folder / "latest.safetensors", header, state)
    capsys.readouterr()
    assert main(["train", "--run", str(folder), "--resume"]) == 3
    assert "latest.safetensors" in (said := capsys.readouterr().err)
    assert "train.gone" in said


@pytest.mark.parametrize("averages", [True, False])
def test_what_is_watched_is_what_would_ship(averages, config_path, store_path, tmp_path, capsys):
    """With averaged weights, and with class statistics that are not part of the average."""
    folder = tmp_path / "r"
    settings = [f"train.ema={0.9 if averages else 0}", "model.weights.plda=true", "train.steps=4"]
    settings += ["train.val_every=4", "train.save_every=4"]
    command = ["train", "--config", str(config_path), "--run", str(folder)]
    assert main([*command, *(word for value in settings for word in ("--set", value))]) == 0
    measuring = ["--way", "3", "--query", "2", "--tasks", "64"]
    capsys.readouterr()
    assert main(["evaluate", str(folder), "--watch", *measuring]) == 0
    watched = capsys.readouterr().out.removeprefix("step 4: ")
    assert main(["evaluate", str(folder), *measuring]) == 0
    assert capsys.readouterr().out == watched
    (state,) = checkpoints(RunFolder(folder), Store.open(store_path))
    best = load_generator(folder).file
    assert state.tensors.keys() == best.tensors.keys()
    for name, array in best.tensors.items():
        np.testing.assert_array_equal(state.tensors[name], array)


def test_watching_evaluates_every_checkpoint_until_training_ends(config_path, store_path, tmp_path):
    folder = tmp_path / "r"
    settings = ["--set", "train.steps=400", "--set", "train.save_every=100", "--set", "train.val_every=400"]
    training = subprocess.Popen(
        [sys.executable, "-m", "htgen", "train", "--config", config_path, "--run", folder, *settings],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while not (folder / "config.yaml").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        watched = run("evaluate", folder, "--watch", "--way", "3", "--query", "2", "--tasks", "16")
        assert training.wait(timeout=60) == 0
    finally:
        training.kill()
    assert watched.returncode == 0, watched.stderr
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    steps = [entry["step"] for entry in metrics if entry["event"] == "evaluation"]
    assert steps == sorted(set(steps))
    assert steps[-1] == 400
    assert set(steps) <= {100, 200, 300, 400}
    assert "step 400: toy on toy:test" in watched.stdout
    again = run("evaluate", folder, "--watch", "--way", "3", "--query", "2", "--tasks", "16")
    assert again.returncode == 0  # training is over: the last checkpoint, and the end
    other = shutil.copytree(store_path, tmp_path / "other")  # a store that does not know what was trained on
    manifest = other / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"toy"', '"other"'))
    elsewhere = ["--data", other, "--split", "other:test", "--way", "3", "--query", "2", "--tasks", "16"]
    assert run("evaluate", folder, "--watch", *elsewhere).returncode == 0
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["data"]["store"] = "gone"
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    assert run("evaluate", folder, "--watch", *elsewhere).returncode == 0


def test_watching_nothing_is_an_error(tmp_path, capsys):
    assert main(["evaluate", str(tmp_path / "none"), "--watch"]) == 6
    assert "is not a run folder" in capsys.readouterr().err


def test_tensorboard_gets_every_scalar_or_the_command_to_install_it(
    config_path, tmp_path, monkeypatch, capsys
):
    written = {}

    class SummaryWriter:
        def __init__(self, folder, purge_step):
            written["folder"] = folder
            written["purged from"] = purge_step

        def add_scalar(self, name, value, step):
            written.setdefault(name, []).append(step)

        def flush(self):
            pass

    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = SummaryWriter
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    settings = ["--set", "train.steps=6", "--set", "train.log_every=2", "--set", "train.val_every=3"]
    command = ["train", "--config", str(config_path), "--tensorboard", "--set", "train.l2=0.1", *settings]
    assert main([*command, "--run", str(tmp_path / "r")]) == 0
    assert written["folder"] == tmp_path / "r" / "tensorboard"
    assert written["train/loss"] == written["train/lr"] == written["train/loss/l2"] == [2, 4, 6]
    assert written["validation/accuracy"] == [3, 6]
    assert written["purged from"] == 1
    values = yaml.safe_load((tmp_path / "r" / "config.yaml").read_text())
    values["train"]["steps"] = 8
    (tmp_path / "r" / "config.yaml").write_text(yaml.safe_dump(values))
    assert main(["train", "--run", str(tmp_path / "r"), "--resume", "--tensorboard"]) == 0
    assert (
        written["purged from"] == 7
    )  # what a killed process wrote after its last state would be there twice
    (tmp_path / "r" / "tensorboard").mkdir()
    (tmp_path / "r" / "tensorboard" / "events").touch()
    assert main([*command, "--run", str(tmp_path / "r"), "--overwrite"]) == 0
    assert not (tmp_path / "r" / "tensorboard" / "events").exists()
    (tmp_path / "mine" / "tensorboard").mkdir(parents=True)  # of somebody else: there was no run
    (tmp_path / "mine" / "tensorboard" / "events").touch()
    assert main([*command, "--run", str(tmp_path / "mine"), "--overwrite"]) == 0
    assert (tmp_path / "mine" / "tensorboard" / "events").exists()

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert main([*command, "--run", str(tmp_path / "other")]) == 6
    assert "pip install 'htgen[tensorboard]'" in capsys.readouterr().err


def test_several_splits_and_unlabelled_images(run_path, capsys):
    arguments = ["evaluate", str(run_path), "--way", "3", "--query", "2", "--tasks", "16", "--unlabeled", "2"]
    assert main([*arguments, "--split", "toy:train", "--split", "toy:val", "--json"]) == 0
    results = json.loads(capsys.readouterr().out)["results"]
    assert [r["split"] for r in results] == ["toy:train", "toy:val"]
    assert main([*arguments, "--split", "toy:val"]) == 0
    text = capsys.readouterr().out
    assert f"1-shot with 2 unlabelled: {100 * results[1]['accuracy']:.2f}" in text


def test_a_cnn_and_a_generator_are_inspected(cnn, run_path, capsys):
    capsys.readouterr()
    assert main(["inspect", str(cnn)]) == 0
    said = capsys.readouterr().out
    assert "kind0 (3 images), kind1 (3 images), kind2 (3 images)" in said
    assert "conv4       4 -> 4 channels, 3x3, 2 -> 2 pixels" in said
    assert "support statistics, frozen" in said
    assert main(["inspect", str(run_path)]) == 0
    said = capsys.readouterr().out
    assert "2 to 6" in said
    assert "% on toy:val, 8 tasks" in said
    assert main(["inspect", str(run_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["provenance"]["config"]["name"] == "toy"
    assert main(["inspect", str(run_path / "latest.safetensors")]) == 0
    assert "step        60" in capsys.readouterr().out


@pytest.mark.parametrize(
    "header",
    [
        {"format": "htgen-cnn", "version": 1},
        {"format": "htgen-generator", "version": 1, "model": 3, "provenance": {}},
        {"format": "other", "version": 1},
        {"version": 1},
        {"format": "htgen-cnn", "version": "new"},
        {"format": "htgen-cnn", "version": 99},
        {"format": "htgen-generator", "version": 1, "name": {}, "model": {"max_way": 2, "cnn": {}}},
        [1],
        "[" * 100_000,
    ],
)
def test_a_description_that_says_something_else_is_an_error(header, tmp_path, capsys):
    path = tmp_path / "x.safetensors"
    text = header if isinstance(header, str) else json.dumps(header)
    path.write_bytes(save({"a": np.zeros(3)}, metadata={"htgen": text}))
    assert main(["inspect", str(path)]) == 5
    assert "x.safetensors" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"x" * 300, None])
def test_inspecting_something_else_is_an_error(content, tmp_path, capsys):
    path = tmp_path / "x.safetensors"
    if content is not None:
        path.write_bytes(content)
    assert main(["inspect", str(path)]) == 5
    assert "x.safetensors" in capsys.readouterr().err


def test_a_misspelt_split_is_told_before_anything_is_measured(run_path, capsys):
    arguments = ["evaluate", str(run_path), "--way", "3", "--query", "2", "--tasks", "16"]
    assert main([*arguments, "--split", "toy:val", "--split", "toy:vla"]) == 4
    captured = capsys.readouterr()
    assert "evaluating" not in captured.err
    assert "toy:vla" in captured.err


def test_classes_that_were_seen_are_told(run_path, store_path, tmp_path, capsys):
    """Those trained on, and those chosen on; in another preparation of the same data too."""
    other = shutil.copytree(store_path, tmp_path / "toy-drawings")
    manifest = json.loads((other / "manifest.json").read_text())
    manifest["name"] = "toy-drawings"
    with (other / "images.npy").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"!")
    manifest["sha256"] = hashlib.sha256((other / "images.npy").read_bytes()).hexdigest()
    (other / "manifest.json").write_text(json.dumps(manifest))
    measuring = ["--way", "3", "--query", "2", "--tasks", "16"]
    for data in ([], ["--data", str(other)]):
        for split, says in (
            ("toy:train", "warning: 10 classes of toy:train are among those that it was trained on\n"),
            ("toy:val", "note: 3 classes of toy:val are among those on which it was chosen\n"),
            ("toy:test", ""),
        ):
            capsys.readouterr()
            assert main(["evaluate", str(run_path), *measuring, "--split", split, *data]) == 0
            told = [line + "\n" for line in capsys.readouterr().err.splitlines() if "classes of" in line]
            assert "".join(told) == says
    store = Store.open(store_path)
    for split, name in (
        ("toy-drawings:0-3", "toy-drawings"),
        ("toy-drawings@5:0-3", "toy-drawings"),
        ("all:0-3", "toy"),
    ):
        found = seen_classes(
            store, {"data": {"name": name}, "config": {"data": {"train": split, "val": split}}}
        )
        assert found.trained == set(resolve_split(store, split.replace("toy-drawings", "toy")))
    stranger = {"data": {"name": "others", "sha256": "0"}, "config": {"data": {"train": "toy:train"}}}
    assert seen_classes(store, stranger) == Seen(frozenset(), frozenset())
    namesake = {
        "data": {"name": "toy", "sha256": "0"},
        "config": {"data": {"train": "gone:train", "val": "all"}},
    }
    assert seen_classes(store, namesake) == Seen(frozenset(), frozenset(range(16)))


def test_a_generator_against_another_on_the_same_tasks(run_path, config_path, tmp_path, capsys):
    """Both as measured alone, with another number of labels too; and nothing between one and itself."""
    other = tmp_path / "other"
    settings = ["--set", "model.max_way=4", "--set", "episodes.way=4", "--set", "train.steps=5"]
    assert main(["train", "--config", str(config_path), "--run", str(other), *settings]) == 0
    measuring = ["--split", "toy:test", "--way", "3", "--query", "2", "--tasks", "48"]
    alone = []
    for run_folder in (run_path, other):
        capsys.readouterr()
        assert main(["evaluate", str(run_folder), *measuring, "--json"]) == 0
        alone.append(json.loads(capsys.readouterr().out))
    assert main(["evaluate", str(run_path), *measuring, "--against", str(other), "--json"]) == 0
    both = json.loads(capsys.readouterr().out)
    compared = both.pop("against")
    assert both == alone[0]
    assert compared["generator"] == "toy"
    assert compared["sha256"] == alone[1]["sha256"]
    assert compared["ahead"] == pytest.approx(alone[0]["accuracy"] - alone[1]["accuracy"])
    assert 0 < compared["interval95"] < alone[0]["interval95"] + alone[1]["interval95"]
    assert main(["evaluate", str(run_path), *measuring, "--against", str(run_path)]) == 0
    assert "ahead of toy on the same tasks by 0.00 ± 0.00" in capsys.readouterr().out
    seen = ["--split", "toy:train", *measuring[2:]]
    assert main(["evaluate", str(run_path), *seen, "--against", str(other)]) == 0
    assert "are among those that toy was trained on" in capsys.readouterr().err
    assert main(["evaluate", str(run_path), *measuring, "--against", "glyph-8"]) == 4
    assert main(["evaluate", str(run_path), "--watch", "--against", str(other)]) == 2


def test_where_no_class_is_left_none_is_named(config_path, tmp_path, capsys):
    settings = ["--set", "data.train=all", "--set", "data.val=all", "--set", "train.steps=2"]
    assert main(["train", "--config", str(config_path), "--run", str(tmp_path / "r"), *settings]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path / "r"), "--way", "2"]) == 2
    assert "another store" in " ".join(capsys.readouterr().err.replace("│", "").split())


def test_classes_of_ones_own_have_no_test_part_to_fall_back_on(config_path, tmp_path, capsys):
    folder = tmp_path / "r"
    ranges = ["--set", "data.train=toy@11:0-8,10", "--set", "data.val=toy@11:11-13", "--set", "train.steps=2"]
    assert main(["train", "--config", str(config_path), "--run", str(folder), *ranges]) == 0
    assert f"next: htgen evaluate {folder} --split CLASSES" in capsys.readouterr().out
    arguments = ["evaluate", str(folder), "--way", "2", "--query", "2", "--tasks", "16"]
    for watch in ([], ["--watch"]):
        assert main([*arguments, *watch]) == 2
        said = "".join(c for c in capsys.readouterr().err if c not in "│\n ")
        assert "'toy@11:0-8,10',andstore" in said
        assert ("toy:val" in said, "toy:test" in said) == (False, True)  # the former has classes trained on
        new = re.search(r"suchas(toy:[0-9-]+)", said)[1]
        assert main([*arguments, *watch, "--split", "toy@11:14,15"]) == 0
        captured = capsys.readouterr()
        assert "on toy@11:14,15, 2-way" in captured.out
        assert "warning" not in captured.err
        assert main([*arguments, *watch, "--split", new]) == 0
        assert "classes of" not in capsys.readouterr().err
        assert main([*arguments, *watch, "--split", "toy:val"]) == 0
        assert "classes of toy:val are among those that it was trained on" in capsys.readouterr().err


def test_pretraining_ends_with_how_to_go_on(config_path, tmp_path, capsys):
    folder, command = tmp_path / "first", ["train", "--config", str(config_path), "--set", "train.steps=2"]
    assert main([*command, "--run", str(folder), "--set", "train.pretrain_shared=true"]) == 0
    said = capsys.readouterr().out
    restoring = said.split("--config NAME ")[1].split()
    assert restoring == ["--set", f"train.restore_shared={folder}"]
    assert main([*command, "--run", str(tmp_path / "second"), *restoring]) == 0
    assert "best validation accuracy" in capsys.readouterr().out


def test_the_reference_protocol_fixes_its_numbers(run_path, capsys):
    assert main(["evaluate", str(run_path), "--protocol", "reference", "--tasks", "5"]) == 2
    assert main(["evaluate", str(run_path), "--protocol", "reference", "--way", "3"]) == 2
    assert "--tasks" in capsys.readouterr().err


def test_presets_are_listed_shown_and_copied(tmp_path, capsys):
    assert main(["configs"]) == 0
    assert "omniglot_1shot " in capsys.readouterr().out
    assert main(["configs", "show", "omniglot_1shot", "--resolved"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["optimizer"]["name"] == "sgd"
    target = tmp_path / "mine.yaml"
    assert main(["configs", "copy", "omniglot_1shot", str(target)]) == 0
    assert main(["configs", "show", str(target), "--resolved"]) == 0
    assert main(["configs", "copy", "omniglot_1shot", str(target)]) == 7


def test_the_version_is_printed(capsys):
    from htgen import __version__

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"htgen {__version__}\n"
