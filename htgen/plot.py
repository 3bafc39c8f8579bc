"""The curve of a training run, from its metrics, as text or as a picture.

No torch here, so that looking often costs a training that goes on next to nothing.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from htgen.errors import RunError

METRICS = "metrics.jsonl"

Points = list[tuple[float, float]]
"""(step, value), by step."""

_COLORS = ("#1f6fb4", "#d1495b", "#3a7d44")
_MARKS = ("", "●", "◆")
"""In text, the first curve is a line of dots; these mark the others' points."""


@dataclass(frozen=True)
class Panel:
    """Curves over the steps that share one axis.

    Attributes:
        title: what the values are.
        curves: name -> points; none is empty.
        unit: how values are written: `%` for fractions, otherwise as they are.
    """

    title: str
    curves: dict[str, Points]
    unit: str = ""

    @property
    def limits(self) -> tuple[float, float, float, float]:
        """First and last step, lowest and highest value; no pair is equal."""
        points = [point for curve in self.curves.values() for point in curve]
        steps, values = [step for step, _ in points], [value for _, value in points]
        left, right, low, high = min(steps), max(steps), min(values), max(values)
        if low == high:
            low, high = low - abs(low) / 10 - 1e-9, high + abs(high) / 10 + 1e-9
        return left, right if right > left else left + 1, low, high

    def write(self, value: float) -> str:
        """A value of the vertical axis."""
        return f"{100 * value:.1f} %" if self.unit == "%" else f"{value:.3g}"


@dataclass
class Metrics:
    """What the metrics of a run say.

    Attributes:
        panels: loss, accuracy and learning rate, as far as there are any.
        summary: the latest and the best figures, in one line.
    """

    panels: list[Panel] = field(default_factory=list)
    summary: str = ""


def read_metrics(run: str | Path) -> Metrics:
    """Read the metrics of a run folder, of one that trains just now too.

    Raises:
        RunError: there are none yet.
    """
    path = Path(run) / METRICS
    try:
        entries = list(_entries(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror or error}", "the folder of a run") from None
    training = [entry for entry in entries if entry["event"] == "train"]
    validation = [entry for entry in entries if entry["event"] == "validation"]
    if not training and not validation:
        raise RunError(f"{path} says nothing about training yet", "wait for the first logged step")

    def points(source: list[dict[str, Any]], key: str) -> Points:
        return [(entry["step"], entry[key]) for entry in source if key in entry]

    panels = [
        Panel("loss", {"train": points(training, "loss")}),
        Panel(
            "accuracy",
            {"train": points(training, "accuracy"), "validation": points(validation, "accuracy")},
            "%",
        ),
        Panel("learning rate", {"learning rate": points(training, "lr")}),
    ]
    kept = []
    for panel in panels:
        curves = {name: curve for name, curve in panel.curves.items() if curve}
        if curves:
            kept.append(Panel(panel.title, curves, panel.unit))
    steps = [entry["step"] for entry in (*training, *validation)]
    summary = f"step {max(steps)}"
    if validation:
        best = max(validation, key=lambda entry: entry["accuracy"])
        summary += f", best validation accuracy {100 * best['accuracy']:.2f} % at step {best['step']}"
    return Metrics(kept, summary)


def _entries(text: str) -> Iterator[dict[str, Any]]:
    """The lines that are whole: a run may be writing its last one."""
    for line in text.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and {"event", "step"} <= entry.keys():
            yield entry


# ------------------------------------------------------------------------------------------------ as text


def to_text(panel: Panel, width: int = 72, height: int = 9) -> str:
    """A panel in characters: curves of braille dots, two wide and four high in each character.

    Args:
        width, height: of the plot itself, in characters.
    """
    left, right, low, high = panel.limits
    dots = [[0] * width for _ in range(height)]
    marks: dict[tuple[int, int], str] = {}
    for index, curve in enumerate(panel.curves.values()):
        places = [
            (
                round((step - left) / (right - left) * (2 * width - 1)),
                round((high - value) / (high - low) * (4 * height - 1)),
            )
            for step, value in curve
        ]
        if _MARKS[index]:
            marks |= {(y // 4, x // 2): _MARKS[index] for x, y in places}
            continue
        for start, end in zip(places, [*places[1:], places[-1]], strict=True):
            for x, y in _line(start, end):
                dots[y // 4][x // 2] |= _BRAILLE[y % 4][x % 2]
    labels = [panel.write(high), *[""] * (height - 2), panel.write(low)]
    margin = max(map(len, labels))
    legend = ", ".join(f"{_MARKS[i] or '⠒'} {name}" for i, name in enumerate(panel.curves))
    lines = [panel.title if len(panel.curves) == 1 else f"{panel.title} ({legend})"]
    for row in range(height):
        cells = (marks.get((row, column), chr(0x2800 + dots[row][column])) for column in range(width))
        lines.append(f"{labels[row]:>{margin}} ┤{''.join(cells)}")
    first, last = f"{left:g}", f"{right:g}"
    lines.append(" " * (margin + 2) + first + last.rjust(width - len(first)))
    return "\n".join(lines)


_BRAILLE = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bits of U+2800 for the dots of a character, by row and column."""


def _line(start: tuple[int, int], end: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Whole places on a straight line, both ends included."""
    count = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
    for k in range(count + 1):
        yield (
            round(start[0] + (end[0] - start[0]) * k / count),
            round(start[1] + (end[1] - start[1]) * k / count),
        )


# ---------------------------------------------------------------------------------------------- as picture

_WIDTH, _PANEL_HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 1000, 300, 90, 20, 40, 40


def to_picture(metrics: Metrics, title: str) -> Image.Image:
    """All panels below each other, 1000 pixels wide."""
    image = Image.new("RGB", (_WIDTH, 40 + _PANEL_HEIGHT * len(metrics.panels)), "white")
    pen = ImageDraw.Draw(image)
    pen.text((_LEFT, 14), f"{title}: {metrics.summary}", "black", ImageFont.load_default(18))
    for index, panel in enumerate(metrics.panels):
        _draw_panel(pen, panel, 40 + index * _PANEL_HEIGHT)
    return image


def _draw_panel(pen: ImageDraw.ImageDraw, panel: Panel, top: int) -> None:
    font = ImageFont.load_default(14)
    left, right, low, high = panel.limits
    x0, x1, y0, y1 = _LEFT, _WIDTH - _RIGHT, top + _TOP, top + _PANEL_HEIGHT - _BOTTOM

    def place(step: float, value: float) -> tuple[float, float]:
        return (
            x0 + (step - left) / (right - left) * (x1 - x0),
            y1 - (value - low) / (high - low) * (y1 - y0),
        )

    for value in ticks(low, high):
        y = place(left, value)[1]
        pen.line([(x0, y), (x1, y)], "#dddddd")
        pen.text((x0 - 8, y), panel.write(value), "#444444", font, anchor="rm")
    for step in ticks(left, right):
        x = place(step, low)[0]
        pen.line([(x, y0), (x, y1)], "#eeeeee")
        pen.text((x, y1 + 8), f"{step:g}", "#444444", font, anchor="mt")
    pen.text((x0, y0 - 10), panel.title, "black", font, anchor="ls")
    for index, (name, curve) in enumerate(panel.curves.items()):
        color, places = _COLORS[index], [place(*point) for point in curve]
        pen.line(places, color, 2)
        if len(curve) < 60:
            for x, y in places:
                pen.ellipse([x - 3, y - 3, x + 3, y + 3], color)
        if len(panel.curves) > 1:
            pen.text((x1 - 120 * index, y0 - 10), name, color, font, anchor="rs")


def ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers within limits that differ."""
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(step for step in (power, 2 * power, 2.5 * power, 5 * power, 10 * power) if step >= rough)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]
