"""Small data sets and configs that the tests share."""

from pathlib import Path

import numpy as np
import pytest

from htgen.config.run import Config
from htgen.datasets.store import Store, StoreWriter
from htgen.datasets.store_format import Scheme
from htgen.images.preprocessing import Preprocessing

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


@pytest.fixture(scope="session")
def store_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 16 classes x 8 images of 16x16, of two groups by turns; split `toy`: 0-9, 10-12, 13-15."""
    path = tmp_path_factory.mktemp("data") / "toy"
    schemes = {"toy": Scheme(parts={"train": "0-9", "val": "10-12", "test": "13-15"})}
    with StoreWriter(path, "toy", Preprocessing(SIZE, 1, "bright", "pad"), schemes) as writer:
        for kind in range(CLASSES):
            writer.add_class(
                f"{GROUPS[kind % 2]}/kind{kind:02}",
                "drawn",
                [drawing(kind, i, 90) for i in range(IMAGES_PER_CLASS)],
            )
    return path


@pytest.fixture(scope="session")
def store(store_path: Path) -> Store:
    return Store.open(store_path)


@pytest.fixture
def config(store_path: Path) -> Config:
    """A run that takes a second: 4 ways, 4 channels, 6 steps."""
    return Config.model_validate(toy_values(store_path))


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


@pytest.fixture
def episodes_apart(monkeypatch):
    """The layout and the operations that GPUs take, on the CPU."""
    for module in ("cnn.layout", "cnn.executor", "cnn.batch_norm", "hypertransformer.encoder"):
        monkeypatch.setattr(f"htgen.{module}.episodes_side_by_side", lambda device: False)
