"""A folder that takes the place of another: made beside it, then renamed.

    .NAME.xxxxxxxx.tmp      the new one while it is made, locked by its process
    .NAME.xxxxxxxx.old      the one before, between the two renames and until it is removed

The system ends processes at any time. What they leave is put right by the next one: a folder that had given
up its name gets it back, and what is half made or out of use is removed.
"""

import contextlib
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from htgen.files import hold, leftovers, remove_leftovers, sync_folder, taken


def restore(path: Path) -> bool:
    """Give a folder its name back that was to be replaced when its process was killed.

    Returns:
        Whether there was one; not where another process is replacing it now.

    Raises:
        OSError: it cannot be renamed.
    """
    for old in reversed(leftovers(path, ".old")):
        if not path.exists() and not _is_of_running_process(old):
            old.rename(path)
            sync_folder(path.parent)
            return True
    return False


def retired(path: Path) -> Path | None:
    """A folder that had the name `path` and has another one now, if there is one."""
    return next(iter(reversed(leftovers(path, ".old"))), None)


LONGEST_WAIT = 5.0
"""Seconds that are waited for a process that is replacing a folder; its two renames follow each other."""


def wait_while_replaced(path: Path, end: float) -> None:
    """Wait as long as a folder has no name because another process is about to give it to a new one.

    Args:
        end: until when, at most, as `time.monotonic` tells it.
    """
    while is_being_replaced(path) and time.monotonic() < end:
        time.sleep(0.002)


def is_being_replaced(path: Path) -> bool:
    """Whether a folder has no name because a process that runs is about to give it to a new one."""
    if os.path.lexists(path):  # which, unlike `Path.exists`, takes names that there cannot be
        return False
    return any(_is_of_running_process(old) for old in leftovers(path, ".old")) or os.path.lexists(path)


def identity(path: Path) -> tuple[int, int, int] | None:
    """What tells a folder from another one that has its name later; None where there is none.

    Systems give the number of a removed folder to the next one, so the time counts too.
    """
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns


@contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """Yield a new folder, to be filled and then passed to `take_name`; without that it is removed.

    What processes that were killed left for `path` is put right first.

    Raises:
        OSError: it cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    restore(path)
    remove_leftovers(path)
    if path.exists():
        for old in leftovers(path, ".old"):
            if not _is_of_running_process(old):
                shutil.rmtree(old, ignore_errors=True)
    folder = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}.tmp"
    handle = -1
    try:
        folder.mkdir()
        with contextlib.suppress(OSError):  # a system that opens no folders has no locks for them
            handle = os.open(folder, os.O_RDONLY)
            hold(handle)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if handle >= 0:
            os.close(handle)


def take_name(folder: Path, path: Path) -> None:
    """Rename a folder of `folder_beside` to `path`; a folder that is there is removed.

    Raises:
        OSError: it cannot be renamed; what was there is there again.
    """
    old = folder.with_suffix(".old")
    replaces = path.exists()
    if replaces:
        path.rename(old)
    try:
        folder.rename(path)
    except OSError:
        if replaces:
            old.rename(path)
        raise
    sync_folder(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def _is_of_running_process(old: Path) -> bool:
    """Whether the process that gave a folder this name still runs."""
    new = old.with_suffix(".tmp")
    if not new.exists():
        return False
    with taken(new) as is_ours:
        return not is_ours
