"""How `generate` and `test` are told what the images are, and their labels."""

from pathlib import Path
from typing import Annotated

import typer

LABELLED_FOLDER = "Folder with one sub-folder of images per class; with labels elsewhere, of the images."

LabelsOption = Annotated[
    Path | None,
    typer.Option(
        help="CSV file that says which image is of which class: file,label in each line.", show_default=False
    ),
]
LabelsInNames = Annotated[
    bool,
    typer.Option("--labels-in-names", help="The files' names begin with labels: cat_1.png, cat.1.png."),
]

AllPages = Annotated[
    bool,
    typer.Option(
        "--all-pages", help="Every page or frame of a file is an image; without it, one of each is read."
    ),
]


def expect_one_source(labels: Path | None, labels_in_names: bool) -> None:
    """Refuse both at once, as wrong usage."""
    if labels is not None and labels_in_names:
        raise typer.BadParameter("choose one of --labels and --labels-in-names", param_hint="--labels")
