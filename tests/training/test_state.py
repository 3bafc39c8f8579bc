import json
import shutil

import pytest
import torch
from helpers.runs import metrics, train
from helpers.stores import change_manifest
from helpers.toy import toy_values
from safetensors.torch import load_file

from htgen.config.run import Config
from htgen.datasets.store import StoreWriter
from htgen.errors import HtgenError, ModelError, RunError
from htgen.training.events import Saved
from htgen.training.run_folder import RunFolder, find_run_config
from htgen.training.state import read_state, write_state
from htgen.training.trainer import Trainer


@pytest.mark.parametrize(("optimizer", "dropout"), [("adamw", 0.1), ("sgd", 0.1), ("adamw", 0.0)])
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(store_path, tmp_path, optimizer, dropout):
    values = toy_values(store_path)
    values["optimizer"]["name"] = optimizer
    values["model"]["shared"]["dropout"] = dropout  # without it, episodes are shared out among threads
    config = Config.model_validate(values)
    train(config, tmp_path / "whole")
    for stop_after in (3, 4, 5):
        run = tmp_path / f"stopped after {stop_after}"
        train(config, run, stop_after=stop_after)
        train(find_run_config(RunFolder(run)), run, resume=True)
        whole, parts = (load_file(path / "latest.safetensors") for path in (tmp_path / "whole", run))
        assert whole.keys() == parts.keys()
        for name, tensor in whole.items():
            assert torch.equal(tensor, parts[name]), name
        assert metrics(tmp_path / "whole") == metrics(run)
        best = [(path / "best.safetensors").read_bytes() for path in (tmp_path / "whole", run)]
        assert best[0] == best[1]


def test_resuming_what_cannot_be_resumed_says_why(config, store, tmp_path):
    with pytest.raises(RunError, match="no training state"):
        train(config, tmp_path / "none", resume=True)
    train(config, tmp_path / "run")

    state = tmp_path / "run" / "latest.safetensors"
    intact = state.read_bytes()
    state.write_bytes(intact[:-100])
    with pytest.raises(ModelError, match=r"latest\.safetensors.*damaged"):
        train(config, tmp_path / "run", resume=True)
    state.write_bytes((tmp_path / "run" / "best.safetensors").read_bytes())
    with pytest.raises(ModelError, match="not an htgen training state"):
        train(config, tmp_path / "run", resume=True)
    state.write_bytes(intact)

    wider = config.model.model_copy(update={"embedding_dim": 8})
    with pytest.raises(RunError, match=r"was changed since the run began: model\.embedding_dim"):
        train(config.model_copy(update={"model": wider}), tmp_path / "run", resume=True)

    other = tmp_path / "other"
    with StoreWriter(other, "toy", store.preprocessing, store.schemes) as writer:
        for i, name in enumerate(store.class_names):
            writer.add_class(name, "x", 255 - store.images[store.offsets[i] : store.offsets[i + 1]])
    moved = config.model_copy(update={"data": config.data.model_copy(update={"store": str(other)})})
    with pytest.raises(RunError, match="other data"):
        train(moved, tmp_path / "run", resume=True)


def test_a_failed_save_keeps_the_previous_state(config, tmp_path, monkeypatch):
    train(config, tmp_path / "run", stop_after=3)
    before = (tmp_path / "run" / "latest.safetensors").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.write_bytes", full)
        with pytest.raises(HtgenError, match="No space left"):
            train(config, tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "latest.safetensors").read_bytes() == before
    assert not list((tmp_path / "run").glob(".*.tmp"))
    assert train(config, tmp_path / "run", resume=True)[-1] == Saved(6)


def test_a_state_of_before_with_an_average_that_nothing_reads_is_gone_on_with(store_path, tmp_path):
    values = toy_values(store_path)
    values["train"]["ema"] = 0.0
    config = Config.model_validate(values)
    train(config, tmp_path / "new")
    train(config, tmp_path / "old", stop_after=3)
    path = tmp_path / "old" / "latest.safetensors"
    header, tensors = read_state(path)
    assert not any(name.startswith("average.") for name in tensors)
    names = [name for name in tensors if name.startswith("model.")]
    old = {**tensors, **{f"average.{name.removeprefix('model.')}": tensors[name] for name in names}}
    write_state(path, header, {name: torch.tensor(array) for name, array in old.items()})
    train(config, tmp_path / "old", resume=True)
    found, wanted = (load_file(tmp_path / run / "latest.safetensors") for run in ("old", "new"))
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in found)


def test_a_store_whose_splits_were_swapped_is_other_data(config, store_path, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(store_path, copy)
    moved = config.model_copy(update={"data": config.data.model_copy(update={"store": str(copy)})})
    train(moved, tmp_path / "run", stop_after=3)
    schemes = json.loads((copy / "manifest.json").read_text())["schemes"]
    schemes["toy"]["parts"] |= {"train": "6-15", "test": "0-5"}
    change_manifest(copy, schemes=schemes)
    with pytest.raises(RunError, match="other data"):
        train(moved, tmp_path / "run", resume=True)


def test_what_may_change_between_stops_may_change(config, tmp_path):
    train(config, tmp_path / "run", stop_after=3)
    longer = config.model_copy(
        update={"train": config.train.model_copy(update={"steps": 8, "save_every": 4})}
    )
    assert train(longer, tmp_path / "run", resume=True)[-1] == Saved(8)


def test_a_resumed_run_does_not_need_the_run_it_started_from(store_path, tmp_path):
    values = toy_values(store_path)
    values["train"] |= {"pretrain_shared": True}
    train(Config.model_validate(values), tmp_path / "first")
    values["train"] |= {"pretrain_shared": False, "restore_shared": str(tmp_path / "first")}
    config = Config.model_validate(values)
    train(config, tmp_path / "second", stop_after=3)
    shutil.rmtree(tmp_path / "first")
    with RunFolder(tmp_path / "second") as run:
        trainer = Trainer(config, run, resuming=True)
        trainer.resume()
        assert list(trainer.events())[-1] == Saved(6)
