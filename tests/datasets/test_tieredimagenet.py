import os
import pickle
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.raw_data import write_tieredimagenet_part

import htgen
from htgen.datasets import tieredimagenet
from htgen.datasets.splits import resolve_split
from htgen.datasets.store import Store
from htgen.datasets.tieredimagenet import prepare_tieredimagenet
from htgen.errors import DataError, OutputError
from htgen.images.preprocessing import Preprocessing

CLASSES = {"train": 5, "val": 3, "test": 4}


@pytest.fixture(autouse=True)
def _few_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tieredimagenet, "CLASSES", CLASSES)


def make_raw(folder: Path, ordered: bool = False, protocol: int = 2, compressed: bool = True) -> Path:
    folder.mkdir()
    random = np.random.default_rng(0)
    first = 0
    for part, classes in CLASSES.items():
        labels = np.repeat(np.arange(first, first + classes), random.integers(1, 40, classes))
        if not ordered:
            random.shuffle(labels)
        images = random.integers(0, 256, (len(labels), 84, 84, 3), dtype=np.uint8)
        (np.savez_compressed if compressed else np.savez)(folder / f"{part}_images.npz", images=images)
        (folder / f"{part}_labels.pkl").write_bytes(pickle.dumps({"labels": labels.tolist()}, protocol))
        first += classes
    return folder


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return make_raw(tmp_path / "raw")


@pytest.mark.parametrize(
    ("ordered", "protocol", "compressed"), [(False, 2, True), (False, 4, False), (True, 2, False)]
)
def test_store(tmp_path: Path, ordered: bool, protocol: int, compressed: bool) -> None:
    raw = make_raw(tmp_path / "raw", ordered, protocol, compressed)
    prepare_tieredimagenet(raw, tmp_path / "s")
    store = Store.open(tmp_path / "s", verify=True)
    assert store.name == "tieredimagenet"
    assert store.preprocessing == Preprocessing(84, 3, "none", "crop")
    assert store.class_count == 12
    assert store.class_names[4:6] == ("train/4", "val/5")
    assert store.class_sources[5] == "val_images.npz: 5"
    number = 0
    for part, classes in CLASSES.items():
        images = np.load(raw / f"{part}_images.npz")["images"]
        labels = np.array(pickle.loads((raw / f"{part}_labels.pkl").read_bytes())["labels"])
        for _ in range(classes):
            found = store.images[store.offsets[number] : store.offsets[number + 1]]
            np.testing.assert_array_equal(found, images[labels == number])
            number += 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["raw", "s"]


def test_real_numbers_of_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    parts = tieredimagenet.consecutive(tieredimagenet.CLASSES).parts
    assert parts == {"train": "0-350", "val": "351-447", "test": "448-607"}


def test_splits_size_and_progress(raw: Path, tmp_path: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    prepare_tieredimagenet(raw, tmp_path / "s", image_size=8, progress=lambda *call: calls.append(call))
    store = Store.open(tmp_path / "s")
    assert store.size == 8
    assert resolve_split(store, "reference:val") == [5, 6, 7]
    assert resolve_split(store, "tieredimagenet:0-2,11") == [0, 1, 2, 11]
    count = len(store.images)
    assert [call for call in calls if call[0] == "images"] == [
        ("images", k, count) for k in range(1, count + 1)
    ]
    unpacked = [call for call in calls if call[0] == "unpacking train_images.npz"]
    assert unpacked[-1][1] == unpacked[-1][2] == store.offsets[5]


def test_labels_that_start_at_zero_in_each_part_and_numpy_numbers(raw: Path, tmp_path: Path) -> None:
    prepare_tieredimagenet(raw, tmp_path / "s")
    for part, first in (("val", 5), ("test", 8)):
        path = raw / f"{part}_labels.pkl"
        labels = np.array(pickle.loads(path.read_bytes())["labels"]) - first
        value = labels if part == "val" else list(labels)
        path.write_bytes(pickle.dumps({b"labels": value, "label_specific": [1.5, "x"]}, 2))
    prepare_tieredimagenet(raw, tmp_path / "s2")
    assert Store.open(tmp_path / "s").checksum == Store.open(tmp_path / "s2").checksum
    assert Store.open(tmp_path / "s2").class_names[5] == "val/0"


def test_array_of_python_2(raw: Path, tmp_path: Path) -> None:
    prepare_tieredimagenet(raw, tmp_path / "s")
    path = raw / "val_images.npz"
    with zipfile.ZipFile(path) as archive:
        content = archive.read("images.npy")
    header = content[:128].replace(b"84, 84, 3), }    ", b"84L, 84L, 3L), } ")
    assert header != content[:128]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", header + content[128:])
    prepare_tieredimagenet(raw, tmp_path / "s2")
    assert Store.open(tmp_path / "s").checksum == Store.open(tmp_path / "s2").checksum


CHILD = """
import resource, sys
from htgen.datasets import tieredimagenet
from htgen.datasets.store import Store
tieredimagenet.CLASSES = {"train": 2, "val": 1, "test": 1}
tieredimagenet.prepare_tieredimagenet(sys.argv[1], sys.argv[2])  # a small one, so that all is loaded
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
tieredimagenet.prepare_tieredimagenet(sys.argv[3], sys.argv[4])
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


@pytest.mark.parametrize("ordered", [False, True])
def test_memory_does_not_grow_with_the_data(tmp_path: Path, ordered: bool) -> None:
    for name, count in (("small", 4), ("large", 4000)):
        labels = [0] * (count // 2) + [1] * (count // 2) if ordered else [0, 1] * (count // 2)
        write_tieredimagenet_part(tmp_path / name, "train", count, labels)
        for part in ("val", "test"):
            write_tieredimagenet_part(tmp_path / name, part, 2, [0, 0])
    arguments = [str(tmp_path / name) for name in ("small", "s1", "large", "s2")]
    environment = {**os.environ, "PYTHONPATH": str(Path(htgen.__file__).parents[1])}
    result = subprocess.run(
        [sys.executable, "-c", CHILD, *arguments], env=environment, capture_output=True, text=True, check=True
    )
    store = Store.open(tmp_path / "s2")
    assert store.images.nbytes > 80e6
    assert int(result.stdout) < 8e6
    expected = range(2000) if ordered else range(0, 4000, 2)
    assert store.images[:2000, 0, 0, 0].tolist() == [k % 256 for k in expected]


# --------------------------------------------------------------------------------------------- bad sources


def refusal(source: Path, tmp_path: Path) -> DataError:
    with pytest.raises(DataError) as caught:
        prepare_tieredimagenet(source, tmp_path / "s")
    assert caught.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]
    return caught.value


@pytest.mark.parametrize("name", ["train_images.npz", "test_labels.pkl"])
def test_missing_file(raw: Path, tmp_path: Path, name: str) -> None:
    (raw / name).unlink()
    error = refusal(raw, tmp_path)
    assert f"no file {name}" in error.message
    assert "MetaOptNet" in (error.hint or "")


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ([1, 2], "it is no dictionary"),
        ({"label_specific": [1], "label_general": [2]}, "keys are 'label_specific', 'label_general'"),
        ({}, "keys are none"),
        ({"labels": ["a", "b"]}, "no list of whole numbers"),
        ({"labels": [1.5]}, "no list of whole numbers"),
        ({"labels": np.zeros((2, 2), int)}, "no list of whole numbers"),
        ({"labels": [[1]]}, "no list of whole numbers"),
        ({"labels": [0, 1]}, "2 classes, not 3"),
        ({"labels": []}, "0 classes, not 3"),
        ({"labels": [0, 1, 2, 3]}, "4 classes, not 3"),
        ({"labels": [0, 1, 2]}, "but val_labels.pkl 3 labels"),
    ],
)
def test_wrong_labels(raw: Path, tmp_path: Path, record: Any, message: str) -> None:
    (raw / "val_labels.pkl").write_bytes(pickle.dumps(record, 2))
    assert message in refusal(raw, tmp_path).message


def test_malicious_labels(raw: Path, tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return os.mkdir, (str(tmp_path / "harm"),)

    (raw / "val_labels.pkl").write_bytes(pickle.dumps({"labels": [Attack()]}))
    assert "asks to load" in refusal(raw, tmp_path).message


def npy(array: np.ndarray, pickled: bool = False) -> bytes:
    file = BytesIO()
    np.save(file, array, allow_pickle=pickled)
    return file.getvalue()


IMAGE = np.zeros((40, 84, 84, 3), np.uint8)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("data.npy", npy(IMAGE), "no array `images`; it holds 'data.npy'"),
        ("images.npy", npy(IMAGE[:, :80]), "[40, 80, 84, 3]"),
        ("images.npy", npy(IMAGE.astype(np.float32)), "is float32"),
        ("images.npy", npy(np.asfortranarray(IMAGE)), "in column order"),
        ("images.npy", npy(np.array([print], object), pickled=True), "is object [1]"),
        ("images.npy", npy(IMAGE[0, 0, 0, 0]), "is uint8 []"),
        ("images.npy", b"", "cannot read"),
        ("images.npy", b"\x93NUMPY\x01\x00\x10\x00" + b"__import__('os')", "cannot read"),
        ("images.npy", b"no array at all", "cannot read"),
    ],
)
def test_wrong_images(raw: Path, tmp_path: Path, name: str, content: bytes, message: str) -> None:
    with zipfile.ZipFile(raw / "val_images.npz", "w") as archive:
        archive.writestr(name, content)
    assert message in refusal(raw, tmp_path).message


@pytest.mark.parametrize("keep", [0, 50, 20_000, -30])
def test_truncated_archive(raw: Path, tmp_path: Path, keep: int) -> None:
    path = raw / "test_images.npz"
    path.write_bytes(path.read_bytes()[:keep])
    assert f"cannot read {path}" in refusal(raw, tmp_path).message


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize(("change", "message"), [(-9, "truncated"), (9, "longer than its header")])
def test_array_of_another_length(tmp_path: Path, ordered: bool, change: int, message: str) -> None:
    raw = make_raw(tmp_path / "raw", ordered)
    with zipfile.ZipFile(raw / "test_images.npz") as archive:
        content = archive.read("images.npy")
    with zipfile.ZipFile(raw / "test_images.npz", "w") as archive:
        archive.writestr("images.npy", content[:change] if change < 0 else content + b"x" * change)
    assert message in refusal(raw, tmp_path).message


@pytest.mark.parametrize("ordered", [False, True])
def test_changed_byte_is_found_by_the_checksum(tmp_path: Path, ordered: bool) -> None:
    raw = make_raw(tmp_path / "raw", ordered, compressed=False)
    path = raw / "test_images.npz"
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    assert "is damaged" in refusal(raw, tmp_path).message


def test_no_space_for_the_temporary_file(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with pytest.raises(OutputError, match="No space left") as caught:
        prepare_tieredimagenet(raw, tmp_path / "s")
    assert "GB" in (caught.value.hint or "")
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]
