import hashlib
import itertools
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers.raw_data import drawing, members, write_zip

from htgen.datasets import omniglot
from htgen.datasets.omniglot import prepare_omniglot
from htgen.datasets.splits import resolve_split
from htgen.datasets.store import Store
from htgen.errors import DataError
from htgen.images.drawings import DRAWING_STEPS, ICON_STEPS
from htgen.images.preprocessing import Preprocessing
from htgen.images.reading import load_image

# Characters per alphabet: as many alphabets and characters as the real halves have.
BACKGROUND = [32] * 29 + [36]
EVALUATION = [33] * 19 + [32]


@pytest.fixture(autouse=True)
def _one_drawing_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(omniglot, "DRAWINGS", 1)


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archives")
    drawings = [drawing(seed) for seed in range(7)]
    write_zip(folder / "images_background.zip", members("images_background", BACKGROUND), drawings)
    write_zip(folder / "images_evaluation.zip", members("images_evaluation", EVALUATION), drawings)
    return folder


@pytest.fixture(scope="module")
def unpacked(archives: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    for path in archives.iterdir():
        zipfile.ZipFile(path).extractall(folder)
    return folder


@pytest.fixture(scope="module")
def store(archives: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    out = tmp_path_factory.mktemp("stores") / "omniglot"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(omniglot, "DRAWINGS", 1)
        prepare_omniglot(archives, out)
    return Store.open(out, verify=True)


def test_classes(store: Store) -> None:
    assert store.name == "omniglot"
    assert store.class_count == 1623
    assert store.class_names[0] == "Alphabet00/character01"
    assert store.class_sources[963] == "images_background/Alphabet29/character36"
    assert store.class_sources[964] == "images_evaluation/Later00/character01"
    assert list(store.class_sources) == sorted(store.class_sources)
    assert store.preprocessing == Preprocessing(28, 1, "bright", "pad")


def test_images_equal_the_preprocessing_of_the_raw_files(store: Store, unpacked: Path) -> None:
    for number in (0, 500, 963, 964, 1622):
        (raw,) = (unpacked / store.class_sources[number]).iterdir()
        np.testing.assert_array_equal(store.images[number], store.preprocessing.apply(load_image(raw)))


def test_as_drawings_every_image_goes_through_the_steps_for_drawings(archives: Path, tmp_path: Path) -> None:
    prepare_omniglot(archives, tmp_path / "s", as_drawings=True)
    store = Store.open(tmp_path / "s", verify=True)
    assert store.name == "omniglot-drawings"
    assert store.preprocessing == Preprocessing(28, 1, "bright", "pad", DRAWING_STEPS)
    # Ink fills nine tenths of the longer side.
    sides = [np.ptp(np.argwhere(image[..., 0] > 127), axis=0).max() + 1 for image in store.images[:20]]
    assert all(23 <= side <= 27 for side in sides)


def test_as_icons_strokes_of_pens_change_little(archives: Path, tmp_path: Path) -> None:
    prepare_omniglot(archives, tmp_path / "s", as_icons=True)
    store = Store.open(tmp_path / "s")
    assert store.name == "omniglot-icons"
    assert store.preprocessing == Preprocessing(28, 1, "bright", "pad", ICON_STEPS)


def test_ink_is_bright_on_black(store: Store) -> None:
    assert (np.median(store.images, axis=(1, 2, 3)) < 10).all()
    assert (store.images.max(axis=(1, 2, 3)) > 200).all()


def test_lake_split(store: Store) -> None:
    background, test = resolve_split(store, "lake:background"), resolve_split(store, "lake:test")
    assert background == list(range(964))
    assert test == list(range(964, 1623))
    train, val = resolve_split(store, "lake:train"), resolve_split(store, "lake:val")
    assert sorted(train + val) == background
    held_out = {store.class_sources[number].split("/")[1] for number in val}
    assert held_out == {f"Alphabet{k:02}" for k in (5, 11, 17, 23, 29)}
    assert held_out.isdisjoint(store.class_sources[number].split("/")[1] for number in train)


def test_reference_split(store: Store) -> None:
    parts = [resolve_split(store, f"reference:{part}") for part in ("train", "val", "test")]
    assert [len(part) for part in parts] == [1150, 50, 423]
    assert sorted(itertools.chain(*parts)) == list(range(1623))


# The 50 alphabets in the order of the classes, background before evaluation, and their characters.
ALPHABETS = """
Alphabet_of_the_Magi 20, Anglo-Saxon_Futhorc 29, Arcadian 26, Armenian 41, Asomtavruli_(Georgian) 40,
Balinese 24, Bengali 46, Blackfoot_(Canadian_Aboriginal_Syllabics) 14, Braille 26,
Burmese_(Myanmar) 34, Cyrillic 33, Early_Aramaic 22, Futurama 26, Grantha 43, Greek 24, Gujarati 48,
Hebrew 22, Inuktitut_(Canadian_Aboriginal_Syllabics) 16, Japanese_(hiragana) 52,
Japanese_(katakana) 47, Korean 40, Latin 26, Malay_(Jawi_-_Arabic) 40, Mkhedruli_(Georgian) 41,
N_Ko 33, Ojibwe_(Canadian_Aboriginal_Syllabics) 14, Sanskrit 42, Syriac_(Estrangelo) 23, Tagalog 17,
Tifinagh 55, Angelic 20, Atemayar_Qelisayer 26, Atlantean 26, Aurek-Besh 26, Avesta 26, Ge_ez 26,
Glagolitic 45, Gurmukhi 45, Kannada 41, Keble 26, Malayalam 47, Manipuri 40, Mongolian 30,
Old_Church_Slavonic_(Cyrillic) 45, Oriya 46, Sylheti 28, Syriac_(Serto) 23, Tengwar 25, Tibetan 42,
ULOG 26
"""


def test_vinyals_split(store: Store) -> None:
    """As published: 1200 / 423 characters in alphabetical order, five whole alphabets for validation."""
    alphabets = [entry.rsplit(" ", 1) for entry in ALPHABETS.replace("\n", " ").strip().split(", ")]
    names = [name for name, count in alphabets for _ in range(int(count))]
    assert len(names) == 1623
    assert names[963] != names[964] == "Angelic"
    parts = {part: resolve_split(store, f"vinyals:{part}") for part in ("train", "val", "test")}
    assert [len(part) for part in parts.values()] == [1028, 172, 423]
    assert sorted(itertools.chain(*parts.values())) == list(range(1623))
    assert parts["test"] == list(range(1200, 1623))
    assert sorted(parts["train"] + parts["val"]) == resolve_split(store, "vinyals:trainval")
    held_out = {names[number] for number in parts["val"]}
    assert held_out == {"Armenian", "Bengali", "Early_Aramaic", "Hebrew", "Mkhedruli_(Georgian)"}
    assert held_out.isdisjoint(names[number] for number in parts["train"])


def test_unpacked_folders_and_one_archive_give_the_same_bytes(
    store: Store, archives: Path, unpacked: Path, tmp_path: Path
) -> None:
    for number, source in enumerate([unpacked, archives / "images_evaluation.zip"]):
        prepare_omniglot(source, tmp_path / str(number))
        for name in ("images.npy", "manifest.json"):
            assert (tmp_path / str(number) / name).read_bytes() == (store.path / name).read_bytes()


def test_image_size_and_progress(archives: Path, tmp_path: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    prepare_omniglot(archives, tmp_path / "s", image_size=20, progress=lambda *call: calls.append(call))
    assert Store.open(tmp_path / "s").images.shape == (1623, 20, 20, 1)
    assert calls == [("images", done, 1623) for done in range(1, 1624)]


def test_archives_are_downloaded_once(
    archives: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    def md5(name: str) -> str:
        return hashlib.md5((archives / f"{name}.zip").read_bytes()).hexdigest()

    halves = tuple(omniglot.Half(half.name, md5(half.name), half.characters) for half in omniglot.HALVES)
    monkeypatch.setattr(omniglot, "HALVES", halves)
    monkeypatch.setattr(omniglot, "URL", f"{archives.as_uri()}/")
    prepare_omniglot(None, tmp_path / "s")
    assert Store.open(tmp_path / "s").checksum == store.checksum
    assert omniglot.download_folder(tmp_path / "s") == tmp_path / "s.downloads"
    monkeypatch.setattr(omniglot, "URL", "http://127.0.0.1:9/")
    prepare_omniglot(None, tmp_path / "s", overwrite=True)


# --------------------------------------------------------------------------------------------- bad sources


def refusal(source: Path, tmp_path: Path) -> str:
    with pytest.raises(DataError) as caught:
        prepare_omniglot(source, tmp_path / "s")
    assert caught.value.hint
    assert not (tmp_path / "s").exists()
    assert not list(tmp_path.glob(".*"))
    return caught.value.message


def test_missing_source(tmp_path: Path) -> None:
    assert "there is no" in refusal(tmp_path / "nowhere", tmp_path)


def test_one_half_missing(archives: Path, tmp_path: Path) -> None:
    shutil.copy(archives / "images_background.zip", tmp_path)
    assert "neither images_evaluation.zip nor" in refusal(tmp_path, tmp_path)


def test_missing_character(archives: Path, tmp_path: Path) -> None:
    shutil.copy(archives / "images_evaluation.zip", tmp_path)
    names = members("images_background", BACKGROUND)[1:]
    write_zip(tmp_path / "images_background.zip", names, [drawing(0)])
    message = refusal(tmp_path, tmp_path)
    assert "images_background.zip" in message
    assert "963 of 964 characters" in message


def test_surplus_drawing(archives: Path, tmp_path: Path) -> None:
    shutil.copy(archives / "images_background.zip", tmp_path)
    names = members("images_evaluation", EVALUATION)
    surplus = "images_evaluation/Later03/character04/extra.png"
    write_zip(tmp_path / "images_evaluation.zip", [*names, surplus], [drawing(0)])
    assert "images_evaluation/Later03/character04 has 2 of 1 drawings" in refusal(tmp_path, tmp_path)


@pytest.mark.parametrize("content", [b"", b"no zip at all", b"PK\x05\x06"])
def test_file_that_is_no_zip(archives: Path, tmp_path: Path, content: bytes) -> None:
    shutil.copy(archives / "images_evaluation.zip", tmp_path)
    (tmp_path / "images_background.zip").write_bytes(content)
    assert "images_background.zip" in refusal(tmp_path, tmp_path)


def test_damaged_member(archives: Path, tmp_path: Path) -> None:
    shutil.copy(archives / "images_background.zip", tmp_path)
    content = bytearray((archives / "images_evaluation.zip").read_bytes())
    content[100] ^= 0xFF  # in the first image, which the archive's checksum covers
    (tmp_path / "images_evaluation.zip").write_bytes(content)
    assert "is damaged at images_evaluation/Later19/character32" in refusal(tmp_path, tmp_path)


def test_image_that_is_no_image(archives: Path, tmp_path: Path) -> None:
    shutil.copy(archives / "images_background.zip", tmp_path)
    write_zip(tmp_path / "images_evaluation.zip", members("images_evaluation", EVALUATION), [b"text"])
    assert "no image" in refusal(tmp_path, tmp_path)


def test_taken_target_is_found_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("mine")
    with pytest.raises(DataError, match="is a file"):
        prepare_omniglot(tmp_path / "nowhere", tmp_path / "s")
