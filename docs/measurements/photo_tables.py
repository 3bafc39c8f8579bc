"""The tables in the cards of the generators of photographs: PLDA beside plain class means of the same trunk.

    python docs/measurements/photo_tables.py photo --data data/caltech101-96 --split caltech101@0:70-79
    python docs/measurements/photo_tables.py photo --data data/clothing-96 --split all --way 5 --shot 1 5

The trunk sees each image once, and all heads get the same tasks: those of `htgen evaluate`, seed 0.
`class means` are those of the features as they are; `cosine` compares features and means of length 1.
"""

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F

from htgen.datasets.splits import resolve_split
from htgen.episodes.batch import EpisodeBatch
from htgen.episodes.sampler import EpisodeSampler
from htgen.evaluation.accuracy import half_width95
from htgen.evaluation.features import pool_after_trunk
from htgen.evaluation.known_classes import open_store_of
from htgen.evaluation.measurement import Measurement
from htgen.evaluation.protocol import EvaluationProtocol
from htgen.generator.file import read_generator
from htgen.generator.network import build
from htgen.hypertransformer.hypertransformer import HyperTransformer

AT_ONCE = 16


@torch.no_grad()
def right(model: HyperTransformer, batch: EpisodeBatch) -> dict[str, torch.Tensor]:
    """The share of queries that each head answers rightly, by task `[E]`; images are features."""
    support, asked = (x.flatten(2) for x in (batch.support_images, batch.query_images))
    way = int(batch.support_labels.max()) + 1
    member = F.one_hot(batch.support_labels, way).float()  # [E, S, n]
    means = member.transpose(1, 2) @ support / member.sum(1)[:, :, None]
    logits = {
        "PLDA": model(batch.support_images, batch.support_labels, batch.query_images, batch.slots),
        "class means": -torch.cdist(asked, means),
        "cosine": F.normalize(asked, dim=2) @ F.normalize(means, dim=2).transpose(1, 2),
    }
    return {name: (x.argmax(2) == batch.query_labels).double().mean(1) for name, x in logits.items()}


def row(model: HyperTransformer, sampler: EpisodeSampler, tasks: int) -> dict[str, str]:
    """Mean and 95 % interval in percent, by head."""
    parts: dict[str, list[torch.Tensor]] = {}
    for start in range(0, tasks, AT_ONCE):
        for name, found in right(model, sampler.batch(start, min(AT_ONCE, tasks - start))).items():
            parts.setdefault(name, []).append(found)
    whole = {name: 100 * torch.cat(found) for name, found in parts.items()}
    return {name: f"{x.mean():.2f} ± {half_width95(x):.2f}" for name, x in whole.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("generator")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--split", nargs="+", required=True)
    parser.add_argument("--way", type=int, nargs="+", default=[5])
    parser.add_argument("--shot", type=int, nargs="+", default=[1, 5])
    parser.add_argument("--query", type=int, default=10)
    parser.add_argument("--tasks", type=int, default=1000)
    options = parser.parse_args()
    file = read_generator(options.generator).file
    store, model = open_store_of(file.provenance, options.data), build(file)
    for split in options.split:
        rest = pool = None
        classes = len(resolve_split(store, split))
        for way in options.way:
            for shot in options.shot:
                if way > classes:
                    continue
                protocol = EvaluationProtocol(way, shot, options.query, tasks=options.tasks)
                sampler = Measurement(store, [split], protocol).sampler(split, file.model)
                if pool is None:
                    rest, pool = pool_after_trunk(model, sampler.pool)
                sampler.pool = pool
                found = "; ".join(
                    f"{name} {text}" for name, text in row(rest, sampler, options.tasks).items()
                )
                print(f"{file.name} {store.name} {split} {way}-way {shot}-shot: {found}", flush=True)


if __name__ == "__main__":
    main()
