"""`htgen test`: how good a CNN is on a folder of labelled images. Needs no torch."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from htgen.cli.device import prepare_for_use
from htgen.cli.labels import LABELLED_FOLDER, AllPages, LabelsInNames, LabelsOption, expect_one_source
from htgen.cli.numbers import RejectOption
from htgen.cli.written import expect_page, spare

if TYPE_CHECKING:
    from htgen.cnn.labelled_folder import TestedImage, TestResult

ModelArgument = Annotated[Path, typer.Argument(help="A CNN that `htgen generate` wrote.", show_default=False)]
FolderArgument = Annotated[
    Path,
    typer.Argument(help=LABELLED_FOLDER, show_default=False),
]
WorstOption = Annotated[int, typer.Option(min=0, help="So many of the worst images are named.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, with all images.")]

ReportOption = Annotated[
    Path | None,
    typer.Option(
        help="Also write a page with what is found as what, and the wrong images as the CNN sees them.",
        show_default=False,
    ),
]

MOST_COLUMNS = 12
"""Of a table of confusions; with more classes its pairs are listed."""


def test(
    model: ModelArgument,
    folder: FolderArgument,
    labels: LabelsOption = None,
    labels_in_names: LabelsInNames = False,
    reject: RejectOption = 0.0,
    all_pages: AllPages = False,
    worst: WorstOption = 10,
    as_json: JsonOption = False,
    report: ReportOption = None,
) -> None:
    """Tell how good a CNN is: accuracy, what is taken for what, and the worst images of a labelled folder.

    The folder may lack some of the CNN's classes, and have no others. Exits with 1 when some images could not
    be read; they are listed on stderr.
    """
    expect_one_source(labels, labels_in_names)

    expect_page(report)
    prepare_for_use()

    from htgen.cli.console import progress, tell
    from htgen.cnn.bundle import Bundle
    from htgen.cnn.labelled_folder import test_cnn
    from htgen.images.notices import WarningCounts

    cnn = Bundle.load(model)
    read: dict[str, list[Path | None]] = {"the CNN": [model], "the table of labels": [labels]}
    spare({"--report": report}, read, _images_of(folder, labels, labels_in_names))
    with progress(lines=False) as tell_progress:
        result = test_cnn(cnn, folder, labels, labels_in_names, reject, tell_progress, None, all_pages)
    counts = WarningCounts()
    for image in result.images:
        counts.add(image.path, image.warnings)
    tell([*result.notices, *(f"left out: {reason}" for reason in result.unread.values()), *counts.lines()])
    if as_json:
        typer.echo(json.dumps(_document(model, result), indent=2))
    else:
        _print_result(result, worst)
    if report is not None:
        from htgen.files import write_text
        from htgen.report.answered import tested_report
        from htgen.report.page import command_line

        write_text(report, tested_report(cnn, model, result, command_line()))
    if result.unread:
        raise typer.Exit(1)


def _images_of(folder: Path, labels: Path | None, labels_in_names: bool) -> Iterator[Path]:
    from htgen.images.labels import find_labeled

    for paths in find_labeled(folder, labels, labels_in_names, part="test").classes.values():
        yield from paths


def _document(model: Path, result: "TestResult") -> dict[str, Any]:
    score = result.score
    return {
        "model": str(model),
        "accuracy": score.accuracy,
        "interval95": list(score.interval),
        "right": score.right,
        "images": score.images,
        "classes": list(result.classes),
        "confusion": result.confusion.tolist(),
        "predictions": [
            {
                "image": str(image.path),
                "label": image.label,
                "class": image.predicted,
                "right": image.is_right,
                "blank": image.is_blank,
                "warnings": list(image.warnings),
                "probabilities": image.probabilities,
            }
            for image in result.images
        ],
        "unread": [{"image": str(path), "error": reason} for path, reason in result.unread.items()],
        "notices": [*result.notices],
    }


def _print_result(result: "TestResult", worst: int) -> None:
    score = result.score
    low, high = (f"{100 * bound:.1f}" for bound in score.interval)
    wrong = result.worst
    accuracy = f"{100 * score.accuracy:.1f} %, {score.right} of {score.images} images right"
    _say("accuracy", f"{accuracy}; 95 % interval {low} to {high} %")
    for line in _class_lines(result):
        _say("", line)
    if wrong:
        typer.echo("")
        for line in _table(result) if len(result.classes) <= MOST_COLUMNS else _pairs(result):
            _say("", line)
    for place, image in enumerate(wrong[:worst]):
        _say("" if place else "worst", _describe(image))
    if len(wrong) > worst:
        _say("" if worst else "worst", f"{len(wrong) - worst} more are wrong; --worst {len(wrong)} names all")


def _say(key: str, value: str) -> None:
    from htgen.files import printable

    typer.echo(f"{key:11}{printable(value)}".rstrip())


def _class_lines(result: "TestResult") -> list[str]:
    """Classes that are not all right, the worst first."""
    totals = result.confusion.sum(axis=1)
    right = result.confusion[range(len(totals)), range(len(totals))]
    places = [place for place in range(len(totals)) if right[place] < totals[place]]
    places.sort(key=lambda place: right[place] / totals[place])
    return [f"{result.classes[place]}: {right[place]} of {totals[place]} right" for place in places]


def _table(result: "TestResult") -> list[str]:
    """Rows of true classes, columns of answers; a dot is 0."""
    from htgen.cli.console import columns_of
    from htgen.files import printable

    names = [*map(printable, result.classes)]
    columns = [*names, "none"] if result.confusion[:, -1].any() else names
    first = max(columns_of(name) for name in [*names, "is, found as"])

    def row(name: str, cells: list[str]) -> str:
        padded = (
            " " * (max(columns_of(head), 3) - columns_of(cell)) + cell
            for head, cell in zip(columns, cells, strict=True)
        )
        return "  ".join([name + " " * (first - columns_of(name)), *padded])

    lines = [row("is, found as", columns)]
    for name, counts in zip(names, result.confusion, strict=True):
        if counts.any():
            lines.append(row(name, [str(count) if count else "." for count in counts[: len(columns)]]))
    return lines


def _pairs(result: "TestResult") -> list[str]:
    """What is taken for what, the most frequent first."""
    columns = [*result.classes, "none of these"]
    found = [
        (int(count), f"{name} is found as {column}: {count}")
        for name, counts in zip(result.classes, result.confusion, strict=True)
        for column, count in zip(columns, counts, strict=True)
        if count and name != column
    ]
    return [line for _, line in sorted(found, key=lambda pair: -pair[0])]


def _describe(image: "TestedImage") -> str:
    best = next(iter(image.probabilities))
    answer = image.predicted or f"none of these, {best}"
    warned = f"; warning: {'; '.join(image.warnings)}" if image.warnings else ""
    sure, own = (f"{100 * image.probabilities[name]:.1f} %" for name in (best, image.label))
    return f"{image.path}: {image.label} {own}, found as {answer} {sure}{warned}"
