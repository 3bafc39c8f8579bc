"""`htgen plot`: the curve of a training run as a picture. Needs no torch."""

from pathlib import Path
from typing import Annotated

import typer

from htgen.cli.written import spare


def plot(
    run: Annotated[
        Path, typer.Argument(help="Run folder; the training may still go on.", show_default=False)
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="PNG file to write; curve.png in the run folder if not given."),
    ] = None,
) -> None:
    """Draw loss, accuracies and learning rate of a run over its steps; needs htgen\\[plot]."""
    from htgen.files import write_bytes
    from htgen.training.curve import draw, read_curve

    path = run / "curve.png" if output is None else output
    if path.suffix.lower() != ".png":
        raise typer.BadParameter("pictures are PNG: name a file ending with .png", param_hint="--output")
    # A picture may be a link to another file of the run.
    others = [file for file in run.glob("*") if file.suffix.lower() != ".png"]
    spare({"--output": path}, {"a file of the run": others})
    curve = read_curve(run)
    write_bytes(path, draw(curve))
    steps = max(entry["step"] for entry in [*curve.train, *curve.validation])
    typer.echo(f"written    {path}, up to step {steps}")
