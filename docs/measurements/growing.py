"""What it costs to add classes to a CNN instead of making it anew (docs/guide/growing.md).

    python docs/measurements/growing.py STORE --generator glyph-8 --tasks 200

In each 20-way task of the validation characters (`lake:val`) a CNN is made of ten classes, and ten are added
without the images of the first. Another one is made of all images at once. Both classify the same queries.
"""

import argparse

import numpy as np
import torch

from htgen.datasets.store import Store
from htgen.evaluation.accuracy import half_width95
from htgen.evaluation.measurement import Measurement
from htgen.evaluation.protocol import EvaluationProtocol
from htgen.generator import growing
from htgen.generator.generator import load_generator
from htgen.generator.support import Support

WAY, FIRST = 20, 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("store")
    parser.add_argument("--generator", default="glyph-8")
    parser.add_argument("--tasks", type=int, default=200)
    options = parser.parse_args()
    torch.set_num_threads(1)
    generator, store = load_generator(options.generator), Store.open(options.store)
    classes = tuple(f"{place:02d}" for place in range(WAY))
    print("generator  shot  made anew        grown            grown less anew")
    for shot in (1, 5):
        protocol = EvaluationProtocol(way=WAY, shot=shot, query=5, tasks=options.tasks)
        sampler = Measurement(store, ["lake:val"], protocol).sampler("lake:val", generator.file.model)
        rows = []
        for task in range(options.tasks):
            batch = sampler.batch(task, 1)
            images, labels = batch.support_images[0].numpy(), batch.support_labels[0].numpy()
            queries, answers = batch.query_images[0].numpy(), batch.query_labels[0].numpy()
            order = np.argsort(labels, kind="stable")
            images, labels = images[order], labels[order]
            anew = generator.generate_bundle(Support(images, labels, classes))
            first = generator.generate_bundle(
                Support(images[labels < FIRST], labels[labels < FIRST], classes[:FIRST])
            )
            further = Support(images[labels >= FIRST], labels[labels >= FIRST], classes)
            grown = growing.with_images(first, generator, further)
            rows.append([(cnn.logits(queries).argmax(1) == answers).mean() for cnn in (anew, grown)])
        anew, grown = torch.tensor(rows, dtype=torch.float64).T
        cells = [
            f"{100 * values.mean():6.2f} ± {100 * half_width95(values):.2f}"
            for values in (anew, grown, grown - anew)
        ]
        print(f"{generator.name:9}  {shot:4}  " + "   ".join(cells), flush=True)


if __name__ == "__main__":
    main()
