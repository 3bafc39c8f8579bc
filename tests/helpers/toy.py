"""A small data set, and the config of a run on it that takes a second."""

from pathlib import Path

import numpy as np

CLASSES = 16
IMAGES_PER_CLASS = 8
SIZE = 16
GROUPS = "columns", "rows"


def drawing(kind: int, variant: int, roughness: float = 20, size: int = SIZE) -> np.ndarray:
    """A bright mark on black whose position and direction tell the class; variants add noise: `[H, W, 1]`."""
    noise = np.random.default_rng(1000 * kind + variant)
    image = np.zeros((size, size), dtype=np.float64)
    row, column = 2 + (kind // 4) * (size - 4) // 4, 2 + (kind % 4) * (size - 4) // 4
    image[row : row + 3, column : column + 3] = 255
    if kind % 2:
        image[row + 1, :] = 200
    else:
        image[:, column + 1] = 200
    return np.clip(image + noise.normal(0, roughness, image.shape), 0, 255).astype(np.uint8)[..., None]


def toy_values(store_path: Path) -> dict:
    """The values behind `config`, to change before validation."""
    return {
        "name": "toy",
        "data": {"store": str(store_path), "train": "toy:train", "val": "toy:val"},
        "episodes": {"way": 4, "shot": 1, "query": 2},
        "validation": {"way": 3, "shot": 1, "query": 2},
        "augment": {"rotate90": True},
        "model": {
            "max_way": 6,
            "image_size": SIZE,
            "embedding_dim": 4,
            "cnn": {"channels": 4, "pools": [1, 2, 3]},
            "shared": {"layers": 2, "width": 4, "dropout": 0.1},
            "transformer": {"layers": 1},
            "weights": {"base": True, "prototypes": True},
        },
        "optimizer": {"lr": 1e-2, "warmup": 2},
        "train": {
            "steps": 6,
            "episodes_per_step": 2,
            "ema": 0.9,
            "log_every": 2,
            "val_every": 3,
            "val_tasks": 8,
            "save_every": 3,
        },
    }
