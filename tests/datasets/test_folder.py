import itertools
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from htgen.datasets.folder import prepare_folder
from htgen.datasets.splits import resolve_split
from htgen.datasets.store import Store
from htgen.errors import DataError
from htgen.images.preprocessing import Preprocessing
from htgen.images.reading import load_image


def make_folder(path: Path, classes: Sequence[str], images: int = 2) -> Path:
    random = np.random.default_rng(0)
    for number, name in enumerate(classes):
        (path / name).mkdir(parents=True)
        for k in range(images + number % 2):
            shape = (*random.integers(5, 20, 2), 3)
            pixels = random.integers(0, 256, shape, dtype=np.uint8)
            Image.fromarray(pixels).save(path / name / f"{k}.png")
    return path


@pytest.mark.parametrize("color", [False, True])
def test_classes_and_images(tmp_path: Path, color: bool) -> None:
    source = make_folder(tmp_path / "my birds", ["wren", "owl", "Auk"])
    assert prepare_folder(source, tmp_path / "s", image_size=12, color=color, fit="stretch") == []
    store = Store.open(tmp_path / "s", verify=True)
    assert store.name == "my-birds"
    assert store.class_names == store.class_sources == ("Auk", "owl", "wren")
    assert store.class_sizes.tolist() == [2, 3, 2]
    assert store.preprocessing == Preprocessing(12, 3 if color else 1, "none", "stretch")
    expected = store.preprocessing.apply(load_image(source / "owl" / "2.png"))
    np.testing.assert_array_equal(store.images[4], expected)


@pytest.mark.parametrize(
    ("count", "sizes"), [(3, [1, 1, 1]), (4, [2, 1, 1]), (10, [6, 2, 2]), (25, [16, 4, 5]), (50, [32, 8, 10])]
)
def test_default_split(tmp_path: Path, count: int, sizes: list[int]) -> None:
    source = make_folder(tmp_path / "raw", [f"c{k:02}" for k in range(count)], images=1)
    prepare_folder(source, tmp_path / "s", image_size=2)
    store = Store.open(tmp_path / "s")
    parts = [resolve_split(store, f"default:{part}") for part in ("train", "val", "test")]
    assert [len(part) for part in parts] == sizes
    assert sorted(itertools.chain(*parts)) == list(range(count))
    if count > 4:
        assert parts[0] != sorted(parts[0])  # shuffled: names may have an order that means something


def test_two_classes_have_no_default_split(tmp_path: Path) -> None:
    prepare_folder(make_folder(tmp_path / "raw", ["a", "b"]), tmp_path / "s", image_size=2)
    assert not Store.open(tmp_path / "s").schemes


def test_unreadable_images_are_left_out_and_reported(tmp_path: Path) -> None:
    source = make_folder(tmp_path / "raw", ["a", "b"])
    (source / "a" / "0.png").write_bytes(b"")
    (source / "b" / "1.png").write_bytes((source / "b" / "1.png").read_bytes()[:60])
    (source / "b" / "notes.txt").write_text("not an image by name")
    left_out = prepare_folder(source, tmp_path / "s", image_size=2)
    assert [entry.path for entry in left_out] == [source / "a" / "0.png", source / "b" / "1.png"]
    assert "empty" in left_out[0].reason
    assert Store.open(tmp_path / "s").class_sizes.tolist() == [1, 2]


def test_class_without_a_readable_image(tmp_path: Path) -> None:
    source = make_folder(tmp_path / "raw", ["a", "b"])
    for path in (source / "b").iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"class 'b' has no readable image; .*b/0\.png"):
        prepare_folder(source, tmp_path / "s")
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_target_inside_the_source(tmp_path: Path) -> None:
    source = make_folder(tmp_path / "raw", ["a", "b"])
    with pytest.raises(DataError, match="inside the source"):
        prepare_folder(source, source / "s")
    assert sorted(path.name for path in source.iterdir()) == ["a", "b"]


def test_missing_source(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no folder"):
        prepare_folder(tmp_path / "nowhere", tmp_path / "s")


def test_progress_counts_every_file(tmp_path: Path) -> None:
    source = make_folder(tmp_path / "raw", ["a", "b"])
    (source / "a" / "0.png").write_bytes(b"")
    calls: list[tuple[str, int, int]] = []
    prepare_folder(source, tmp_path / "s", progress=lambda *call: calls.append(call))
    assert calls == [("images", done, 5) for done in range(1, 6)]


def test_drawings_become_square_as_those_of_a_user_do(tmp_path: Path) -> None:
    source = make_folder(tmp_path / "raw", ["a", "b"])
    for number, form in enumerate(("as_drawings", "as_icons", None)):
        given = {} if form is None else {form: True, "ink": "bright"}
        prepare_folder(source, tmp_path / f"{number}", **given)
        assert Store.open(tmp_path / f"{number}").preprocessing.fit == ("crop" if form is None else "pad")
    prepare_folder(source, tmp_path / "3", fit="stretch", **given | {"as_icons": True, "ink": "bright"})
    assert Store.open(tmp_path / "3").preprocessing.fit == "stretch"


def test_what_else_is_in_the_folder_is_told(tmp_path: Path) -> None:
    source = make_folder(tmp_path / "raw", ["a", "b", "thumbs", ".net"])
    (source / "a" / "notes.txt").write_text("x")
    (source / "loose.png").write_bytes((source / "a" / "0.png").read_bytes())
    told: list[str] = []
    prepare_folder(source, tmp_path / "s", progress=lambda what, done, total: told.append(what))
    assert Store.open(tmp_path / "s").class_names == ("a", "b")
    lines = [line.partition(":")[2] for line in told if line != "images"]
    assert [line.rpartition(" ")[2] for line in lines] == ["notes.txt", ".net", "thumbs", "loose.png"]


def test_memory_that_runs_out_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_folder(tmp_path / "raw", ["a", "b", "c"])

    def read_nothing(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Preprocessing, "_fit", read_nothing)
    with pytest.raises(
        DataError, match=r"'a' has no readable image.*a/0.png: there is not enough mem"
    ) as caught:
        prepare_folder(source, tmp_path / "s", image_size=4096)
    assert "--image-size" in str(caught.value.hint)
    assert "permissions" not in str(caught.value.hint)
    assert not (tmp_path / "s").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of memory is of this system")
def test_a_store_larger_than_the_memory_that_may_be_taken(tmp_path: Path) -> None:
    prepare_folder(make_folder(tmp_path / "raw", ["a", "b", "c"], 8), tmp_path / "s", image_size=1024)
    script = (
        "import resource, sys; from htgen.datasets.store import Store; from htgen.errors import DataError\n"
        "taken = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize() + (10 << 20)\n"
        "resource.setrlimit(resource.RLIMIT_AS, (taken, taken))\n"
        "try: Store.open(sys.argv[1])\n"
        "except DataError as error: print(error)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "s")]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Cannot allocate memory" in told
    assert "more memory" in told
    assert "permissions" not in told
