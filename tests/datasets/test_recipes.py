import re
from pathlib import Path

import pytest

import htgen.datasets
from htgen.datasets import fashion_mnist, omniglot
from htgen.datasets.hints import DOWNLOADED, RAW_FILES, how_to_make
from htgen.datasets.recipes import RECIPES, Request
from htgen.datasets.store import Store
from htgen.errors import DataError


def request(out: Path, source: Path | None = None, told: list | None = None, **options) -> Request:
    def progress(*report: object) -> None:
        if told is not None:
            told.append(report)

    return Request(source, out, 28, False, options, progress)


@pytest.mark.parametrize(
    ("store", "command"),
    [
        ("data/omniglot", "omniglot --out data/omniglot"),
        ("data/omniglot-drawings", "omniglot --as-drawings --out data/omniglot-drawings"),
        ("data/miniimagenet", "miniimagenet --source DIR --out data/miniimagenet"),
        ("data/marks", "folder --source DIR --out data/marks"),
        ("data/folder", "folder --source DIR --out data/folder"),
        ("data/marks-icons", "folder --source DIR --ink bright --as-icons --out data/marks-icons"),
        ("data/icons", "icons --source DIR --out data/icons"),
        ("data/fonts", "fonts --source DIR --out data/fonts"),
        ("data/marks-drawings", "folder --source DIR --ink bright --as-drawings --out data/marks-drawings"),
    ],
)
def test_a_store_that_is_not_there_is_told_with_how_to_make_it(store, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert how_to_make(Path(store)) == f"htgen prepare-data {command}"
    with pytest.raises(DataError, match=re.escape(f"`htgen prepare-data {command}`")):
        Store.open(store)


def test_every_module_that_prepares_a_data_set_has_a_recipe():
    modules = Path(htgen.datasets.__file__).parent.glob("*.py")
    preparing = {path.stem for path in modules if f"def prepare_{path.stem}(" in path.read_text("utf-8")}
    assert preparing - {"idx"} == set(RECIPES)  # a file format that three of them share


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_every_recipe_reaches_the_data_set_of_its_name(name, tmp_path):
    """In an empty folder each misses its own raw files."""
    missing = {
        "omniglot": "images_background",
        "miniimagenet": "mini-imagenet-cache-train.pkl",
        "tieredimagenet": "train_images.npz",
        "emnist": "emnist-byclass-train",
        "fashion_mnist": "train-images-idx3-ubyte",
        "kmnist": "train-images-idx3-ubyte",
        "icons": "collections.json",
        "fonts": "there are no fonts",
        "folder": "no sub-folders",
    }
    (tmp_path / "raw").mkdir()
    with pytest.raises(DataError) as caught:
        RECIPES[name].prepare(request(tmp_path / "out", tmp_path / "raw"))
    assert missing[name] in str(caught.value)
    where_from = RECIPES[name].where_from
    if where_from is not None:
        assert where_from() in str(caught.value)
    assert (where_from is None) == (name in ("omniglot", "folder"))
    assert not (tmp_path / "out").exists()


def test_raw_files_are_asked_for_with_the_place_of_this_data_set():
    where_from = RECIPES["fashion_mnist"].where_from
    assert where_from is not None
    assert where_from() == fashion_mnist.WHERE_FROM


def test_where_archives_are_kept_is_told_as_progress(tmp_path, monkeypatch, capsys):
    def refuse(folder, progress):
        raise DataError("no network here")

    monkeypatch.setattr(omniglot, "download", refuse)
    told: list = []
    with pytest.raises(DataError, match="no network"):
        RECIPES["omniglot"].prepare(request(tmp_path / "out", told=told))
    assert told == [(f"archives are kept in {tmp_path / 'out.downloads'}", 0, 0)]
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "source", "as_drawings", "as_icons", "out"),
    [
        ("folder", "raw/birds", False, False, "data/birds"),
        ("folder", "raw/birds", True, False, "data/birds-drawings"),
        ("folder", "raw/birds", False, True, "data/birds-icons"),
        ("omniglot", None, True, False, "data/omniglot-drawings"),
        ("emnist", "raw/files", False, False, "data/emnist"),
        ("icons", "raw/package", False, False, "data/icons"),
        ("icons", "raw/package", True, False, "data/icons-drawings"),
    ],
)
def test_stores_have_a_usual_place(name, source, as_drawings, as_icons, out):
    assert RECIPES[name].default_out(name, source and Path(source), as_drawings, as_icons) == Path(out)


def test_hints_know_the_same_data_sets():
    assert {*DOWNLOADED, *RAW_FILES, "folder"} == RECIPES.keys()
    assert {name for name, recipe in RECIPES.items() if not recipe.needs_source} == {*DOWNLOADED}
    assert {name for name, recipe in RECIPES.items() if recipe.named_after_source} == {"folder"}
