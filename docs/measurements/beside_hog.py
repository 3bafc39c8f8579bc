"""Generators beside what needs no training: histograms of gradients, and plain pixels, on the same tasks.

    python docs/measurements/beside_hog.py data/icons icons:test icon-8 icon-64
    python docs/measurements/beside_hog.py data/icons icons:test icon-8 icon-64 --related
    python docs/measurements/beside_hog.py data/omniglot-drawings lake:test glyph-8 --query 10

Tasks are those of `htgen evaluate`: the same classes and images, prepared alike. Needs scikit-image.

* HOG: 9 orientations in cells of 7x7 pixels at 28x28, a quarter of the side at other sizes, normalised in
  blocks of 2x2 cells (N. Dalal, B. Triggs, "Histograms of oriented gradients for human detection", CVPR
  2005); the nearest class mean.
* pixels: the nearest support image.
"""

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from htgen.arrays import Pixels
from htgen.config.data import EpisodeConfig
from htgen.episodes.batch import EpisodeBatch
from htgen.episodes.pool import ClassPool, load_images, open_store
from htgen.episodes.sampler import EpisodeSampler, EpisodeStream
from htgen.evaluation.accuracy import TASKS_PER_BATCH, half_width95, task_accuracies
from htgen.generator.generator import load_generator
from htgen.generator.network import build

ORIENTATIONS, CELLS, BLOCK = 9, 4, 2


def gradients(images: Pixels) -> npt.NDArray[np.float32]:
    """HOG features `[N, F]` of grey images `[N, S, S, 1]`."""
    from skimage.feature import hog

    cell = images.shape[1] // CELLS
    return np.stack(
        [
            hog(image, ORIENTATIONS, (cell, cell), (BLOCK, BLOCK), feature_vector=True)
            for image in images[..., 0].astype(np.float32) / 255
        ]
    ).astype(np.float32)


def nearest(features: Tensor, batch: EpisodeBatch, means: bool) -> Tensor:
    """Accuracies `[E]` of the class of the nearest class mean, or of the nearest support image.

    Args:
        features: `[N, F]`, of all images of the store.
    """
    support, queries = features[batch.support_rows], features[batch.query_rows]  # [E, S, F], [E, Q, F]
    labels = batch.support_labels
    if means:
        member = torch.nn.functional.one_hot(labels).to(features.dtype).transpose(1, 2)  # [E, n, S]
        support = member @ support / member.sum(dim=2, keepdim=True)
        labels = torch.arange(support.shape[1]).expand(len(support), -1)
    found = labels.gather(1, torch.cdist(queries, support).argmin(dim=2))  # [E, Q]
    return (found == batch.query_labels).float().mean(dim=1)


def percent(accuracies: Tensor) -> str:
    """The mean over tasks with its 95 % interval."""
    return f"{100 * accuracies.mean().item():.2f} ± {100 * half_width95(accuracies):.2f}"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("split")
    parser.add_argument("generators", nargs="*", help="names, files or run folders that read such images")
    parser.add_argument("--way", type=int, nargs="*", default=[20])
    parser.add_argument("--shot", type=int, nargs="*", default=[1, 5])
    parser.add_argument("--query", type=int, default=1, help="of each class")
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument(
        "--related", action="store_true", help="classes of one group, such as an alphabet, or of few"
    )
    options = parser.parse_args(arguments)

    store = open_store(options.store)
    pool = ClassPool.of_split(store, options.split, load_images(store))
    pixels = torch.from_numpy(store.images.reshape(len(store.images), -1).astype(np.float32) / 255)
    histograms = torch.from_numpy(gradients(store.images))
    generators = {name: load_generator(name) for name in options.generators}
    for way in options.way:
        for shot in options.shot:
            shape = EpisodeConfig(way=way, shot=shot, query=options.query, related=float(options.related))
            stream = EpisodeStream(0, "evaluation", period=TASKS_PER_BATCH)
            sampler = EpisodeSampler(pool, shape, stream, slot_count=way)
            starts = range(0, options.tasks, TASKS_PER_BATCH)
            batches = [sampler.batch(n, min(TASKS_PER_BATCH, options.tasks - n)) for n in starts]
            hog = torch.cat([nearest(histograms, batch, means=True) for batch in batches])
            near = torch.cat([nearest(pixels, batch, means=False) for batch in batches])
            classes = f"{options.split}{' related' * options.related}"
            print(f"{classes} {way}-way {shot}-shot, {options.tasks} tasks, in %")
            print(f"  pixels, nearest     {percent(near)}\n  HOG, nearest mean   {percent(hog)}", flush=True)
            for name, generator in generators.items():
                settings = generator.file.model
                own = EpisodeSampler(pool, shape, stream, settings.max_way, slot_sets=settings.slot_sets)
                found = task_accuracies(build(generator.file), own, options.tasks)
                print(f"  {name:19} {percent(found)}; ahead of HOG by {percent(found - hog)}", flush=True)


if __name__ == "__main__":
    main()
