"""What comes to the page as archives, and what leaves it as such."""

import pytest

from htgen.app.session import Session
from htgen.app.uploads import file_name, read_archive, write_archive
from htgen.errors import DataError


def test_names_in_archives_fit_every_file_system():
    taken: set[str] = set()
    names = [
        file_name(name, taken, ".png") for name in ("\U0001f600" * 80, "CON", "con.x", "\u0647" * 200, "..")
    ]
    assert all(0 < len(name.encode()) <= 200 for name in names)
    assert names[1:3] == ["_CON.png", "_con.x.png"]
    assert len({name.lower() for name in names}) == len(names)


def test_an_archive_without_an_image_leaves_what_was_there():
    session = Session("glyph-8")
    data = write_archive({"a/x.txt": b"no image", "b/y.txt": b"no image"})
    session.add_class("kept")
    with pytest.raises(DataError, match="no image that can be read"):
        session.open_archive(data)
    assert [found.name for found in session.classes.values()] == ["kept"]


def test_damage_inside_an_archive_is_told():
    data = bytearray(write_archive({"a/x.png": bytes(range(256)) * 40}))
    data[60:90] = bytes(30)
    with pytest.raises(DataError):
        read_archive(bytes(data))
