"""What unlabelled images of no class do to a CNN, before and after they are left out.

    htgen prepare-data omniglot --as-drawings
    python docs/measurements/foreign.py data/omniglot-drawings --generator glyph-8 --tasks 200

Tasks are those of docs/measurements/estimate.py, on validation alphabets. Beside the labelled images there
are five without labels for each class: of the classes, of as many other characters, both, or the first and as
many empty or noisy ones. Columns: accuracy in % where all of them count, and where those count that are at
most so many times as far from the nearest class as from the centre of all
(`htgen.generator.foreign.FARTHEST`).
"""

import argparse
from pathlib import Path

import numpy as np
from estimate import QUERY, Tasks, labeled, right

from htgen.datasets.store import Store
from htgen.episodes.shape import UNLABELED
from htgen.generator.foreign import are_near_a_class
from htgen.generator.generator import Generator, load_generator
from htgen.generator.support import Support

SIZES = ((5, 1), (20, 1), (5, 3), (20, 5))
LIMITS = (1.0, 1.15, 1.3, 1.5)
FURTHER = 5


def empty(count: int, like: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Images of nothing: black, faint noise, strong noise, in turn."""
    spreads = np.resize([0.0, 0.02, 0.5], count)[:, None, None, None]
    noise = rng.normal(0, 1, (count, *like.shape[1:])) * spreads
    return np.clip(-1 + np.abs(noise), -1, 1).astype(np.float32)


def measure(generator: Generator, tasks: Tasks, way: int, shot: int, count: int) -> list[str]:
    found: dict[str, list[list[float]]] = {}
    for _ in range(count):
        drawn = tasks.draw(2 * way, shot, FURTHER, QUERY)  # those of the second half are foreign
        images, own, query = (part[: len(part) // 2] for part in drawn)
        foreign = drawn[1][len(own) :]
        nothing = empty(len(own), own, tasks.rng)
        support = labeled(images, way)
        cases = {
            "none": own[:0],
            "of the classes": own,
            "of others": foreign,
            "both": np.concatenate([own, foreign]),
            "of the classes, and nothing": np.concatenate([own, nothing]),
        }
        for name, further in cases.items():
            labels = np.concatenate([support.labels, np.full(len(further), UNLABELED)])
            everything = Support(np.concatenate([images, further]), labels, support.classes)
            accuracies = [right(generator, everything, query, way)]
            for limit in LIMITS:
                plda = generator.model.logits.plda
                assert plda is not None
                near = are_near_a_class(
                    generator.model.spec, generator.write(support), everything, plda, limit
                )
                left_out = np.concatenate([np.zeros(len(images), bool), ~near])
                accuracies.append(right(generator, everything.without(left_out), query, way))
            found.setdefault(name, []).append(accuracies)
    return [
        f"| {way} | {shot} | {name} | {' | '.join(f'{100 * mean:.1f}' for mean in np.mean(rows, axis=0))} |"
        for name, rows in found.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("store", type=Path, help="store of drawings")
    parser.add_argument("--split", default="lake:val")
    parser.add_argument("--generator", default="glyph-8")
    parser.add_argument("--tasks", type=int, default=200, help="of each size")
    options = parser.parse_args()
    generator, store = load_generator(options.generator), Store.open(options.store)
    print(f"| ways | shots | unlabelled | all | {' | '.join(map(str, LIMITS))} |")
    print("|---|---|---|---|" + "---|" * len(LIMITS))
    for way, shot in SIZES:
        for line in measure(generator, Tasks(generator, store, options.split), way, shot, options.tasks):
            print(line, flush=True)


if __name__ == "__main__":
    main()
