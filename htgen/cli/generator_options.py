"""What `evaluate` and `calibrate` have in common on the command line."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

GeneratorArgument = Annotated[
    str,
    typer.Argument(help="A run folder, a generator file, or the name of one that ships.", show_default=False),
]

DataOption = Annotated[
    Path | None, typer.Option(help="The store. Default: the one it was trained on.", show_default=False)
]

SeedOption = Annotated[int, typer.Option(help="The same seed gives the same tasks.")]

JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def generator_files(generator: str | None) -> dict[str, list[Path]]:
    """What is read where a generator is named, or one that ships is taken: what it is -> files.

    Raises:
        ModelError: there is no such generator.
    """
    from htgen.generator.shipped import generator_path, shipped_generators

    named = [] if generator is None else [generator_path(generator)]
    return {"a generator that ships": [*map(generator_path, shipped_generators())], "the generator": named}


@contextmanager
def options_are_named() -> Iterator[None]:
    """Tell a setting that is missing or does not fit as wrong usage of the option of its name."""
    from htgen.errors import SettingError
    from htgen.files import printable

    try:
        yield
    except SettingError as error:
        raise typer.BadParameter(printable(error.message), param_hint=f"--{error.setting}") from error
