"""What it costs to run generated CNNs in whole numbers, as the C of `htgen export` does.

    python docs/measurements/whole_numbers.py glyph-8 --data data/omniglot-drawings

Accuracy over unseen tasks of CNNs in float and in whole numbers, on the same tasks, the mean difference with
its 95 % interval, and the share of queries that get the same class. With --rows a run
that was stopped goes on.
"""

import argparse
import json
from collections.abc import Iterator
from itertools import count, takewhile
from pathlib import Path

import numpy as np
import torch

from htgen.arrays import Doubles
from htgen.cnn.bundle import Bundle
from htgen.cnn.whole_numbers import whole_cnn
from htgen.episodes.sampler import EpisodeSampler
from htgen.evaluation.accuracy import half_width95, tasks_at_once
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
    parser.add_argument("--rows", type=Path, help="the tasks that are done; a run goes on from it")
    options = parser.parse_args(arguments)

    file = read_generator(options.generator).file
    store = open_store_of(file.provenance, options.data)
    for shot in options.shot:
        protocol = EvaluationProtocol(options.way, shot, options.query, tasks=options.tasks)
        sampler = Measurement(store, [options.split], protocol).sampler(options.split, file.model)
        kind = [options.generator, options.split, options.way, shot, options.query]
        found = read_rows(options.rows, kind)
        for batch in accuracies(file, sampler, len(found), options.tasks):
            append_rows(options.rows, kind, len(found), batch)
            found += batch
        floats, whole, same = np.array(found[: options.tasks]).T
        print(
            f"{options.generator} {options.split} {options.way}-way {shot}-shot: {percent(floats)} %, "
            f"in whole numbers {percent(whole)} %, difference {percent(whole - floats)}, "
            f"same class {percent(same)} %",
            flush=True,
        )


def read_rows(path: Path | None, kind: list[str | int]) -> list[list[float]]:
    """What is done of one measurement, by task."""
    if path is None or not path.exists():
        return []
    rows = [json.loads(line) for line in path.read_text().splitlines() if line.endswith("]")]
    done = {row[0][-1]: row[1] for row in rows if row[0][:-1] == kind}
    return [done[task] for task in takewhile(done.__contains__, count())]


def append_rows(path: Path | None, kind: list[str | int], first: int, found: list[list[float]]) -> None:
    """Note tasks, a line each: `[[..., task], [float, whole, same]]`."""
    if path is not None:
        with path.open("a") as file:
            for task, row in enumerate(found, start=first):
                file.write(json.dumps([[*kind, task], row]) + "\n")


@torch.no_grad()
def accuracies(
    file: GeneratorFile, sampler: EpisodeSampler, first: int, tasks: int
) -> Iterator[list[list[float]]]:
    """Shares, 0..1, that are right in float, right in whole numbers, and the same in both: for each task from
    `first` on, a list for each batch."""
    model = build(file)
    step = tasks_at_once(model, sampler)
    for start in range(first, tasks, step):
        batch = sampler.batch(start, min(step, tasks - start))
        cnns = model.generate(batch.support_images, batch.support_labels, batch.slots)
        floats = model.execute(cnns, batch.query_images).argmax(dim=2).numpy()  # [E, N]
        pixels = np.rint((batch.query_images.numpy() + 1) * 128).astype(np.uint8)
        found = []
        for task, labels in enumerate(batch.query_labels.numpy()):
            tensors = cnns.map(lambda tensor, task=task: np.ascontiguousarray(tensor[task].detach().numpy()))
            classes = tuple(map(str, range(len(tensors.logits_bias))))
            bundle = Bundle(model.spec, classes, file.preprocessing, tensors.to_tensors(model.spec))
            whole = whole_cnn(bundle).logits(pixels[task]).argmax(axis=1)
            rights = (floats[task] == labels, whole == labels, whole == floats[task])
            found.append([float(right.mean()) for right in rights])
        yield found


if __name__ == "__main__":
    main()
