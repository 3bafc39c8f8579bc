"""How far the estimate of `htgen generate` is from the truth: the table in the cards of the generators.

    htgen prepare-data omniglot --as-drawings
    python docs/measurements/estimate.py data/omniglot-drawings --generator glyph-8

Each task is a support set of characters of the validation alphabets, and 10 further images of each class. The
truth is the accuracy of the CNN of the whole support set on these. Estimates are made of the support set
alone: each image is left out once ("one"), or a part of the images of all classes at a time ("2 parts" to
"5 parts"). Each cell holds the mean error of the estimate, and the root of the mean of its square, in points.
"""

import argparse
from pathlib import Path

import numpy as np

from htgen.cnn.executor_numpy import run
from htgen.datasets.splits import resolve_split
from htgen.datasets.store import Store
from htgen.generator.generator import Generator, load_generator
from htgen.generator.self_check import leave_one_out
from htgen.generator.support import Support
from htgen.images.inputs import scale_pixels

SIZES = ("5x2", "5x3", "5x5", "20x2", "20x3", "20x5", "20x10")
QUERY = 10


class Tasks:
    """Draws tasks of the classes of a split.

    Args:
        store: of drawings.
        split: such as `lake:val`.
        seed: of all draws.
    """

    def __init__(self, store: Store, split: str, seed: int = 0) -> None:
        self.store, self.classes = store, np.asarray(resolve_split(store, split))
        self.starts = np.concatenate([[0], np.cumsum(store.class_sizes)])
        self.rng = np.random.default_rng(seed)

    def draw(self, way: int, *counts: int) -> list[np.ndarray]:
        """Images of the same classes, `[way * count, C, H, W]` for each count; no image is there twice."""
        chosen = self.rng.choice(self.classes, way, replace=False)
        orders = [self.starts[kind] + self.rng.permutation(self.store.class_sizes[kind]) for kind in chosen]
        parts = np.split(np.stack([order[: sum(counts)] for order in orders]), np.cumsum(counts)[:-1], axis=1)
        return [self.images(part.reshape(-1)) for part in parts]

    def images(self, places: np.ndarray) -> np.ndarray:
        """Images of the store as a CNN reads them, `[N, C, H, W]`."""
        pixels = np.stack([np.asarray(self.store.images[place]) for place in places])
        return scale_pixels(pixels.astype(np.float32)).transpose(0, 3, 1, 2)


def labeled(images: np.ndarray, way: int) -> Support:
    """A support set of as many images of each class."""
    labels = np.repeat(np.arange(way), len(images) // way)
    return Support(images, labels, tuple(str(kind) for kind in range(way)))


def right(generator: Generator, support: Support, query: np.ndarray, way: int) -> float:
    """Accuracy on query images, as many of each class."""
    cnn = generator.write(support)
    logits = run(generator.model.spec, cnn, query[None])[0]
    return float((logits.argmax(axis=1) == np.repeat(np.arange(way), len(query) // way)).mean())


def measure(generator: Generator, tasks: Tasks, way: int, shot: int, count: int) -> str:
    truths, estimates = [], []
    for _ in range(count):
        images, query = tasks.draw(way, shot, QUERY)
        support = labeled(images, way)
        truths.append(right(generator, support, query, way))
        alone = np.arange(len(images))
        # What is left out together is what counts as copies; a part has every so-many-th image of each class.
        parts = [alone, *(alone % shot % folds for folds in range(2, min(shot, 5) + 1))]
        write, spec = generator.cnns.of_choices(support), generator.model.spec
        found = [leave_one_out(spec, write, support, together) for together in parts]
        estimates.append([(check.labels == check.predictions).mean() for check in found if check is not None])
    truth = np.array(truths)[:, None]
    errors = 100 * (np.array(estimates) - truth)  # [tasks, methods]
    cells = [
        f"{bias:+.1f}, {spread:.1f}"
        for bias, spread in zip(errors.mean(axis=0), np.sqrt((errors**2).mean(axis=0)), strict=True)
    ]
    cells += [""] * (5 - len(cells))
    return f"| {way} | {shot} | {count} | {100 * truth.mean():.1f} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("store", type=Path, help="store of drawings")
    parser.add_argument("--split", default="lake:val")
    parser.add_argument("--generator", default="glyph-8")
    parser.add_argument("--tasks", type=int, default=400, help="of each size")
    parser.add_argument("--sizes", nargs="+", default=SIZES, help="ways x shots, such as 5x2")
    options = parser.parse_args()
    generator, store = load_generator(options.generator), Store.open(options.store)
    print("| ways | shots | tasks | truth | one | 2 parts | 3 parts | 4 parts | 5 parts |")
    print("|---|---|---|---|---|---|---|---|---|")
    for size in options.sizes:
        way, shot = map(int, size.split("x"))
        print(measure(generator, Tasks(store, options.split), way, shot, options.tasks), flush=True)


if __name__ == "__main__":
    main()
