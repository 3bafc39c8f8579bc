"""What is at a path, reading regular files only, and writing so that a reader never sees half of a file."""

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Literal, TextIO

from htgen.errors import DataError, OutputError

Kind = Literal["file", "folder", "other"]

_REMEDIES = {
    errno.EACCES: "check its permissions",
    errno.EPERM: "check its permissions",
    errno.ENOMEM: "a machine with more memory, or a higher limit of it (ulimit -v)",
    errno.EMFILE: "a higher limit of open files (ulimit -n)",
    errno.ENFILE: "close other programs",
    errno.EINVAL: "name a regular file",
    errno.EFBIG: "check what it is",
}
"""What helps where the system does not read something, by its reason."""


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


def as_text(name: str) -> str:
    """A name that UTF-8 can hold: the stand-ins for bytes of a file name are written as escapes."""
    return name.encode("utf-8", "backslashreplace").decode()


def real_path(path: str | Path) -> Path:
    """Where a path leads, symbolic links followed. Links that lead in a circle raise nothing, unlike those of
    `Path.resolve`."""
    return Path(os.path.realpath(path))


# Control characters, line and paragraph separators, changes of the writing direction, and the
# stand-ins for bytes of file names that are no UTF-8.
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    r"""The text with control characters made visible: escape -> `\x1b`, newline -> `\n`.

    For names that others chose, such as paths and classes: a terminal would obey what they contain.
    """
    return UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


# ---------------------------------------------------------------------------------------------------- reading


def open_regular(path: str | Path) -> BufferedReader:
    """Open a regular file to read it, symbolic links followed; whatever else is there is refused at once.

    A pipe without a writer would make others wait, a device may never end.

    Raises:
        FileNotFoundError, IsADirectoryError, OSError: nothing, a folder, something that is no regular file,
            or no permission.
        ValueError: the path holds a NUL.
    """
    return os.fdopen(_open_regular(path, os.O_RDONLY), "rb")


def open_to_append(path: str | Path) -> TextIO:
    """Open a regular file to write UTF-8 text at its end; it is made where there is none.

    Raises:
        OSError: as `open_regular`.
        ValueError: the path holds a NUL.
    """
    return os.fdopen(_open_regular(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "a", encoding="utf-8")


def _open_regular(path: str | Path, flags: int) -> int:
    try:
        handle = os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0), 0o666)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        raise OSError(errno.EINVAL, "it is not a regular file", str(path)) from None  # a pipe, to write
    try:
        mode = os.fstat(handle).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, "it is a folder", str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    except BaseException:
        os.close(handle)
        raise
    return handle


def read_regular(path: str | Path, most: int) -> bytes:
    """The content of a regular file.

    Args:
        most: bytes that are read; a longer file is refused before anything is.

    Raises:
        OSError, ValueError: as `open_regular`; a longer file has EFBIG.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise OSError(errno.EFBIG, f"it has more than {most} bytes", str(path))
        data = file.read(size + 1)  # memory is taken for as much as is asked for
        while len(data) > size and len(data) <= most and (more := file.read(1 << 20)):  # it grew
            data += more
    if len(data) > most:
        raise OSError(errno.EFBIG, f"it has more than {most} bytes", str(path))
    return data


def unreadable(what: str | Path, error: OSError) -> DataError:
    """The error for what the system does not read, with its reason and what helps against that.

    Args:
        what: its path, and what it is where that is not plain.
    """
    remedy = _REMEDIES.get(error.errno or 0, "check the disk and the permissions")
    return DataError(f"cannot read {what}: {error.strerror or error}", remedy)


# ---------------------------------------------------------------------------------------------------- writing


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is flushed and renamed to `path`.

    When the body raises, the temporary file is removed and `path` keeps what it held before. What a process
    that was killed left for the same `path` is removed first.

    A symbolic link stays, and what it points to is replaced.

    Raises:
        OutputError: the file cannot be written: missing permission, no space left, or something in its
            place that is no regular file.
    """
    check_writable(path)
    path = Path(path)
    temporary: Path | None = None
    handle = -1
    try:
        path = real_path(path) if path.is_symlink() else path
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path)
        handle, temporary = _make_temporary(path)
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
        temporary = None
        sync_folder(path.parent)
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror or error}",
            "check the free space and the permissions of the folder, or name another place",
        ) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):  # of a disk that is read-only now: the next start removes it
                temporary.unlink(missing_ok=True)
        if handle >= 0:
            os.close(handle)


def _make_temporary(path: Path) -> tuple[int, Path]:
    """An empty temporary file beside `path`, and the open handle that holds its lock."""
    import tempfile  # and what it draws names with; most commands write no file

    while True:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        hold(handle, wait=True)
        if os.fstat(handle).st_nlink:
            return handle, Path(name)
        os.close(handle)  # another process took it for a leftover before it was locked


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


def sync_folder(folder: Path) -> None:
    """Make the names in a folder outlast a power failure, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


# -------------------------------------------------------------------------------------------------- leftovers


def hold(handle: int, wait: bool = False) -> bool:
    """Lock an open file or folder as long as it is open in this process.

    By the lock others see that a temporary file or folder is still being written: the system drops it when
    its process ends, however that comes about.

    Args:
        wait: until no other process has it.

    Returns:
        False when another process has it, or where the system has no such locks.
    """
    try:
        import fcntl
    except ImportError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def leftovers(path: Path, ending: str = ".tmp") -> list[Path]:
    """Temporary files and folders of `path` beside it, sorted; also those of processes that still run."""
    pattern = re.compile(rf"\.{re.escape(path.name)}\.[a-z0-9_]{{8}}{re.escape(ending)}")
    try:
        return sorted(beside for beside in path.parent.iterdir() if pattern.fullmatch(beside.name))
    except OSError:
        return []


def remove_leftovers(path: Path) -> None:
    """Remove what processes that were killed left beside `path`; what cannot be removed stays."""
    import shutil

    for found in leftovers(path):
        with taken(found) as is_ours:
            if is_ours and found.is_dir():
                shutil.rmtree(found, ignore_errors=True)
            elif is_ours:
                with contextlib.suppress(OSError):
                    found.unlink(missing_ok=True)


@contextmanager
def taken(path: Path) -> Iterator[bool]:
    """Hold a file or folder within; yields False when another process has it, or it cannot be opened."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        yield False
        return
    try:
        yield hold(handle)
    finally:
        os.close(handle)
