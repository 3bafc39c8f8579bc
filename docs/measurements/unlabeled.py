"""Accuracy over the number of unlabelled support images: the table and the picture of docs/lab/results.md.

    pip install 'htgen[plot]'
    python docs/measurements/unlabeled.py runs/omniglot_semi data/omniglot --tasks 400

For each number of unlabelled images per class: the generator given them, and given the same number of
images with labels instead. Test classes of Lake's split, 20-way, one labelled image per class, seed 0.
"""

import argparse
from pathlib import Path

import htgen

COUNTS = (0, 1, 2, 3, 5, 8)
WAY, QUERY = 20, 10
PICTURE = Path(__file__).parents[1] / "images" / "unlabeled.png"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("generator", help="run folder, generator file or name")
    parser.add_argument("store", help="store of Omniglot")
    parser.add_argument("--split", default="lake:test")
    parser.add_argument("--tasks", type=int, default=400)
    parser.add_argument("--picture", type=Path, default=PICTURE)
    options = parser.parse_args()

    def measure(shot: int, unlabeled: int) -> htgen.EvaluationResult:
        protocol = htgen.EvaluationProtocol(WAY, shot, QUERY, unlabeled, options.tasks)
        (result,) = htgen.evaluate(options.generator, protocol, data=options.store, splits=[options.split])
        return result

    print("| further images per class | without their labels | with their labels |")
    print("|---|---|---|")
    found: list[list[htgen.EvaluationResult]] = []
    for count in COUNTS:
        found.append([measure(1, count), measure(1 + count, 0)])
        cells = (f"{100 * e.accuracy:.2f} ± {100 * e.interval95:.2f}" for e in found[-1])
        print(f"| {count} | {' | '.join(cells)} |", flush=True)
    draw(found, options.picture)


def draw(found: list[list[htgen.EvaluationResult]], path: Path) -> None:
    """The table as a picture."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.6), dpi=110, layout="constrained")
    for column, label in enumerate(("without labels", "with labels")):
        accuracies = [100 * row[column].accuracy for row in found]
        intervals = [100 * row[column].interval95 for row in found]
        axes.errorbar(COUNTS, accuracies, intervals, marker="o", capsize=3, label=label)
    axes.axhline(100 * found[0][0].accuracy, linestyle=":", color="grey", label="none")
    axes.set_xlabel("further support images per class, beside one with its label")
    axes.set_ylabel("accuracy, %")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path)


if __name__ == "__main__":
    main()
