"""Every page or frame of a file as an image of its own."""

import json

import numpy as np
import pytest
from helpers.drawings import drawing
from PIL import Image, ImageDraw

from htgen.cli import main
from htgen.errors import DataError
from htgen.images.every_page import all_pages, all_pages_of_classes, images_of_classes
from htgen.images.labels import labels_from_csv


def picture(kind: str, turn: float = 0) -> Image.Image:
    image = Image.new("L", (80, 80), 255)
    draw = ImageDraw.Draw(image)
    if kind == "ring":
        draw.ellipse((15, 15, 65, 65), outline=0, width=4)
    else:
        draw.line((15, 15, 65, 65), fill=0, width=4)
        draw.line((15, 65, 65, 15), fill=0, width=4)
    return image.rotate(turn, Image.Resampling.BICUBIC, fillcolor=255)


@pytest.fixture
def scan(tmp_path):
    """Three pages."""
    pages = [picture(kind) for kind in ("ring", "cross", "ring")]
    pages[0].save(tmp_path / "scan.tif", save_all=True, append_images=pages[1:])
    return tmp_path / "scan.tif"


def test_pages_are_named_and_all_else_stays(scan, tmp_path):
    drawing(40).save(tmp_path / "one.png")
    (tmp_path / "bad.png").write_bytes(b"bad")
    paths = [tmp_path / "one.png", scan, tmp_path / "bad.png", tmp_path / "none.png", tmp_path / "scan.tif#2"]
    found = all_pages(paths)
    assert found == [paths[0], *(tmp_path / f"scan.tif#{page}" for page in (1, 2, 3)), *paths[2:4]]
    (tmp_path / "deep").mkdir()
    found = all_pages([tmp_path / "deep/../scan.tif#3", scan, scan, paths[0], paths[0]])
    assert [path.name for path in found] == ["scan.tif#3", "scan.tif#1", "scan.tif#2", "one.png", "one.png"]


def test_a_page_that_is_named_is_of_its_own_class_alone(scan, tmp_path):
    (tmp_path / "deep").mkdir()
    for key, bolt in (("scan.tif", "scan.tif#3"), ("scan.tif", "deep/../scan.tif#3")):
        found = all_pages_of_classes({"key": [tmp_path / key], "bolt": [tmp_path / bolt]})
        assert found == {"key": [tmp_path / f"scan.tif#{page}" for page in (1, 2)], "bolt": [tmp_path / bolt]}
    same = {"key": [scan, tmp_path / "scan.tif#3"]}
    assert [path.name for path in all_pages_of_classes(same)["key"]] == [
        f"scan.tif#{page}" for page in (1, 2, 3)
    ]
    pages = [tmp_path / f"scan.tif#{page}" for page in (1, 2, 3)]
    with pytest.raises(DataError, match="class 'key' has no images: all pages"):
        all_pages_of_classes({"key": [scan], "bolt": pages})


def test_a_page_of_two_classes_is_refused_whatever_it_is_called(scan, tmp_path):
    """A link is another name of the same file."""
    (tmp_path / "link.tif").symlink_to(scan)
    first, second, third = tmp_path / "scan.tif#2", tmp_path / "link.tif#2", tmp_path / "link.tif#3"
    for every_page in (False, True):
        with pytest.raises(DataError, match="one page with two labels, 'key' and 'bolt'"):
            images_of_classes({"key": [first], "bolt": [third, second]}, every_page)
        apart = {"key": [first, second], "bolt": [third]}
        assert images_of_classes(apart, every_page) == apart


def test_a_file_whose_pages_a_table_names_is_named(scan, tmp_path):
    drawing(40).save(tmp_path / "one.png")
    table = tmp_path / "l.csv"
    table.write_text("scan.tif#1,ring\nscan.tif#2,cross\n")
    assert labels_from_csv(table, tmp_path).notices == (
        f"warning: images in {tmp_path} that {table} does not name: one.png",
    )


def test_predict_and_generate_take_all_pages(scan, tmp_path, capsys):
    for kind in ("ring", "cross"):
        (tmp_path / "support" / kind).mkdir(parents=True)
        pages = [picture(kind, turn) for turn in (0, 14)]
        pages[0].save(tmp_path / "support" / kind / "x.gif", save_all=True, append_images=pages[1:], loop=0)
    cnn, support = str(tmp_path / "cnn"), str(tmp_path / "support")
    assert main(["generate", support, "-o", cnn, "--no-estimate"]) == 0
    assert "classes    2: cross (1), ring (1)" in capsys.readouterr().out
    assert main(["generate", support, "-o", cnn, "--no-estimate", "--all-pages"]) == 0
    printed = capsys.readouterr()
    assert "classes    2: cross (2), ring (2)" in printed.out
    assert "frame" not in printed.err
    assert main(["predict", cnn, str(scan), "--json", "--all-pages"]) == 0
    rows = json.loads(capsys.readouterr().out)["predictions"]
    assert [row["class"] for row in rows] == ["ring", "cross", "ring"]
    assert [row["image"] for row in rows] == [f"{scan}#{page}" for page in (1, 2, 3)]
    assert all(row["warnings"] == [] for row in rows)
    assert main(["predict", cnn, str(scan), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["predictions"]
    assert "of 3 was read" in row["warnings"][0]
    assert np.isclose(sum(row["probabilities"].values()), 1, atol=1e-5)


def test_labels_of_single_pages_and_a_test_of_all_of_them(scan, tmp_path, capsys):
    """A table may call pages as `predict` does; without pages one of each file is read, and another named."""
    (tmp_path / "l.csv").write_text("scan.tif#1,ring\nscan.tif#2,cross\nscan.tif#3,ring\n")
    cnn, folder = str(tmp_path / "cnn"), tmp_path / "labelled"
    assert main(["generate", str(tmp_path), "--labels", str(tmp_path / "l.csv"), "-o", cnn]) == 0
    assert "classes    2: cross (1), ring (2)" in capsys.readouterr().out
    for kind in ("ring", "cross"):
        (folder / kind).mkdir(parents=True)
        pages = [picture(kind, turn) for turn in (0, 5, -5)]
        pages[0].save(folder / kind / "x.tif", save_all=True, append_images=pages[1:])
    for options, images in ([], 2), (["--all-pages"], 6):
        assert main(["test", cnn, str(folder), "--json", *options]) == 0
        said = capsys.readouterr()
        document = json.loads(said.out)
        assert (document["right"], document["images"]) == (images, images)
        told = "page 1 of 3 was read; for another one name it as FILE#2"
        assert (told in said.err) == (not options)
    (tmp_path / "l.csv").write_text("scan.tif,ring\nscan.tif#2,cross\n")
    options = "--labels", str(tmp_path / "l.csv"), "--all-pages"
    assert main(["test", cnn, str(tmp_path), "--json", *options]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["right"], document["images"]) == (3, 3)
    assert main(["generate", str(tmp_path), "-o", cnn, "--no-estimate", *options]) == 0
    assert "classes    2: cross (1), ring (2)" in capsys.readouterr().out


def test_a_file_and_a_page_of_it_have_no_classes_of_their_own(scan, tmp_path, capsys):
    """One image of the file is read, and nobody would know whether it is that page."""
    for name in ("a", "b"):
        picture("ring").save(tmp_path / f"{name}.png")
    table = tmp_path / "l.csv"
    table.write_text("a.png,ring\nb.png,cross\nscan.tif,ring\nscan.tif#1,cross\n")
    cnn, options = str(tmp_path / "cnn"), ["--labels", str(table)]
    assert main(["generate", str(tmp_path), "-o", cnn, *options]) == 4
    assert f"error: {scan} has a class, and its page scan.tif#1 too\n" in capsys.readouterr().err
    assert not (tmp_path / "cnn").exists()
    assert main(["generate", str(tmp_path), "-o", cnn, "--no-estimate", "--all-pages", *options]) == 0
    assert main(["test", cnn, str(tmp_path), *options]) == 4
    assert "and its page scan.tif#1 too" in capsys.readouterr().err


def test_a_file_that_is_called_as_a_page_is_no_page(scan, tmp_path):
    picture("ring").save(tmp_path / "x.png")
    (tmp_path / "x.png").rename(tmp_path / "scan.tif#2")
    classes = {"a": [scan], "b": [tmp_path / "scan.tif#2"]}
    assert images_of_classes(classes, every_page=False) == classes
