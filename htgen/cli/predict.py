"""`htgen predict`: classify images with a CNN file. Needs no generator, no config, no torch."""

import csv
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from htgen.cli.device import one_thread

if TYPE_CHECKING:
    from htgen.cnn.bundle import Bundle, Prediction

ModelArgument = Annotated[Path, typer.Argument(help="A CNN that `htgen generate` wrote.", show_default=False)]
ImagesArgument = Annotated[
    list[str], typer.Argument(help="Image files, folders of images, or patterns.", show_default=False)
]
RejectOption = Annotated[
    float,
    typer.Option(
        min=0,
        max=1,
        help="Answer 'none of these' where no class has this probability: class null in JSON, empty in CSV.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
CsvOption = Annotated[bool, typer.Option("--csv", help="CSV with a header on stdout.")]
CsvSafeOption = Annotated[
    bool,
    typer.Option(
        "--csv-safe",
        help="CSV for a spreadsheet: an apostrophe goes before every name that it would take for a formula.",
    ),
]


_FORMULA = tuple("=+-@'")
"""With what a cell begins that a spreadsheet computes, or takes for a mark of its own."""


class Row(NamedTuple):
    """One image of the output: what the CNN says, or why it cannot be read."""

    path: Path
    answer: "Prediction | str"


def predict(
    model: ModelArgument,
    images: ImagesArgument,
    reject: RejectOption = 0.0,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
    csv_safe: CsvSafeOption = False,
) -> None:
    """Classify new images.

    Exits with 1 when some images could not be read; the others are classified all the same.
    """
    if as_json and (as_csv or csv_safe):
        raise typer.BadParameter("choose one of --json and --csv", param_hint="--csv")

    one_thread()

    from htgen.cli.console import tell
    from htgen.cnn.bundle import Bundle
    from htgen.images.inputs import expand_paths

    cnn = Bundle.load(model)
    paths, notices = expand_paths(images)
    tell(notices)
    rows, notices = _classify(cnn, paths)
    tell(notices)
    if as_json:
        _print_json(model, rows, reject)
    elif as_csv or csv_safe:
        _print_csv(rows, cnn.classes, reject, csv_safe)
    else:
        _print_table(rows, reject)
    failed = sum(isinstance(row.answer, str) for row in rows)
    if failed:
        typer.echo(f"{failed} of {len(rows)} images could not be read", err=True)
        raise typer.Exit(1)


def _classify(cnn: "Bundle", paths: list[Path]) -> tuple[list[Row], list[str]]:
    """The rows of all images, and lines on what looks wrong."""
    from htgen.cnn.answers import NoAnswer, answers
    from htgen.images.notices import blank, undrawn

    rows: list[Row] = []
    blanks: list[Path] = []
    read = photographs = 0
    for answer in answers(cnn, paths):
        if isinstance(answer, NoAnswer):
            rows.append(Row(answer.path, answer.reason))
            continue
        rows.append(Row(answer.path, answer.prediction))
        read += 1
        photographs += answer.image.looks_drawn is False
        if answer.image.is_blank:
            blanks.append(answer.path)
    notices = blank(blanks) + undrawn(photographs, read)
    if cnn.spec.norm == "batch":
        notices.append("note: transductive: with norm batch, answers depend on the other images")
    return rows, notices


def _print_json(model: Path, rows: list[Row], reject: float) -> None:
    predictions = [_json_entry(row, reject) for row in rows]
    typer.echo(json.dumps({"model": str(model), "predictions": predictions}, indent=2))


def _json_entry(row: Row, reject: float) -> dict[str, Any]:
    if isinstance(row.answer, str):
        return {"image": str(row.path), "error": row.answer}
    return {
        "image": str(row.path),
        "class": row.answer.label if row.answer.probability >= reject else None,
        "probability": row.answer.probability,
        "probabilities": row.answer.probabilities,
    }


def _print_csv(rows: list[Row], classes: tuple[str, ...], reject: float, safe: bool) -> None:
    from htgen.cli.console import printable

    def cell(text: object) -> str:
        shown = printable(str(text))
        return f"'{shown}" if safe and shown.lstrip().startswith(_FORMULA) else shown

    writer = csv.writer(sys.stdout, lineterminator="\n")
    names = [printable(f"p({name})") for name in classes]
    writer.writerow(["image", "class", "probability", "error", *names])
    for path, answer in rows:
        if isinstance(answer, str):
            writer.writerow([cell(path), "", "", cell(answer), *("" for _ in classes)])
        else:
            probabilities = [f"{answer.probabilities[name]:.6f}" for name in classes]
            label = answer.label if answer.probability >= reject else ""
            writer.writerow([cell(path), cell(label), f"{answer.probability:.6f}", "", *probabilities])


def _print_table(rows: list[Row], reject: float) -> None:
    from rich.cells import cell_len

    cells = [("image", "class", "probability", "runner-up"), *(_cells(row, reject) for row in rows)]
    widths = [max(cell_len(row[i]) for row in cells) for i in range(3)]
    for image, label, probability, rest in cells:
        # Names may hold characters that take two columns, or none.
        padded = (
            text + " " * (width - cell_len(text)) for text, width in zip((image, label), widths, strict=False)
        )
        typer.echo(f"{'  '.join(padded)}  {probability:>{widths[2]}}  {rest}")


def _cells(row: Row, reject: float) -> tuple[str, str, str, str]:
    """Image, class, its probability, and what else there is to say."""
    from htgen.cli.console import printable

    image = printable(str(row.path))
    if isinstance(row.answer, str):
        return image, "-", "", printable(f"error: {row.answer}")
    (_, first), (second_name, second) = list(row.answer.probabilities.items())[:2]
    if first < reject:
        return image, "none of these", "", f"{printable(row.answer.label)} {100 * first:.1f} %"
    runner_up = f"{printable(second_name)} {100 * second:.1f} %"
    return image, printable(row.answer.label), f"{100 * first:.1f} %", runner_up
