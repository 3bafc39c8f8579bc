"""Tables that say which image is of which class: CSV, in the forms that people have."""

import csv
import io
import re
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from htgen.errors import DataError
from htgen.files import read_regular
from htgen.images.columns import (
    IMAGE_COLUMNS,
    LABEL_COLUMNS,
    PART_COLUMNS,
    PREFERRED,
    class_columns_beside,
    like_column,
    plain,
)
from htgen.images.formats import is_known_ending
from htgen.images.pages import split_page

IsImage = Callable[[str], bool]
"""Whether there is an image that a table calls so."""

_CALL_IT_LABEL = "call the column of the labels 'label'"
"""Helps always: a column of this name is preferred to all others."""

_MARK = re.compile(r"[01](\.0*)?|true|false")
"""What a column of zeros and ones holds, as people and programs write it."""

_ONE = re.compile(r"1(\.0*)?|true")

_NUMBER = re.compile(r"[-+]?\d*\.?\d*")

_MOST_BYTES = 1 << 26
"""Of a table."""

_SEPARATORS = ",;\t|"

_SEPARATOR_LINE = re.compile(r'"?sep=([,;\t|])"?[,;\t|]*(\r\n?|\n|$)', re.IGNORECASE)
"""A first line that tells a spreadsheet the separator."""

_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}

_REMEDY = "one line an image: its file, a comma, its label"


class Line(NamedTuple):
    """What a table calls an image, and its label; either may be empty."""

    image: str
    label: str


def read_table(table: Path, is_image: IsImage) -> tuple[list[Line], list[str]]:
    """The lines of a table, and lines for people on what of it is passed over; see `labels_from_csv`.

    Raises:
        DataError: the table cannot be read, has no such columns, or nothing but a header; or labels may be in
            several places.
    """
    rows, is_image = _rows(table), cache(is_image)
    if (found := _class_columns(table, rows, is_image)) is not None:
        image, classes = found
        lines = [Line(row[image].strip(), "".join(_ones(rows[0], row, classes))) for row in rows[1:]]
        titles = _list([rows[0][column].strip() for column in classes])
        return lines, [
            f"warning: the columns {titles} of {table} are taken for a class each",
            *_parts(table, rows),
        ]
    start, image, label = _columns(table, rows, is_image)
    lines = [Line(row[image].strip(), row[label].strip()) for row in rows[start:]]
    if not lines:
        raise DataError(f"{table} has a header and no images", _REMEDY)
    if start == 0:
        return lines, []
    first = _first_line(table, rows, image, label, is_image)
    return lines, [*first, *_parts(table, rows), *_other_labels(table, rows, label)]


def _rows(table: Path) -> list[list[str]]:
    """The lines of a table that are not empty, by the separator that most of them have."""
    try:
        data = read_regular(table, _MOST_BYTES)
    except OSError as error:
        raise DataError(f"cannot read {table}: {error.strerror}", "a CSV file") from None
    try:
        text = data.decode(_MARKS.get(data[:2], "utf-8-sig"))
    except UnicodeDecodeError:
        text = "\0"
    if 4 * text.count("\0") > len(text):  # UTF-16 without a mark
        raise DataError(f"{table} is no text in UTF-8", "save it as UTF-8") from None
    told = _SEPARATOR_LINE.match(text)
    start = told.end() if told else 0
    lines = [line for line in text[start:].splitlines() if line.strip()]
    separator = told[1] if told else max(_SEPARATORS, key=lambda mark: sum(mark in line for line in lines))
    rows: list[list[str]] = []
    try:
        reader = csv.reader(io.StringIO(text[start:], newline=""), delimiter=separator, skipinitialspace=True)
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append(row)
                if len(row) < 2:
                    number = reader.line_num + (start > 0)
                    raise DataError(f"line {number} of {table} has one column: {row[0][:60]!r}", _REMEDY)
    except csv.Error as error:
        raise DataError(f"{table} is no CSV file: {error}", _REMEDY) from None
    if not rows:
        raise DataError(f"{table} is empty", _REMEDY)
    return rows


def _column(names: list[str], wanted: tuple[str, ...]) -> int | None:
    return next((names.index(name) for name in wanted if name in names), None)


def _class_columns(table: Path, rows: list[list[str]], is_image: IsImage) -> tuple[int, list[int]] | None:
    """The column of images and those of the classes, where each class has a column of zeros and ones.

    Columns that say yes or no of an image look much the same. So of two columns each line has a one in one;
    of three and more no line has several, and most have one. A column whose name is a word for labels comes
    first, but for `y` and names such as `class_1` among three columns or more.

    Returns:
        None: the labels are in one column, or there is no header.

    Raises:
        DataError: the labels may be in such columns or in one column.
    """
    header, lines = [title.strip() for title in rows[0]], rows[1:]
    if len(header) < 3 or not lines or any(len(row) != len(header) for row in lines):
        return None
    names = plain(header)
    free = [
        column
        for column, name in enumerate(names)
        if header[column] and name not in IMAGE_COLUMNS and name not in PART_COLUMNS
    ]
    marks = [column for column in free if all(_MARK.fullmatch(row[column].strip().lower()) for row in lines)]
    word = _column(names, LABEL_COLUMNS)
    if len(marks) < 2 or (word is not None and word not in marks):
        return None
    image = _most_images(rows, names, is_image)
    if image in marks or _is_file(header[image], is_image):
        return None
    is_word = word is not None and (
        len(marks) == 2 or (names[word] != "y" and not re.search(r"\d", header[word]))
    )
    others = [header[column] for column in free if column != image and column not in marks]
    fault = _doubt(
        table, [_ones(header, row, marks) for row in lines], [row[image] for row in lines], len(marks)
    )
    if fault is None and not is_word and not others:
        _expect_own_titles(table, rows, image, marks)
        return image, marks
    beside_image = 1 - image if image < 2 else None
    if fault is not None and (
        is_word or (word is None and beside_image in free and beside_image not in marks)
    ):
        return None
    if word is not None and names[word] in PREFERRED:
        return None
    titles = _list([header[column] for column in marks])
    what = f"the columns {titles} of {table} may be a class each, and there is {_list(others)} besides"
    if not others:
        what = f"each of the columns {titles} of {table} may be a class, or one of them the labels"
    raise fault or DataError(what, _CALL_IT_LABEL)


def _expect_own_titles(table: Path, rows: list[list[str]], image: int, marks: list[int]) -> None:
    """Refuse classes whose columns share a title, or one in a column whose title is none of a class.

    Raises:
        DataError: two titles are the same; or another column of zeros and ones, untitled or called as a part
            or an image, has a one in lines without a class alone.
    """
    titles = [title.strip() for title in rows[0]]
    shared = [title for title, count in Counter(titles[column] for column in marks).items() if count > 1]
    if shared:
        raise DataError(
            f"several columns of {table} are called {_list(shared)}", "give each class one column"
        )
    for column, title in enumerate(titles):
        cells = [row[column].strip().lower() for row in rows[1:]]
        if column in (image, *marks) or not all(map(_MARK.fullmatch, cells)):
            continue
        with_one = [row for row, cell in zip(rows[1:], cells, strict=True) if _ONE.fullmatch(cell)]
        if with_one and not any(_ones(titles, row, marks) for row in with_one):
            called = repr(title) if title else f"{column + 1}, which has no title,"
            others = _list([titles[mark] for mark in marks])
            raise DataError(
                f"the column {called} of {table} may be a class as {others} are",
                f"give it another title; or {_CALL_IT_LABEL}",
            )


def _doubt(table: Path, ones: list[list[str]], images: list[str], count: int) -> DataError | None:
    """What speaks against columns of zeros and ones as classes.

    Args:
        ones: of each line the columns that hold a one.
        images: of each line.
        count: of columns.
    """
    for names, image in zip(ones, images, strict=True):
        if len(names) > 1:
            return DataError(
                f"{table} gives {image.strip()} {len(names)} labels: {_list(names)}",
                f"one of them, as an image is of one class; or {_CALL_IT_LABEL}",
            )
    kinds = Counter(name for names in ones for name in names)
    lacking = len(ones) - kinds.total()
    if len(kinds) > 1 and (lacking == 0 if count == 2 else 2 * lacking < len(ones)):
        return None
    return DataError(
        f"the columns of zeros and ones of {table} may be a class each, or one of them the labels: "
        f"{lacking} of {len(ones)} lines have no one in any",
        f"{_CALL_IT_LABEL}; if each is a class, leave lines without a one out",
    )


def _ones(header: list[str], row: list[str], columns: list[int]) -> list[str]:
    """The names of those of the columns in which a line has a one."""
    return [header[column].strip() for column in columns if _ONE.fullmatch(row[column].strip().lower())]


def _most_images(rows: list[list[str]], names: list[str], is_image: IsImage) -> int:
    """The column that names most images; among equals one whose name is a word for images, or the first."""
    hits = [sum(is_image(row[column].strip()) for row in rows[1:]) for column in range(len(names))]
    known = [IMAGE_COLUMNS.index(name) if name in IMAGE_COLUMNS else len(IMAGE_COLUMNS) for name in names]
    return min(range(len(names)), key=lambda column: (-hits[column], known[column]))


def _is_file(name: str, is_image: IsImage) -> bool:
    """Whether a cell names an image, be it there or not."""
    return is_image(name.strip()) or _has_ending(name)


def _has_ending(name: str) -> bool:
    """Whether a cell has the ending of an image."""
    return is_known_ending(split_page(name.strip())[0].suffix.lower())


def _columns(table: Path, rows: list[list[str]], is_image: IsImage) -> tuple[int, int, int]:
    """The first line of images, and the columns of images and labels."""
    names = plain(rows[0])
    image, label = _column(names, IMAGE_COLUMNS), _column(names, LABEL_COLUMNS)
    if image is not None and label is not None and image != label:
        if any(len(row) <= max(image, label) for row in rows):
            raise DataError(f"lines of {table} are shorter than its header", _REMEDY)
        if names[label] == "y" and "x" in names and names.index("x") != image:
            raise DataError(f"the columns 'x' and 'y' of {table} may be a place", _CALL_IT_LABEL)
        if names[label] not in PREFERRED and (alike := class_columns_beside(rows, image, label)):
            raise _several(table, rows, [label, *alike])
        return 1, image, label
    hits = [sum(is_image(row[column].strip()) for row in rows) for column in (0, 1)]
    if not any(hits) and image is not None and image > 1:
        raise _without_label(table, rows)
    if not any(hits) and (further := _images_further_right(rows, is_image)) is not None:
        raise DataError(
            f"the images of {table} are in its column {further + 1}, which is not called 'file'",
            f"call the column of the images 'file', and {_CALL_IT_LABEL}",
        )
    image = int(hits[1] > hits[0])
    values = Counter(filter(None, (row[1 - image].strip() for row in rows[1:])))
    # A first line that names no image, while others do, is a header of other words, but if it has the ending
    # of an image or the label of another line.
    may_be_header = hits[image] > 0 and len(rows) > 1 and not _is_file(rows[0][image], is_image)
    is_header = (
        may_be_header and is_image(rows[1][image].strip()) and rows[0][1 - image].strip() not in values
    )
    if not is_header and image == 1 and len(rows[0]) > 2:
        raise DataError(
            f"{table} has no header, and its labels may be in column 1 or in column 3",
            "a first line that calls the columns, such as number,file,label",
        )
    if not is_header or len(rows[0]) == 2 or label == 1 - image:
        return int(is_header), image, 1 - image
    if label is not None and names[label] != "y":
        raise DataError(
            f"none of the columns of {table} is called 'file', but one {rows[0][label].strip()!r}",
            f"call the column of the images 'file', and {_CALL_IT_LABEL}",
        )
    is_other = names[1 - image] in IMAGE_COLUMNS or names[1 - image] in PART_COLUMNS
    if is_other or max(values.values(), default=0) < 2:
        raise _without_label(table, rows)
    if alike := like_column(rows, image, 1 - image):
        raise _several(table, rows, [1 - image, *alike])
    return 1, image, 1 - image


def _images_further_right(rows: list[list[str]], is_image: IsImage) -> int | None:
    """The first column after the second whose cells are images in most lines; None = there is none."""
    for column in range(2, max(map(len, rows))):
        if 2 * sum(is_image(row[column].strip()) for row in rows if column < len(row)) >= len(rows):
            return column
    return None


def _without_label(table: Path, rows: list[list[str]]) -> DataError:
    known = ", ".join(map(repr, LABEL_COLUMNS[:3]))
    what = f"none of the {len(rows[0])} columns of {table} is called {known} or the like"
    return DataError(what, _CALL_IT_LABEL)


def _several(table: Path, rows: list[list[str]], columns: list[int]) -> DataError:
    titles = _list([rows[0][column].strip() for column in columns])
    return DataError(f"each of the columns {titles} of {table} may be a class", _CALL_IT_LABEL)


def _first_line(table: Path, rows: list[list[str]], image: int, label: int, is_image: IsImage) -> list[str]:
    """A line on a first line that is taken for names of columns, where it may be an image and its label."""
    names = plain(rows[0])
    is_known = names[image] in IMAGE_COLUMNS or names[label] in LABEL_COLUMNS
    is_known = is_known or len(rows[0]) > 2 or all(_has_ending(row[image]) for row in rows[1:])
    if not is_image(rows[0][image].strip()) and is_known:
        return []
    titles = _list([rows[0][column].strip() for column in sorted((image, label))])
    return [f"warning: the first line of {table} is taken for names of columns: {titles}"]


def _other_labels(table: Path, rows: list[list[str]], label: int) -> list[str]:
    """Lines on the column that the labels are taken of, where another one may be meant."""
    names = plain(rows[0])
    titles = [title.strip() for title in rows[0]]
    called = [
        f"{title!r}" if titles.count(title) == 1 else f"{title!r} (column {number})"
        for number, title in enumerate(titles, 1)
    ]
    are = f"warning: the labels are those of the column {called[label]} of {table}"
    may_be_place = names[label] == "y" and any(
        name not in (*IMAGE_COLUMNS, *PART_COLUMNS, "y") and not _NUMBER.fullmatch(cell.strip())
        for row in rows[1:]
        for name, cell in zip(names, row, strict=False)
    )
    if len(names) > 2 and (names[label] not in LABEL_COLUMNS or may_be_place):
        return [f"{are}, as none is called 'label'"]
    return [
        f"{are}, not of {called[column]}"
        for column, name in enumerate(names)
        # `y` is mostly a place.
        if name in LABEL_COLUMNS
        and name != "y"
        and any(row[column] != row[label] for row in rows[1:] if column < len(row))
    ]


def _parts(table: Path, rows: list[list[str]]) -> list[str]:
    """Lines on columns that divide the data into parts, as all of them are taken."""
    notices = []
    for column, (name, title) in enumerate(zip(plain(rows[0]), rows[0], strict=True)):
        values = Counter(row[column].strip() for row in rows[1:] if column < len(row))
        if name in PART_COLUMNS and len(values) > 1:
            counts = ", ".join(f"{value or 'none'} ({count})" for value, count in values.most_common(4))
            notices.append(
                f"warning: all lines of {table} are taken, whatever {title.strip()!r} says: {counts}"
            )
    return notices


def _list(names: list[str]) -> str:
    return ", ".join(map(repr, names[:4])) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
