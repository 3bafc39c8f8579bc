"""What it costs to round the weights of generated CNNs to 8 bits, as `htgen export --eight-bits` does.

    python docs/measurements/eight_bits.py glyph-8

Accuracy over unseen tasks of CNNs as they are and rounded, on the same tasks, and the mean difference with
its 95 % interval.
"""

import argparse

import torch

from htgen.cnn.eight_bits import rounded
from htgen.cnn.weights import CnnWeights
from htgen.episodes.sampler import EpisodeSampler
from htgen.evaluation.accuracy import TASKS_PER_BATCH, half_width95
from htgen.evaluation.known_classes import open_store_of
from htgen.evaluation.measurement import Measurement
from htgen.evaluation.protocol import EvaluationProtocol
from htgen.generator.file import read_generator
from htgen.generator.network import build
from htgen.hypertransformer.hypertransformer import HyperTransformer


def rounded_each(cnns: CnnWeights[torch.Tensor]) -> CnnWeights[torch.Tensor]:
    """CNNs whose kernels and logits weights are rounded, each CNN's by themselves."""
    return rounded(cnns.map(lambda tensor: tensor.numpy())).map(torch.from_numpy)


def percent(values: torch.Tensor) -> str:
    """The mean over tasks, with its interval."""
    return f"{100 * values.mean().item():.2f} ± {100 * half_width95(values):.2f}"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("generator")
    parser.add_argument("--split", default="lake:test")
    parser.add_argument("--way", type=int, default=20)
    parser.add_argument("--shot", type=int, nargs="*", default=[1, 5])
    parser.add_argument("--query", type=int, default=10, help="of each class")
    parser.add_argument("--tasks", type=int, default=1000)
    options = parser.parse_args(arguments)

    file = read_generator(options.generator).file
    store, model = open_store_of(file.provenance), build(file)
    for shot in options.shot:
        protocol = EvaluationProtocol(options.way, shot, options.query, tasks=options.tasks)
        sampler = Measurement(store, [options.split], protocol).sampler(options.split, file.model.max_way)
        floats, eight = accuracies(model, sampler, options.tasks)
        print(
            f"{options.generator} {options.split} {options.way}-way {shot}-shot: {percent(floats)} %, "
            f"in 8 bits {percent(eight)} %, difference {percent(eight - floats)}",
            flush=True,
        )


@torch.no_grad()
def accuracies(model: HyperTransformer, sampler: EpisodeSampler, tasks: int) -> torch.Tensor:
    """`[2, tasks]`, 0..1: of CNNs as they are, and rounded."""
    found = []
    for start in range(0, tasks, TASKS_PER_BATCH):
        batch = sampler.batch(start, min(TASKS_PER_BATCH, tasks - start))
        cnns = model.generate(batch.support_images, batch.support_labels, batch.slots)
        answers = (
            model.execute(weights, batch.query_images).argmax(dim=2) for weights in (cnns, rounded_each(cnns))
        )
        found.append(torch.stack([(answer == batch.query_labels).double().mean(dim=1) for answer in answers]))
    return torch.cat(found, dim=1)


if __name__ == "__main__":
    main()
