"""`htgen predict`: classify images with a CNN file. Needs no generator, no config, no torch."""

import sys
from collections.abc import Generator, Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from htgen.cli.device import prepare_for_use
from htgen.cli.numbers import RejectOption
from htgen.cli.written import expect_page, spare

if TYPE_CHECKING:
    from htgen.cli.rows import CsvRows, JsonRows, Row, TableRows
    from htgen.cnn.answers import Answer, NoAnswer
    from htgen.cnn.bundle import Bundle
    from htgen.images.notices import WarningCounts

ModelArgument = Annotated[Path, typer.Argument(help="A CNN that `htgen generate` wrote.", show_default=False)]
ImagesArgument = Annotated[
    list[str] | None,
    typer.Argument(help="Image files, folders of images, or patterns.", show_default=False),
]
AllPages = Annotated[
    bool,
    typer.Option(
        "--all-pages",
        help="Every page or frame of a file is an image, as scan.tif#1; without it, one of each.",
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
JobsOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=256,
        help="Processes that read and classify. Default: as many as pay, one for each processor at most.",
        show_default=False,
    ),
]
StdinOption = Annotated[
    bool,
    typer.Option(
        "--stdin",
        help="Read names of image files from stdin, one a line, and answer each at once, until it ends; with "
        "--json one JSON object a line.",
    ),
]
ReportOption = Annotated[
    Path | None,
    typer.Option(
        help="Also write a page with the answers and what the CNN sees of each image.", show_default=False
    ),
]
SupportOption = Annotated[
    Path | None,
    typer.Option(
        help="With --report: the folder that the CNN was made of, to show the nearest images of it.",
        show_default=False,
    ),
]


def predict(
    model: ModelArgument,
    images: ImagesArgument = None,
    reject: RejectOption = 0.0,
    all_pages: AllPages = False,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
    csv_safe: CsvSafeOption = False,
    jobs: JobsOption = None,
    from_stdin: StdinOption = False,
    report: ReportOption = None,
    support: SupportOption = None,
) -> None:
    """Classify new images.

    Each row is printed as soon as its image is classified; warnings about an image stand in its row. The
    class 'none of these' is null in JSON and empty in CSV. Exits with 1 when some images could not be read;
    the others are classified all the same.
    """
    _check_usage(images, as_json, as_csv or csv_safe, from_stdin, report, support)

    prepare_for_use()

    from htgen.cli.console import tell
    from htgen.cnn.bundle import Bundle
    from htgen.images import every_page, inputs
    from htgen.images.notices import WarningCounts

    cnn = Bundle.load(model)
    if from_stdin:
        from htgen.cli.resident import answers_to_lines, lines_of_stdin, tell_all

        tell_all(answers_to_lines(cnn, lines_of_stdin()), reject, as_json)
        return
    assert images is not None
    paths, notices = inputs.expand_paths(images)
    spare({"--report": report}, {"the CNN": [model]}, chain(paths, _images_of(support)))
    paths = every_page.all_pages(paths) if all_pages else paths
    tell(notices)
    output = _output(cnn, model, paths, reject, as_json, as_csv, csv_safe)
    counts = WarningCounts()
    kept: list[Answer | NoAnswer] | None = None if report is None else []
    done = failed = 0
    try:
        with output:
            for row in _rows(cnn, paths, counts, jobs, kept):
                output.write(row)
                done += 1
                failed += row.error is not None
    except KeyboardInterrupt:
        tell([*counts.lines(), f"interrupted after {done} of {len(paths)} images"])
        raise
    tell(counts.lines())
    if cnn.spec.norm == "batch":
        tell(["note: transductive: with norm batch, answers depend on the other images"])
    if report is not None and kept is not None:
        _write_page(cnn, model, kept, reject, support, report)
    if failed:
        tell([f"{failed} of {done} images could not be read"])
        raise typer.Exit(1)


def _check_usage(
    images: list[str] | None,
    as_json: bool,
    as_csv: bool,
    from_stdin: bool,
    report: Path | None,
    support: Path | None,
) -> None:
    expect_page(report)
    if as_json and as_csv:
        raise typer.BadParameter("choose one of --json and --csv", param_hint="--csv")
    if bool(images) == from_stdin:
        raise typer.BadParameter("name images, or give --stdin", param_hint="IMAGES")
    if images and "-" in images and not Path("-").exists():
        raise typer.BadParameter("'-' is no image; paths come from stdin with --stdin", param_hint="IMAGES")
    if from_stdin and (as_csv or report):
        raise typer.BadParameter("it answers in lines, or with --json", param_hint="--stdin")
    if support is not None and report is None:
        raise typer.BadParameter("it is for --report", param_hint="--support")


def _images_of(support: Path | None) -> Iterator[Path]:
    """The images that a report shows beside those that are classified."""
    from htgen.images.labels import find_labeled

    if support is not None:
        for paths in find_labeled(support).classes.values():
            yield from paths


def _output(
    cnn: "Bundle",
    model: Path,
    paths: list[Path],
    reject: float,
    as_json: bool,
    as_csv: bool,
    csv_safe: bool,
) -> "CsvRows | JsonRows | TableRows":
    from htgen.cli.rows import CsvRows, JsonRows, TableRows

    if as_json:
        return JsonRows(reject, str(model))
    if as_csv or csv_safe:
        return CsvRows(reject, cnn.classes, csv_safe)
    return TableRows(reject, cnn.classes, paths)


def _write_page(
    cnn: "Bundle",
    model: Path,
    found: "list[Answer | NoAnswer]",
    reject: float,
    support: Path | None,
    report: Path,
) -> None:
    from htgen.cli.console import tell
    from htgen.files import write_text
    from htgen.report.answered import known_images, predicted_report
    from htgen.report.page import command_line

    known = None if support is None else known_images(cnn, support)
    write_text(report, predicted_report(cnn, model, found, reject, known, command_line()))
    tell([f"report: {report}; open it in a browser"])


def _rows(
    cnn: "Bundle",
    paths: list[Path],
    counts: "WarningCounts",
    jobs: int | None,
    kept: "list[Answer | NoAnswer] | None",
) -> "Generator[Row, None, None]":
    """The rows of all images, as they are classified; a bar tells how far it is where rows are not seen.

    Args:
        kept: None, or a list to which all answers are added.
    """
    from htgen.cli.console import progress
    from htgen.cli.rows import Row
    from htgen.cnn.answers import NoAnswer, answers
    from htgen.workers import worth_starting

    found = answers(cnn, paths, worth_starting(len(paths), jobs))
    with closing(found), progress(lines=False) as report:
        for done, answer in enumerate(found, 1):
            if kept is not None:
                kept.append(answer)
            if isinstance(answer, NoAnswer):
                yield Row(answer.path, error=answer.reason)
            else:
                image = answer.image
                counts.add(answer.path, image.warnings)
                yield Row(answer.path, answer.prediction, is_blank=image.is_blank, warnings=image.warnings)
            if not sys.stdout.isatty():
                report("images", done, len(paths))
