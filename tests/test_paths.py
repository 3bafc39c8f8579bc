from pathlib import Path

import pytest

from htgen.paths import kind_at


def test_what_is_at_a_path(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert kind_at(tmp_path / "file") == kind_at(tmp_path / "link") == "file"
    assert kind_at(str(tmp_path)) == "folder"
    assert kind_at("/dev/null") == "other"


@pytest.mark.parametrize("name", ["none", "file/none", "x" * 300, "nul\0", "loop", "broken"])
def test_where_nothing_can_be_looked_at_there_is_nothing(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "broken").symlink_to(tmp_path / "none")
    assert kind_at(tmp_path / name) is None
