"""What reaches the terminal, whatever others have named their files and classes."""

import io
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.cnns import make_bundle
from helpers.generators import make_generator
from rich.console import Console

from htgen.cli import console, main
from htgen.cli.console import live_table, print_error, progress, write
from htgen.errors import DataError
from htgen.files import printable
from htgen.generator.file import GeneratorFile

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


def test_an_error_is_one_line_and_its_remedy_another(capsys):
    print_error(DataError("no class 'first \x1b[31m\n  try: rm [/x] :heart:'", "remedy\x07\nmore"))
    expected = "error: no class 'first \\x1b[31m\\n  try: rm [/x] :heart:'\n  try: remedy\\x07\\nmore\n"
    assert capsys.readouterr().err == expected


def test_faults_of_a_config_are_a_line_each_whatever_their_keys_are_called(tmp_path, capsys):
    path = tmp_path / "c.yaml"
    path.write_text('"a\\n  b\\e[2J": 1\nseed: "x\\ny"\n')
    assert main(["train", "--config", str(path)]) == 3
    head, *faults = capsys.readouterr().err.splitlines()
    assert head.endswith("has 2 faults:")
    assert [fault.split(":")[:2] for fault in sorted(faults)] == [
        ["  line 1", " a\\n  b\\x1b[2J"],
        ["  line 2", " seed"],
    ]
    path.write_text('"a\\nb": 1\n"a\\nb": 2\n')
    assert main(["train", "--config", str(path)]) == 3
    assert "line 2: key 'a\\nb' is given twice" in capsys.readouterr().err


def said_of(name: str, folder: Path, store: Path, read) -> list[str]:
    """What commands say of a CNN and a generator that call themselves, and a class, by a name."""
    cnn, generator, out = str(folder / "cnn"), str(folder / "generator"), str(folder / "out.h")
    made = make_bundle()
    other = replace(made, classes=(f"{name}2", *made.classes[1:]))
    other.save(folder / "other")
    replace(made, classes=(name, *made.classes[1:]), generator={"name": name, "sha256": ""}).save(cnn)
    Path(generator).write_bytes(replace(make_generator().file, name=name).to_bytes())
    trained = GeneratorFile.read(Path(__file__).parents[1] / "earlier_files" / "generator.safetensors")
    (folder / "trained").write_bytes(replace(trained, name=name).to_bytes())
    few = ["--way", "2", "--query", "1", "--tasks", "2", "--split", "toy:0-15", "--data", str(store)]
    support = str(Path(__file__).parents[2] / "examples" / "symbols" / "support")
    commands = {
        5: [
            ["generate", cnn, "--drop", "x", "-o", str(folder / "out")],
            ["export", cnn, "--like", str(folder / "other"), "-o", out],
            ["generate", support, "--generator", generator, "-o", str(folder / "out")],
        ],
        0: [["evaluate", str(folder / "trained"), *few], *(["inspect", file] for file in (cnn, generator))],
    }
    said = []
    for code, all_of_it in commands.items():
        for command in all_of_it:
            assert main(command) == code, command
            said += [line for text in read() for line in text.split("\n")]
    return said


def test_names_in_files_that_others_made_break_no_line(store_path, tmp_path, capsys):
    plain = said_of("plain", tmp_path, store_path, capsys.readouterr)
    hostile = said_of("a\n  try: b\x1b[2J", tmp_path, store_path, capsys.readouterr)
    assert len(hostile) == len(plain)
    assert not any("\x1b" in line for line in hostile)
    assert sum("a\\n  try: b\\x1b[2J" in line for line in hostile) >= 6


def test_consoles_print_what_they_are_given(monkeypatch):
    sink = io.StringIO()
    monkeypatch.setattr(console.stderr(), "_file", sink)
    console.stderr().print("[bold]x[/bold] :heart: [/y]")
    assert sink.getvalue() == "[bold]x[/bold] :heart: [/y]\n"


def test_results_are_written_as_they_are(capsys):
    write(HOSTILE)
    assert capsys.readouterr().out == f"{SHOWN}\n"


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
