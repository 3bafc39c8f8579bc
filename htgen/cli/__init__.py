"""The command line: one thin file per command; `console` is the only place that owns rich."""

import contextlib
import io
import os
import sys
from typing import Annotated

import typer

from htgen.errors import HtgenError, OutputError

app = typer.Typer(
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


def _register() -> None:
    from htgen.cli import (
        app_page,
        bench,
        calibrate,
        configs,
        evaluate,
        export,
        generate,
        import_reference,
        inspect,
        plot,
        predict,
        prepare_data,
        test,
        train,
        watch,
    )

    app.command("generate")(generate.generate)
    app.command("predict")(predict.predict)
    app.command("test")(test.test)
    app.command("watch")(watch.watch)
    app.command("export")(export.export)
    app.command("app")(app_page.app)
    app.command("inspect")(inspect.inspect)
    app.command("prepare-data")(prepare_data.prepare_data)
    app.command("train")(train.train)
    app.command("evaluate")(evaluate.evaluate)
    app.command("plot")(plot.plot)
    app.command("calibrate")(calibrate.calibrate)
    app.command("bench")(bench.bench)
    app.command("import-reference")(import_reference.import_reference)
    app.add_typer(configs.configs, name="configs")


_register()


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code (see `htgen.errors` for the list)."""
    from htgen.cli.console import print_error

    # Threads of torch that wait by spinning take the processor from whatever else runs on it, and slow
    # both down tenfold. Read when torch is loaded, so it must be set before.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    _make_stdout_safe()
    try:
        try:
            app(args=arguments, standalone_mode=True)
        finally:
            sys.stdout.flush()
    except HtgenError as error:
        print_error(error)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
    except OSError as error:  # of results that cannot be written: a full disk behind stdout
        unwritten = OutputError(f"cannot write: {error.strerror or error}", "check where the output goes")
        print_error(unwritten)
        with contextlib.suppress(OSError):  # what is still buffered would fail again when Python ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return unwritten.exit_code
    return 0


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
