"""The image files that a CNN is to be made of, before there is a generator. No torch here."""

from pathlib import Path
from typing import NamedTuple

from htgen.errors import DataError
from htgen.images.every_page import all_pages as every_page_of
from htgen.images.every_page import images_of_classes
from htgen.images.inputs import images_in
from htgen.images.labels import find_labeled
from htgen.images.notices import told_with_errors


class SupportFiles(NamedTuple):
    """The image files that a CNN is to be made of; nothing of them is read yet.

    Attributes:
        folder: of the classes.
        classes: class name -> its files.
        unlabeled: further files, without labels.
        notices: lines on what else is in the folders.
    """

    folder: Path
    classes: dict[str, list[Path]]
    unlabeled: list[Path]
    notices: tuple[str, ...]


def find_support(
    folder: str | Path,
    unlabeled: str | Path | None = None,
    labels: str | Path | None = None,
    labels_in_names: bool = False,
    all_pages: bool = False,
    minimum: int = 2,
) -> SupportFiles:
    """The files of `generate_from_folder`, before there is a generator.

    Args:
        folder, unlabeled, labels: as for `generate_from_folder`.
        labels_in_names: labels are in the names of the files (`htgen.images.labels.labels_from_names`).
        all_pages: every page or frame of a file is an image.
        minimum: of classes.

    Raises:
        DataError: fewer classes, a class without image files, or none in `unlabeled`.
    """
    folder = Path(folder)
    found = find_labeled(folder, labels, labels_in_names, minimum=minimum)
    with told_with_errors(found.notices):
        further, lines = ([], []) if unlabeled is None else _without_labels(Path(unlabeled))
        further = every_page_of(further) if all_pages else further
        classes = images_of_classes(found.classes, all_pages)
    return SupportFiles(folder, classes, further, (*found.notices, *lines))


def _without_labels(folder: Path) -> tuple[list[Path], list[str]]:
    """As `images_in`, where sub-folders cannot be named in place of the folder."""
    try:
        return images_in(folder)
    except DataError as error:
        error.hint = "a folder with images directly in it"
        raise
