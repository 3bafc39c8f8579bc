"""Every page or frame of a file as an image of its own."""

from collections.abc import Iterable
from pathlib import Path

from htgen.errors import DataError
from htgen.files import kind_at, real_path
from htgen.images.pages import split_page
from htgen.images.reading import list_pages

Classes = dict[str, list[Path]]
"""Image files by class."""


def all_pages(paths: Iterable[Path]) -> list[Path]:
    """The same with all pages or frames of each file, as `scan.tif#1`, each of them once; what cannot be read
    stays as it is."""
    found: list[Path] = []
    known: set[tuple[Path, int | None]] = set()
    for path in paths:
        try:
            pages = list_pages(path)
        except DataError:
            pages = [path]
        for page in pages:
            named = _page(page)
            if named[1] is None or named not in known:
                found.append(page)
            known.add(named)
    return found


def images_of_classes(classes: Classes, every_page: bool) -> Classes:
    """The images of classes, whose files may have several pages or frames.

    Args:
        every_page: each is an image (`all_pages_of_classes`); otherwise there is one image of each file, or
            those pages of it that are named.

    Raises:
        DataError: a page has two classes, as it is named through a link; a file and a page of it are named,
            and not every page is an image; or a class is left without images.
    """
    _refuse_two_labels(classes)
    if every_page:
        return all_pages_of_classes(classes)
    paths = [path for own in classes.values() for path in own]
    named = [path for path in paths if split_page(path)[1] is not None and kind_at(path) != "file"]
    pages = {_page(path)[0]: path for path in named}
    for path in paths if pages else []:
        file, number = _page(path)
        if number is None and file in pages:
            raise DataError(
                f"{path} has a class, and its page {pages[file].name} too",
                "pages alone; or --all-pages, where the file stands for the pages that are not named",
            )
    return classes


def _refuse_two_labels(classes: Classes) -> None:
    """Refuse a page of two classes; that a whole file is in two is told where images are compared."""
    known: dict[tuple[Path, int | None], tuple[Path, str]] = {}
    for name, paths in classes.items():
        for path in paths:
            page = _page(path)
            first, label = known.setdefault(page, (path, name))
            if page[1] is not None and label != name:
                raise DataError(
                    f"{first} and {path} are one page with two labels, {label!r} and {name!r}", "one of them"
                )


def all_pages_of_classes(classes: Classes) -> Classes:
    """The same with all pages or frames of each file; a page that is named is of its own class alone.

    Raises:
        DataError: a class is left without images, as all pages of its files are named.
    """
    named = {_page(path) for paths in classes.values() for path in paths if split_page(path)[1] is not None}
    found: Classes = {
        name: [
            page
            for path in paths
            for page in all_pages([path])
            if page == path or _page(page) not in named  # its own name is the page's
        ]
        for name, paths in classes.items()
    }
    for name, paths in classes.items():
        if paths and not found[name]:
            raise DataError(
                f"class {name!r} has no images: all pages of {paths[0]} are named with a class of their own",
                f"leave {paths[0].name} out of the table, or some of its pages",
            )
    return found


def _page(path: Path) -> tuple[Path, int | None]:
    """The file that is meant, however it is written, and the page of it; files may be called as pages are."""
    file, page = (path, None) if kind_at(path) == "file" else split_page(path)
    return real_path(file), page
