"""A small generator with random weights, and pictures for it."""

import numpy as np
import torch

from htgen.config.model import ModelConfig
from htgen.generator.file import GeneratorFile
from htgen.generator.generator import Generator
from htgen.generator.network import to_arrays
from htgen.hypertransformer.hypertransformer import HyperTransformer
from htgen.images.preprocessing import Preprocessing

SHAPES = {
    "paper": {},
    "no last pool": {"cnn": {"channels": 4, "pools": [1, 2, 3]}},
    "lrelu": {"cnn": {"channels": 4, "activation": "lrelu"}},
    "three layers": {"cnn": {"channels": 4, "shape": "3-layer", "stride": 1}},
    "five by five": {"cnn": {"channels": 4, "kernel": 5}},
    "bias and norm": {"weights": {"generate_bias": True, "generate_norm": True}},
    "some biases": {"weights": {"generate_bias": True, "learned_layers": 1}},
    "colour": {"image_channels": 3},
    "norm first": {"cnn": {"channels": 4, "norm_first": True, "activation": "lrelu"}},
    "norm after pool": {"cnn": {"channels": 4, "norm_first": "after-pool", "activation": "lrelu"}},
    "query norm": {"cnn": {"channels": 4, "separate_query_norm": True}},
    "batch norm": {"cnn": {"channels": 4, "norm": "batch"}},
}


def make_generator(**changes) -> Generator:
    torch.manual_seed(0)
    values = {
        "max_way": 5,
        "image_size": 20,
        "embedding_dim": 8,
        "cnn": {"channels": 4},
        "shared": {"layers": 2, "width": 6},
        "transformer": {"layers": 1},
    }
    config = ModelConfig.model_validate(values | changes)
    model = HyperTransformer(config)
    ink = "bright" if config.image_channels == 1 else "none"
    preprocessing = Preprocessing(config.image_size, config.image_channels, ink, "pad")
    return Generator(GeneratorFile("toy", config, to_arrays(model.state_dict()), preprocessing), "0" * 64)


def pictures(count: int = 6, seed: int = 0) -> list[np.ndarray]:
    noise = np.random.default_rng(seed)
    return [noise.integers(0, 256, (24, 30, 3), dtype=np.uint8) for _ in range(count)]


LABELS = ["cat", "ant", "bee", "ant", "cat", "bee"]
