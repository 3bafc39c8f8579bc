"""The curve of a training run: its metrics read from the run folder, and drawn. No torch here."""

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from htgen.errors import OutputError, RunError
from htgen.files import read_regular, real_path

METRICS = "metrics.jsonl"

MOST_METRICS_BYTES = 1 << 30

_FEW = 20
"""Lines of a log; below, each is a dot too."""


@dataclass(frozen=True)
class Curve:
    """What a run has logged so far.

    Attributes:
        name: of the run folder.
        train: lines of training, by step: `step`, `loss`, `accuracy` (0..1), `lr` and more.
        validation: lines of validation, by step: `step`, `accuracy`, `interval95`, `best` and more.
    """

    name: str
    train: list[dict[str, Any]]
    validation: list[dict[str, Any]]


def read_curve(run: str | Path) -> Curve:
    """Read the metrics of a run, finished or not; a line that is still being written is left out.

    Raises:
        RunError: the folder is no run, or nothing was logged yet.
    """
    path = Path(run) / METRICS
    try:
        content = read_regular(path, MOST_METRICS_BYTES)
    except OSError as error:
        reason = "there is none" if isinstance(error, FileNotFoundError) else str(error.strerror or error)
        raise RunError(f"cannot read {path}: {reason}", "the folder given to htgen train as --run") from error
    found: dict[str, list[dict[str, Any]]] = {"train": [], "validation": []}
    for line in content.split(b"\n"):
        if (entry := read_metrics_line(line)) and entry["event"] in found:
            found[entry["event"]].append(entry)
    if not any(found.values()):
        raise RunError(f"{path} has no metrics yet", "wait for train.log_every steps")
    return Curve(real_path(run).name, found["train"], found["validation"])


def read_metrics_line(line: bytes) -> dict[str, Any] | None:
    """One line of the metrics; None when it is none, as one that was cut off or damaged.

    Returns:
        `event`, a text; `step`, a whole number from 0 on; and whatever else is there. Events of training and
        validation have numbers and truth values alone.
    """
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(entry, dict) or not isinstance(entry.get("event"), str):
        return None
    step = entry.get("step")
    if type(step) is not int or not 0 <= step < 2**53:
        return None
    if entry["event"] in ("train", "validation"):
        for key, value in entry.items():
            if key != "event" and not (isinstance(value, bool | int | float) and abs(value) < 1e300):
                return None
    return entry


def draw(curve: Curve) -> bytes:
    """The curve as a PNG: accuracies above; loss and learning rate below.

    Raises:
        OutputError: matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError:
        raise OutputError(
            "pictures need matplotlib, which is not installed", "pip install 'htgen[plot]'"
        ) from None
    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, (upper, lower) = plt.subplots(2, 1, figsize=(7, 6), dpi=110, sharex=True, layout="constrained")
    dots = "." if len(curve.train) < _FEW else ""  # a line of one point is none
    upper.plot(*_series(curve.train, "accuracy", 100), label="training", alpha=0.7, marker=dots)
    steps, accuracies = _series(curve.validation, "accuracy", 100)
    _, intervals = _series(curve.validation, "interval95", 100)
    upper.errorbar(steps, accuracies, intervals, label="validation", marker="o", markersize=3, capsize=2)
    best = [entry for entry in curve.validation if entry.get("best")]
    title = curve.name
    if best:
        title += f": best validation accuracy {100 * best[-1]['accuracy']:.2f} % at step {best[-1]['step']}"
    upper.set_ylabel("accuracy, %")
    upper.set_title(title, fontsize="medium")
    upper.legend(loc="lower right")
    lower.plot(*_series(curve.train, "loss"), color="tab:red", marker=dots)
    lower.set_ylabel("training loss", color="tab:red")
    lower.set_xlabel("step")
    rate = lower.twinx()
    rate.plot(*_series(curve.train, "lr"), color="tab:grey", linestyle="--", marker=dots)
    rate.set_ylabel("learning rate", color="tab:grey")
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    plt.close(figure)
    return buffer.getvalue()


def _series(entries: list[dict[str, Any]], key: str, factor: float = 1) -> tuple[list[int], list[float]]:
    """Steps and values of the lines that have a key."""
    having = [entry for entry in entries if key in entry]
    return [entry["step"] for entry in having], [factor * entry[key] for entry in having]
