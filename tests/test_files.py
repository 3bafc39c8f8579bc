import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from htgen.errors import OutputError
from htgen.files import kind_at, unreadable, write_bytes, write_text


def test_a_file_is_replaced_whole_with_ordinary_permissions(tmp_path):
    path = tmp_path / "new" / "x"
    write_text(path, "one")
    write_bytes(path, b"two")
    assert path.read_text() == "two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~_umask()
    assert [p.name for p in path.parent.iterdir()] == ["x"]


def test_what_a_link_points_to_is_replaced(tmp_path):
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to("target")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "new"


def test_what_is_no_regular_file_is_left_alone(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name, kind in (("pipe", "not a regular file"), ("folder", "a folder")):
        with pytest.raises(OutputError, match=kind):
            write_text(tmp_path / name, "x")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    with pytest.raises(OutputError, match="empty name"):
        write_text("", "x")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


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


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of memory is of this system")
def test_reading_takes_memory_for_what_is_there(tmp_path):
    (tmp_path / "small").write_bytes(b"abc")
    script = (
        "import resource, sys; from htgen.files import read_regular;"
        "resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30));"
        "print(read_regular(sys.argv[1], 8 << 30))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "small"], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("b'abc'\n", "")


@pytest.mark.parametrize(
    ("code", "helps"),
    [
        (errno.EACCES, "permissions"),
        (errno.ENOMEM, "more memory"),
        (errno.EMFILE, "ulimit -n"),
        (errno.EIO, "disk"),
        (None, "disk"),
    ],
)
def test_what_helps_follows_from_why_something_is_not_read(code: int | None, helps: str) -> None:
    reason = OSError("odd") if code is None else OSError(code, os.strerror(code))
    error = unreadable("a.png", reason)
    assert error.message == f"cannot read a.png: {'odd' if code is None else os.strerror(code)}"
    assert helps in error.hint
    assert ("permissions" in error.hint) == (code not in (errno.ENOMEM, errno.EMFILE))
