"""Columns of a table: what people call them, and which may be a class each."""

import re

IMAGE_COLUMNS = (
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
LABEL_COLUMNS = ("label", "labels", "class", "classes", "classname", "category", "target", "y")

PREFERRED = "label", "labels"

PART_COLUMNS = ("split", "splits", "set", "subset", "part", "partition", "usage", "dataset", "fold")
"""Columns that divide images into parts for training and testing."""

Rows = list[list[str]]
"""Of a table, the header first."""


def plain(names: list[str]) -> list[str]:
    """Names of columns, without what people write them with."""
    return [re.sub(r"[^a-z]", "", name.lower()) for name in names]


def _held(rows: Rows, column: int) -> list[str]:
    """What a column holds in each line below the header; empty where a line is too short."""
    return [row[column].strip().lower() if column < len(row) else "" for row in rows[1:]]


def _others(rows: Rows, image: int, label: int) -> list[int]:
    """The columns beside those of images, labels and parts."""
    names = plain(rows[0])
    return [
        column
        for column, name in enumerate(names)
        if column not in (image, label) and name not in PART_COLUMNS
    ]


def like_column(rows: Rows, image: int, label: int) -> list[int]:
    """Other columns that hold what the one of the labels holds, where that is yes and no, or shares of 1."""
    if shares := _shares_beside(rows, image, label):
        return shares
    own = {*_held(rows, label)} - {""}
    others = [(column, {*_held(rows, column)} - {""}) for column in _others(rows, image, label)]
    return [column for column, values in others if len(own) <= 2 and values and values <= own]


def _shares_beside(rows: Rows, image: int, label: int) -> list[int]:
    """Other columns that with the one of the labels hold shares, whose sum is 1 in each line."""

    def is_share(column: int) -> bool:
        values = {*_held(rows, column)} - {""}
        return bool(values) and all(re.fullmatch(r"[01]?\.\d+|[01]", value) for value in values)

    shares = [column for column in _others(rows, image, label) if is_share(column)]
    if not shares or not is_share(label):
        return []
    lines = zip(*(_held(rows, column) for column in (label, *shares)), strict=True)
    return shares if all(abs(sum(float(cell or 0) for cell in line) - 1) < 0.02 for line in lines) else []


def class_columns_beside(rows: Rows, image: int, label: int) -> list[int]:
    """Other columns that with the one of the labels may be a class each, by what they hold.

    They hold shares of 1; or nothing but two values, one of which may be blank, as the column of the labels
    does. Then all such columns have one of the two values once in a line, or another one is the reverse.
    """
    if shares := _shares_beside(rows, image, label):
        return shares
    own = _held(rows, label)
    values = {*own} - {""}
    others = {
        column: cells
        for column in _others(rows, image, label)
        if (cells := _held(rows, column)) and {*cells} - {""} and {*cells} <= {*values, ""}
    }
    if len(values) > 2:
        return []
    for value in values:
        if len(others) > 1 and _is_once(value, [own, *others.values()]):
            return [*others]
        for column, cells in others.items():
            if _is_once(value, [own, cells]):
                return [column]
    return []


def _is_once(value: str, columns: list[list[str]]) -> bool:
    """Whether several columns hold a value, and each line holds it in one of them; of three columns and more,
    most lines do."""
    counts = [line.count(value) for line in zip(*columns, strict=True)]
    least = len(counts) if len(columns) == 2 else len(counts) // 2 + 1
    return max(counts) == 1 and sum(counts) >= least and sum(value in cells for cells in columns) > 1
