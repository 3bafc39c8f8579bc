"""What `predict --stdin` and `watch` share: a CNN that stays, and a line for each image as it comes."""

import os
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import typer

from htgen.cli.rows import JsonLines, PlainLines, Row
from htgen.cnn.answers import Answer, NoAnswer, answers
from htgen.cnn.bundle import Bundle
from htgen.errors import DataError
from htgen.images.folders import find_images

PATIENCE = 3.0
"""Seconds without a change until a file that cannot be read is told: it may be half written."""

LONGEST_LINE = 1 << 16
"""Bytes of a line of stdin; no path has so many."""

_PAUSE = 0.1

Mark = tuple[int, int]
"""When a file was changed last, in nanoseconds, and its size in bytes."""


def lines_of_stdin() -> Iterator[Path]:
    """Paths from stdin, one a line, as they come, of any bytes; empty lines are passed over.

    Raises:
        DataError: a line that is too long for a path.
    """
    number = 0
    while line := sys.stdin.buffer.readline(LONGEST_LINE):
        number += 1
        if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
            raise DataError(f"line {number} of stdin has {LONGEST_LINE} bytes or more", "one path a line")
        if name := line.rstrip(b"\r\n"):
            yield Path(os.fsdecode(name))


def answers_to_lines(cnn: Bundle, paths: Iterable[Path]) -> Iterator[Answer | NoAnswer]:
    """An answer for each path, in their order; one that may be half written is waited for."""
    return (_patient_answer(cnn, path) for path in paths)


def answers_in_folder(cnn: Bundle, folder: Path, existing: bool) -> Iterator[Answer | NoAnswer]:
    """An answer for each image of a folder as it comes, for ever; one that is replaced is answered again.

    A file is read when it has not changed between two looks. One that cannot be read then may be half
    written: it is read again when it has changed, and told when it has not for `PATIENCE`. The others do not
    wait for it.

    Args:
        existing: whether those that are there at the start are answered too.

    Raises:
        DataError: there is no such folder, or it is gone.
    """
    files: dict[Path, _Watched] = {}
    is_first = True
    while True:
        before, files = files, {}
        for path in find_images(folder):
            if (mark := _mark(path)) is not None:
                known = before.get(path)
                is_same = known is not None and known.mark == mark
                files[path] = known if known and is_same else _Watched(mark, is_first and not existing)
        for path, file in files.items():
            if before.get(path) is file and file.is_due:
                answer = next(iter(answers(cnn, [path])))
                if _mark(path) == file.mark and file.is_final(answer):
                    yield answer
        is_first = False
        time.sleep(_PAUSE)


@dataclass
class _Watched:
    """A file of a folder, until it changes.

    Attributes:
        mark: of it.
        is_answered: there is nothing more to be said of it.
        is_unread: it could not be read.
        since: when it was first seen so, in seconds of the monotonic clock.
    """

    mark: Mark
    is_answered: bool
    is_unread: bool = False
    since: float = field(default_factory=time.monotonic)

    @property
    def is_due(self) -> bool:
        """Whether it is to be read."""
        return not self.is_answered and not (self.is_unread and self._may_change)

    def is_final(self, answer: Answer | NoAnswer) -> bool:
        """Whether an answer is to be told: not that a file cannot be read while it may be half written."""
        self.is_unread = isinstance(answer, NoAnswer)
        self.is_answered = not (self.is_unread and self._may_change)
        return self.is_answered

    @property
    def _may_change(self) -> bool:
        return time.monotonic() - self.since < PATIENCE


def tell_all(found: Iterable[Answer | NoAnswer], reject: float, as_json: bool) -> None:
    """Print a line for each answer as soon as it comes.

    Raises:
        typer.Exit: with 1, at the end, where some images could not be read.
    """
    output = JsonLines(reject) if as_json else PlainLines(reject)
    failed = 0
    for answer in found:
        if isinstance(answer, NoAnswer):
            failed += 1
            output.write(Row(answer.path, error=answer.reason))
        else:
            image = answer.image
            output.write(
                Row(answer.path, answer.prediction, is_blank=image.is_blank, warnings=image.warnings)
            )
    if failed:
        raise typer.Exit(1)


def _patient_answer(cnn: Bundle, path: Path) -> Answer | NoAnswer:
    """The answer for a file; one that cannot be read is tried again as long as it may be half written."""
    mark, since = _mark(path), time.monotonic()
    is_fresh = mark is not None and abs(time.time() - mark[0] / 1e9) < PATIENCE
    while True:
        answer = next(iter(answers(cnn, [path])))
        if isinstance(answer, Answer) or not is_fresh or time.monotonic() - since > PATIENCE:
            return answer
        time.sleep(_PAUSE)
        if (latest := _mark(path)) != mark:
            mark, since = latest, time.monotonic()


def _mark(path: Path) -> Mark | None:
    """The mark of a file; None where it is gone."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size
