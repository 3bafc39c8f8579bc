"""Labels in tables and in names, as people write them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from htgen.errors import DataError
from htgen.images.labels import (
    find_labeled,
    hint_for_loose_images,
    labels_from_csv,
    labels_from_names,
)
from htgen.images.names import label_in


def put(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(path, "PNG")
    return folder


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return put(tmp_path / "images", "1.png", "2.png", "deep/3.png")


WANTED = {"2": ["2.png"], "10": ["1.png", "deep/3.png"]}


@pytest.mark.parametrize(
    "text",
    [
        "1.png,10\n2.png,2\ndeep/3.png,10\n",
        "file,label\n1.png,10\n2.png,2\ndeep/3.png,10\n",
        "Filename;Class\r\n1.png;10\r\n2.png;2\r\ndeep/3.png;10",
        "id\tauthor\tlabel\n1\tx\t10\n2\ty\t2\n3\tz\t10\n",
        "10,1.png\n2,2.png\n10,deep/3.png\n",
        "what,which\n1.png,10\n2.png,2\ndeep/3.png,10\n",
        '"1.png" ,"10"\n"2.png", 2 \n\n"deep\\3.png",10\n',
        "label|x|image_path\n10|,,,|images/1.png\n2||images/2.png\n10||images/deep/3.png\n",
        "\ufefffile,label\n1.png,10\n2.png,2\ndeep/3.png,10\n",
        "filename, 2, 10\n1.png, 0, 1\n2.png, 1, 0\ndeep/3.png, 0, 1\n",
        "2,10,file\n0,1,1.png\n1,0,2.png\n0,1,deep/3.png\n",
    ],
)
def test_tables_as_people_write_them(text, images, tmp_path):
    table = tmp_path / "labels.csv"
    table.write_bytes(text.encode())
    found = labels_from_csv(table, images)
    as_text = {
        name: [path.resolve().relative_to(images.resolve()).as_posix() for path in paths]
        for name, paths in found.classes.items()
    }
    assert as_text == WANTED
    assert list(found.classes) == list(WANTED)  # 2 is before 10
    table.write_bytes(text.lstrip("\ufeff").encode("utf-16"))
    assert labels_from_csv(table, images).classes == found.classes


def test_what_a_table_lacks_is_told(images, tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("1.png,a\ngone.png,b\n2.png,\n")
    found = labels_from_csv(table, images)
    assert found.classes == {"a": [images / "1.png"], "b": [images / "gone.png"]}  # told when it is read
    assert found.notices == (
        f"warning: lines without an image or a label in {table}: 1",
        f"warning: images in {images} that {table} does not name: 2.png; 3.png",
    )


def test_what_a_table_says_besides_is_told(images, tmp_path):
    """Parts of a data set are all learned from, and of several columns of labels one is taken."""
    table = tmp_path / "labels.csv"
    table.write_text("file,label,Split,class\n1.png,a,train,x\n2.png,b,test,y\ndeep/3.png,b,test,y\n")
    assert labels_from_csv(table, images).notices == (
        f"warning: all lines of {table} are taken, whatever 'Split' says: test (2), train (1)",
        f"warning: the labels are those of the column 'label' of {table}, not of 'class'",
    )
    table.write_text("file,label,split,class\n1.png,a,train,a\n2.png,b,train,b\ndeep/3.png,b,train,b\n")
    assert labels_from_csv(table, images).notices == ()


def test_a_link_that_leads_back_names_no_image_again(images, tmp_path):
    (images / "all").symlink_to(".")
    (tmp_path / "l.csv").write_text("1,a\n2,b\n3,b\n")
    found = labels_from_csv(tmp_path / "l.csv", images)
    assert found.classes == {"a": [images / "1.png"], "b": [images / "2.png", images / "deep/3.png"]}
    assert found.notices == ()


def test_classes_that_differ_by_capital_letters_alone_are_told(images, tmp_path):
    told = "warning: classes differ by capital letters alone, and are taken for several: 'Cup' and 'cup'"
    (tmp_path / "l.csv").write_text("1.png,Cup\n2.png,cup\ndeep/3.png,fish\n")
    assert find_labeled(images, tmp_path / "l.csv").notices[-1] == told
    assert find_labeled(put(tmp_path / "c", "cup/1.png", "Cup/1.png", "fish/1.png")).notices == (told,)
    assert find_labeled(put(tmp_path / "n", "cup1.png", "Cup2.png"), labels_in_names=True).notices == (told,)
    assert find_labeled(put(tmp_path / "o", "cup/1.png", "cups/1.png")).notices == ()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"1.png\n2.png\n", "line 1 of"),
        (b"file,label\n", "has a header and no images"),
        (b"file,a,b\n1.png,0,1\n2.png,1,1\n", "gives 2.png 2 labels: 'a', 'b'"),
        (b"what,set,which\n1.png,train,a\n2.png,test,b\n", "none of the 3 columns"),
        (b"1.png,a\n2.png\n", "line 2 of"),
        (b"x.png,a\ny.png,b\n", "none of the 2 images"),
        (b"x.png,a\ny.png,b\nx.png,a\n", "none of the 2 images"),
        (b"1.png,a\n1.png,b\n", "two labels, 'a' and 'b'"),
        (b"\xff\xfe\x00", "no text"),
        (b"\xe9.png,a\n", "no text in UTF-8"),
        (b"file,x,label\n1.png,a\n", "shorter than its header"),
        (b"1\x00.png,a\n", "none of the"),
        (b"x" * 200_000 + b",a\n", "no CSV file"),
    ],
)
def test_a_table_that_cannot_be_used_is_one_clear_error(data, says, images, tmp_path):
    table = tmp_path / "labels.csv"
    table.write_bytes(data)
    with pytest.raises(DataError, match=says) as caught:
        labels_from_csv(table, images)
    assert caught.value.hint


def test_a_table_or_folder_that_is_missing(images, tmp_path):
    with pytest.raises(DataError, match="cannot read"):
        labels_from_csv(tmp_path / "none.csv", images)
    with pytest.raises(DataError, match="cannot read"):
        labels_from_csv(images, images)
    (tmp_path / "l.csv").write_text("1.png,a\n")
    with pytest.raises(DataError, match="there is no folder"):
        labels_from_csv(tmp_path / "l.csv", tmp_path / "none")


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("cat_1.png", "cat"),
        ("cat-07.jpeg", "cat"),
        ("cat (3).png", "cat"),
        ("cat12", "cat"),
        ("two words 1.png", "two words"),
        ("cat.ab12.png", "cat"),
        ("cat.1.2.png", "cat"),
        ("a_b_3.png", "a_b"),
        ("cat.png", None),
        ("12.png", None),
        ("_1.png", None),
        ("IMG_2024 x.png", None),
    ],
)
def test_labels_in_names(name, label):
    assert label_in(name) == label


def test_all_names_must_hold_labels(tmp_path):
    folder = put(tmp_path / "flat", "cat_1.png", "cat_2.png", "dog_1.png")
    assert list(labels_from_names(folder).classes) == ["cat", "dog"]
    put(folder, "other.png")
    with pytest.raises(DataError, match=r"no label in the name 'other.png' in"):
        labels_from_names(folder)
    with pytest.raises(DataError, match="holds no image files"):
        labels_from_names(put(tmp_path / "empty", "deep/x_1.png"))


def test_the_least_number_of_classes_counts(tmp_path):
    folder = put(tmp_path / "flat", "cat_1.png", "cat_2.png")
    assert len(find_labeled(folder, labels_in_names=True).classes) == 1
    with pytest.raises(DataError, match=r"only one class \('cat'\); at least 2"):
        find_labeled(folder, labels_in_names=True, minimum=2)


def test_what_to_try_with_loose_images(tmp_path):
    folder = put(tmp_path / "flat", "cat_1.png", "cat_2.png", "dog_1.png")
    assert hint_for_loose_images(folder) == "--labels-in-names, if 'cat', 'dog' are the classes"
    with pytest.raises(DataError, match="no classes") as caught:
        find_labeled(folder)
    assert caught.value.hint.startswith("--labels-in-names")
    (folder / "y.csv").write_text("")
    assert f"--labels '{folder / 'y.csv'}'" in hint_for_loose_images(folder)
    assert hint_for_loose_images(put(tmp_path / "each", "a_1.png", "b_1.png")) is None  # no two of a kind
    assert hint_for_loose_images(put(tmp_path / "sub", "a_1.png", "a_2.png", "b_1.png", "deep/x.png")) is None


def test_a_class_that_begins_with_a_dot_is_told(tmp_path):
    from PIL import Image

    for name in ("a", "b", ".net", ".git"):
        (tmp_path / name).mkdir()
        Image.new("L", (9, 9)).save(tmp_path / name / "x.png")
    (tmp_path / ".empty").mkdir()
    found = find_labeled(tmp_path)
    assert list(found.classes) == ["a", "b"]
    assert found.notices == (
        f"warning: folders whose names begin with a dot are no classes, in {tmp_path}: .net",
    )


def test_absolute_paths_in_a_table_of_a_relative_folder_name_its_images(tmp_path, monkeypatch):
    (tmp_path / "images").mkdir()
    for name in "ab":
        Image.new("L", (4, 4), 9).save(tmp_path / "images" / f"{name}.png")
    lines = [f"{tmp_path}/images/{name}.png,{label}" for name, label in (("a", "cat"), ("b", "dog"))]
    (tmp_path / "t.csv").write_text("\n".join(["file,label", *lines]))
    monkeypatch.chdir(tmp_path)
    assert labels_from_csv("t.csv", "images").notices == ()
