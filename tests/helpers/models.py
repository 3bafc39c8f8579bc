"""A small model with random weights, and random episodes for it."""

import torch

from htgen.config.model import ModelConfig
from htgen.hypertransformer.hypertransformer import HyperTransformer

WAY, SHOT, QUERY = 4, 2, 6


def build(seed: int = 0, **changes) -> HyperTransformer:
    torch.manual_seed(seed)
    values = {
        "max_way": 6,
        "image_size": 16,
        "embedding_dim": 8,
        "cnn": {"channels": 4},
        "shared": {"layers": 2, "width": 6},
        "transformer": {"layers": 2},
        "weights": {"base": True, "prototypes": True},
    }
    for key, value in changes.items():
        values[key] = values.get(key, {}) | value if isinstance(value, dict) else value
    return HyperTransformer(ModelConfig.model_validate(values)).eval()


def episodes(count: int = 3, way: int = WAY, shot: int = SHOT) -> tuple[torch.Tensor, ...]:
    """Random support images, labels, query images, slots."""
    made = torch.Generator().manual_seed(1)
    support = torch.randn(count, way * shot, 1, 16, 16, generator=made)
    labels = torch.arange(way).repeat(shot).expand(count, -1)
    query = torch.randn(count, QUERY, 1, 16, 16, generator=made)
    return support, labels, query, torch.arange(way).expand(count, -1)
