"""What `predict --stdin` and `watch` share: a CNN that stays, and a line for each image as it comes."""

import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import typer

from htgen.cli.rows import JsonLines, PlainLines, Row
from htgen.cnn.answers import Answer, NoAnswer, answers
from htgen.cnn.bundle import Bundle
from htgen.images.folders import find_images

PATIENCE = 3.0
"""Seconds without a change until a file that cannot be read is told: it may be half written."""

_PAUSE = 0.1


def lines_of_stdin() -> Iterator[Path]:
    """Paths from stdin, one a line, as they come; empty lines are passed over."""
    for line in iter(sys.stdin.readline, ""):
        if name := line.rstrip("\r\n"):
            yield Path(name)


def new_images(folder: Path, existing: bool) -> Iterator[Path]:
    """The images of a folder as they come, for ever; one that is replaced comes again.

    A file is given when it has not changed between two looks.

    Args:
        existing: whether those that are there at the start are given too.

    Raises:
        DataError: there is no such folder, or it is gone.
    """
    given: dict[Path, tuple[int, int]] = {}
    before: dict[Path, tuple[int, int]] = {}
    is_first = True
    while True:
        found = {path: mark for path in find_images(folder) if (mark := _mark(path)) is not None}
        if is_first and not existing:
            given = dict(found)
        for path, mark in found.items():
            if given.get(path) != mark and before.get(path) == mark:
                given[path] = mark
                yield path
        given = {path: mark for path, mark in given.items() if path in found}
        before, is_first = found, False
        time.sleep(_PAUSE)


def answer_all(cnn: Bundle, paths: Iterable[Path], reject: float, as_json: bool) -> None:
    """Print a line for each image as soon as it comes.

    Raises:
        typer.Exit: with 1, at the end, where some could not be read.
    """
    output = JsonLines(reject) if as_json else PlainLines(reject)
    failed = 0
    for path in paths:
        answer = _answer(cnn, path)
        if isinstance(answer, NoAnswer):
            failed += 1
            output.write(Row(path, error=answer.reason))
        else:
            image = answer.image
            output.write(Row(path, answer.prediction, is_blank=image.is_blank, warnings=image.warnings))
    if failed:
        raise typer.Exit(1)


def _answer(cnn: Bundle, path: Path) -> Answer | NoAnswer:
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


def _mark(path: Path) -> tuple[int, int] | None:
    """When a file was changed last, in nanoseconds, and its size in bytes; None where it is gone."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size
