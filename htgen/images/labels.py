"""Labels that are not names of folders: in a CSV file, or in the names of the images.

The classes are in natural order (`htgen.images.order.natural_order`), as those of folders are.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from htgen.errors import DataError
from htgen.files import kind_at, real_path
from htgen.images.folders import (
    TABLES,
    class_folders,
    find_empty,
    find_folders,
    find_hidden_folders,
    find_images,
    find_other_files,
    find_smaller_copies,
    not_around,
)
from htgen.images.names import composed, label_in
from htgen.images.notices import left_out_of, warning
from htgen.images.order import natural_order
from htgen.images.pages import split_page
from htgen.images.tables import read_table


@dataclass(frozen=True)
class LabeledFiles:
    """Image files by class.

    Attributes:
        classes: class name -> its files; at least one class.
        notices: lines on what was left out.
    """

    classes: dict[str, list[Path]]
    notices: tuple[str, ...] = ()


def find_labeled(
    folder: str | Path,
    labels: str | Path | None = None,
    labels_in_names: bool = False,
    minimum: int = 1,
    part: str = "train",
) -> LabeledFiles:
    """The labelled images of a folder: by sub-folders, unless labels are told otherwise.

    Args:
        folder: one sub-folder of images per class, or the images.
        labels: a CSV file (`labels_from_csv`).
        labels_in_names: labels are in the names of the files (`labels_from_names`).
        minimum: how many classes there must be.
        part: as for `class_folders`.

    Raises:
        DataError: there are no such images, or fewer classes.
    """
    folder = Path(folder)
    if labels is not None:
        found = labels_from_csv(labels, folder)
    else:
        found = labels_from_names(folder) if labels_in_names else _in_sub_folders(folder, minimum, part)
    classes = {composed(name): paths for name, paths in found.classes.items()}
    found = LabeledFiles(classes, (*found.notices, *_nearly_alike(classes)))
    if len(found.classes) < minimum:
        source = f"the names of the files in {folder} give" if labels is None else f"{labels} gives"
        names = ", ".join(map(repr, found.classes))
        count = "one class" if len(found.classes) == 1 else f"{len(found.classes)} classes"
        raise DataError(
            f"{source} only {count} ({names}); at least {minimum} are needed",
            "images of a second class",
        )
    return found


def _nearly_alike(classes: Iterable[str]) -> list[str]:
    """Lines on classes that may be one: they differ by capital letters or blanks alone."""
    same: dict[str, list[str]] = {}
    for name in classes:
        same.setdefault(_with_single_blanks(name.lower()), []).append(name)
    pairs: dict[str, list[str]] = {}
    for names in same.values():
        if len(names) > 1:
            case, blanks = ({form(name) for name in names} for form in (str.lower, _with_single_blanks))
            what = "capital letters" if len(case) == 1 else "blanks"
            what = what if 1 in (len(case), len(blanks)) else "capital letters and blanks"
            pairs.setdefault(what, []).append(" and ".join(map(repr, names)))
    return [
        line
        for what, cases in pairs.items()
        for line in warning(f"classes differ by {what} alone, and are taken for several:", cases, 3)
    ]


def _with_single_blanks(name: str) -> str:
    return " ".join(name.split())


def _in_sub_folders(folder: Path, minimum: int, part: str) -> LabeledFiles:
    try:
        classes = class_folders(folder, minimum, part)
    except DataError as error:
        if kind_at(folder) == "folder" and (remedy := hint_for_loose_images(folder)) is not None:
            raise DataError(error.message, remedy) from None
        raise
    tables = [path.name for path in find_other_files(folder) if path.suffix.lower() in TABLES]
    told = warning(f"tables beside the folders are read with --labels alone, in {folder}:", tables, 3)
    lacking = [path.name for path in find_empty(folder)] if part == "test" else []
    told += warning(f"classes without an image are not tested, in {folder}:", lacking, 3)
    return LabeledFiles(classes, (*beside_classes(folder, classes), *told))


def beside_classes(folder: Path, classes: Iterable[str]) -> list[str]:
    """Lines on what is in a folder beside its classes, or beside the images in these, and is left out."""
    direct = [folder / name for name in classes if find_images(folder / name)]
    notices = [line for place in direct for line in left_out_of(place)]
    loose = [path.name for path in find_images(folder)]
    hidden = [path.name for path in find_hidden_folders(folder)]
    notices += warning(f"folders whose names begin with a dot are no classes, in {folder}:", hidden, 3)
    copies = [path.name for path in find_smaller_copies(folder)]
    notices += warning(f"folders of thumbnails are no classes, in {folder}:", copies, 3)
    return notices + warning(f"images beside the folders of classes, in {folder}:", loose, 3)


def labels_from_csv(table: str | Path, folder: str | Path) -> LabeledFiles:
    """Read which image is of which class.

    The table has an image and a label in each line, with or without a header. The separator is a comma, a
    semicolon, a tab or a vertical bar. With a header the columns are found by their names, such as `file` and
    `class`; further columns are passed over. Without one they are the first two; images may come second. In
    place of the labels there may be a column for each class, with a one where an image is of it and zeros
    elsewhere. Otherwise the column beside the images is taken, if its values repeat. The last two are told.

    Args:
        table: text in UTF-8, or UTF-16 with a mark.
        folder: where the images are; paths in the table are relative to it, or to the table's own folder.
            The ending may be missing.

    Raises:
        DataError: the table cannot be read or has no such columns or several that may be meant, none of its
            images is there, or an image has two labels.
    """
    table, folder = Path(table), Path(folder)
    if kind_at(folder) != "folder":
        raise DataError(f"there is no folder {folder}", "the folder of the images")
    places = _Places(folder, table.parent)
    lines, passed_over = read_table(table, lambda name: places.find(name) is not None)
    found: dict[Path, str] = {}
    missing: dict[Path, str] = {}
    nameless = 0
    if not any(line.label for line in lines):
        raise DataError(f"no line of {table} has a label", "a label in each line, beside its image")
    for image, label in lines:
        if not image or not label:
            nameless += 1
            continue
        path, label = places.find(image), composed(label)
        if path is None:
            path = folder / image
            missing.setdefault(path, image)
        if found.setdefault(path, label) != label:
            raise DataError(f"{table} gives {image} two labels, {found[path]!r} and {label!r}", "one of them")
    if not found or len(missing) == len(found):
        first = f"; the first is '{next(iter(missing.values()))}'" if missing else ""
        raise DataError(
            f"none of the {len(found)} images that {table} names is in {folder}{first}",
            f"paths relative to {folder}" + (f" or to {table.parent}" if table.parent != folder else ""),
        )
    named = {real_path(place) for path in found for place in (path, split_page(path)[0])}
    unnamed = [path.name for path in _images_in(folder) if real_path(path) not in named]
    notices = [
        *passed_over,
        *([f"warning: lines without an image or a label in {table}: {nameless}"] if nameless else []),
        *warning(f"images in {folder} that {table} does not name:", unnamed, 3),
    ]
    return LabeledFiles(_by_class(found.items()), tuple(notices))


def labels_from_names(folder: str | Path) -> LabeledFiles:
    """Take the label of each image from the name of its file.

    It is the part before the first dot, where a further part and an ending follow: `cat.7.png`,
    `cat.ab12.png`. Otherwise it is the name without the number at its end: `cat_7.png`, `cat-7.png`,
    `cat (7).png`, `cat7.png`.

    Args:
        folder: with the images in it.

    Raises:
        DataError: there is no image, or no label in the name of one of them.
    """
    folder = Path(folder)
    images = find_images(folder)
    if not images:
        raise DataError(f"{folder} holds no image files", "a folder with images directly in it")
    unnamed = [path.name for path in images if label_in(path.name) is None]
    if unnamed:
        more = f" and {len(unnamed) - 1} more" if len(unnamed) > 1 else ""
        raise DataError(
            f"no label in the name '{unnamed[0]}'{more} in {folder}",
            "names such as cat_1.png or cat.1.png, or --labels with a CSV file",
        )
    return LabeledFiles(_by_class((path, composed(str(label_in(path.name)))) for path in images))


def hint_for_loose_images(folder: str | Path) -> str | None:
    """What to try with a folder that has images and no sub-folders: an option that fits what is there."""
    folder = Path(folder)
    if find_folders(folder):
        return None
    images = find_images(folder)
    tables = sorted(path for path in folder.iterdir() if path.suffix.lower() in TABLES)
    if not images:
        return None
    if tables:
        return f"--labels '{tables[0]}', if it says which image is of which class"
    labels = [label_in(path.name) for path in images]
    kinds = sorted({label for label in labels if label}, key=natural_order)
    if None not in labels and 2 <= len(kinds) < len(images):
        shown = ", ".join(map(repr, kinds[:3])) + (", ..." if len(kinds) > 3 else "")
        return f"--labels-in-names, if {shown} are the classes"
    return None


class _Places:
    """Finds files by what a table calls them.

    Args:
        folders: where to look, the first one first.
    """

    def __init__(self, *folders: Path) -> None:
        self._folders = folders
        self._by_stem: dict[str, list[Path]] | None = None

    def find(self, name: str) -> Path | None:
        """The file; None if there is none, or several that the name fits without its ending."""
        for folder in self._folders:
            path = folder / name.replace("\\", "/")
            if kind_at(path) == "file" or kind_at(split_page(path)[0]) == "file":
                return path
        if self._by_stem is None:
            self._by_stem = {}
            for path in _images_in(self._folders[0]):
                self._by_stem.setdefault(path.stem, []).append(path)
        same = self._by_stem.get(name, [])
        return same[0] if len(same) == 1 else None


def _images_in(folder: Path) -> list[Path]:
    """Images in a folder and directly in its sub-folders."""
    return [
        path for place in (folder, *not_around(find_folders(folder), folder)) for path in find_images(place)
    ]


def _by_class(labels: Iterable[tuple[Path, str]]) -> dict[str, list[Path]]:
    classes: dict[str, list[Path]] = {}
    for path, label in labels:
        classes.setdefault(label, []).append(path)
    return {label: classes[label] for label in sorted(classes, key=natural_order)}
