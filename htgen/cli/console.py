"""What the terminal sees: results on stdout, progress and errors on stderr. Nothing else imports rich."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from htgen.errors import HtgenError

if TYPE_CHECKING:
    from rich.console import Console


@cache
def stderr() -> "Console":
    """The console for progress and messages; plain lines when stderr is not a terminal."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


@cache
def stdout() -> "Console":
    """The console for results."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True)


def print_error(error: HtgenError) -> None:
    """Write one error, and its remedy, to stderr."""
    print(f"error: {error}", file=sys.stderr)


@contextmanager
def progress() -> Iterator[Callable[[str, int, int], None]]:
    """Yield `report(what, done, total)`: one bar per `what` on a terminal, else a line at every tenth.

    `total` is 0 where it is not known.
    """
    if not stderr().is_terminal:
        told: dict[str, int] = {}

        def report_lines(what: str, done: int, total: int) -> None:
            tenth = done * 10 // total if total else 0
            if tenth > told.get(what, -1):
                told[what] = tenth
                stderr().print(f"{what}: {tenth * 10} %" if total else what, markup=False)

        yield report_lines
        return

    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn())
    bars = Progress(*columns, TaskProgressColumn(), TimeRemainingColumn(), console=stderr(), transient=True)
    tasks: dict[str, Any] = {}

    def report_bars(what: str, done: int, total: int) -> None:
        if what not in tasks:
            tasks[what] = bars.add_task(what)
        bars.update(tasks[what], completed=done, total=total or None)

    with bars:
        yield report_bars


@contextmanager
def live_table(title: str) -> Iterator[Callable[[dict[str, str]], None]]:
    """Yield `update(rows)`, which redraws a two-column table in place on stderr."""
    from rich.live import Live
    from rich.table import Table

    def draw(rows: dict[str, str]) -> Table:
        table = Table(title=title, show_header=False, title_justify="left")
        for key, value in rows.items():
            table.add_row(key, value)
        return table

    with Live(draw({}), console=stderr(), auto_refresh=False) as live:
        yield lambda rows: live.update(draw(rows), refresh=True)
