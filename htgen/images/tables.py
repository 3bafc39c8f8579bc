"""Tables that say which image is of which class: CSV, in the forms that people have."""

import csv
import io
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from htgen.errors import DataError
from htgen.files import read_regular

IsImage = Callable[[str], bool]
"""Whether there is an image that a table calls so."""

_IMAGE_COLUMNS = (
    "image",
    "images",
    "file",
    "files",
    "filename",
    "path",
    "filepath",
    "imagepath",
    "name",
    "id",
)
_LABEL_COLUMNS = ("label", "labels", "class", "classes", "classname", "category", "target", "y")

_PART_COLUMNS = ("split", "splits", "set", "subset", "part", "partition", "usage", "dataset", "fold")
"""Columns that divide images into parts for training and testing."""

_MOST_BYTES = 1 << 26
"""Of a table."""

_SEPARATORS = ",;\t|"

_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}

_REMEDY = "one line an image: its file, a comma, its label"


class Line(NamedTuple):
    """What a table calls an image, and its label; either may be empty."""

    image: str
    label: str


def read_table(table: Path, is_image: IsImage) -> tuple[list[Line], list[str]]:
    """The lines of a table, and lines for people on what of it is passed over; see `labels_from_csv`.

    Raises:
        DataError: the table cannot be read, has no such columns, or nothing but a header.
    """
    rows = _without_one_hot(table, _rows(table), is_image)
    start, image, label = _columns(table, rows, is_image)
    lines = [Line(row[image].strip(), row[label].strip()) for row in rows[start:]]
    if not lines:
        raise DataError(f"{table} has a header and no images", _REMEDY)
    notices = [] if start == 0 else _passed_over(table, rows, label)
    return lines, notices


def _rows(table: Path) -> list[list[str]]:
    """The lines of a table that are not empty, by the separator that most of them have."""
    try:
        data = read_regular(table, _MOST_BYTES)
    except OSError as error:
        raise DataError(f"cannot read {table}: {error.strerror}", "a CSV file") from None
    try:
        text = data.decode(_MARKS.get(data[:2], "utf-8-sig"))
    except UnicodeDecodeError:
        raise DataError(f"{table} is no text in UTF-8", "save it as UTF-8") from None
    lines = [line for line in text.splitlines() if line.strip()]
    separator = max(_SEPARATORS, key=lambda mark: sum(mark in line for line in lines))
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
        rows = [row for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise DataError(f"{table} is no CSV file: {error}", _REMEDY) from None
    if not rows:
        raise DataError(f"{table} is empty", _REMEDY)
    for number, row in enumerate(rows, 1):
        if len(row) < 2:
            raise DataError(f"line {number} of {table} has one column: {row[0][:60]!r}", _REMEDY)
    return rows


def _plain(names: list[str]) -> list[str]:
    """Names of columns, without what people write them with."""
    return [re.sub(r"[^a-z]", "", name.lower()) for name in names]


def _column(names: list[str], wanted: tuple[str, ...]) -> int | None:
    return next((names.index(name) for name in wanted if name in names), None)


def _without_one_hot(table: Path, rows: list[list[str]], is_image: IsImage) -> list[list[str]]:
    """The same with one column of labels, where each class has a column of zeros and ones.

    Raises:
        DataError: a line has several ones.
    """
    header, lines = rows[0], rows[1:]
    if len(header) < 3 or not lines or any(len(row) != len(header) for row in lines):
        return rows
    if _column(_plain(header), _LABEL_COLUMNS) is not None:
        return rows
    marks = [{row[column].strip() for row in lines} for column in range(len(header))]
    others = [column for column, found in enumerate(marks) if not found <= {"0", "1"}]
    if len(others) != 1 or is_image(header[others[0]].strip()):
        return rows
    labeled = [["file", "label"]]
    for row in lines:
        classes = [name.strip() for name, mark in zip(header, row, strict=True) if mark.strip() == "1"]
        image = row[others[0]]
        if len(classes) > 1:
            raise DataError(
                f"{table} gives {image.strip()} {len(classes)} labels: {', '.join(map(repr, classes[:3]))}",
                "one of them, as an image is of one class",
            )
        labeled.append([image, *(classes or [""])])
    return labeled


def _columns(table: Path, rows: list[list[str]], is_image: IsImage) -> tuple[int, int, int]:
    """The first line of images, and the columns of images and labels."""
    names = _plain(rows[0])
    image, label = _column(names, _IMAGE_COLUMNS), _column(names, _LABEL_COLUMNS)
    if image is not None and label is not None and image != label:
        if any(len(row) <= max(image, label) for row in rows):
            raise DataError(f"lines of {table} are shorter than its header", _REMEDY)
        return 1, image, label
    hits = [sum(is_image(row[column].strip()) for row in rows) for column in (0, 1)]
    column = int(hits[1] > hits[0])
    # A first line that names no image, while others do, is a header of other words.
    may_be_header = hits[column] > 0 and not is_image(rows[0][column].strip()) and len(rows) > 1
    is_header = may_be_header and is_image(rows[1][column].strip())
    if is_header and len(rows[0]) > 2:
        known = ", ".join(map(repr, _LABEL_COLUMNS[:3]))
        raise DataError(
            f"none of the {len(rows[0])} columns of {table} is called {known} or the like",
            "call the column of the labels 'label'",
        )
    return int(is_header), column, 1 - column


def _passed_over(table: Path, rows: list[list[str]], label: int) -> list[str]:
    """Lines on columns that might be meant otherwise: another one of labels, and parts of the data."""
    names, notices = _plain(rows[0]), []
    for column, (name, title) in enumerate(zip(names, rows[0], strict=True)):
        values = Counter(row[column].strip() for row in rows[1:] if column < len(row))
        if name in _LABEL_COLUMNS and any(row[column] != row[label] for row in rows[1:] if column < len(row)):
            notices.append(
                f"warning: the labels are those of the column {rows[0][label].strip()!r} of {table}, not of "
                f"{title.strip()!r}"
            )
        elif name in _PART_COLUMNS and len(values) > 1:
            counts = ", ".join(f"{value or 'none'} ({count})" for value, count in values.most_common(4))
            notices.append(
                f"warning: all lines of {table} are taken, whatever {title.strip()!r} says: {counts}"
            )
    return notices
