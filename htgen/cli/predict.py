"""`htgen predict`: classify images with a CNN file. Needs no generator, no config, no torch."""

import csv
import glob
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from htgen.cli.device import one_thread

if TYPE_CHECKING:
    from htgen.cnn.bundle import Prediction


def predict(
    model: Annotated[Path, typer.Argument(help="A CNN that `htgen generate` wrote.", show_default=False)],
    images: Annotated[
        list[str], typer.Argument(help="Image files, folders of images, or patterns.", show_default=False)
    ],
    reject: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Answer 'none of these' where no class has this probability: class null in JSON, empty in "
            "CSV.",
        ),
    ] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV with a header on stdout.")] = False,
) -> None:
    """Classify new images.

    Exits with 1 when some images could not be read; the others are classified all the same.
    """
    if as_json and as_csv:
        raise typer.BadParameter("choose one of --json and --csv", param_hint="--csv")

    one_thread()

    from htgen.cli.console import warn_blank, warn_undrawn
    from htgen.cnn.bundle import Bundle
    from htgen.errors import DataError
    from htgen.images.inputs import IMAGES_PER_BATCH, as_input
    from htgen.images.reading import load_image

    cnn = Bundle.load(model)
    paths = _expand(images)
    answers: list[Prediction | str] = []
    undrawn, blank = 0, []
    for start in range(0, len(paths), IMAGES_PER_BATCH):
        prepared, slots = [], []
        for path in paths[start : start + IMAGES_PER_BATCH]:
            try:
                image = cnn.preprocessing.read(load_image(path))
                prepared.append(image.pixels)  # small, unlike what was decoded
                slots.append(len(answers))
                if image.is_blank:
                    blank.append(path)
                undrawn += cnn.preprocessing.is_for_drawings and not image.looks_drawn
                answers.append("")
            except DataError as error:
                answers.append(error.message)
        if prepared:
            for slot, prediction in zip(
                slots, cnn.classify(as_input(prepared, cnn.preprocessing)), strict=True
            ):
                answers[slot] = prediction

    failed = sum(isinstance(answer, str) for answer in answers)
    warn_blank(blank)
    warn_undrawn(undrawn, len(paths) - failed)
    if cnn.spec.norm == "batch":
        typer.echo("note: transductive: with norm batch, answers depend on the other images", err=True)
    rows = list(zip(paths, answers, strict=True))
    if as_json:
        _print_json(model, rows, reject)
    elif as_csv:
        _print_csv(rows, cnn.classes, reject)
    else:
        _print_table(rows, reject)
    if failed:
        typer.echo(f"{failed} of {len(paths)} images could not be read", err=True)
        raise typer.Exit(1)


def _expand(arguments: list[str]) -> list[Path]:
    """Files as they are, folders to the images in them, patterns to what they match."""
    from htgen.errors import DataError
    from htgen.files import kind_at

    paths: list[Path] = []
    for argument in arguments:
        path = Path(argument)
        kind = kind_at(path)
        if kind == "folder":
            paths += _images_in(path)
        elif kind is None and glob.has_magic(argument):
            # Path.glob wants relative patterns; users also give absolute ones.
            matches = sorted(Path(match) for match in glob.glob(argument, recursive=True))  # noqa: PTH207
            if not matches:
                raise DataError(f"no file matches '{argument}'", "check the pattern and the folder")
            for match in matches:
                paths += _images_in(match) if kind_at(match) == "folder" else [match]
        else:
            paths.append(path)
    return paths


def _images_in(folder: Path) -> list[Path]:
    from htgen.cli.console import warn_left_out
    from htgen.errors import DataError
    from htgen.images.folders import find_images

    found = find_images(folder)
    warn_left_out(folder)
    if not found:
        raise DataError(f"{folder} holds no image files", "a folder with images directly in it")
    return found


def _print_json(model: Path, rows: "list[tuple[Path, Prediction | str]]", reject: float) -> None:
    predictions = [
        {"image": str(path), "error": answer}
        if isinstance(answer, str)
        else {
            "image": str(path),
            "class": answer.label if answer.probability >= reject else None,
            "probability": answer.probability,
            "probabilities": answer.probabilities,
        }
        for path, answer in rows
    ]
    typer.echo(json.dumps({"model": str(model), "predictions": predictions}, indent=2))


def _print_csv(rows: "list[tuple[Path, Prediction | str]]", classes: tuple[str, ...], reject: float) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["image", "class", "probability", "error", *(f"p({name})" for name in classes)])
    for path, answer in rows:
        if isinstance(answer, str):
            writer.writerow([path, "", "", answer, *("" for _ in classes)])
        else:
            probabilities = [f"{answer.probabilities[name]:.6f}" for name in classes]
            label = answer.label if answer.probability >= reject else ""
            writer.writerow([path, label, f"{answer.probability:.6f}", "", *probabilities])


def _print_table(rows: "list[tuple[Path, Prediction | str]]", reject: float) -> None:
    from rich.cells import cell_len

    from htgen.cli.console import printable

    cells = []
    for path, answer in rows:
        if isinstance(answer, str):
            cells.append((printable(str(path)), "-", "", printable(f"error: {answer}")))
        else:
            (_, first), (second_name, second) = list(answer.probabilities.items())[:2]
            if first < reject:
                best = f"{printable(answer.label)} {100 * first:.1f} %"
                cells.append((printable(str(path)), "none of these", "", best))
                continue
            runner_up = f"{printable(second_name)} {100 * second:.1f} %"
            cells.append((printable(str(path)), printable(answer.label), f"{100 * first:.1f} %", runner_up))
    header = ("image", "class", "probability", "runner-up")
    widths = [max(cell_len(row[i]) for row in [header, *cells]) for i in range(3)]
    for image, label, probability, rest in [header, *cells]:
        # Names may hold characters that take two columns, or none.
        padded = (
            text + " " * (width - cell_len(text)) for text, width in zip((image, label), widths, strict=False)
        )
        typer.echo(f"{'  '.join(padded)}  {probability:>{widths[2]}}  {rest}")
