"""What the terminal sees: results on stdout, progress and errors on stderr. Nothing else imports rich."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from htgen.errors import ConfigError, HtgenError
from htgen.files import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress


@cache
def stderr() -> "Console":
    """The console for progress and messages; plain lines when stderr is not a terminal."""
    from rich.console import Console

    return Console(stderr=True, markup=False, emoji=False, highlight=False, soft_wrap=True)


def write(line: str) -> None:
    """Write a line of results to stdout, whatever names are in it; rich is not loaded for plain text."""
    print(printable(line), flush=True)


def columns_of(text: str) -> int:
    """How many columns of a terminal a text takes: some characters take two, or none."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def tell(lines: Iterable[str]) -> None:
    """Write lines about what goes on to stderr, whatever names are in them."""
    for line in lines:
        print(printable(line), file=sys.stderr)


def print_error(error: HtgenError) -> None:
    """Write one error, and its remedy, to stderr, after the lines that are its notes."""
    tell(getattr(error, "__notes__", ()))
    lines = error.message.split("\n") if isinstance(error, ConfigError) else [error.message]
    tell([f"error: {lines[0]}", *lines[1:]])
    if error.hint is not None:
        tell([f"  try: {error.hint}"])


@contextmanager
def progress(lines: bool = True) -> Iterator[Callable[[str, int, int], None]]:
    """Yield `report(what, done, total)`: one bar per `what` on a terminal, else a line at every tenth.

    `total` is 0 where it is not known; nothing done of such a total is a line, whatever stderr is.

    Args:
        lines: whether there are lines where stderr is no terminal, for what takes minutes.
    """
    if not lines and not sys.stderr.isatty():  # rich is not loaded to say nothing
        yield lambda what, done, total: None
        return
    if lines and not stderr().is_terminal:
        told: dict[str, int] = {}

        def report_lines(what: str, done: int, total: int) -> None:
            tenth = done * 10 // total if total else 0
            if tenth != told.get(what):
                told[what] = tenth
                stderr().print(printable(f"{what}: {tenth * 10} %" if total else what))

        yield report_lines
        return

    bars: Progress | None = None
    tasks: dict[str, Any] = {}
    drawn = [0.0]

    def report_bars(what: str, done: int, total: int) -> None:
        nonlocal bars
        if not done and not total:
            stderr().print(printable(what))
            return
        if bars is None:
            bars = _start_bars()
        if what not in tasks:
            tasks[what] = bars.add_task(printable(what))
        bars.update(tasks[what], completed=done, total=total or None)
        # Drawn from here, not by a thread: a process with several threads is not copied (`htgen.workers`).
        if time.monotonic() - drawn[0] > 0.1 or done == total:
            drawn[0] = time.monotonic()
            bars.refresh()

    try:
        yield report_bars
    finally:
        if bars is not None:
            bars.stop()


def _start_bars() -> "Progress":
    """Bars on stderr; rich is loaded only when there is something to show."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn())
    bars = Progress(
        *(*columns, TaskProgressColumn(), TimeRemainingColumn()),
        console=stderr(),
        transient=True,
        auto_refresh=False,
        redirect_stdout=sys.stdout.isatty(),  # results that go elsewhere are not for the terminal
    )
    bars.start()
    return bars


@contextmanager
def live_table(title: str) -> Iterator[Callable[[dict[str, str]], None]]:
    """Yield `update(rows)`, which redraws a two-column table in place on stderr."""
    from rich.live import Live
    from rich.table import Table
    from rich.text import Text

    def draw(rows: dict[str, str]) -> Table:
        table = Table(title=Text(printable(title)), show_header=False, title_justify="left")
        for key, value in rows.items():
            table.add_row(Text(printable(key)), Text(printable(value)))
        return table

    with Live(draw({}), console=stderr(), auto_refresh=False) as live:
        yield lambda rows: live.update(draw(rows), refresh=True)
