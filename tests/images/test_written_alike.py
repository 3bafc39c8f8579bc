"""Labels that look the same are one class, however they are written; those that nearly do are told."""

import unicodedata
from pathlib import Path

import pytest
from helpers.drawings import drawing

from htgen.cli import main
from htgen.cnn.bundle import Bundle
from htgen.errors import DataError
from htgen.generator.generator import load_generator
from htgen.images.labels import find_labeled
from htgen.images.names import composed, known_as

WHOLE, APART = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))


def put(folder: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        drawing(40 + 8 * number, ink=3 * number).save(path)
    return folder


def test_one_form_is_known_as_the_other():
    assert composed(APART) == composed(WHOLE) == WHOLE != APART
    assert known_as(WHOLE, ["b", APART]) == APART
    assert known_as(APART, [WHOLE, APART]) == APART
    assert known_as("CAFÉ", [WHOLE]) == "CAFÉ"


def test_labels_of_every_source_are_composed(tmp_path):
    images = put(tmp_path / "flat", "1.png", "2.png", "3.png")
    table = tmp_path / "l.csv"
    table.write_text(f"1.png,{WHOLE}\n2.png,{APART}\n3.png,b\n1.png,{APART}\n", encoding="utf-8")
    assert {name: len(paths) for name, paths in find_labeled(images, table).classes.items()} == {
        "b": 1,
        WHOLE: 2,
    }
    names = put(tmp_path / "names", f"{APART}_1.png", f"{WHOLE}_2.png", "b_1.png")
    assert set(find_labeled(names, labels_in_names=True).classes) == {WHOLE, "b"}
    assert set(find_labeled(put(tmp_path / "folders", f"{APART}/1.png", "b/1.png")).classes) == {WHOLE, "b"}
    generator = load_generator()
    support = generator.prepare([drawing(), drawing(60), drawing(80)], [WHOLE, APART, "b"])
    assert support.classes == ("b", WHOLE)


@pytest.fixture(scope="module")
def old(tmp_path_factory) -> Path:
    """A CNN of names in the other form, as earlier versions wrote them."""
    from dataclasses import replace

    place = tmp_path_factory.mktemp("old")
    folder = put(place / "classes", "a/1.png", "b/1.png", f"{WHOLE}/1.png")
    assert main(["generate", str(folder), "-o", str(place / "cnn"), "--no-estimate"]) == 0
    cnn = Bundle.load(place / "cnn")
    assert cnn.classes == ("a", "b", WHOLE)
    support = {"a": 1, "b": 1, APART: 1}
    replace(cnn, classes=("a", "b", APART), support=support, gaps={}).save(place / "cnn")
    return place / "cnn"


@pytest.mark.parametrize("form", [WHOLE, APART])
def test_a_cnn_knows_its_classes_in_every_form(old, tmp_path, form, capsys):
    folder = put(tmp_path / "new", f"{form}/1.png", "b/1.png")
    assert main(["test", str(old), str(folder)]) == 0
    grown = tmp_path / "grown"
    assert main(["generate", str(old), "--add", str(folder), "-o", str(grown), "--no-estimate"]) == 0
    assert Bundle.load(grown).support == {"a": 1, "b": 2, APART: 2}
    fewer = tmp_path / "fewer"
    assert main(["generate", str(old), "--drop", form, "-o", str(fewer)]) == 0
    assert Bundle.load(fewer).classes == ("a", "b")


def test_names_that_differ_by_blanks_alone_are_told(tmp_path):
    table = tmp_path / "l.csv"
    images = put(tmp_path / "images", "1.png", "2.png", "3.png")
    for first, second, what in (
        ("old  cup", "old cup", "blanks"),
        ("Old cup", "old cup", "capital letters"),
        ("Old cup", "old  cup", "capital letters and blanks"),
    ):
        table.write_text(f"1.png,{first}\n2.png,{second}\n3.png,b\n")
        assert find_labeled(images, table).notices == (
            f"warning: classes differ by {what} alone, and are taken for several: {first!r} and {second!r}",
        )
    table.write_text("1.png,oldcup\n2.png,old cup\n3.png,cup old\n")
    assert find_labeled(images, table).notices == ()


# ------------------------------------------------------------------------------------------------- the table


def test_the_separator_that_a_spreadsheet_is_told_is_no_line(tmp_path):
    images, table = put(tmp_path / "images", "1.png", "2.png"), tmp_path / "l.csv"
    for first in ("sep=;\n", "SEP=;\r\n", '"sep=;"\n', "\ufeffsep=;\n"):
        for header in ("", "file;label\n"):
            table.write_text(f"{first}{header}1.png;a, b\n2.png;c\n", encoding="utf-8", newline="")
            assert list(find_labeled(images, table).classes) == ["a, b", "c"]
    table.write_text("sep=;\n\n1.png;a\n2.png\n")
    with pytest.raises(DataError, match=r"line 4 of .* has one column: '2.png'"):
        find_labeled(images, table)


def test_a_fault_names_the_line_that_an_editor_shows(tmp_path):
    table = tmp_path / "l.csv"
    table.write_text("1.png,a\n\n\n2.png,b\n\n3.png\n")
    with pytest.raises(DataError, match="line 6 of"):
        find_labeled(put(tmp_path / "images", "1.png"), table)


@pytest.mark.parametrize("text", ["1.png,\n2.png,\n", "file,label\n1.png,\n2.png, \n"])
def test_a_table_without_any_label_is_told(tmp_path, text):
    (tmp_path / "l.csv").write_text(text)
    with pytest.raises(DataError, match=r"no line of .*l.csv has a label"):
        find_labeled(put(tmp_path / "images", "1.png", "2.png"), tmp_path / "l.csv")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_told(tmp_path, encoding):
    (tmp_path / "l.csv").write_bytes("1.png,a\n2.png,b\n".encode(encoding))
    with pytest.raises(DataError, match=r"l.csv is no text in UTF-8"):
        find_labeled(put(tmp_path / "images", "1.png"), tmp_path / "l.csv")


def test_columns_of_one_name_are_told_by_their_places(tmp_path):
    images, table = put(tmp_path / "images", "1.png", "2.png"), tmp_path / "l.csv"
    table.write_text("file,label,label\n1.png,a,x\n2.png,b,x\n")
    (told,) = find_labeled(images, table).notices
    assert told.endswith(f"of the column 'label' (column 2) of {table}, not of 'label' (column 3)")
