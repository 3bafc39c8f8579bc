"""A store that takes the place of another: whatever is left of a process that was killed is put right."""

import fcntl
import os

import pytest

from htgen.datasets.replacing import folder_beside, restore, take_name
from htgen.datasets.store import Store, StoreWriter
from htgen.errors import DataError
from htgen.images.preprocessing import Preprocessing


def write(path, value, overwrite=False):
    import numpy as np

    with StoreWriter(path, "toy", Preprocessing(8, 1, "none", "crop"), {}, overwrite) as writer:
        writer.add_class("a", "x", np.full((2, 8, 8, 1), value, np.uint8))


@pytest.fixture
def cut_off(tmp_path, monkeypatch):
    """A store that lost its name when its replacement was killed between two renames."""
    write(tmp_path / "toy", 1)
    (tmp_path / "toy").rename(tmp_path / ".toy.0a1b2c3d.old")
    (tmp_path / ".toy.0a1b2c3d.tmp").mkdir()
    (tmp_path / ".toy.0a1b2c3d.tmp" / "images.npy").write_text("half")
    return tmp_path / "toy"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_reader_gives_a_store_its_name_back(cut_off):
    assert Store.open(cut_off, verify=True).images[0, 0, 0, 0] == 1
    assert names(cut_off.parent) == [".toy.0a1b2c3d.tmp", "toy"]


def test_a_writer_puts_all_right(cut_off):
    with pytest.raises(DataError, match=r"a store at .* already"):
        write(cut_off, 2)
    assert Store.open(cut_off).images[0, 0, 0, 0] == 1
    write(cut_off, 2, overwrite=True)
    assert Store.open(cut_off).images[0, 0, 0, 0] == 2
    assert names(cut_off.parent) == ["toy"]


def test_what_was_replaced_and_not_removed_goes(tmp_path):
    write(tmp_path / "toy", 1)
    write(tmp_path / ".toy.0a1b2c3d.old", 0)
    write(tmp_path / "toy", 2, overwrite=True)
    assert names(tmp_path) == ["toy"]


def test_a_process_that_still_runs_is_left_alone(cut_off, monkeypatch):
    monkeypatch.setattr("htgen.datasets.store.LONGEST_WAIT", 0.05)
    handle = os.open(cut_off.parent / ".toy.0a1b2c3d.tmp", os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    assert not restore(cut_off)
    with pytest.raises(DataError, match="does not exist"):
        Store.open(cut_off)
    write(cut_off, 3)
    os.close(handle)
    assert names(cut_off.parent) == [".toy.0a1b2c3d.old", ".toy.0a1b2c3d.tmp", "toy"]


def test_a_name_that_cannot_be_given_back_is_told(cut_off, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.rename", refuse)
    with pytest.raises(DataError, match="was being replaced") as caught:
        Store.open(cut_off)
    assert caught.value.hint == f"mv {cut_off.parent}/.toy.0a1b2c3d.old {cut_off}"


def test_a_folder_that_is_not_used_is_removed_and_one_in_the_way_stays(tmp_path):
    with folder_beside(tmp_path / "x") as folder:
        assert folder.is_dir()
    assert names(tmp_path) == []
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "mine").touch()
    with folder_beside(tmp_path / "x") as folder:
        folder.rmdir()
        with pytest.raises(FileNotFoundError):
            take_name(folder, tmp_path / "x")
    assert names(tmp_path / "x") == ["mine"]
