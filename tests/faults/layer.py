"""The calls by which a command changes what is on disk, numbered, so that any of them can be the last.

A `Layer` stands between a process and its system: it counts the calls that change files below one folder, and
at one of them kills the process, before or after, or lets the call fail as a full or broken disk would.
"""

import builtins
import errno
import io
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

What = Literal["count", "kill before", "kill after", "fail once", "fail from then on"]

ERRORS = (errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO)
"""No space, a file system that is read-only, a quota, a disk that does not answer; taken in turn."""

CALLS = ("rename", "replace", "unlink", "rmdir", "mkdir", "fsync", "chmod")


class Layer:
    """Counts the calls, and does something at one of them.

    Args:
        folder: what lies outside is not counted.
        what: to do, at call number `at`, from 0 on.

    Attributes:
        calls: names of those so far.
    """

    def __init__(self, folder: Path, what: What = "count", at: int = -1) -> None:
        self.folder, self.what, self.at = str(folder.resolve()), what, at
        self.calls: list[str] = []

    def install(self) -> None:
        """Stand between this process and its system, for good."""
        for name in CALLS:
            setattr(os, name, self._between(name, getattr(os, name)))
        opened = io.open
        system_open = os.open

        def open_file(file: Any, mode: str = "r", *arguments: Any, **keywords: Any) -> Any:
            changes = (
                set(mode) & set("wax+") and isinstance(file, str | os.PathLike) and self._is_inside(file)
            )
            if not changes:
                return opened(file, mode, *arguments, **keywords)
            return Written(self.call("open", lambda: opened(file, mode, *arguments, **keywords)), self)

        def open_handle(path: Any, flags: int, *arguments: Any, **keywords: Any) -> int:
            if flags & os.O_CREAT and self._is_inside(path):
                return self.call("create", lambda: system_open(path, flags, *arguments, **keywords))
            return system_open(path, flags, *arguments, **keywords)

        io.open = builtins.open = open_file  # type: ignore[assignment]
        os.open = open_handle

    def call(self, name: str, do: Callable[[], Any], half: Callable[[], Any] | None = None) -> Any:
        """One call.

        Args:
            half: does a part of it, which is what "after" means for data that are written.
        """
        number = len(self.calls)
        self.calls.append(name)
        if number == self.at and self.what == "kill before":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.what == "fail from then on" and 0 <= self.at <= number:
            raise self._error()
        if self.what == "fail once" and number == self.at:
            raise self._error()
        is_last = number == self.at and self.what == "kill after"
        try:
            return half() if is_last and half else do()
        finally:
            if is_last:
                os.kill(os.getpid(), signal.SIGKILL)

    def _error(self) -> OSError:
        number = ERRORS[self.at % len(ERRORS)]
        return OSError(number, os.strerror(number))

    def _between(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def between(*arguments: Any, **keywords: Any) -> Any:
            if isinstance(arguments[0], int) or "dir_fd" in keywords or self._is_inside(arguments[0]):
                return self.call(name, lambda: real(*arguments, **keywords))
            return real(*arguments, **keywords)

        return between

    def _is_inside(self, path: Any) -> bool:
        return str(Path(path).absolute()).startswith(self.folder)


class Written:
    """A file that is being written; what is written is in it at once."""

    def __init__(self, file: Any, layer: Layer) -> None:
        self._file, self._layer, self._writes = file, layer, 0

    def write(self, data: Any) -> int:
        self._writes += 1
        if self._writes & (
            self._writes - 1
        ):  # not a power of two: a manifest is written in hundreds of parts
            return self._file.write(data)
        half = len(data) // 2
        return self._layer.call("write", lambda: self._now(data), lambda: self._now(data[:half]))

    def _now(self, data: Any) -> int:
        written = self._file.write(data)
        self._file.flush()
        return written

    def __enter__(self) -> "Written":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
