import pytest
from helpers.runs import train

from htgen.compute.processes import Processes
from htgen.errors import ConfigError, DataError
from htgen.training.run_folder import RunFolder
from htgen.training.trainer import Trainer


def test_a_store_that_does_not_fit_the_model_is_refused(config, tmp_path):
    larger = config.model.model_copy(update={"image_size": 28})
    with pytest.raises(DataError, match="16x16 pixels, 1 channels; the config wants 28x28 and 1"):
        train(config.model_copy(update={"model": larger}), tmp_path / "run")


def test_episodes_that_cannot_be_shared_out_are_refused(config, tmp_path):
    with RunFolder(tmp_path / "run") as run, pytest.raises(ConfigError) as error:
        Trainer(config, run, processes=Processes(0, 3))
    assert error.value.message == (
        "train.episodes_per_step: 2 episodes cannot be shared out evenly among 3 processes"
    )
