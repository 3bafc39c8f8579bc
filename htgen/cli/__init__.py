"""The command line: one thin file per command; `console` is the only place that owns rich."""

import contextlib
import io
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from copy import copy
from importlib import import_module
from typing import Annotated, Any, TextIO

import typer
from typer.core import TyperCommand, TyperGroup

from htgen.errors import HtgenError, OlderFileWarning, OutputError

SUMMARIES = {
    "generate": "Turn a folder of a few labelled images into a CNN.",
    "predict": "Classify new images.",
    "test": "Tell how good a CNN is: accuracy, what is taken for what, and the worst images of a labelled "
    "folder.",
    "watch": "Classify images as they come into a folder, one line each, until Ctrl-C.",
    "export": "Write a CNN for other programs: C for devices with kilobytes, ONNX, PyTorch, or a web page.",
    "app": "Open a page on which classes are drawn, dropped or photographed, and a CNN of them is tried out.",
    "inspect": "Tell what a file is: layers and classes of a CNN; recipe and data of a generator, and what "
    "it was validated with, unless settings were changed since (those that ship: see their cards).",
    "prepare-data": "Turn raw images into a store that train and evaluate read.",
    "train": "Train a generator.",
    "evaluate": "Measure a generator on tasks of unseen classes, with the 95 % interval of the mean.",
    "plot": "Draw loss, accuracies and learning rate of a run over its steps; needs htgen\\[plot].",
    "calibrate": "Find the temperatures, by shot, that make a generator's probabilities right, and what "
    "rejecting costs.",
    "bench": "Measure training, generation, prediction and start-up on this machine; it needs no data.",
    "import-reference": "Make a generator of a checkpoint of the published HyperTransformer code.",
    "configs": "List, show and copy the packaged training presets.",
}
"""The commands in the order of `htgen --help`, and what it says of each: where the help of each begins."""

_MODULES = {"app": "app_page"}
"""Those that do not have the name of the command."""


class _Commands(Mapping[str, Any]):
    """The commands by name. Only one that is asked for is imported, as most of the start is imports."""

    def __iter__(self) -> Iterator[str]:
        return iter(SUMMARIES)

    def __len__(self) -> int:
        return len(SUMMARIES)

    def __getitem__(self, name: str) -> Any:
        if name not in SUMMARIES:
            raise KeyError(name)
        attribute = name.replace("-", "_")
        found = getattr(import_module(f"htgen.cli.{_MODULES.get(name, attribute)}"), attribute)
        if isinstance(found, typer.Typer):
            command: Any = typer.main.get_group(found)
        else:
            alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
            alone.command(name)(found)
            command = typer.main.get_command(alone)
        command.name = name
        return command


class _Root(TyperGroup):
    """`htgen`, which lists its commands without importing them."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands: Any = _Commands()

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help: of each command the summary."""
        listed = copy(self)
        listed.commands = {name: TyperCommand(name, help=text) for name, text in SUMMARIES.items()}
        TyperGroup.format_help(listed, ctx, formatter)


app = typer.Typer(
    cls=_Root,
    name="htgen",
    help="Turn a folder of a few labelled images into a tiny CNN, in one forward pass.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from htgen.version import __version__

        typer.echo(f"htgen {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Turn a folder of a few labelled images into a tiny CNN, in one forward pass."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code (see `htgen.errors` for the list)."""
    from htgen.cli.console import print_error

    # Threads of torch that wait by spinning take the processor from whatever else runs on it, and slow
    # both down tenfold. Read when torch is loaded, so it must be set before.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    _make_stdout_safe()
    try:
        try:
            with warnings.catch_warnings():
                _tell_of_older_files()
                app(args=arguments, standalone_mode=True)
        finally:
            sys.stdout.flush()
    except HtgenError as error:
        print_error(error)
        return error.exit_code
    except MemoryError:
        print_error(HtgenError("there is not enough memory", "fewer or smaller images or tasks at once"))
        return HtgenError.exit_code
    except KeyboardInterrupt:
        return 130
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
    except OSError as error:  # of results that cannot be written: a full disk behind stdout
        where = f" {error.filename}" if error.filename else ""
        unwritten = OutputError(
            f"cannot write{where}: {error.strerror or error}", "check where the output goes"
        )
        print_error(unwritten)
        with contextlib.suppress(OSError):  # what is still buffered would fail again when Python ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return unwritten.exit_code
    return 0


def _tell_of_older_files() -> None:
    """Let warnings of files without a checksum be one line each, every time; others stay as they are."""
    from htgen.cli.console import tell

    show = warnings.showwarning

    def show_or_tell(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if category is OlderFileWarning:
            tell([str(message)])
        else:
            show(message, category, filename, lineno, file, line)

    warnings.simplefilter("always", OlderFileWarning)
    warnings.showwarning = show_or_tell


def _make_stdout_safe() -> None:
    """Let names of files and classes never fail to be written.

    A stdout that cannot hold every character shows those that it cannot hold as escapes; one that was
    closed before the start takes what is written and drops it.
    """
    if sys.stdout is None:  # the types of Python do not know of a closed one
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 (as long as the process)
    elif isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    sys.exit(main())
