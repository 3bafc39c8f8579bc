"""What is at a path, and writing files so that a reader never sees half of one."""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from htgen.errors import OutputError

Kind = Literal["file", "folder", "other"]


def kind_at(path: str | Path) -> Kind | None:
    """What is at a path, symbolic links followed; None = nothing, or nothing that may be looked at.

    Unlike `Path.exists` and its like it raises nothing: not in a folder that may not be entered, nor for a
    name that is too long or holds a NUL.
    """
    try:
        mode = Path(path).stat().st_mode
    except (OSError, ValueError):
        return None
    return "folder" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else "other"


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is flushed and renamed to `path`.

    When the body raises, the temporary file is removed and `path` keeps what it held before.

    A symbolic link stays, and what it points to is replaced.

    Raises:
        OutputError: the file cannot be written: missing permission, no space left, or something in its
            place that is no regular file.
    """
    check_writable(path)
    path = Path(path)
    temporary: Path | None = None
    try:
        path = path.resolve() if path.is_symlink() else path
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
        temporary = None
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror or error}",
            "check the free space and the permissions of the folder, or name another place",
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def check_writable(path: str | Path) -> None:
    """Refuse what can never be written, before there is something to write.

    Raises:
        OutputError: an empty name, or something in its place that is no regular file.
    """
    if not str(path):
        raise OutputError("the file to write has an empty name", "name a file")
    if (kind := kind_at(path)) in ("folder", "other"):
        what = "a folder" if kind == "folder" else "not a regular file"
        raise OutputError(f"cannot write {path}: it is {what}", "name another file")


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write bytes atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
