"""`htgen configs`: list, show and copy the packaged presets."""

from pathlib import Path
from typing import Annotated

import typer

configs = typer.Typer(help="List, show and copy the packaged training presets.", invoke_without_command=True)


@configs.callback()
def _list_by_default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_presets()


@configs.command("list")
def list_presets() -> None:
    """List the presets."""
    from htgen.config.files import load_config, preset_names

    names = preset_names()
    width = max(map(len, names))
    for name in names:
        typer.echo(f"{name:{width}}  {load_config(name).description}")


@configs.command("show")
def show(
    name: Annotated[str, typer.Argument(help="A preset, or a YAML file.", show_default=False)],
    resolved: Annotated[bool, typer.Option("--resolved", help="With every default written out.")] = False,
) -> None:
    """Print a preset or a file."""
    from htgen.config.files import config_text, dump_config, load_config

    typer.echo(dump_config(load_config(name)) if resolved else config_text(name)[0], nl=False)


@configs.command("copy")
def copy(
    name: Annotated[str, typer.Argument(help="A preset.", show_default=False)],
    target: Annotated[Path, typer.Argument(help="The file to write.", show_default=False)],
) -> None:
    """Copy a preset into a file of your own, to change it."""
    from htgen.config.files import preset_text
    from htgen.errors import OutputError
    from htgen.files import write_text

    text = preset_text(name)
    if target.exists():
        raise OutputError(f"{target} is there already", "another name")
    write_text(target, text)
    typer.echo(f"{target}: change it, then htgen train --config {target}")
