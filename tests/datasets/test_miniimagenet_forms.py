"""The forms in which people have miniImageNet: all give the same store."""

import json
import pickle
import shutil
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from htgen.datasets import miniimagenet
from htgen.datasets.miniimagenet import prepare_miniimagenet
from htgen.datasets.miniimagenet_classes import PUBLISHED
from htgen.datasets.splits import resolve_split
from htgen.datasets.store import Store
from htgen.errors import DataError

EACH = 3
SIZE = 12
NAMES = [name for names in PUBLISHED.values() for name in names]


@pytest.fixture(autouse=True)
def _few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(miniimagenet, "IMAGES", EACH)


@pytest.fixture(scope="module")
def files() -> dict[str, dict[str, bytes]]:
    """Class -> file name -> PNG; few bytes, all images different."""
    found: dict[str, dict[str, bytes]] = {}
    for number, name in enumerate(NAMES):
        for k in range(EACH):
            buffer = BytesIO()
            Image.new("RGB", (SIZE, SIZE), (number, 50 * k, 7)).save(buffer, "PNG")
            found.setdefault(name, {})[f"{name}{k + 1:08}.png"] = buffer.getvalue()
    return found


Files = dict[str, dict[str, bytes]]


def part_folders(root: Path, files: Files) -> None:
    for part, names in PUBLISHED.items():
        for name in names:
            (root / part / name).mkdir(parents=True)
            for key, content in files[name].items():
                (root / part / name / key).write_bytes(content)


def inside_one_folder(root: Path, files: Files) -> None:
    part_folders(root / "mini-imagenet", files)


def class_folders(root: Path, files: Files) -> None:
    part_folders(root, files)
    for part in PUBLISHED:
        for folder in (root / part).iterdir():
            folder.rename(root / folder.name)
        (root / part).rmdir()


def divided_within_classes(root: Path, files: Files) -> None:
    for name in NAMES:
        for k, (key, content) in enumerate(files[name].items()):
            folder = root / ("val" if k == 1 else "train") / name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / key).write_bytes(content)


def tables(root: Path, files: Files) -> None:
    (root / "images").mkdir(parents=True)
    for part, names in PUBLISHED.items():
        lines = [f"{key},{name}" for name in reversed(names) for key in reversed(files[name])]
        (root / f"{part}.csv").write_text("\n".join(["filename,label", *lines]) + "\n", encoding="utf-8")
        for name in names:
            for key, content in files[name].items():
                (root / "images" / key).write_bytes(content)


def tables_and_class_folders(root: Path, files: Files) -> None:
    tables(root, files)
    for path in list((root / "images").iterdir()):
        folder = root / "images" / path.name[:9]
        folder.mkdir(exist_ok=True)
        path.rename(folder / path.name)


def archives(root: Path, files: Files) -> None:
    root.mkdir()
    for part, names in PUBLISHED.items():
        with zipfile.ZipFile(root / f"miniimagenet_{part}.zip", "w") as archive:
            for name in reversed(names):
                for key, content in reversed(files[name].items()):
                    archive.writestr(f"{name}/{key}", content)


def one_archive(root: Path, files: Files) -> None:
    root.mkdir()
    with zipfile.ZipFile(root / "mini.zip", "w") as archive:
        for part, names in PUBLISHED.items():
            for name in names:
                for key, content in files[name].items():
                    archive.writestr(f"mini/{part}/{name}/{key}", content)


def pixels(files: Files, name: str) -> list[np.ndarray]:
    return [np.asarray(Image.open(BytesIO(content))) for content in files[name].values()]


def pickles_of_rows(root: Path, files: Files) -> None:
    root.mkdir()
    for part, names in PUBLISHED.items():
        images = np.stack([image for name in names for image in pixels(files, name)])
        rows = {name: list(range(k * EACH, (k + 1) * EACH)) for k, name in enumerate(names)}
        content = pickle.dumps({"image_data": images, "class_dict": rows}, 4)
        (root / f"mini-imagenet-cache-{part}.pkl").write_bytes(content)


def pickles_of_labels(root: Path, files: Files) -> None:
    root.mkdir()
    for part, names in PUBLISHED.items():
        numbers = {name: 10 + k for k, name in enumerate(reversed(names))}
        images = np.stack([image for name in names for image in pixels(files, name)])
        labels = [numbers[name] for name in names for _ in range(EACH)]
        content = pickle.dumps({"data": images, "labels": labels, "catname2label": numbers}, 2)
        phase = "train_phase_train" if part == "train" else part
        (root / f"miniImageNet_category_split_{phase}.pickle").write_bytes(content)


FORMS = [
    *(inside_one_folder, class_folders, divided_within_classes, tables, tables_and_class_folders),
    *(archives, one_archive, pickles_of_rows, pickles_of_labels),
]


def prepare(root: Path, out: Path) -> tuple[Store, list[str]]:
    told: list[str] = []
    prepare_miniimagenet(
        root, out, SIZE, progress=lambda what, _, total: None if total else told.append(what)
    )
    return Store.open(out, verify=True), told


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_all_forms_give_the_same_store(
    tmp_path: Path, files: Files, form: Callable[[Path, Files], None]
) -> None:
    part_folders(tmp_path / "usual", files)
    form(tmp_path / "raw", files)
    usual, told = prepare(tmp_path / "usual", tmp_path / "a")
    assert told == []
    store, told = prepare(tmp_path / "raw", tmp_path / "b")
    assert store.checksum == usual.checksum
    assert store.class_names == usual.class_names == tuple(NAMES)
    assert resolve_split(store, "reference:test") == list(range(80, 100))
    expected = np.stack([image for name in NAMES for image in pixels(files, name)])
    np.testing.assert_array_equal(store.images, expected)
    assert [line[:3] for line in told] == (["100"] if form is divided_within_classes else [])


def test_other_counts_are_told(tmp_path: Path, files: Files) -> None:
    part_folders(tmp_path / "raw", files)
    first = tmp_path / "raw" / "train" / NAMES[0]
    next(first.iterdir()).unlink()
    store, told = prepare(tmp_path / "raw", tmp_path / "s")
    assert store.class_sizes.tolist() == [EACH - 1] + [EACH] * 99
    assert told == [f"1 classes have not {EACH} images: {NAMES[0]} {EACH - 1}"]


def test_other_classes_stay_in_their_parts(tmp_path: Path, files: Files) -> None:
    """Vinyals et al. (2016) chose other classes; their parts are those of the source."""
    names = dict(zip(NAMES, sorted(f"n9{number:07}" for number in range(100)), strict=True))
    for part, old in PUBLISHED.items():
        for name in old:
            folder = tmp_path / "raw" / part / names[name]
            folder.mkdir(parents=True)
            for key, content in files[name].items():
                (folder / key).write_bytes(content)
    store, told = prepare(tmp_path / "raw", tmp_path / "s")
    assert store.class_names == tuple(names[name] for name in NAMES)
    assert len(told) == 1
    assert "not the 100 classes" in told[0]


def refused(root: Path, out: Path) -> DataError:
    with pytest.raises(DataError) as caught:
        prepare_miniimagenet(root, out, SIZE)
    assert not out.exists()
    assert caught.value.hint
    return caught.value


def test_a_missing_part(tmp_path: Path, files: Files) -> None:
    part_folders(tmp_path / "raw", files)
    shutil.rmtree(tmp_path / "raw" / "test")
    message = refused(tmp_path / "raw", tmp_path / "s").message
    assert "lacks 20 of the 100 classes: n01930112" in message


def test_one_file_in_two_parts(tmp_path: Path, files: Files) -> None:
    divided_within_classes(tmp_path / "raw", files)
    key = f"{NAMES[5]}00000001.png"
    shutil.copy(tmp_path / "raw" / "train" / NAMES[5] / key, tmp_path / "raw" / "val" / NAMES[5] / key)
    message = refused(tmp_path / "raw", tmp_path / "s").message
    assert message == f"{key} of class {NAMES[5]} lies in train and in val"


def test_other_classes_in_two_parts(tmp_path: Path, files: Files) -> None:
    part_folders(tmp_path / "raw", files)
    (tmp_path / "raw" / "train" / NAMES[0]).rename(tmp_path / "raw" / "train" / "bird")
    shutil.copytree(tmp_path / "raw" / "train" / "bird", tmp_path / "raw" / "val" / "bird")
    message = refused(tmp_path / "raw", tmp_path / "s").message
    assert "class 'bird' lies in train and in val" in message


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("", "no columns `filename` and `label`"),
        ("filename,class\na.png,b\n", "no columns `filename` and `label`"),
        ("filename,label\nabsent.png,n01532829\n", "line 2 of"),
        ("filename,label\n../train.csv,n01532829\n", "line 2 of"),
        ("filename,label\nabsent.png\n", "has 1 columns"),
        ('filename,label\n"' + "a" * 200_000 + '",b\n', "cannot read"),
    ],
)
def test_bad_tables(tmp_path: Path, files: Files, table: str, message: str) -> None:
    tables(tmp_path / "raw", files)
    (tmp_path / "raw" / "val.csv").write_text(table, encoding="utf-8")
    assert message in refused(tmp_path / "raw", tmp_path / "s").message


def test_a_table_without_images(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "train.csv").write_text("filename,label\n")
    assert "there is no folder" in refused(tmp_path / "raw", tmp_path / "s").message


def test_damaged_images_and_archives(tmp_path: Path, files: Files) -> None:
    part_folders(tmp_path / "raw", files)
    path = next((tmp_path / "raw" / "val" / PUBLISHED["val"][3]).iterdir())
    path.write_bytes(path.read_bytes()[:40])
    assert str(path) in refused(tmp_path / "raw", tmp_path / "s").message
    archives(tmp_path / "zips", files)
    zipped = tmp_path / "zips" / "miniimagenet_val.zip"
    zipped.write_bytes(zipped.read_bytes()[:-30])
    assert "miniimagenet_val.zip" in refused(tmp_path / "zips", tmp_path / "s").message


def test_nothing_that_is_known(tmp_path: Path) -> None:
    (tmp_path / "raw" / "a").mkdir(parents=True)
    (tmp_path / "raw" / "notes.txt").write_text(json.dumps({}))
    error = refused(tmp_path / "raw", tmp_path / "s")
    assert "in no form that is known: a, notes.txt" in error.message
    assert "few-shot-ssl-public" in (error.hint or "")
