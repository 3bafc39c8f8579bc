"""Generators with a trunk of random weights."""

import numpy as np
import torch
from torch import nn

from htgen.config.model import ModelConfig
from htgen.eight_bits import rounded
from htgen.generator.file import GeneratorFile
from htgen.generator.network import to_arrays
from htgen.hypertransformer.hypertransformer import HyperTransformer
from htgen.images.preprocessing import Preprocessing

SIDE, LAYERS = 32, 20
"""Of the images, and convolutions of `separable-small`."""

TRUNKS = (
    *("separable", "separable-small", "inverted", "inverted-small"),
    *("efficientnet-lite0", "efficientnet-lite0-11"),
)
"""Shapes of CNNs that are learned as a whole."""


def trunk_config(
    shape: str = "separable-small", side: int = SIDE, layers: int = LAYERS, **weights
) -> ModelConfig:
    values = {
        "max_way": 1000,
        "image_size": side,
        "image_channels": 3,
        "cnn": {"shape": shape},
        "shared": {"layers": 0},
        "local": {"width": 0},
        "weights": {"learned_layers": layers, "prototypes": "alone"} | weights,
    }
    return ModelConfig.model_validate(values)


def trunk_file(has_8_bits: bool = True, **weights) -> GeneratorFile:
    torch.manual_seed(0)
    config = trunk_config(**weights)
    model = HyperTransformer(config)
    for name, parameter in model.named_parameters():
        if name.endswith("base_bias"):
            nn.init.normal_(parameter, 0, 0.1)
    tensors = to_arrays(model.state_dict())
    if has_8_bits:
        tensors = {k: rounded(t) if k.endswith("base_kernel") else t for k, t in tensors.items()}
    if config.weights.plda:
        hand = np.random.default_rng(0)
        count = model.spec.feature_count
        tensors["logits.plda.centre"] = hand.normal(0, 0.1, count).astype(np.float32)
        tensors["logits.plda.directions"] = np.linalg.qr(hand.normal(size=(count, count)))[0].astype(
            np.float32
        )
        tensors["logits.plda.prior_counts"] = hand.uniform(0.1, 10, count).astype(np.float32)
    preprocessing = Preprocessing(SIDE, 3, "none", "crop")
    return GeneratorFile("toy", config, tensors, preprocessing, has_8_bits=has_8_bits)
