import pytest
import torch
from helpers.runs import train

from htgen.config.run import OptimizerConfig
from htgen.errors import RunError
from htgen.training.run_folder import RunFolder
from htgen.training.trainer import Trainer


def test_a_diverging_run_stops_with_the_remedy_and_keeps_its_state(config, tmp_path):
    wild = OptimizerConfig(name="sgd", lr=1e30, warmup=0, clip=0.0)
    with pytest.raises(RunError, match="no longer a number") as caught:
        train(config.model_copy(update={"optimizer": wild}), tmp_path / "run")
    assert "optimizer.lr (now 1e+30)" in caught.value.hint


def test_weights_that_are_no_numbers_are_never_saved(config, tmp_path):
    train(config, tmp_path / "run", stop_after=3)
    before = (tmp_path / "run" / "latest.safetensors").read_bytes()
    with RunFolder(tmp_path / "run") as run:
        trainer = Trainer(config, run)
        trainer.resume()
        with torch.no_grad():
            trainer.model.logits.slices.labels[0, 0] = float("inf")
        with pytest.raises(RunError, match="weights of toy are no longer numbers"):
            trainer.save()
    assert (tmp_path / "run" / "latest.safetensors").read_bytes() == before
