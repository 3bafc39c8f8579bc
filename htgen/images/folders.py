"""Image files in folders, and folders with one sub-folder of images per class."""

import contextlib
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from htgen.errors import DataError
from htgen.files import kind_at, open_regular, real_path, unreadable
from htgen.images import heic
from htgen.images.formats import is_image, is_known_ending
from htgen.images.names import label_in
from htgen.images.order import natural_order

_COMMON_ENDINGS = (".png", ".jpg", ".webp", ".bmp", ".gif", ".tif")

TABLES = {".csv", ".tsv"}
"""Endings of files that may say which image is of which class."""

_TEXTS = TABLES | {".json", ".xml", ".txt", ".yaml", ".yml", ".md"}
"""Endings of files that say something of images, and are none."""

ARCHIVES = {".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar"}

_OF_THE_SYSTEM = {"Thumbs.db", "desktop.ini"}

_SMALLER_COPIES = "thumbs", "thumbnails"
"""Folders with copies of images that systems and programs make; people may have a class of that name."""

_FOLDERS_OF_THE_SYSTEM = {
    *("__macosx", "__pycache__", "@eadir", "@recycle", "#recycle", "lost+found", "$recycle.bin"),
    *(
        "system volume information",
        "@recently-snapshot",
        "@recent-snapshot",
        "#snapshot",
        "@tmp",
        "@sharebin",
    ),
    *_SMALLER_COPIES,
}

_HIDDEN_OF_PROGRAMS = {
    *(
        ".git",
        ".svn",
        ".ipynb_checkpoints",
        ".thumbnails",
        ".cache",
        ".trash",
        ".trashes",
        ".idea",
        ".vscode",
    ),
    *(".venv", ".fseventsd", ".Trash", ".Trashes", ".Spotlight-V100", ".picasaoriginals", ".tmp.driveupload"),
}

_PARTS_OF_DATA = r"(?i:(train|valid|val|test|dev|eval)(ing|ation|uation)?([-_ ]?(set|data|images))?)"
"""Names of folders that divide images into parts for training and testing, not into classes."""

_MEANT = {"train": ("train",), "test": ("test", "eval", "val", "dev")}
"""How the names of parts begin that are meant where one is wanted, the best first; after them any other."""

_MOST_DEPTH = 4
"""Sub-folders of a class are looked into so deep."""

_MOST_FOLDERS = 200
"""So many folders are looked into at each depth, to tell where images are."""


# ---------------------------------------------------------------------------------------------------- folders


def find_images(folder: str | Path) -> list[Path]:
    """The image files directly in a folder, in natural order; hidden files are left out.

    A file is one if its name has the ending of a format that is read, or if its content is of one.

    Raises:
        DataError: there is no such folder, or it cannot be read.
    """
    return [path for path in _visible_files(folder) if _is_readable(path)]


def find_other_files(folder: str | Path) -> list[Path]:
    """The other files directly in a folder, in natural order; people may take them for images, as HEIC files
    where these cannot be read.

    Raises:
        DataError: there is no such folder, or it cannot be read.
    """
    return [path for path in _visible_files(folder) if not _is_readable(path)]


def find_irregular(folder: str | Path) -> list[Path]:
    """What is neither a file nor a folder, such as pipes and devices, and links to such, in natural order.

    Raises:
        DataError: there is no such folder, or it cannot be read.
    """
    return [path for path in _visible_entries(Path(folder)) if kind_at(path) == "other"]


def find_folders(folder: str | Path) -> list[Path]:
    """The folders directly in a folder, and links to such, in natural order; hidden ones are left out, and
    those that systems make, such as `__MACOSX`, `@eaDir` and `lost+found`.

    Raises:
        DataError: there is no such folder, or it cannot be read.
    """
    return [
        path
        for path in _visible_entries(Path(folder))
        if kind_at(path) == "folder" and path.name.lower() not in _FOLDERS_OF_THE_SYSTEM
    ]


def find_empty(folder: str | Path) -> list[Path]:
    """The folders directly in a folder in which nothing is to be seen but such folders, in natural order.

    Raises:
        DataError: there is no such folder, or it or one of them cannot be read.
    """
    return [path for path in find_folders(folder) if _is_empty(path)]


def _is_empty(folder: Path, depth: int = 0) -> bool:
    entries = _visible_entries(folder)
    return not entries or (
        depth < _MOST_DEPTH
        and all(kind_at(path) == "folder" and _is_empty(path, depth + 1) for path in entries)
    )


def is_of_system(parts: Sequence[str]) -> bool:
    """Whether a path, by its parts, is of what systems and programs put beside images."""
    *folders, name = parts or ("",)
    is_made = name in _OF_THE_SYSTEM or name.startswith("._") or name == ".DS_Store"
    return is_made or any(
        folder.lower() in _FOLDERS_OF_THE_SYSTEM or folder in _HIDDEN_OF_PROGRAMS for folder in folders
    )


def is_smaller_copy(parts: Sequence[str]) -> bool:
    """Whether a path, by its parts, is left out for a folder whose name is of thumbnails alone."""
    kept = [part for part in parts[:-1] if part.lower() not in _SMALLER_COPIES]
    return len(kept) < len(parts) - 1 and not is_of_system((*kept, parts[-1]))


def find_hidden_folders(folder: str | Path) -> list[Path]:
    """Folders of images whose names begin with a dot, as a class `.net`; those of programs are left out."""
    try:
        found = [path for path in Path(folder).iterdir() if path.name.startswith(".")]
    except OSError:
        return []
    return sorted(
        path
        for path in found
        if kind_at(path) == "folder" and path.name not in _HIDDEN_OF_PROGRAMS and find_images(path)
    )


def find_smaller_copies(folder: str | Path) -> list[Path]:
    """Folders that by their names hold smaller copies of images, and so are no classes, but hold images."""
    entries = [path for path in _visible_entries(Path(folder)) if kind_at(path) == "folder"]
    return [path for path in entries if path.name.lower() in _SMALLER_COPIES and holds_images(path)]


def depth_of_images(folder: Path) -> int:
    """How many folders deep in a folder the first images lie; 0 where none are found."""
    level = [folder]
    for depth in range(1, _MOST_DEPTH + 1):
        deeper: list[Path] = []
        for place in level:
            with contextlib.suppress(DataError):  # one that cannot be read
                deeper += find_folders(place)[:_MOST_FOLDERS]
        level = deeper[:_MOST_FOLDERS]
        if any(holds_images(place) for place in level):
            return depth
    return 0


def holds_images(folder: Path) -> bool:
    """Whether there are images in a folder that can be read."""
    try:
        return bool(find_images(folder))
    except DataError:
        return False


def _is_readable(path: Path) -> bool:
    """Whether there is a format of this ending that can be read, or of this content."""
    ending = path.suffix.lower()
    if is_known_ending(ending):
        return True
    try:
        with open_regular(path) as file:
            return is_image(file.read(32))
    except OSError:
        return False


def _visible_files(folder: str | Path) -> list[Path]:
    # A link that leads nowhere is a file that cannot be read, and is told as such.
    return [
        path
        for path in _visible_entries(Path(folder))
        if (kind_at(path) == "file" or (path.is_symlink() and kind_at(path) is None))
        and path.name not in _OF_THE_SYSTEM
    ]


def class_folders(folder: str | Path, minimum: int = 2, part: str = "train") -> dict[str, list[Path]]:
    """The images of a folder that has one sub-folder per class: class name -> image files.

    The classes are in natural order (`natural_order`), and this is the order of a CNN's outputs: 2 is before
    10, `Zebra` before `ant`, on every system. So are the files of a class. Folders whose names differ by
    their Unicode form alone (NFC and NFD) are one class. A class whose images lie in sub-folders, and none
    beside them, has all of these.

    Args:
        folder: hidden sub-folders, those of systems (`find_folders`), links to the folder itself or to one
            around it, and files beside the sub-folders are left out.
        minimum: how many classes there must be.
        part: of the parts of a data set, the one whose classes are meant, for errors. In `test` classes may
            lack: empty folders (`find_empty`) are left out where others have images.

    Raises:
        DataError: no such folder, fewer classes than `minimum`, a class without image files, names that look
            alike, or folders that are parts of a data set (`train`, `test`) in place of classes.
    """
    folder = Path(folder)
    found = not_around(find_folders(folder), folder)
    remedy = f"make one sub-folder per class in {folder}, with the images of the class in it"
    if not found:
        loose = len(find_images(folder))
        left_out, helps = _left_out(folder)
        what = f"{loose} image{'s' * (loose > 1)} but no sub-folders" if loose else "no sub-folders"
        raise DataError(f"{folder} has {what}: no classes{left_out}", helps or remedy)
    _refuse_parts_of_data(folder, found, part)
    if part == "test":
        empty_folders = find_empty(folder)
        found = [path for path in found if path not in empty_folders] or found
    classes: dict[str, list[Path]] = {}
    for path in found:
        classes.setdefault(_class_name(path, found), []).append(path)
    _refuse_look_alikes(folder, list(classes))
    if len(classes) < minimum:
        _refuse_too_deep(folder, found)
        names = ", ".join(map(repr, classes))
        count = "one class" if len(classes) == 1 else f"{len(classes)} classes"
        left_out, helps = _left_out(folder)
        raise DataError(
            f"{folder} has only {count} ({names}){left_out}; at least {minimum} are needed", helps or remedy
        )
    result = {name: _images_of_all(paths) for name, paths in classes.items()}
    empty = [name for name, images in result.items() if not images]
    if empty:
        raise _no_images(folder / empty[0], len(empty) - 1)
    return result


def _class_name(path: Path, others: list[Path]) -> str:
    """The name of a class: composed (NFC), where a folder is called so."""
    composed = unicodedata.normalize("NFC", path.name)
    return composed if any(other.name == composed for other in others) else path.name


def _images_of_all(folders: list[Path]) -> list[Path]:
    images = [image for folder in folders for image in _images_of(folder)]
    return images if len(folders) == 1 else sorted(images, key=lambda path: natural_order(path.name))


def _images_of(folder: Path, depth: int = 0) -> list[Path]:
    """The images in a class's folder; in its sub-folders, if there are none beside these.

    Links that lead back to a folder around them, whose images are of other classes, are passed over.
    """
    images = find_images(folder)
    if images or depth == _MOST_DEPTH:
        return images
    inner = not_around(find_folders(folder), folder)
    parts = [path for path in inner if re.fullmatch(_PARTS_OF_DATA, path.name)]
    if parts and any(_images_of(path, depth + 1) for path in parts):
        raise DataError(
            f"{folder} holds parts of a data set ({_list(parts)}) in place of images",
            "put the images that are to be learned from directly into it, and the others elsewhere",
        )
    return [image for path in inner for image in _images_of(path, depth + 1)]


def not_around(folders: list[Path], folder: Path) -> list[Path]:
    """Those of the folders in a folder that are no links to it or to one around it."""
    return [path for path in folders if not real_path(folder).is_relative_to(real_path(path))]


def _refuse_parts_of_data(folder: Path, found: list[Path], part: str) -> None:
    if len(found) < 2 or not all(re.fullmatch(_PARTS_OF_DATA, path.name) for path in found):
        return
    parts = f"{_list(found)}, which are parts of a data set and no classes"
    inner = [path for path in found if find_folders(path)]
    if inner:
        starts = (*_MEANT[part], "")
        meant = min(inner, key=lambda path: [path.name.lower().startswith(s) for s in starts].index(True))
        raise DataError(f"{folder} holds {parts}; the classes are folders in them", f"{meant}")
    images = find_images(found[0])
    have_labels = bool(images) and all(label_in(image.name) for image in images)
    what = f"; are the names of the files labels, as {images[0].name!r}?" if have_labels else ""
    raise DataError(
        f"{folder} holds {parts}; there is no folder per class{what}",
        ("--labels-in-names with one of them, if so; or " if have_labels else "")
        + f"make one sub-folder per class in {folder}, with the images of the class in it",
    )


def _refuse_too_deep(folder: Path, found: list[Path]) -> None:
    place, inner = folder, found
    for _ in range(_MOST_DEPTH):
        if len(inner) == 1 and not find_images(inner[0]):
            place, inner = inner[0], find_folders(inner[0])
    if place != folder and len(inner) > 1:
        name = str(place.relative_to(folder))
        what = f"one folder, {name!r}, and the classes seem to be in it: {_list(inner)}"
        raise DataError(f"{folder} holds {what}", f"{place}")
    tables = [path for path in find_other_files(found[0]) if path.suffix.lower() in TABLES] if found else []
    if len(found) == 1 and tables:
        what = f"one folder, {found[0].name!r}, with images and a table, {tables[0].name!r}"
        raise DataError(
            f"{folder} holds {what}",
            f"--support '{found[0]}' --labels '{tables[0]}', if it says which image is of which class",
        )


def _left_out(folder: Path) -> tuple[str, str | None]:
    """Folders of images that are no classes for their names: a part of an error, and what helps."""
    found = [*find_smaller_copies(folder), *find_hidden_folders(folder)]
    if not found:
        return "", None
    are = "is none, for its name" if len(found) == 1 else "are none, for their names"
    return f"; {_list(found)} {are}", "another name for it, if it is one" if len(found) == 1 else (
        "other names for them, if they are classes"
    )


def _refuse_look_alikes(folder: Path, names: list[str]) -> None:
    seen: dict[str, str] = {}
    for name in names:
        plain = " ".join(unicodedata.normalize("NFC", name).split())
        if plain in seen:
            raise DataError(
                f"{folder} has two classes whose names differ by blanks alone: {seen[plain]!r} and {name!r}",
                "rename one of the folders, or put their images into one",
            )
        seen[plain] = name


def _no_images(folder: Path, further: int) -> DataError:
    """The error for a class without images, and how many of the other classes are so too."""
    others = f"; {further} of the other classes also" if further else ""
    unknown = [path.name for path in find_other_files(folder)]
    found = f"no image files, only files such as {unknown[0]!r}" if unknown else "no image files"
    endings = f"{', '.join(_COMMON_ENDINGS)}, ..."
    remedy = f"put images in it ({endings})"
    if unknown and all(Path(name).suffix.lower() in _TEXTS for name in unknown):
        remedy = f"move {folder} elsewhere, if it is no class; labels are read from a CSV file, with --labels"
    elif unknown:
        remedy = f"convert them to PNG or JPEG ({endings}); for HEIC: {heic.INSTALL}"
    return DataError(f"class {folder.name!r} has no images: {folder} holds {found}{others}", remedy)


def _list(paths: list[Path]) -> str:
    """The first names of some folders."""
    names = [repr(path.name) for path in paths[:4]]
    return ", ".join(names) + (f" and {len(paths) - 4} more" if len(paths) > 4 else "")


def _visible_entries(folder: Path) -> list[Path]:
    try:
        entries = [path for path in folder.iterdir() if not path.name.startswith(".")]
    except FileNotFoundError:
        raise DataError(f"there is no folder {folder}", "check the path") from None
    except NotADirectoryError:
        is_archive = folder.suffix.lower() in ARCHIVES
        remedy = "unpack it, and name the folder" if is_archive else "name the folder that it is in"
        raise DataError(f"{folder} is not a folder", remedy) from None
    except OSError as error:
        raise unreadable(f"folder {folder}", error) from error
    return sorted(entries, key=lambda path: natural_order(path.name))
