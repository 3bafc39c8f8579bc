"""`htgen predict` as a user runs it, with a CNN of a toy generator."""

import contextlib
import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.cells import cell_len

from htgen.cli import main
from htgen.cnn.bundle import Bundle


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


def test_a_pattern_that_finds_only_an_empty_folder_is_an_error(cnn, tmp_path, capsys):
    empty = tmp_path / "new" / "empty"
    empty.mkdir(parents=True)
    (empty / "1.docx").write_bytes(b"x")
    assert main(["predict", str(cnn), str(tmp_path / "new" / "*"), "--csv"]) == 4
    captured = capsys.readouterr()
    assert f"warning: not of a known image format, in {empty}: 1.docx" in captured.err
    assert "empty holds no image files" in captured.err
    assert captured.out == ""


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


def test_names_are_harmless_in_csv_and_no_formulas_for_a_spreadsheet(cnn, support, tmp_path, capsys):
    bundle = Bundle.load(cnn)
    names = ("=1+1", "a\x1b[31m", "-x")
    odd = replace(bundle, classes=names, support={})
    odd.save(tmp_path / "odd.safetensors")
    picture = tmp_path / "@sum.png"
    picture.write_bytes(next((support / "kind0").iterdir()).read_bytes())
    command = ["predict", str(tmp_path / "odd.safetensors"), "@sum.png"]
    capsys.readouterr()
    with contextlib.chdir(tmp_path):
        assert main([*command, "--csv"]) == 0
        plain = next(csv.DictReader(io.StringIO(capsys.readouterr().out)))
        assert main([*command, "--csv-safe"]) == 0
        safe = next(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [*plain][6:] == [*safe][6:] == ["p(=1+1)", "p(a\\x1b[31m)", "p(-x)"]
    assert plain["image"] == "@sum.png"
    assert safe["image"] == "'@sum.png"
    assert safe["class"] == (f"'{plain['class']}" if plain["class"] in ("=1+1", "-x") else plain["class"])
    assert "\x1b" not in str(plain) + str(safe)


def test_a_cnn_whose_answers_are_no_numbers_is_told_without_warnings(cnn, support, tmp_path, capfd):
    bundle = Bundle.load(cnn)
    huge = {name: np.full_like(tensor, 1e12) for name, tensor in bundle.tensors.items()}
    replace(bundle, tensors=huge).save(tmp_path / "huge.safetensors")
    capfd.readouterr()
    assert main(["predict", str(tmp_path / "huge.safetensors"), str(support / "kind0")]) == 5
    assert capfd.readouterr().err.startswith("error: the CNN's weights are so large")


@pytest.fixture
def warned(support) -> list[Path]:
    """A drawing, and an empty page."""
    blank = support / "kind0" / "page.png"
    Image.new("L", (60, 50), 240).save(blank)
    return [support / "kind0" / "0.png", blank]


def test_warnings_stand_in_the_row_of_their_image(cnn, warned, capsys):
    capsys.readouterr()
    words = ["predict", str(cnn), *map(str, warned)]
    assert main([*words, "--json"]) == 0
    captured = capsys.readouterr()
    drawn, blank = json.loads(captured.out)["predictions"]
    assert (drawn["blank"], drawn["warnings"]) == (False, [])
    assert (blank["blank"], blank["warnings"]) == (True, ["nothing is to be seen"])
    assert captured.err == f"warning: nothing is to be seen: {warned[1]}\n"
    assert main([*words, "--csv"]) == 0
    drawn, blank = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (drawn["blank"], drawn["warnings"]) == ("false", "")
    assert (blank["blank"], blank["warnings"]) == ("true", "nothing is to be seen")
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "; warning" not in lines[1]
    assert lines[2].endswith(" %; warning: nothing is to be seen")


def test_the_summary_of_many_warnings_is_short(cnn, warned, capsys):
    capsys.readouterr()
    assert main(["predict", str(cnn), *([str(warned[1])] * 40), str(warned[0])]) == 0
    told = capsys.readouterr().err
    assert told == f"warning: nothing is to be seen: 40 of 41 images, the first is {warned[1]}\n"


def test_json_is_one_document_however_many_images(cnn, warned, capsys):
    for count in (1, 3):
        capsys.readouterr()
        assert main(["predict", str(cnn), *([str(warned[0])] * count), "--json"]) == 0
        printed = capsys.readouterr().out
        assert printed == json.dumps(json.loads(printed), indent=2) + "\n"
        assert len(json.loads(printed)["predictions"]) == count


@pytest.mark.parametrize("option", ["--json", "--csv", None])
def test_ctrl_c_leaves_the_rows_so_far(option, cnn, warned, monkeypatch, capsys):
    from htgen.cnn import answers

    done = []

    def two(*arguments):
        for pair in read(*arguments):
            if len(done) == 2:
                raise KeyboardInterrupt
            done.append(pair)
            yield pair

    read = answers.read_images
    monkeypatch.setattr(answers, "read_images", two)
    capsys.readouterr()
    words = ["predict", str(cnn), *map(str, [*warned, *warned])]
    assert main(words if option is None else [*words, option]) == 130
    captured = capsys.readouterr()
    if option == "--json":
        assert len(json.loads(captured.out)["predictions"]) == 2
    else:
        assert len(captured.out.splitlines()) == 3
    assert captured.err.endswith("interrupted after 2 of 4 images\n")


def test_rows_come_before_the_next_image_is_read(cnn, warned, monkeypatch, capsys):
    from htgen.cnn import answers

    seen = []

    def watched(paths, preprocessing):
        for pair in read(paths, preprocessing):
            seen.append(capsys.readouterr().out)
            yield pair

    read = answers.read_images
    monkeypatch.setattr(answers, "read_images", watched)
    capsys.readouterr()
    assert main(["predict", str(cnn), *map(str, [*warned, *warned])]) == 0
    assert [text.count("\n") for text in seen] == [1, 1, 1, 1]  # the header, then a row each


def test_brackets_in_a_name_are_no_pattern_if_nothing_fits(cnn, warned, tmp_path, capsys):
    capsys.readouterr()
    assert main(["predict", str(cnn), str(tmp_path / "nope[1].png"), str(warned[0]), "--json"]) == 1
    missing, found = json.loads(capsys.readouterr().out)["predictions"]
    assert "there is no image" in missing["error"]
    assert found["class"]


def test_a_folder_of_class_folders_is_told_as_such(cnn, support, capsys):
    assert main(["predict", str(cnn), str(support)]) == 4
    assert f"try: '{support}/*'; where the folders are classes: htgen test" in capsys.readouterr().err
