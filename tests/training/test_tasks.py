import numpy as np
import pytest
from helpers.runs import train
from helpers.toy import SIZE

from htgen.compute.processes import Processes
from htgen.datasets.store import StoreWriter
from htgen.errors import ConfigError, DataError, RunError
from htgen.images.preprocessing import Preprocessing
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


def with_second(config, path):
    """The config with another store to train on, too."""
    second = config.data.second.model_copy(update={"store": str(path), "train": "all", "share": 0.5})
    return config.model_copy(update={"data": config.data.model_copy(update={"second": second})})


@pytest.mark.parametrize("key", ["data.train", "data.val", "data.second.train"])
def test_a_wrong_split_is_told_with_its_key_and_store(key, config, store_path, tmp_path):
    values = with_second(config, store_path).model_dump()
    *sections, name = key.split(".")
    section = values
    for part in sections:
        section = section[part]
    section[name] = "toy:gone"
    with pytest.raises(DataError, match=f"^{key}, of store {store_path}: split 'toy:gone'") as error:
        train(type(config).model_validate(values), tmp_path / "run")
    assert error.value.hint.startswith(f"--set {key}=SPLIT: ")


def test_a_second_store_of_other_images_is_refused(config, tmp_path):
    path = tmp_path / "other"
    with StoreWriter(path, "other", Preprocessing(SIZE + 1, 1, "bright", "pad"), {}) as writer:
        writer.add_class("k", "noise", np.zeros((1, SIZE + 1, SIZE + 1, 1), dtype=np.uint8))
    with pytest.raises(DataError, match="are prepared otherwise than those of"):
        train(with_second(config, path), tmp_path / "run")


def test_a_run_does_not_go_on_with_another_second_store(config, store, tmp_path):
    path = tmp_path / "other"
    with StoreWriter(path, "other", store.preprocessing, {}) as writer:
        for number in range(6):
            writer.add_class(f"k{number}", "toy", store.images[8 * number : 8 * number + 4])
    changed = with_second(config, path)
    train(changed, tmp_path / "run")
    with StoreWriter(path, "other", store.preprocessing, {}, overwrite=True) as writer:
        for number in range(6):
            writer.add_class(f"k{number}", "toy", store.images[8 * number + 4 : 8 * number + 8])
    with pytest.raises(RunError, match=r"other data than .* and .*other"):
        train(changed, tmp_path / "run", resume=True)
