import gzip
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from htgen.datasets import emnist, fashion_mnist, kmnist
from htgen.datasets.emnist import EMNIST
from htgen.datasets.fashion_mnist import FASHION_MNIST
from htgen.datasets.idx import IdxDataset, prepare_idx
from htgen.datasets.kmnist import KMNIST
from htgen.datasets.splits import resolve_split
from htgen.datasets.store import Store
from htgen.errors import DataError
from htgen.images.preprocessing import Preprocessing


def idx(values: np.ndarray) -> bytes:
    sides = b"".join(side.to_bytes(4, "big") for side in values.shape)
    return bytes([0, 0, 8, values.ndim]) + sides + values.tobytes()


def small(dataset: IdxDataset) -> IdxDataset:
    """The same data set with 130 and 70 images."""
    return replace(dataset, counts=dict(zip(dataset.counts, (130, 70), strict=True)))


Arrays = dict[str, tuple[np.ndarray, np.ndarray]]


def make(dataset: IdxDataset) -> Arrays:
    random = np.random.default_rng(0)
    arrays = {}
    for start, count in small(dataset).counts.items():
        labels = (random.permutation(count) % len(dataset.class_names)).astype(np.uint8)
        arrays[start] = random.integers(0, 256, (count, 28, 28), dtype=np.uint8), labels
    return arrays


def write(folder: Path, arrays: Arrays, gzipped: bool = False) -> Path:
    folder.mkdir()
    for start, (images, labels) in arrays.items():
        for name, values in (("images-idx3", images), ("labels-idx1", labels)):
            content = gzip.compress(idx(values), 1) if gzipped else idx(values)
            (folder / f"{start}-{name}-ubyte{'.gz' if gzipped else ''}").write_bytes(content)
    return folder


@pytest.mark.parametrize("gzipped", [False, True])
@pytest.mark.parametrize("dataset", [EMNIST, FASHION_MNIST, KMNIST])
def test_store(tmp_path: Path, dataset: IdxDataset, gzipped: bool) -> None:
    arrays = make(dataset)
    prepare_idx(small(dataset), write(tmp_path / "raw", arrays, gzipped), tmp_path / "s")
    store = Store.open(tmp_path / "s", verify=True)
    assert store.name == dataset.name
    assert store.class_names == dataset.class_names
    assert store.preprocessing == Preprocessing(28, 1, dataset.ink, "pad")
    for label in range(store.class_count):
        expected = np.concatenate([images[labels == label] for images, labels in arrays.values()])
        if dataset is EMNIST:
            expected = expected.transpose(0, 2, 1)
        found = store.images[store.offsets[label] : store.offsets[label + 1], ..., 0]
        np.testing.assert_array_equal(found, expected)


def test_facts() -> None:
    assert sum(EMNIST.counts.values()) == 814_255
    assert len(EMNIST.class_names) == 62
    assert [EMNIST.class_names[k] for k in (0, 9, 10, 35, 36, 61)] == ["0", "9", "A", "Z", "a", "z"]
    assert list(EMNIST.counts) == ["emnist-byclass-train", "emnist-byclass-test"]
    assert EMNIST.ink == KMNIST.ink == "bright"
    for dataset in (FASHION_MNIST, KMNIST):
        assert dataset.counts == {"train": 60_000, "t10k": 10_000}
        assert len(dataset.class_names) == 10


def test_splits(tmp_path: Path) -> None:
    prepare_idx(small(EMNIST), write(tmp_path / "raw", make(EMNIST)), tmp_path / "s", image_size=2)
    store = Store.open(tmp_path / "s")
    assert [len(resolve_split(store, f"default:{part}")) for part in ("train", "val", "test")] == [40, 10, 12]
    assert resolve_split(store, "kind:capital") == list(range(10, 36))
    assert resolve_split(store, "emnist:0-9,61") == [*range(10), 61]


def test_other_size_keeps_the_polarity(tmp_path: Path) -> None:
    """Even an image that looks like dark ink on bright paper stays as it is."""
    arrays = make(FASHION_MNIST)
    for images, _ in arrays.values():
        images[:] = 250
        images[:, 10:14, 10:14] = 5
    calls: list[tuple[str, int, int]] = []
    for dataset in (FASHION_MNIST, KMNIST):
        source = write(tmp_path / f"raw {dataset.name}", arrays)
        calls.clear()
        out = tmp_path / dataset.name
        prepare_idx(small(dataset), source, out, image_size=14, progress=lambda *call: calls.append(call))
        images = Store.open(out).images
        assert images.shape == (200, 14, 14, 1)
        assert np.median(images) == 250
        assert calls == [("images", done, 200) for done in range(20, 201, 20)]


@pytest.mark.parametrize(
    ("module", "name", "prepare"),
    [
        (emnist, "EMNIST", emnist.prepare_emnist),
        (fashion_mnist, "FASHION_MNIST", fashion_mnist.prepare_fashion_mnist),
        (kmnist, "KMNIST", kmnist.prepare_kmnist),
    ],
)
def test_functions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: object, name: str, prepare: Callable[..., None]
) -> None:
    dataset = getattr(module, name)
    monkeypatch.setattr(module, name, small(dataset))
    source = write(tmp_path / "raw", make(dataset))
    prepare(source, tmp_path / "s", 8)
    prepare(source, tmp_path / "s", overwrite=True)
    assert Store.open(tmp_path / "s").images.shape == (200, 28, 28, 1)


# --------------------------------------------------------------------------------------------- bad sources


def refusal(source: Path, tmp_path: Path) -> DataError:
    with pytest.raises(DataError) as caught:
        prepare_idx(small(KMNIST), source, tmp_path / "s")
    assert caught.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]
    return caught.value


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return write(tmp_path / "raw", make(KMNIST))


def test_missing_file(raw: Path, tmp_path: Path) -> None:
    (raw / "t10k-labels-idx1-ubyte").unlink()
    error = refusal(raw, tmp_path)
    assert "no file t10k-labels-idx1-ubyte or t10k-labels-idx1-ubyte.gz" in error.message
    assert "rois-codh/kmnist" in (error.hint or "")
    assert "there is no folder" in refusal(raw / "nowhere", tmp_path).message


GOOD = idx(np.zeros((130, 28, 28), np.uint8))


@pytest.mark.parametrize("gzipped", [False, True])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "starts with nothing"),
        (b"<html></html>", "starts with 3c 68 74 6d, not 00 00 08 03"),
        (idx(np.zeros(130, np.uint8)), "00 00 08 01"),
        (bytes([0, 0, 13, 3]) + GOOD[4:], "00 00 0d 03"),
        (GOOD[:10], "truncated in its header"),
        (idx(np.zeros((129, 28, 28), np.uint8)), "[129, 28, 28] values, not [130, 28, 28]"),
        (idx(np.zeros((130, 28, 32), np.uint8)), "[130, 28, 32] values"),
        (GOOD[:4] + b"\xff" * 12, "[4294967295, 4294967295, 4294967295] values"),
        (GOOD[:-1], "101919 of 101920 values"),
        (GOOD[:16], "0 of 101920 values"),
        (GOOD + b"x", "longer"),
    ],
)
def test_wrong_images(raw: Path, tmp_path: Path, content: bytes, message: str, gzipped: bool) -> None:
    path = raw / "train-images-idx3-ubyte"
    path.write_bytes(gzip.compress(content) if gzipped else content)  # whatever its name says
    found = refusal(raw, tmp_path).message
    assert message in found
    assert str(path) in found


@pytest.mark.parametrize("damage", ["cut", "changed", "header"])
def test_damaged_gzip(raw: Path, tmp_path: Path, damage: str) -> None:
    content = bytearray(gzip.compress(GOOD[:16] + np.random.default_rng(0).bytes(130 * 784)))
    if damage == "cut":
        del content[50_000:]
    elif damage == "changed":
        content[50_000] ^= 255
    else:
        content[2] = 99
    (raw / "train-images-idx3-ubyte").unlink()
    (raw / "train-images-idx3-ubyte.gz").write_bytes(content)
    assert "truncated or damaged" in refusal(raw, tmp_path).message


def test_label_out_of_range(raw: Path, tmp_path: Path) -> None:
    labels = np.arange(70, dtype=np.uint8) % 10
    labels[33] = 10
    (raw / "t10k-labels-idx1-ubyte").write_bytes(idx(labels))
    assert "image 33 has the label 10; those of kmnist are 0 to 9" in refusal(raw, tmp_path).message


def test_class_without_images(raw: Path, tmp_path: Path) -> None:
    for start, count in (("train", 130), ("t10k", 70)):
        (raw / f"{start}-labels-idx1-ubyte").write_bytes(idx(np.arange(count, dtype=np.uint8) % 9))
    assert "label 9" in refusal(raw, tmp_path).message
