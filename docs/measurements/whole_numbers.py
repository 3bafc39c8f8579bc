"""What it costs to run generated CNNs in whole numbers, as the C of `htgen export` does.

    python docs/measurements/whole_numbers.py glyph-8 --data data/omniglot-drawings

Accuracy over unseen tasks of CNNs in float and in whole numbers, on the same tasks, the mean difference with
its 95 % interval, and the share of queries that get the same class.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from htgen.arrays import Doubles
from htgen.cnn.bundle import Bundle
from htgen.cnn.whole_numbers import whole_cnn
from htgen.episodes.sampler import EpisodeSampler
from htgen.evaluation.accuracy import TASKS_PER_BATCH, half_width95
from htgen.evaluation.known_classes import open_store_of
from htgen.evaluation.measurement import Measurement
from htgen.evaluation.protocol import EvaluationProtocol
from htgen.generator.file import GeneratorFile, read_generator
from htgen.generator.network import build


def percent(values: Doubles) -> str:
    """The mean over tasks, with its interval."""
    tasks = torch.from_numpy(values)
    return f"{100 * tasks.mean().item():.2f} ± {100 * half_width95(tasks):.2f}"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("generator")
    parser.add_argument("--data", type=Path, help="the store; default: the one that it was trained on")
    parser.add_argument("--split", default="lake:test")
    parser.add_argument("--way", type=int, default=20)
    parser.add_argument("--shot", type=int, nargs="*", default=[1, 5])
    parser.add_argument("--query", type=int, default=10, help="of each class")
    parser.add_argument("--tasks", type=int, default=1000)
    options = parser.parse_args(arguments)

    file = read_generator(options.generator).file
    store = open_store_of(file.provenance, options.data)
    for shot in options.shot:
        protocol = EvaluationProtocol(options.way, shot, options.query, tasks=options.tasks)
        sampler = Measurement(store, [options.split], protocol).sampler(options.split, file.model)
        floats, whole, same = accuracies(file, sampler, options.tasks)
        print(
            f"{options.generator} {options.split} {options.way}-way {shot}-shot: {percent(floats)} %, "
            f"in whole numbers {percent(whole)} %, difference {percent(whole - floats)}, "
            f"same class {percent(same)} %",
            flush=True,
        )


@torch.no_grad()
def accuracies(file: GeneratorFile, sampler: EpisodeSampler, tasks: int) -> Doubles:
    """`[3, tasks]`, 0..1: right in float, right in whole numbers, and the same in both."""
    model, found = build(file), []
    for start in range(0, tasks, TASKS_PER_BATCH):
        batch = sampler.batch(start, min(TASKS_PER_BATCH, tasks - start))
        cnns = model.generate(batch.support_images, batch.support_labels, batch.slots)
        floats = model.execute(cnns, batch.query_images).argmax(dim=2).numpy()  # [E, N]
        pixels = np.rint((batch.query_images.numpy() + 1) * 128).astype(np.uint8)
        for task, labels in enumerate(batch.query_labels.numpy()):
            tensors = cnns.map(lambda tensor, task=task: np.ascontiguousarray(tensor[task].detach().numpy()))
            classes = tuple(map(str, range(len(tensors.logits_bias))))
            bundle = Bundle(model.spec, classes, file.preprocessing, tensors.to_tensors(model.spec))
            whole = whole_cnn(bundle).logits(pixels[task]).argmax(axis=1)
            rights = (floats[task] == labels, whole == labels, whole == floats[task])
            found.append([right.mean() for right in rights])
    return np.array(found).T


if __name__ == "__main__":
    main()
