"""What it costs to round the weights of generated CNNs to 8 bits, as `htgen export --eight-bits` does.

    python docs/measurements/eight_bits.py glyph-8

Accuracy over unseen tasks of CNNs as they are and rounded, on the same tasks, and the mean difference with
its 95 % interval.
"""

import argparse
from dataclasses import replace

import torch
from htgen.cli.stores import open_store_of

from htgen.cnn.eight_bits import what_8_bits_keep
from htgen.cnn.weights import GeneratedWeights
from htgen.episodes.sampler import EpisodeSampler, load_images
from htgen.episodes.shape import EpisodeShape
from htgen.evaluation.accuracy import TASKS_PER_BATCH, half_width95
from htgen.generator.generator import load_generator
from htgen.generator.network import build


def rounded(weights: torch.Tensor) -> torch.Tensor:
    """Weights `[E, O, ...]`, each episode's by itself."""
    return torch.stack([torch.from_numpy(what_8_bits_keep(one)) for one in weights.numpy()])


def in_8_bits(cnns: GeneratedWeights) -> GeneratedWeights:
    """CNNs whose kernels and logits weights are rounded, each CNN's by themselves."""
    convs = [replace(conv, kernel=rounded(conv.kernel)) for conv in cnns.convs]
    return replace(cnns, convs=convs, logits_weight=rounded(cnns.logits_weight))


def percent(values: torch.Tensor) -> str:
    """The mean over tasks, with its interval."""
    return f"{100 * values.mean().item():.2f} ± {100 * half_width95(values):.2f}"


@torch.no_grad()
def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("generator")
    parser.add_argument("--split", default="lake:test")
    parser.add_argument("--way", type=int, default=20)
    parser.add_argument("--shot", type=int, nargs="*", default=[1, 5])
    parser.add_argument("--query", type=int, default=10, help="of each class")
    parser.add_argument("--tasks", type=int, default=1000)
    options = parser.parse_args(arguments)

    loaded = load_generator(options.generator)
    store = open_store_of(loaded.file.provenance, None)
    model, images = build(loaded.file), load_images(store)
    for shot in options.shot:
        sampler = EpisodeSampler.from_store(
            store,
            options.split,
            EpisodeShape(options.way, shot, options.query),
            images=images,
            slot_count=loaded.max_way,
            seed=0,
            stream="evaluation",
            period=TASKS_PER_BATCH,
        )
        found = []  # of each batch, `[2, tasks]`
        for start in range(0, options.tasks, TASKS_PER_BATCH):
            batch = sampler.batch(start, min(TASKS_PER_BATCH, options.tasks - start))
            cnns = model.generate(batch.support_images, batch.support_labels, batch.slots)
            answers = (
                model.execute(weights, batch.query_images).argmax(dim=2)
                for weights in (cnns, in_8_bits(cnns))
            )
            found.append(
                torch.stack([(answer == batch.query_labels).double().mean(dim=1) for answer in answers])
            )
        floats, eight = torch.cat(found, dim=1)
        print(
            f"{options.generator} {options.split} {options.way}-way {shot}-shot: {percent(floats)} %, "
            f"in 8 bits {percent(eight)} %, difference {percent(eight - floats)}",
            flush=True,
        )


if __name__ == "__main__":
    main()
