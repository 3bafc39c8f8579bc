"""What reaches the terminal, whatever others have named their files and classes."""

import io
import threading

import pytest
from rich.console import Console

from htgen.cli import console
from htgen.cli.console import live_table, print_error, progress
from htgen.errors import DataError
from htgen.files import printable

HOSTILE = "a\x1b[31m:heart:[/x][bold]b\x07"
SHOWN = "a\\x1b[31m:heart:[/x][bold]b\\x07"


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What is written to a terminal on stderr."""
    sink = io.StringIO()
    wide = Console(file=sink, force_terminal=True, width=120, legacy_windows=False, _environ={})
    monkeypatch.setattr(console, "stderr", lambda: wide)
    return sink


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain [x] :heart: \\ {y}", "plain [x] :heart: \\ {y}"),
        ("żółw 象 👍🏽 क्षि می‌خواهم", "żółw 象 👍🏽 क्षि می‌خواهم"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\nb\r\tc\x00", "a\\nb\\r\\tc\\x00"),
        ("\x7f\x9b31m", "\\x7f\\x9b31m"),
        ("gpj.\u202ex", "gpj.\\u202ex"),
        ("\u2028", "\\u2028"),
        ("caf\udce9", "caf\\udce9"),
    ],
)
def test_control_characters_are_made_visible_and_all_else_is_left_alone(text, shown):
    assert printable(text) == shown


def test_errors_keep_their_lines_and_show_control_characters(capsys):
    print_error(DataError("first \x1b[31m\nsecond [/x] :heart:", "remedy\x07"))
    assert capsys.readouterr().err.startswith("error: first \\x1b[31m\nsecond [/x] :heart:")


@pytest.mark.parametrize("get", [console.stdout, console.stderr])
def test_consoles_print_what_they_are_given(get, monkeypatch):
    sink = io.StringIO()
    monkeypatch.setattr(get(), "_file", sink)
    get().print("[bold]x[/bold] :heart: [/y]")
    assert sink.getvalue() == "[bold]x[/bold] :heart: [/y]\n"


def test_progress_lines_are_printed_as_they_are(monkeypatch):
    sink = io.StringIO()
    monkeypatch.setattr(console.stderr(), "_file", sink)
    with progress() as report:
        report(HOSTILE, 1, 2)
    assert sink.getvalue() == f"{SHOWN}: 50 %\n"


def test_progress_bars_are_labelled_as_they_are(terminal):
    with progress() as report:
        report(HOSTILE, 1, 2)
    assert SHOWN in terminal.getvalue()


def test_bars_are_drawn_with_each_report_and_by_no_thread(terminal):
    threads = threading.active_count()
    with progress() as report:
        report("parts", 1, 4)
        assert threading.active_count() == threads
        assert "25%" in terminal.getvalue()
        report("parts", 4, 4)
        assert "100%" in terminal.getvalue()


def test_the_live_view_shows_titles_and_cells_as_they_are(terminal):
    with live_table(f"title {HOSTILE}") as update:
        update({f"key {HOSTILE}": f"value {HOSTILE}"})
    for what in ("title", "key", "value"):
        assert f"{what} {SHOWN}" in terminal.getvalue()
