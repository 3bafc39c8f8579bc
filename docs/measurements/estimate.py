"""How far the estimate of `htgen generate` is from the truth: the table in the cards of the generators.

    htgen prepare-data omniglot --as-drawings
    python docs/measurements/estimate.py data/omniglot-drawings --generator glyph-8

Each task is a support set of classes of a split, the validation alphabets, and further images of each class,
10 unless there are too few. The truth is the accuracy of the CNN of the whole support set on these. Estimates
are made of the support set alone: each image is left out once ("one"), or a part of the images of all classes
at a time ("2 parts" to "5 parts"). Each cell holds the mean error of the estimate, and the root of the mean
of its square, in points.
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
        generator: whose CNNs they are for. Of one with a trunk, images pass that once.
        store: of images that it reads.
        split: such as `lake:val`.
    """

    def __init__(self, generator: Generator, store: Store, split: str) -> None:
        classes = np.asarray(resolve_split(store, split))
        ends = np.cumsum(store.class_sizes)[classes]
        self.sizes = np.asarray(store.class_sizes)[classes]
        pixels = [store.images[end - size : end] for end, size in zip(ends, self.sizes, strict=True)]
        images = scale_pixels(np.concatenate(pixels).astype(np.float32)).transpose(0, 3, 1, 2)
        features = generator.cnns.features(images)
        self.inputs = images if features is None else features  # [N, C, H, W]
        self.starts = np.cumsum(self.sizes) - self.sizes
        self.restart()

    def restart(self) -> None:
        """Draw the same again from here on."""
        self.rng = np.random.default_rng(0)

    def draw(self, way: int, *counts: int) -> list[np.ndarray]:
        """Inputs of the same classes, `[way * count, C, H, W]` for each count; no image is there twice."""
        chosen = self.rng.choice(np.flatnonzero(self.sizes >= sum(counts)), way, replace=False)
        orders = [self.starts[kind] + self.rng.permutation(self.sizes[kind]) for kind in chosen]
        parts = np.split(np.stack([order[: sum(counts)] for order in orders]), np.cumsum(counts)[:-1], axis=1)
        return [self.inputs[part.reshape(-1)] for part in parts]


def labeled(images: np.ndarray, way: int) -> Support:
    """A support set of as many images of each class."""
    labels = np.repeat(np.arange(way), len(images) // way)
    return Support(images, labels, tuple(str(kind) for kind in range(way)))


def right(generator: Generator, support: Support, query: np.ndarray, way: int) -> float:
    """Accuracy on query images, as many of each class."""
    cnn = generator.cnns.of_choices(support)(None)
    logits = run(generator.cnns.spec, cnn, query[None])[0]
    return float((logits.argmax(axis=1) == np.repeat(np.arange(way), len(query) // way)).mean())


def measure(generator: Generator, tasks: Tasks, size: str, query: int, count: int) -> str:
    way, shot = map(int, size.split("x"))
    tasks.restart()
    truths, estimates = [], []
    for _ in range(count):
        images, further = tasks.draw(way, shot, query)
        support = labeled(images, way)
        truths.append(right(generator, support, further, way))
        alone = np.arange(len(images))
        # What is left out together is what counts as copies; a part has every so-many-th image of each class.
        parts = [alone, *(alone % shot % folds for folds in range(2, min(shot, 5) + 1))]
        write, spec = generator.cnns.of_choices(support), generator.cnns.spec
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
    parser.add_argument("store", type=Path, help="store of images")
    parser.add_argument("--split", default="lake:val")
    parser.add_argument("--generator", default="glyph-8")
    parser.add_argument("--tasks", type=int, default=400, help="of each size")
    parser.add_argument("--sizes", nargs="+", default=SIZES, help="ways x shots, such as 5x2")
    parser.add_argument("--query", type=int, default=QUERY, help="further images of each class")
    options = parser.parse_args()
    generator, store = load_generator(options.generator), Store.open(options.store)
    tasks = Tasks(generator, store, options.split)
    print("| ways | shots | tasks | truth | one | 2 parts | 3 parts | 4 parts | 5 parts |")
    print("|---|---|---|---|---|---|---|---|---|")
    for size in options.sizes:
        print(measure(generator, tasks, size, options.query, options.tasks), flush=True)


if __name__ == "__main__":
    main()
