"""Write docs/reference/cli.md from the commands themselves: python docs/writers/make_cli_reference.py

A test compares the file with what this writes, so that the reference never drifts.
"""

import inspect
from pathlib import Path
from typing import Any

import typer

from htgen.cli import app

HEAD = """# Command line

For everyone who types commands: every command, argument and option.

`python docs/writers/make_cli_reference.py` writes this page; do not edit it.
Exit codes: [errors.md](errors.md).
"""


def reference() -> str:
    """The text of docs/reference/cli.md."""
    root: Any = typer.main.get_command(app)
    parts = [HEAD, *_command("htgen", root)]
    return "\n".join(parts)


def _command(path: str, command: Any) -> list[str]:
    lines = [f"## {path}", "", inspect.cleandoc(command.help or ""), ""]
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and p.name != "help"]
    subcommands = getattr(command, "commands", {})
    usage = [path, *(_argument(p) for p in arguments)]
    usage += ["[OPTIONS]"] if options else []
    usage += ["COMMAND"] if subcommands else []
    lines += [f"    {' '.join(usage)}", ""]
    if arguments or options:
        lines += ["| argument or option | meaning | values | default |", "|---|---|---|---|"]
        lines += [f"| `{_argument(p)}` | {_cell(p.help)} | {_values(p)} | |" for p in arguments]
        lines += [f"| {_names(p)} | {_cell(p.help)} | {_values(p)} | {_default(p)} |" for p in options]
        lines.append("")
    for name, subcommand in subcommands.items():
        lines += _command(f"{path} {name}", subcommand)
    return lines


def _argument(parameter: Any) -> str:
    return parameter.name.upper() + ("..." if parameter.nargs == -1 else "")


def _names(parameter: Any) -> str:
    names = [*parameter.opts, *parameter.secondary_opts]
    return ", ".join(f"`{name}`" for name in names)


def _cell(text: str | None) -> str:
    return (text or "").replace("|", "\\|")


def _values(parameter: Any) -> str:
    """The choices there are, or the range."""
    kind = parameter.type
    if choices := getattr(kind, "choices", None):
        return ", ".join(f"`{choice}`" for choice in choices)
    low, high = getattr(kind, "min", None), getattr(kind, "max", None)
    if low is None:
        return ""
    return f"{low} and more" if high is None else f"{low} to {high}"


def _default(parameter: Any) -> str:
    default = parameter.default
    if parameter.required:
        return "required"
    if default is None or default is False or default == [] or callable(default):
        return ""
    return f"`{getattr(default, 'value', default)}`"


if __name__ == "__main__":
    (Path(__file__).parents[1] / "reference" / "cli.md").write_text(reference(), encoding="utf-8")
