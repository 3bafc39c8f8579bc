"""Rows about images on stdout, printed one by one: a table, CSV, or one JSON document.

All are used as context managers. What is open is closed when the body ends, also by Ctrl-C, so that the rows
so far are a whole document.
"""

import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import typer

from htgen.cli.console import columns_of
from htgen.files import printable

if TYPE_CHECKING:
    from htgen.cnn.bundle import Prediction

NONE_OF_THESE = "none of these"


@dataclass(frozen=True)
class Row:
    """One image of the output.

    Attributes:
        path: its file.
        answer: what the CNN says; None if it cannot be read.
        error: why not.
        is_blank: whether nothing is to be seen.
        warnings: what people should know of it.
    """

    path: Path
    answer: "Prediction | None" = None
    error: str | None = None
    is_blank: bool = False
    warnings: tuple[str, ...] = ()


class _Rows:
    """What the three kinds of output have in common.

    Args:
        reject: below this probability the answer is none of the classes.
    """

    def __init__(self, reject: float) -> None:
        self.reject = reject

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None or issubclass(kind, KeyboardInterrupt):
            self.close()

    def close(self) -> None:
        """Write what ends the document."""

    def label(self, answer: "Prediction") -> str | None:
        """The class, or None if it is rejected."""
        return answer.label if answer.probability >= self.reject else None

    def entry(self, row: Row) -> dict[str, Any]:
        """A row as plain JSON values."""
        if row.answer is None:
            return {"image": str(row.path), "error": row.error}
        return {
            "image": str(row.path),
            "class": self.label(row.answer),
            "probability": row.answer.probability,
            "blank": row.is_blank,
            "warnings": list(row.warnings),
            "probabilities": row.answer.probabilities,
        }


class JsonRows(_Rows):
    """One JSON document: `{"model": ..., "predictions": [...]}`, indented by 2.

    Args:
        model: the CNN's file.
    """

    def __init__(self, reject: float, model: str) -> None:
        super().__init__(reject)
        self._model, self._is_first = model, True

    def __enter__(self) -> Self:
        typer.echo(f'{{\n  "model": {json.dumps(self._model)},\n  "predictions": [', nl=False)
        return self

    def write(self, row: Row) -> None:
        """Print one entry."""
        entry = json.dumps(self.entry(row), indent=2).replace("\n", "\n    ")
        typer.echo(("\n    " if self._is_first else ",\n    ") + entry, nl=False)
        self._is_first = False

    def close(self) -> None:
        """Print what ends the document."""
        typer.echo("]\n}" if self._is_first else "\n  ]\n}")


FORMULA = tuple("=+-@'")
"""With what a cell begins that a spreadsheet computes, or takes for a mark of its own."""


class CsvRows(_Rows):
    """CSV with a header.

    Args:
        classes: in the order of the columns.
        safe: put an apostrophe before what a spreadsheet would take for a formula.
    """

    def __init__(self, reject: float, classes: Sequence[str], safe: bool = False) -> None:
        super().__init__(reject)
        self._classes, self._safe = classes, safe
        self._writer = csv.writer(sys.stdout, lineterminator="\n")

    def __enter__(self) -> Self:
        known = ("image", "class", "probability", "error", "blank", "warnings")
        self._writer.writerow([*known, *(printable(f"p({name})") for name in self._classes)])
        return self

    def _cell(self, text: object) -> str:
        """A text that others chose, without control characters."""
        shown = printable(str(text))
        return f"'{shown}" if self._safe and shown.lstrip().startswith(FORMULA) else shown

    def write(self, row: Row) -> None:
        """Print one line."""
        answer = row.answer
        if answer is None:
            error = self._cell(row.error)
            cells = [self._cell(row.path), "", "", error, "", "", *("" for _ in self._classes)]
        else:
            probabilities = [f"{answer.probabilities[name]:.6f}" for name in self._classes]
            found = [self._cell(self.label(answer) or ""), f"{answer.probability:.6f}", ""]
            warned = ["true" if row.is_blank else "false", self._cell("; ".join(row.warnings))]
            cells = [self._cell(row.path), *found, *warned, *probabilities]
        self._writer.writerow(cells)
        sys.stdout.flush()


class TableRows(_Rows):
    """A table for people: image, class, its probability, and what else there is to say.

    Args:
        classes: all that there may be, and `paths` likewise: columns are as wide as the widest.
    """

    def __init__(self, reject: float, classes: Sequence[str], paths: Sequence[Path]) -> None:
        super().__init__(reject)
        labels = ["class", *map(printable, classes), *([NONE_OF_THESE] if reject else [])]
        self._widths = (
            max(map(columns_of, ["image", *(printable(str(path)) for path in paths)])),
            max(map(columns_of, labels)),
            len("probability"),
        )

    def __enter__(self) -> Self:
        self._print("image", "class", "probability", "runner-up")
        return self

    def write(self, row: Row) -> None:
        """Print one line."""
        image, answer = printable(str(row.path)), row.answer
        if answer is None:
            self._print(image, "-", "", printable(f"error: {row.error}"))
            return
        (_, first), (second_name, second) = list(answer.probabilities.items())[:2]
        warned = printable(f"; warning: {'; '.join(row.warnings)}") if row.warnings else ""
        if self.label(answer) is None:
            best = f"{printable(answer.label)} {100 * first:.1f} %"
            self._print(image, NONE_OF_THESE, "", best + warned)
        else:
            rest = f"{printable(second_name)} {100 * second:.1f} %"
            self._print(image, printable(answer.label), f"{100 * first:.1f} %", rest + warned)

    def _print(self, image: str, label: str, probability: str, rest: str) -> None:
        # Names may hold characters that take two columns, or none.
        image += " " * (self._widths[0] - columns_of(image))
        label += " " * (self._widths[1] - columns_of(label))
        typer.echo(f"{image}  {label}  {probability:>{self._widths[2]}}  {rest}")
        sys.stdout.flush()


class JsonLines(_Rows):
    """One JSON object on each line, for programs that read as images come."""

    def write(self, row: Row) -> None:
        """Print one line."""
        typer.echo(json.dumps(self.entry(row)))
        sys.stdout.flush()


class PlainLines(_Rows):
    """One line for each image, for people who read as images come: `PATH: CLASS 99.1 %`."""

    def write(self, row: Row) -> None:
        """Print one line."""
        image, answer = printable(str(row.path)), row.answer
        if answer is None:
            typer.echo(f"{image}: error: {printable(str(row.error))}")
        else:
            label, share = self.label(answer), f"{100 * answer.probability:.1f} %"
            found = f"{NONE_OF_THESE}, {printable(answer.label)}" if label is None else printable(label)
            warned = printable(f"; warning: {'; '.join(row.warnings)}") if row.warnings else ""
            typer.echo(f"{image}: {found} {share}{warned}")
        sys.stdout.flush()
