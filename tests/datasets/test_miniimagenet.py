import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.raw_data import miniimagenet_record, write_miniimagenet

from htgen.datasets import miniimagenet
from htgen.datasets.miniimagenet import prepare_miniimagenet
from htgen.datasets.splits import resolve_split
from htgen.datasets.store import Store
from htgen.errors import DataError
from htgen.images.preprocessing import Preprocessing

IMAGES = 3


@pytest.fixture(autouse=True)
def _few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(miniimagenet, "IMAGES", IMAGES)


@pytest.fixture(scope="module")
def records() -> dict[str, dict[str, Any]]:
    return {part: miniimagenet_record(part, count, IMAGES) for part, count in miniimagenet.CLASSES.items()}


@pytest.fixture
def raw(tmp_path: Path, records: dict[str, dict[str, Any]]) -> Path:
    return write_miniimagenet(tmp_path / "raw", records, 4)


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_store(tmp_path: Path, records: dict[str, dict[str, Any]], protocol: int) -> None:
    prepare_miniimagenet(write_miniimagenet(tmp_path / "raw", records, protocol), tmp_path / "s")
    store = Store.open(tmp_path / "s", verify=True)
    assert store.name == "miniimagenet"
    assert store.preprocessing == Preprocessing(84, 3, "none", "crop")
    assert store.class_sizes.tolist() == [IMAGES] * 100
    first = 0
    for part, count in miniimagenet.CLASSES.items():
        names = [f"n{part}{k:03}" for k in range(count)]
        assert store.class_names[first : first + count] == tuple(names)
        for number, name in enumerate(names, first):
            rows = records[part]["class_dict"][name]
            found = store.images[store.offsets[number] : store.offsets[number + 1]]
            np.testing.assert_array_equal(found, records[part]["image_data"][rows])
        first += count
    assert store.class_sources[64] == "mini-imagenet-cache-val.pkl: nval000"


def test_splits(raw: Path, tmp_path: Path) -> None:
    prepare_miniimagenet(raw, tmp_path / "s", image_size=4)
    store = Store.open(tmp_path / "s")
    assert resolve_split(store, "reference:train") == list(range(64))
    assert resolve_split(store, "reference:val") == list(range(64, 80))
    assert resolve_split(store, "reference:test") == list(range(80, 100))
    assert resolve_split(store, "miniimagenet:0-49,99") == [*range(50), 99]


def test_other_size_and_progress(raw: Path, tmp_path: Path, records: dict[str, dict[str, Any]]) -> None:
    calls: list[tuple[str, int, int]] = []
    prepare_miniimagenet(raw, tmp_path / "s", image_size=32, progress=lambda *call: calls.append(call))
    images = Store.open(tmp_path / "s").images
    assert images.shape == (100 * IMAGES, 32, 32, 3)
    original = records["train"]["image_data"][records["train"]["class_dict"]["ntrain000"][0]]
    assert abs(images[0].mean() - original.mean()) < 1
    assert [call for call in calls if call[2]] == [("images", done, 300) for done in range(3, 301, 3)]
    assert [call[0][:24] for call in calls if not call[2]] == ["these are not the 100 cl"]


def test_keys_and_rows_in_other_types(tmp_path: Path, records: dict[str, dict[str, Any]]) -> None:
    """Keys as bytes, and rows as arrays or NumPy's numbers, are in use too."""
    prepare_miniimagenet(write_miniimagenet(tmp_path / "raw", records), tmp_path / "s")
    others = {}
    for part, value in records.items():
        rows = {name.encode(): np.array(rows) for name, rows in value["class_dict"].items()}
        rows[f"n{part}000".encode()] = [np.int64(row) for row in rows[f"n{part}000".encode()]]
        others[part] = {b"image_data": value["image_data"], b"class_dict": rows}
    prepare_miniimagenet(write_miniimagenet(tmp_path / "raw2", others), tmp_path / "s2")
    assert Store.open(tmp_path / "s").checksum == Store.open(tmp_path / "s2").checksum


# --------------------------------------------------------------------------------------------- bad sources


def refusal(source: Path, tmp_path: Path) -> DataError:
    with pytest.raises(DataError) as caught:
        prepare_miniimagenet(source, tmp_path / "s")
    assert caught.value.hint
    assert sorted(path.name for path in tmp_path.iterdir()) in ([], ["raw"])
    return caught.value


def test_missing_files(raw: Path, tmp_path: Path) -> None:
    (raw / "mini-imagenet-cache-test.pkl").unlink()
    error = refusal(raw, tmp_path)
    assert "no file mini-imagenet-cache-test.pkl" in error.message
    assert "few-shot-ssl-public" in (error.hint or "")
    error = refusal(raw / "nowhere", tmp_path)
    assert "there is no folder" in error.message
    assert "mini-imagenet-cache-{train,val,test}.pkl" in (error.hint or "")
    assert "is not a folder" in refusal(raw / "mini-imagenet-cache-val.pkl", tmp_path).message


def rows_of(value: dict[str, Any], rows: Any) -> dict[str, Any]:
    return {**value, "class_dict": {**value["class_dict"], "nval003": rows}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda value: [value], "it is no dictionary"),
        (lambda value: {"data": 1, "labels": 2}, "keys are 'data', 'labels'"),
        (lambda value: {10**6000: 1, 7: 2}, "keys are a huge number, 7"),
        (lambda value: {**value, "image_data": value["image_data"][:, :, :80]}, "[48, 84, 80, 3], not"),
        (lambda value: {**value, "image_data": value["image_data"][:-1]}, "has row 47; there are 47 rows"),
        (lambda value: {**value, "image_data": value["image_data"].view(np.int8)}, "are int8"),
        (lambda value: {**value, "image_data": b"images"}, "no array"),
        (lambda value: {**value, "class_dict": [1]}, "no dictionary from names"),
        (lambda value: {**value, "class_dict": {5: [1]}}, "no dictionary from names"),
        (lambda value: {**value, "class_dict": {"a": [*range(48)]}}, "val has 1 classes, not 16"),
        (lambda value: {**value, "class_dict": {"a": [0, 1, 2]}}, "row 3 is in 0 classes"),
        (lambda value: rows_of(value, [0, 1, 48]), "class 'nval003' has row 48; there are 48 rows"),
        (lambda value: rows_of(value, [0, 1, -1]), "row -1"),
        (lambda value: rows_of(value, np.array([0, 1, 2**63 - 1])), "row 9223372036854775807"),
        (lambda value: rows_of(value, [0, 1, 10**30]), "no list of rows"),
        (lambda value: rows_of(value, ["a"]), "no list of rows"),
        (lambda value: rows_of(value, None), "no list of rows"),
        (lambda value: rows_of(value, []), "class 'nval003' has no images"),
        (lambda value: rows_of(value, value["class_dict"]["nval003"][:2]), "is in 0 classes"),
        (lambda value: rows_of(value, [0, 0, 0]), "classes of `class_dict`, not in one"),
        (lambda value: {"data": value["image_data"], "labels": [0.5], "catname2label": {}}, "`labels` is no"),
        (
            lambda value: {
                "data": value["image_data"],
                "labels": [0] * 48,
                "catname2label": {"a": 0, "b": 0},
            },
            "does not give each class a number of its own",
        ),
    ],
)
def test_wrong_content(
    raw: Path,
    tmp_path: Path,
    records: dict[str, dict[str, Any]],
    change: Callable[[dict[str, Any]], Any],
    message: str,
) -> None:
    path = write_miniimagenet(raw, {"val": change(records["val"])}) / "mini-imagenet-cache-val.pkl"
    found = refusal(raw, tmp_path).message
    assert message in found
    assert str(path) in found or str(path.parent) in found


def test_class_in_two_files(raw: Path, tmp_path: Path, records: dict[str, dict[str, Any]]) -> None:
    classes = records["val"]["class_dict"]
    renamed = {"ntrain000" if name == "nval000" else name: rows for name, rows in classes.items()}
    write_miniimagenet(raw, {"val": {**records["val"], "class_dict": renamed}})
    assert "'ntrain000'" in refusal(raw, tmp_path).message


@pytest.mark.parametrize("keep", [0, 100, 5000, -1])
def test_truncated(raw: Path, tmp_path: Path, keep: int) -> None:
    path = raw / "mini-imagenet-cache-test.pkl"
    path.write_bytes(path.read_bytes()[:keep])
    assert "truncated" in refusal(raw, tmp_path).message


def test_malicious_pickle(raw: Path, tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return os.mkdir, (str(tmp_path / "harm"),)

    write_miniimagenet(raw, {"val": {"image_data": Attack(), "class_dict": {}}})
    error = refusal(raw, tmp_path)
    assert "asks to load" in error.message
    assert "source that you trust" in (error.hint or "")
    assert not (tmp_path / "harm").exists()
