"""The curve of a training run: metrics of a run folder, and the picture of them. No torch here."""

import io
from typing import Any

from htgen.errors import OutputError
from htgen.training.run_folder import Curve


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
    upper.plot(*_series(curve.train, "accuracy", 100), label="training", alpha=0.7)
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
    lower.plot(*_series(curve.train, "loss"), color="tab:red")
    lower.set_ylabel("training loss", color="tab:red")
    lower.set_xlabel("step")
    rate = lower.twinx()
    rate.plot(*_series(curve.train, "lr"), color="tab:grey", linestyle="--")
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
