"""Where `--report` may write its page."""

from collections.abc import Iterable
from pathlib import Path

import typer

from htgen.files import real_path

ENDINGS = (".html", ".htm")


def check_report(report: Path | None, *others: Path | None, images: Iterable[Path] = ()) -> None:
    """Refuse a page in the place of something else.

    Args:
        report: where the page is to be, if there is to be one.
        others: files that are read or written beside it.
        images: that are read.

    Raises:
        typer.BadParameter: its name does not end as that of a page, or it is one of the others.
    """
    if report is None:
        return
    if report.suffix.lower() not in ENDINGS:
        raise typer.BadParameter(f"'{report}' does not end in .html, as a page does", param_hint="--report")
    place = real_path(report)
    for other in (*others, *images):
        if other is not None and real_path(other) == place:
            raise typer.BadParameter(f"'{report}' is read or written beside it", param_hint="--report")
