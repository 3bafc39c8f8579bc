"""`htgen plot`: the curve of a training run. Needs no torch."""

from io import BytesIO
from pathlib import Path
from typing import Annotated

import typer


def plot(
    run: Annotated[Path, typer.Argument(help="The folder of a run, finished or not.", show_default=False)],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write a PNG picture to this file instead.", show_default=False),
    ] = None,
) -> None:
    """Show loss, accuracy and learning rate of a run over its steps, in the terminal or as a picture.

    While the run trains, `watch -n 10 htgen plot RUN` keeps it up to date.
    """
    import shutil
    import sys

    from htgen.cli.console import printable
    from htgen.files import write_bytes
    from htgen.plot import read_metrics, to_picture, to_text

    if output is not None and output.suffix.lower() != ".png":
        raise typer.BadParameter("the picture is a PNG: name a file that ends so", param_hint="--output")
    metrics = read_metrics(run)
    if output is not None:
        file = BytesIO()
        to_picture(metrics, run.resolve().name).save(file, "PNG", optimize=True)
        write_bytes(output, file.getvalue())
        typer.echo(f"written {printable(str(output))}; {metrics.summary}")
        return
    # Python may have been told to write ASCII; a curve is not worth an error.
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
    width = max(20, min(shutil.get_terminal_size().columns, 100) - 12)
    for panel in metrics.panels:
        typer.echo(to_text(panel, width) + "\n")
    typer.echo(metrics.summary)
