"""Training by kernels beside training by plain operations."""

import pytest
from helpers.toy import toy_values

from htgen.cnn import fused
from htgen.config.files import dump_config
from htgen.config.run import Config
from htgen.training.events import Progress
from htgen.training.run_folder import RunFolder
from htgen.training.trainer import Trainer


def trained(store_path, path) -> tuple[list[float], Trainer]:
    """The losses of a short training, and its trainer."""
    values = toy_values(store_path)
    values["model"]["shared"]["dropout"] = 0.0
    values["optimizer"] = {"name": "adamw", "lr": 3e-3, "warmup": 5}
    values["train"] |= {"episodes_per_step": 4, "steps": 30, "log_every": 5, "val_every": 30}
    config = Config.model_validate(values)
    with RunFolder(path) as run:
        run.start(dump_config(config), overwrite=False)
        trainer = Trainer(config, run)
        losses = [event.loss for event in trainer.events() if isinstance(event, Progress)]
        return losses, trainer


def test_the_curve_is_that_of_plain_operations(store_path, tmp_path):
    with fused.plain_operations():
        expected, plain = trained(store_path, tmp_path / "plain")
        assert plain.gradients.kernels is None
        assert plain.generator_file().provenance.kernels is None
        assert "kernels" not in plain.generator_file().provenance.to_json()
    found, trainer = trained(store_path, tmp_path / "fused")
    assert trainer.gradients.kernels == trainer.generator_file().provenance.kernels == fused.used()
    assert expected[-1] < expected[0] - 0.1  # it learned something
    # Rounding grows from step to step; the first losses are the same, and all stay near.
    assert found[:2] == pytest.approx(expected[:2], abs=1e-4)
    assert found == pytest.approx(expected, abs=0.1)


def test_the_same_twice(store_path, tmp_path):
    assert trained(store_path, tmp_path / "a")[0] == trained(store_path, tmp_path / "b")[0]
