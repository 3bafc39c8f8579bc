"""A toy generator that is trained for a second, drawings for it, and a CNN."""

from pathlib import Path

import pytest
import yaml
from helpers.toy import drawing, toy_values
from PIL import Image

from htgen.cli import main


@pytest.fixture(scope="session")
def config_path(store_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "toy.yaml"
    values = toy_values(store_path)
    values["train"] |= {"steps": 60, "val_every": 30, "save_every": 30, "log_every": 20}
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.fixture(scope="session")
def run_path(config_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "toy"
    assert main(["train", "--config", str(config_path), "--run", str(path)]) == 0
    return path


@pytest.fixture
def support(tmp_path: Path) -> Path:
    """Three classes of three drawings, dark on light, of other sizes than the generator's."""
    for kind in range(3):
        folder = tmp_path / "support" / f"kind{kind}"
        folder.mkdir(parents=True)
        for i in range(3):
            image = Image.fromarray(255 - drawing(5 * kind, i)[..., 0])
            # Of three shapes: the toy drawings of a class differ by noise alone, as copies do.
            image.resize((40 + 14 * (i == 1), 40 + 14 * (i == 2))).save(folder / f"{i}.png")
    return tmp_path / "support"


@pytest.fixture
def cnn(run_path: Path, support: Path, tmp_path: Path) -> Path:
    path = tmp_path / "cnn.safetensors"
    assert main(["generate", "--support", str(support), "-o", str(path), "--generator", str(run_path)]) == 0
    return path
