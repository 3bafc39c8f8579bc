"""Small data sets and configs that the tests share."""

from pathlib import Path

import pytest
from helpers.toy import CLASSES, GROUPS, IMAGES_PER_CLASS, SIZE, drawing, toy_values

from htgen.config.run import Config
from htgen.datasets.store import Store, StoreWriter
from htgen.datasets.store_format import Scheme
from htgen.images.preprocessing import Preprocessing


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


@pytest.fixture
def episodes_apart(monkeypatch):
    """The layout and the operations that GPUs take, on the CPU."""
    from htgen.cnn.layout import BY_EPISODE, LAYOUTS  # loads torch

    monkeypatch.setitem(LAYOUTS, "cpu", BY_EPISODE)


@pytest.fixture
def two_threads():
    """Torch set to two threads; loads torch."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)
