import json
import os
import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.stores import change_manifest
from hypothesis import given, settings
from hypothesis import strategies as st

from htgen.datasets.store import Store, StoreWriter, check_target, store_name
from htgen.datasets.store_format import Scheme
from htgen.errors import DataError, OutputError
from htgen.images.preprocessing import Preprocessing

GREY = Preprocessing(4, 1, "bright", "pad")


def make_images(count: int, seed: int = 0, preprocessing: Preprocessing = GREY) -> np.ndarray:
    shape = (count, preprocessing.size, preprocessing.size, preprocessing.channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def write_store(path: Path, sizes: list[int], preprocessing: Preprocessing = GREY, **options: bool) -> Path:
    schemes = {"own": Scheme(parts={"train": "0"}, shuffle_seed=3)}
    with StoreWriter(path, "small", preprocessing, schemes, **options) as writer:
        for number, size in enumerate(sizes):
            writer.add_class(f"class {number}", f"raw/{number}", make_images(size, number, preprocessing))
    return path


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=6),
    size=st.integers(1, 7),
    channels=st.sampled_from([1, 3]),
)
def test_what_is_written_is_read(sizes: list[int], size: int, channels: int) -> None:
    preprocessing = Preprocessing(size, channels, "none", "crop")
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(write_store(Path(folder, "s"), sizes, preprocessing), verify=True)
        assert store.class_count == len(sizes)
        assert store.class_sizes.tolist() == sizes
        assert store.offsets.dtype == np.int64
        assert (store.size, store.channels, store.ink, store.preprocessing.fit) == (
            size,
            channels,
            "none",
            "crop",
        )
        assert store.class_names == tuple(f"class {k}" for k in range(len(sizes)))
        assert store.class_sources == tuple(f"raw/{k}" for k in range(len(sizes)))
        for number, count in enumerate(sizes):
            rows = store.images[store.offsets[number] : store.offsets[number + 1]]
            np.testing.assert_array_equal(rows, make_images(count, number, preprocessing))
        np.testing.assert_array_equal(np.load(store.path / "images.npy"), store.images)


def test_images_are_mapped_read_only(tmp_path: Path) -> None:
    store = Store.open(write_store(tmp_path / "s", [2]))
    assert isinstance(store.images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        store.images[0] = 0


def test_schemes_and_preprocessing_survive(tmp_path: Path) -> None:
    store = Store.open(write_store(tmp_path / "s", [2]))
    assert store.schemes == {"own": Scheme(parts={"train": "0"}, shuffle_seed=3)}
    assert store.preprocessing == GREY


def test_same_input_gives_same_bytes(tmp_path: Path) -> None:
    first, second = (write_store(tmp_path / name, [3, 1, 2]) for name in "ab")
    assert entries(first) == entries(second) == ["images.npy", "manifest.json"]
    for name in entries(first):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_header_of_images_is_aligned_for_any_count(tmp_path: Path) -> None:
    for sizes in ([1], [1000]):
        path = write_store(tmp_path / str(sizes[0]), sizes) / "images.npy"
        assert path.stat().st_size == 128 + sizes[0] * 16


def test_images_are_consumed_one_by_one(tmp_path: Path) -> None:
    """Only one image is alive at a time, so that a class may be larger than memory."""
    alive = 0

    class Tracked(np.ndarray):
        def __del__(self) -> None:
            nonlocal alive
            alive -= self.base is not None

    def images() -> Iterator[np.ndarray]:
        nonlocal alive
        for image in make_images(50):
            alive += 1
            assert alive <= 3
            yield image.view(Tracked)

    with StoreWriter(tmp_path / "s", "small", GREY, {}) as writer:
        writer.add_class("a", "a", images())
    assert len(Store.open(tmp_path / "s").images) == 50


def write_and_fail(path: Path, failure: type[BaseException]) -> None:
    with StoreWriter(path, "small", GREY, {}, overwrite=True) as writer:
        writer.add_class("a", "a", make_images(3))
        raise failure


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_failure_leaves_nothing(tmp_path: Path, failure: type[BaseException]) -> None:
    with pytest.raises(failure):
        write_and_fail(tmp_path / "s", failure)
    assert entries(tmp_path) == []


def test_failure_keeps_the_store_that_was_there(tmp_path: Path) -> None:
    path = write_store(tmp_path / "s", [2])
    with pytest.raises(RuntimeError):
        write_and_fail(path, RuntimeError)
    assert Store.open(path, verify=True).class_sizes.tolist() == [2]
    assert entries(tmp_path) == ["s"]


def test_full_disk_is_reported_and_leaves_nothing(tmp_path: Path) -> None:
    large = Preprocessing(512, 3, "none", "crop")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, hard))
    try:
        with pytest.raises(OutputError, match=r"cannot write .*s: "):
            write_store(tmp_path / "s", [4], large)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert entries(tmp_path) == []


def test_existing_store_is_refused_or_replaced(tmp_path: Path) -> None:
    path = write_store(tmp_path / "s", [2])
    with pytest.raises(DataError, match="there is a store") as caught:
        write_store(path, [3])
    assert "--overwrite" in str(caught.value)
    assert Store.open(path).class_sizes.tolist() == [2]
    write_store(path, [3], overwrite=True)
    assert Store.open(path, verify=True).class_sizes.tolist() == [3]
    assert entries(tmp_path) == ["s"]


def test_folder_with_other_files_is_never_replaced(tmp_path: Path) -> None:
    path = write_store(tmp_path / "s", [2])
    (path / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="other files"):
        write_store(path, [3], overwrite=True)
    assert (path / "notes.txt").read_text() == "mine"


def test_target_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("mine")
    with pytest.raises(DataError, match="is a file"):
        check_target(tmp_path / "s", overwrite=True)


def test_empty_folder_is_used(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    assert Store.open(write_store(tmp_path / "s", [1])).class_count == 1
    assert entries(tmp_path) == ["s"]


@pytest.mark.parametrize(
    ("images", "error"),
    [
        (np.zeros((0, 4, 4, 1), np.uint8), DataError),
        (np.zeros((1, 4, 5, 1), np.uint8), ValueError),
        (np.zeros((1, 4, 4, 1), np.float32), ValueError),
    ],
)
def test_wrong_images_are_refused(tmp_path: Path, images: np.ndarray, error: type[Exception]) -> None:
    with pytest.raises(error, match="'a'"), StoreWriter(tmp_path / "s", "small", GREY, {}) as writer:
        writer.add_class("a", "a", images)
    assert entries(tmp_path) == []


def test_no_classes_and_equal_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no classes"), StoreWriter(tmp_path / "s", "small", GREY, {}):
        pass
    assert entries(tmp_path) == []
    with StoreWriter(tmp_path / "s", "small", GREY, {}) as writer:
        writer.add_class("a", "a", make_images(1))
        with pytest.raises(DataError, match="name 'a'"):
            writer.add_class("a", "b", make_images(1))
    assert Store.open(tmp_path / "s").class_names == ("a",)


def test_names_need_not_be_ascii(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "s", "small", GREY, {}) as writer:
        writer.add_class("Кириллица/日本", "ü", make_images(1))
    assert Store.open(tmp_path / "s").class_names == ("Кириллица/日本",)


def test_names_must_be_text(tmp_path: Path) -> None:
    with (
        pytest.raises(DataError, match="is no UTF-8") as caught,
        StoreWriter(tmp_path / "s", "small", GREY, {}) as writer,
    ):
        writer.add_class(os.fsdecode(b"caf\xe9"), "x", make_images(1))
    assert caught.value.hint
    assert entries(tmp_path) == []


@pytest.mark.parametrize("text", ["omniglot", "my folder", "日本", "..", "-x", "a:b/c"])
def test_store_name_is_always_valid(tmp_path: Path, text: str) -> None:
    name = store_name(text)
    with StoreWriter(tmp_path / "s", name, GREY, {}) as writer:
        writer.add_class("a", "a", make_images(1))
    assert Store.open(tmp_path / "s").name == name


# ------------------------------------------------------------------------------------------- damaged stores


def refusal(path: Path, verify: bool = False) -> str:
    with pytest.raises(DataError) as caught:
        Store.open(path, verify=verify)
    assert str(path) in caught.value.message
    assert "prepare-data" in (caught.value.hint or "")
    return caught.value.message


def test_missing_and_foreign_folders(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    assert "not a folder" in refusal(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    assert "no htgen store" in refusal(tmp_path / "empty")


@pytest.mark.parametrize("name", ["images.npy", "manifest.json"])
def test_incomplete_store(tmp_path: Path, name: str) -> None:
    path = write_store(tmp_path / "s", [2])
    (path / name).unlink()
    assert f"{name} is missing" in refusal(path)


@pytest.mark.parametrize("keep", [0, 5, 100, 130, -1])
def test_truncated_images(tmp_path: Path, keep: int) -> None:
    images = write_store(tmp_path / "s", [20]) / "images.npy"
    images.write_bytes(images.read_bytes()[:keep])
    assert "images.npy" in refusal(tmp_path / "s")


def test_longer_images(tmp_path: Path) -> None:
    images = write_store(tmp_path / "s", [2]) / "images.npy"
    images.write_bytes(images.read_bytes() + b"x")
    assert "bytes" in refusal(tmp_path / "s")


@pytest.mark.parametrize(
    "replacement", [np.zeros((2, 4, 4, 3), np.uint8), np.zeros((2, 4, 4, 1), np.int8), np.array([{}])]
)
def test_other_array_in_place_of_images(tmp_path: Path, replacement: np.ndarray) -> None:
    path = write_store(tmp_path / "s", [2])
    np.save(path / "images.npy", replacement, allow_pickle=True)
    assert "images.npy" in refusal(path)


def test_changed_pixel_is_found_by_verify_only(tmp_path: Path) -> None:
    path = write_store(tmp_path / "s", [2])
    content = bytearray((path / "images.npy").read_bytes())
    content[-1] ^= 1
    (path / "images.npy").write_bytes(content)
    Store.open(path)
    pixels = Store.open(path, verify=True, up_to=31).images.nbytes
    assert pixels == 32  # more than that: not read
    for up_to in (None, pixels):
        with pytest.raises(DataError, match="checksum"):
            Store.open(path, verify=True, up_to=up_to)


def test_newer_format(tmp_path: Path) -> None:
    path = write_store(tmp_path / "s", [2])
    change_manifest(path, format_version=3, something="new")
    assert "format version 3" in refusal(path)


def test_every_changed_value_of_a_manifest_is_found(tmp_path: Path) -> None:
    path = write_store(tmp_path / "s", [2, 3])
    whole = (path / "manifest.json").read_text()
    record = json.loads(whole)
    assert record["format_version"] == 2
    moved = whole.replace('"count": 2', '"count": X').replace('"count": 3', '"count": 2').replace("X", "3")
    (path / "manifest.json").write_text(moved)  # the same images in all
    assert "manifest.json was changed" in refusal(path)
    for without in ({"checksum": None}, {"checksum": "0"}):
        (path / "manifest.json").write_text(json.dumps({**record, **without}))
        assert "manifest.json was changed" in refusal(path)
    del record["checksum"]
    (path / "manifest.json").write_text(json.dumps(record))
    assert "manifest.json was changed" in refusal(path)


def test_a_store_of_version_1_has_no_checksum_of_its_manifest(tmp_path: Path) -> None:
    path = write_store(tmp_path / "s", [2, 3])
    before = Store.open(path)
    record = json.loads((path / "manifest.json").read_text())
    del record["checksum"]
    (path / "manifest.json").write_text(json.dumps({**record, "format_version": 1}))
    assert Store.open(path).fingerprint == before.fingerprint


@pytest.mark.parametrize(
    "values",
    [
        {"format": "other"},
        {"format_version": "1"},
        {"format_version": None},
        {"classes": []},
        {"classes": [{"name": "a", "source": "a", "count": 0}]},
        {"classes": [{"name": "a", "source": "a", "count": 10**30}]},
        {"classes": [{"name": "a", "source": "a", "count": 1}, {"name": "a", "source": "a", "count": 1}]},
        {"classes": [{"name": "a", "source": "a", "count": 3}]},
        {"name": "a:b"},
        {"preprocessing": {"size": 4}},
        {"preprocessing": {"size": 5, "channels": 1, "ink": "bright", "fit": "pad"}},
        {"schemes": {"own": ["train"]}},
        {"unknown": 1},
    ],
)
def test_changed_manifest(tmp_path: Path, values: dict[str, object]) -> None:
    path = write_store(tmp_path / "s", [2])
    change_manifest(path, **values)
    refusal(path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000])
def test_manifest_that_is_no_manifest(tmp_path: Path, content: bytes) -> None:
    path = write_store(tmp_path / "s", [2])
    (path / "manifest.json").write_bytes(content)
    refusal(path)


def test_an_interruption_before_the_first_class_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", interrupt)
        with pytest.raises(KeyboardInterrupt):
            write_store(tmp_path / "s", [1])
    assert entries(tmp_path) == []
