"""Which files are images, and which folders are classes, in which order."""

import io
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from htgen.errors import DataError
from htgen.images.folders import (
    class_folders,
    depth_of_images,
    find_folders,
    find_images,
    find_other_files,
)
from htgen.images.labels import find_labeled
from htgen.images.order import natural_order


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    def run(*names: str) -> Path:
        for name in names:
            path = tmp_path / "top" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if name.endswith("/"):
                path.mkdir(exist_ok=True)
            else:
                path.touch()
        return tmp_path / "top"

    return run


Make = Callable[..., Path]


def test_images_are_found_by_extension_in_order(make: Make) -> None:
    folder = make(
        "b.png", "a.JPG", "c.webp", ".hidden.png", "notes.txt", "d.pdf", "e.npy", "sub.png/", "sub.png/x.png"
    )
    assert [path.name for path in find_images(folder)] == ["a.JPG", "b.png", "c.webp"]


def test_class_folders(make: Make) -> None:
    folder = make(
        "owl/2.png", "owl/1.png", "Auk/x.gif", ".cache/x.png", "__MACOSX/x.png", "readme.md", "loose.png"
    )
    found = class_folders(folder)
    assert list(found) == ["Auk", "owl"]
    assert [path.name for path in found["owl"]] == ["1.png", "2.png"]
    assert found["Auk"] == [folder / "Auk" / "x.gif"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["notes.txt"], "has no sub-folders"),
        (["1.png", "2.png"], "2 images but no sub-folders"),
        (["1.png"], "1 image but no sub-folders"),
        (["owl/1.png"], "only one class ('owl'); at least 2"),
        (["owl/1.png", "auk/notes.txt"], "class 'auk' has no images"),
        (["owl/1.png", "auk/", "wren/"], "holds no image files; 1 of the other classes also"),
    ],
)
def test_folders_that_hold_no_classes(make: Make, names: list[str], message: str) -> None:
    folder = make(*names)
    with pytest.raises(DataError) as caught:
        class_folders(folder)
    assert message in caught.value.message
    assert str(folder) in str(caught.value)
    assert caught.value.hint


def test_minimum_of_classes(make: Make) -> None:
    folder = make("owl/1.png", "auk/1.png")
    assert list(class_folders(make("owl/1.png"), minimum=1)) == ["auk", "owl"]
    with pytest.raises(DataError, match=r"only 2 classes \('auk', 'owl'\); at least 3"):
        class_folders(folder, minimum=3)


def test_missing_folder_and_file(make: Make) -> None:
    folder = make("a.png")
    with pytest.raises(DataError, match="there is no folder"):
        class_folders(folder / "nowhere")
    for name, helps in (("a.png", "the folder that it is in"), ("images.zip", "unpack it")):
        (folder / name).touch()
        with pytest.raises(DataError, match="is not a folder") as caught:
            class_folders(folder / name)
        assert helps in str(caught.value.hint)


# ------------------------------------------------------------------------------------- by content, by system


def encoded(kind: str) -> bytes:
    file = io.BytesIO()
    Image.new("L", (9, 9), 200).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP", "AVIF", "JPEG2000", "QOI"])
def test_images_of_other_endings_are_found_by_their_content(tmp_path: Path, kind: str) -> None:
    for name in ("a1b2c3", "photo.pjpeg", "tw.jpg_large", "web.jpg?w=200", "x.dat"):
        (tmp_path / name).write_bytes(encoded(kind if kind != "QOI" else "PNG"))
    (tmp_path / "notes.txt").write_text("P5 is a kind of file; BM and II* are others")
    (tmp_path / "empty").touch()
    (tmp_path / "page.pdf").write_bytes(b"%PDF-1.4")
    (tmp_path / "figure.eps").write_bytes(b"%!PS-Adobe-3.0")
    assert len(find_images(tmp_path)) == 5
    assert [path.name for path in find_other_files(tmp_path)] == [
        "empty",
        "figure.eps",
        "notes.txt",
        "page.pdf",
    ]


@pytest.mark.parametrize("name", ["thumbs", "Thumbnails"])
def test_a_folder_of_thumbnails_is_told(make: Make, name: str) -> None:
    """People may have a class of that name."""
    folder = make("owl/1.png", "auk/1.png", f"{name}/notes.txt")
    assert find_labeled(folder).notices == ()
    make(f"{name}/x.png")
    found = find_labeled(folder)
    assert list(found.classes) == ["auk", "owl"]
    assert found.notices == (f"warning: folders of thumbnails are no classes, in {folder}: {name}",)


@pytest.mark.parametrize("name", ["thumbs", "Thumbnails", ".net"])
@pytest.mark.parametrize("others", [["owl/1.png"], ["1.png"]])
def test_a_class_that_is_missing_for_its_name_is_in_the_error(
    make: Make, name: str, others: list[str]
) -> None:
    folder = make(*others, f"{name}/x.png")
    with pytest.raises(DataError, match=rf"; '{name}' is none, for its name") as error:
        class_folders(folder)
    assert error.value.hint == "another name for it, if it is one"
    (folder / name / "x.png").unlink()  # a folder without images is of a program
    with pytest.raises(DataError, match=r"(one class|no classes)") as error:
        class_folders(folder)
    assert name not in error.value.message


@pytest.mark.parametrize(
    "name",
    [
        "@eaDir",
        "@Recently-Snapshot",
        "thumbs",
        "lost+found",
        "$RECYCLE.BIN",
        "System Volume Information",
        "__pycache__",
        "__MACOSX",
        "#recycle",
        ".net",
    ],
)
def test_folders_of_systems_are_no_classes(make: Make, name: str) -> None:
    folder = make("owl/1.png", "auk/1.png", f"{name}/x.png")
    assert list(class_folders(folder)) == ["auk", "owl"]
    assert len(find_folders(folder)) == 2


def test_images_with_a_table_one_level_down_are_told(make: Make) -> None:
    folder = make("data/1.png", "data/2.png")
    (folder / "data" / "labels.csv").write_text("file,label\n1.png,owl\n2.png,auk\n")
    with pytest.raises(DataError, match="holds one folder, 'data', with images and a table") as error:
        class_folders(folder)
    assert "labels.csv" in str(error.value.hint)


def test_links_to_folders_are_folders_and_links_to_nowhere_are_files(make: Make) -> None:
    folder = make("owl/1.png", "auk/1.png")
    (folder / "wren").symlink_to("owl")
    (folder / "owl" / "more").symlink_to("../auk")
    (folder / "owl" / "gone.png").symlink_to("nowhere.png")
    assert list(class_folders(folder)) == ["auk", "owl", "wren"]
    assert [path.name for path in find_folders(folder / "owl")] == ["more"]
    assert find_other_files(folder / "owl") == []
    assert [path.name for path in find_images(folder / "owl")] == ["1.png", "gone.png"]


# ----------------------------------------------------------------------------------------------------- order


def test_classes_are_in_natural_order(make: Make) -> None:
    names = ["100", "12", "3", "0", "Zebra", "ant", "a10", "a9"]
    folder = make(*(f"{name}/1.png" for name in names))
    assert list(class_folders(folder)) == ["0", "3", "12", "100", "Zebra", "a9", "a10", "ant"]
    folder = make(*(f"owl/{name}.png" for name in ("img10", "img9")))
    assert [path.name for path in find_images(folder / "owl")] == ["img9.png", "img10.png"]


@given(st.lists(st.text(min_size=1), min_size=2, max_size=6))
def test_the_order_is_total_and_knows_no_unicode_form(names: list[str]) -> None:
    backwards = names[::-1]
    assert sorted(names, key=natural_order) == sorted(backwards, key=natural_order)
    for name in names:
        assert natural_order(name)[:2] == natural_order(unicodedata.normalize("NFD", name))[:2]


# ---------------------------------------------------------------------------------------------------- layouts


def test_one_name_in_two_unicode_forms_is_one_class(make: Make) -> None:
    composed, taken_apart = (unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD"))
    folder = make(f"{composed}/1.png", f"{taken_apart}/2.png", "tea/1.png")
    if len(find_folders(folder)) == 2:
        pytest.skip("this file system does not tell them apart")
    found = class_folders(folder)
    assert list(found) == [composed, "tea"]
    assert [path.name for path in found[composed]] == ["1.png", "2.png"]


def test_the_images_of_a_class_may_lie_in_sub_folders(make: Make) -> None:
    folder = make("owl/day1/1.png", "owl/day2/1.png", "auk/a/b/1.png", "wren/1.png", "wren/day1/2.png")
    assert {name: len(images) for name, images in class_folders(folder).items()} == {
        "auk": 1,
        "owl": 2,
        "wren": 1,
    }


@pytest.mark.parametrize("target", ["..", ".", "../..", "../auk"])
def test_a_link_that_leads_back_gives_a_class_no_images_of_others(make: Make, target: str) -> None:
    folder = make("owl/day/1.png", "auk/1.png", "auk/2.png")
    (folder / "owl" / "link").symlink_to(target)
    further = 2 if target == "../auk" else 0  # another folder, which the link stands for
    assert len(class_folders(folder)["owl"]) == 1 + further


@pytest.mark.parametrize("target", [".", "..", "../..", "owl/.."])
def test_a_link_that_leads_back_is_no_class(make: Make, target: str) -> None:
    folder = make("owl/day/1.png", "auk/1.png", "1.png")
    (folder / "all").symlink_to(target)
    (folder / "wren").symlink_to("owl/day")
    assert {name: len(images) for name, images in class_folders(folder).items()} == {
        "auk": 1,
        "owl": 1,
        "wren": 1,
    }


def test_a_folder_of_annotations_is_no_class(make: Make) -> None:
    with pytest.raises(DataError, match="class 'annotations' has no images") as caught:
        class_folders(make("images/1.png", "annotations/all.json", "annotations/1.xml"))
    assert "annotations elsewhere, if it is no class" in caught.value.hint
    assert "convert" not in caught.value.hint


@pytest.mark.parametrize(
    ("names", "message", "hint"),
    [
        (
            ["train/owl/1.png", "train/auk/1.png", "valid/owl/1.png", "test/owl/1.png"],
            "'test', 'train', 'valid', which are parts of a data set and no classes; the classes are folders",
            "{}/train",
        ),
        (["Testing/owl/1.png", "validation_set/owl/1.png"], "the classes are folders in them", "{}/Testing"),
        (
            ["training/owl.1.png", "testing/owl.2.png"],
            "labels, as 'owl.2.png'",
            "--labels-in-names with one of them, if so; or make one sub-folder per class in {}",
        ),
        (
            ["data/owl/1.png", "data/auk/1.png"],
            "one folder, 'data', and the classes seem to be in",
            "{}/data",
        ),
        (
            ["a/b/data/owl/1.png", "a/b/data/auk/1.png"],
            "one folder, 'a/b/data', and the classes seem to be in it: 'auk', 'owl'",
            "{}/a/b/data",
        ),
        (["owl/train/1.png", "auk/train/1.png"], "holds parts of a data set ('train')", "directly into it"),
        (["fish/1.png", "fish /1.png"], "differ by blanks alone: 'fish' and 'fish '", "rename"),
    ],
)
def test_other_layouts_are_told_and_so_is_the_way_out(
    make: Make, names: list[str], message: str, hint: str
) -> None:
    folder = make(*names)
    with pytest.raises(DataError) as caught:
        class_folders(folder)
    assert message in caught.value.message
    assert hint.format(folder) in str(caught.value.hint)


def test_where_images_are_measured_the_part_for_that_is_meant(make: Make) -> None:
    """On the images that it was made of any CNN looks good."""
    folder = make("train/owl/1.png", "valid/owl/1.png", "Testing/owl/1.png")
    for part, meant in (("train", "train"), ("test", "Testing")):
        with pytest.raises(DataError) as caught:
            find_labeled(folder, part=part)
        assert caught.value.hint == str(folder / meant)


@pytest.mark.parametrize(
    ("names", "learned", "measured"),
    [
        (["Training", "Validation"], "Training", "Validation"),
        (["dev", "train", "val"], "train", "val"),
        (["evaluation", "train", "valid"], "train", "evaluation"),
        (["dev_set", "train_set"], "train_set", "dev_set"),
        (["dev", "test", "val"], "dev", "test"),
    ],
)
def test_of_parts_without_one_for_tests_the_next_best_is_meant(
    make: Make, names: list[str], learned: str, measured: str
) -> None:
    folder = make(*(f"{name}/owl/1.png" for name in names))
    for part, meant in (("train", learned), ("test", measured)):
        with pytest.raises(DataError) as caught:
            find_labeled(folder, part=part)
        assert caught.value.hint == str(folder / meant)


def test_labels_in_names_are_proposed_only_where_there_are_some(make: Make) -> None:
    folder = make("train/2_cat.png", "test/1_cat.png")
    with pytest.raises(DataError, match="there is no folder per class\n") as caught:
        class_folders(folder)
    assert str(caught.value.hint).startswith("make one sub-folder per class")


@pytest.mark.parametrize("depth", [0, 1, 2, 4, 5])
def test_how_deep_images_lie(make: Make, depth: int) -> None:
    folder = make(f"x/{'d/' * (depth - 1)}1.png" if depth else "notes.txt", "empty/deep/notes.txt")
    assert depth_of_images(folder) == (depth if depth < 5 else 0)


def test_a_class_may_be_called_train(make: Make) -> None:
    assert list(class_folders(make("train/1.png", "car/1.png"))) == ["car", "train"]
