"""The documents about the command line say what the commands say."""

import importlib.util
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from htgen.cli import app

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
# `htgen generate --support x` at the start of a line of a code block, or in backquotes.
COMMANDS = re.compile(r"^(?: {4}|\$ )?(htgen [a-z-]+ .*)$|`(htgen [a-z-]+ [^`]*)`", re.MULTILINE)


def command_lines() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        for match in COMMANDS.finditer(page.read_text(encoding="utf-8").replace("\\\n", " ")):
            found.append((page.relative_to(ROOT).as_posix(), (match[1] or match[2]).split("#")[0].strip()))
    return found


def test_the_reference_is_what_the_commands_say():
    path = ROOT / "docs" / "writers" / "make_cli_reference.py"
    spec = importlib.util.spec_from_file_location("make_cli_reference", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    written = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    assert written == module.reference(), "run: python docs/writers/make_cli_reference.py"


def test_the_documents_show_commands():
    assert len(command_lines()) > 15


@pytest.mark.parametrize(("page", "line"), command_lines())
def test_every_command_in_the_documents_exists_with_its_options(page, line):
    words = shlex.split(line)[1:]
    command: Any = typer.main.get_command(app)
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    known = {name for p in command.params for name in (*p.opts, *p.secondary_opts)} | {"--help", "-h"}
    used = {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    assert used <= known, f"{page}: {line}"
    assert command.help
