"""Runs begun and resumed from Python."""

import pytest
import torch
from helpers import runs
from safetensors.torch import load_file

from htgen.errors import RunError
from htgen.training.events import Saved
from htgen.training.launch import open_training, train
from htgen.training.run_folder import RunFolder, find_run_config


def test_a_run_of_python_is_that_of_a_trainer_and_is_resumed_exactly(config, tmp_path):
    events = runs.train(config, tmp_path / "trainer")
    assert [type(event) for event in train(config, tmp_path / "whole")] == [type(event) for event in events]
    steps = []
    for event in train(config, tmp_path / "parts", stop=lambda: len(steps) > 0):
        steps.append(event.step)
    assert steps[-1] < config.train.steps
    own = find_run_config(RunFolder(tmp_path / "parts"))
    assert list(train(own, tmp_path / "parts", resume=True))[-1] == Saved(6)
    wanted = load_file(tmp_path / "trainer" / "latest.safetensors")
    for name in ("whole", "parts"):
        assert runs.metrics(tmp_path / name) == runs.metrics(tmp_path / "trainer")
        found = load_file(tmp_path / name / "latest.safetensors")
        assert found.keys() == wanted.keys()
        assert all(torch.equal(found[key], wanted[key]) for key in wanted)


def test_a_run_that_is_there_is_replaced_only_when_told(config, tmp_path):
    list(train(config, tmp_path / "run"))
    with pytest.raises(RunError, match="already holds a run"):
        list(train(config, tmp_path / "run"))
    assert list(train(config, tmp_path / "run", overwrite=True))[-1] == Saved(6)


def test_the_folder_is_locked_while_the_training_is_open_and_only_then(config, tmp_path):
    run = RunFolder(tmp_path / "run")
    with open_training(config, run, "cpu") as trainer:
        assert RunFolder(tmp_path / "run").is_in_use()
        assert (trainer.step, trainer.is_resumed) == (0, False)
    assert not RunFolder(tmp_path / "run").is_in_use()


@pytest.mark.parametrize(("has_state", "first"), [(True, 3), (False, 0)])
def test_processes_started_again_go_on_with_the_run_that_they_began(
    config, tmp_path, monkeypatch, has_state, first
):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "mine")
    steps = []
    for event in train(config, tmp_path / "run", stop=lambda: len(steps) > 1):
        steps.append(event.step)
    if not has_state:
        (tmp_path / "run" / "latest.safetensors").unlink()
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    with open_training(config, RunFolder(tmp_path / "run"), "cpu") as trainer:
        assert trainer.step == first
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "another")
    with pytest.raises(RunError, match="already holds a run"):
        list(train(config, tmp_path / "run"))
