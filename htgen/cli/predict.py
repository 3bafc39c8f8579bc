"""`htgen predict`: classify images with a CNN file. Needs no generator, no config, no torch."""

import sys
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from htgen.cli.device import one_thread

if TYPE_CHECKING:
    from htgen.cli.rows import Row
    from htgen.cnn.bundle import Bundle
    from htgen.images.notices import WarningCounts

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


def predict(
    model: ModelArgument,
    images: ImagesArgument,
    reject: RejectOption = 0.0,
    all_pages: AllPages = False,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
    csv_safe: CsvSafeOption = False,
    jobs: JobsOption = None,
) -> None:
    """Classify new images.

    Each row is printed as soon as its image is classified; warnings about an image stand in its row. Exits
    with 1 when some images could not be read; the others are classified all the same.
    """
    if as_json and (as_csv or csv_safe):
        raise typer.BadParameter("choose one of --json and --csv", param_hint="--csv")

    one_thread()

    from htgen.cli.console import tell
    from htgen.cli.rows import CsvRows, JsonRows, TableRows
    from htgen.cnn.bundle import Bundle
    from htgen.images import inputs
    from htgen.images.notices import WarningCounts

    cnn = Bundle.load(model)
    paths, notices = inputs.expand_paths(images)
    paths = inputs.all_pages(paths) if all_pages else paths
    tell(notices)
    output: CsvRows | JsonRows | TableRows
    if as_json:
        output = JsonRows(reject, str(model))
    elif as_csv or csv_safe:
        output = CsvRows(reject, cnn.classes, csv_safe)
    else:
        output = TableRows(reject, cnn.classes, paths)
    counts = WarningCounts()
    done = failed = 0
    try:
        with output:
            for row in _rows(cnn, paths, counts, jobs):
                output.write(row)
                done += 1
                failed += row.error is not None
    except KeyboardInterrupt:
        tell([*counts.lines(), f"interrupted after {done} of {len(paths)} images"])
        raise
    tell(counts.lines())
    if cnn.spec.norm == "batch":
        tell(["note: transductive: with norm batch, answers depend on the other images"])
    if failed:
        tell([f"{failed} of {done} images could not be read"])
        raise typer.Exit(1)


def _rows(
    cnn: "Bundle", paths: list[Path], counts: "WarningCounts", jobs: int | None
) -> "Generator[Row, None, None]":
    """The rows of all images, as they are classified; a bar tells how far it is where rows are not seen."""
    from htgen.cli.console import progress
    from htgen.cli.rows import Row
    from htgen.cnn.answers import NoAnswer, answers
    from htgen.workers import worth_starting

    found = answers(cnn, paths, worth_starting(len(paths), jobs))
    with closing(found), progress(lines=False) as report:
        for done, answer in enumerate(found, 1):
            if isinstance(answer, NoAnswer):
                yield Row(answer.path, error=answer.reason)
            else:
                image = answer.image
                counts.add(answer.path, image.warnings)
                yield Row(answer.path, answer.prediction, is_blank=image.is_blank, warnings=image.warnings)
            if not sys.stdout.isatty():
                report("images", done, len(paths))
