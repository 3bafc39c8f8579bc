"""What a command may write: nothing in the place of what it reads."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import typer

from htgen.files import kind_at, printable, real_path

PAGES = (".html", ".htm")


def expect_page(report: Path | None) -> None:
    """Refuse a report whose name does not end as that of a page, or is that of a folder.

    Raises:
        typer.BadParameter: it does not, or is.
    """
    if report is None:
        return
    fault = None
    if report.suffix.lower() not in PAGES:
        fault = "does not end in .html, as a page does"
    elif kind_at(report) == "folder":
        fault = "is a folder"
    if fault is not None:
        raise typer.BadParameter(f"'{printable(str(report))}' {fault}", param_hint="--report")


def spare(
    written: Mapping[str, Path | None], read: Mapping[str, Iterable[Path | None]], images: Iterable[Path] = ()
) -> None:
    """Refuse to replace what a command reads, or one thing that it writes by another.

    Args:
        written: option -> the file that it names, if it is given.
        read: what it is -> the files that are read, as far as they are given.
        images: that are read, or pages of such; they are gone through only where a file would be replaced.

    Raises:
        typer.BadParameter: two of these are one file, by whatever links.
    """
    known = {real_path(path): what for what, paths in read.items() for path in paths if path is not None}
    for option, target in written.items():
        if target is None:
            continue
        place = real_path(target)
        what = known.get(place)
        if what is None and kind_at(target) is not None:
            images = [*images]
            what = "one of the images" if place in _places(images) else None
        if what is not None:
            fault = f"'{printable(str(target))}' is read or written beside it: it is {what}"
            raise typer.BadParameter(fault, param_hint=option)
        known[place] = f"that of {option}"


def _places(images: Iterable[Path]) -> Iterator[Path]:
    """Where images lie; `scan.tif#2` is a page of `scan.tif`, or a file of that name."""
    from htgen.images.pages import split_page

    for path in images:
        yield real_path(path)
        file, page = split_page(path)
        if page is not None:
            yield real_path(file)
