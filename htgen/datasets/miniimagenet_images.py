"""miniImageNet as image files: folders of classes, `images/` with CSV files, or zip archives of either part.

* `train/ val/ test/`, or some of them, with a folder of images for each class; or such folders alone.
* `images/` beside `train.csv`, `val.csv`, `test.csv` with the columns `filename` and `label`, as Ravi and
  Larochelle (2017) published theirs.
* archives `*.zip` whose members end in `<class>/<image>`; the part is a folder in it, or ends its name.
"""

import csv
import io
import re
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from io import BytesIO
from pathlib import Path, PurePosixPath

from htgen.arrays import Pixels
from htgen.datasets.miniimagenet_classes import PUBLISHED
from htgen.datasets.raw_images import ReadImages, folder_reader, open_archive, zip_reader
from htgen.datasets.sources import Piece
from htgen.errors import DataError
from htgen.files import kind_at, read_regular
from htgen.images.folders import find_folders
from htgen.images.preprocessing import Preprocessing
from htgen.images.reading import decode_image

_ENDINGS = (".jpg", ".jpeg", ".png")
_MOST_TABLE = 1 << 26
"""Bytes of a CSV file; those that are published have 1.5 MB."""


def image_pieces(source: Path, preprocessing: Preprocessing, stack: ExitStack) -> list[Piece]:
    """The classes of the source in the first of the three forms that is there; none if none is.

    Args:
        source: the folder.
        preprocessing: what the images are brought to.
        stack: keeps archives open.

    Raises:
        DataError: an archive or a table is damaged, or images of a table are missing.
    """
    if archives := [path for path in sorted(source.glob("*.zip")) if kind_at(path) == "file"]:
        return [piece for path in archives for piece in _of_archive(path, preprocessing, stack)]
    if tables := [source / f"{part}.csv" for part in PUBLISHED if kind_at(source / f"{part}.csv") == "file"]:
        return [piece for table in tables for piece in _of_table(table, preprocessing)]
    parts = {part: source / part for part in PUBLISHED if kind_at(source / part) == "folder"}
    if parts:
        return [piece for part, folder in parts.items() for piece in _of_folder(part, folder, preprocessing)]
    if any(kind_at(source / name) == "folder" for names in PUBLISHED.values() for name in names):
        return _of_folder("", source, preprocessing)
    return []


def _of_archive(path: Path, preprocessing: Preprocessing, stack: ExitStack) -> Iterator[Piece]:
    archive = open_archive(path, stack)
    ending = re.search("(train|val|test)$", path.stem)
    members: dict[tuple[str, str], list[str]] = {}
    for member in archive.namelist():
        inside = PurePosixPath(member)
        if _is_image(inside.name) and len(inside.parts) > 1:
            named = [part for part in inside.parts[:-2] if part in PUBLISHED]
            part = named[-1] if named else ending[1] if ending else ""
            members.setdefault((part, inside.parts[-2]), []).append(member)
    for (part, name), found in sorted(members.items()):
        found.sort(key=lambda member: member.rpartition("/")[2])
        read = zip_reader(archive, path, found)
        yield _piece(part, name, f"{path.name}: {name}", found, read, preprocessing)


def _of_folder(part: str, folder: Path, preprocessing: Preprocessing) -> list[Piece]:
    pieces = []
    for class_folder in find_folders(folder):
        names = sorted(path.name for path in class_folder.iterdir() if _is_image(path.name))
        if names:
            read = folder_reader(class_folder, names)
            where = f"{part}/{class_folder.name}".lstrip("/")
            pieces.append(_piece(part, class_folder.name, where, names, read, preprocessing))
    return pieces


def _of_table(table: Path, preprocessing: Preprocessing) -> Iterator[Piece]:
    folder, part = table.parent / "images", table.stem
    if kind_at(folder) != "folder":
        raise DataError(f"there is no folder {folder} beside {table.name}", "put the images there")
    classes: dict[str, list[str]] = {}
    for number, (name, label) in enumerate(_lines(table), 2):
        places = [place for place in (name, f"{label}/{name}") if kind_at(folder / place) == "file"]
        if not places or ".." in PurePosixPath(name).parts or PurePosixPath(name).is_absolute():
            raise DataError(
                f"line {number} of {table} names {name!r}, which is not in {folder}",
                "unpack all images there, or use the CSV files that belong to them",
            )
        classes.setdefault(label, []).append(places[0])
    for label, names in classes.items():
        names.sort(key=lambda member: member.rpartition("/")[2])
        read = folder_reader(folder, names)
        yield _piece(part, label, f"{table.name}: {label}", names, read, preprocessing)


def _lines(table: Path) -> Iterator[tuple[str, str]]:
    """File name and label of each line."""
    hint = "it has a first line `filename,label`, and one line for each image"
    try:
        text = read_regular(table, _MOST_TABLE).decode("utf-8-sig")
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), skipinitialspace=True) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read {table}: {error}", hint) from error
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    if "filename" not in header or "label" not in header:
        raise DataError(f"{table} has no columns `filename` and `label`", hint)
    columns = header.index("filename"), header.index("label")
    for number, row in enumerate(rows[1:], 2):
        if len(row) <= max(columns):
            raise DataError(f"line {number} of {table} has {len(row)} columns", hint)
        yield row[columns[0]].strip(), row[columns[1]].strip()


def _piece(
    part: str, name: str, where: str, members: list[str], read: ReadImages, preprocessing: Preprocessing
) -> Piece:
    keys = tuple(member.rpartition("/")[2] for member in members)
    return Piece(part, name, where, keys, partial(_prepared, read, preprocessing))


def _prepared(read: ReadImages, preprocessing: Preprocessing) -> Iterator[Pixels]:
    decode = partial(decode_image, enough=preprocessing.enough)
    return (preprocessing.apply(decode(BytesIO(content), where)) for where, content in read())


def _is_image(name: str) -> bool:
    return name.lower().endswith(_ENDINGS) and not name.startswith(".")
