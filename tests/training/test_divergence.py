"""Losses and gradients that are no numbers: steps are skipped, and a run that cannot go on ends well."""

import copy

import numpy as np
import pytest
import torch
from helpers.runs import metrics, train

from htgen.cli import main
from htgen.config.files import dump_config
from htgen.config.run import OptimizerConfig
from htgen.errors import RunError
from htgen.generator.file import GeneratorFile
from htgen.training.events import Progress
from htgen.training.optimizer import make_optimizer, update
from htgen.training.run_folder import RunFolder, find_run_config
from htgen.training.state import read_state
from htgen.training.step import StepGradients
from htgen.training.trainer import Trainer


def with_wild_losses(monkeypatch, steps):
    """From now on the loss of these steps is no number."""
    loss_of = StepGradients.loss_of

    def wild(self, batch, step):
        loss, scalars = loss_of(self, batch, step)
        return (loss * float("nan"), scalars) if step in steps else (loss, scalars)

    monkeypatch.setattr(StepGradients, "loss_of", wild)


def test_a_step_without_a_finite_loss_changes_nothing_and_is_counted(config, tmp_path, monkeypatch):
    with RunFolder(tmp_path / "run") as run:
        run.start(dump_config(config), overwrite=False)
        trainer = Trainer(config, run)
        with_wild_losses(monkeypatch, {1})
        trainer.train_step()
        before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
        moments = copy.deepcopy(trainer.optimizer.state_dict()["state"])
        trainer.train_step()
        assert all(torch.equal(before[name], t) for name, t in trainer.model.state_dict().items())
        for index, entries in trainer.optimizer.state_dict()["state"].items():
            assert all(torch.equal(moments[index][key], value) for key, value in entries.items())
        trainer.train_step()
        assert not all(torch.equal(before[name], t) for name, t in trainer.model.state_dict().items())
        events = list(trainer.events())
    assert [event.skipped for event in events if isinstance(event, Progress)] == [1, 1]
    lines = [line for line in metrics(tmp_path / "run") if line["event"] == "train"]
    assert [(line["step"], line["skipped"]) for line in lines] == [(4, 1), (6, 1)]
    assert all(np.isfinite(line["loss"]) for line in lines)
    assert read_state(tmp_path / "run" / "latest.safetensors")[0]["skipped"] == 1


def test_gradients_that_are_no_numbers_are_skipped_too(config, tmp_path, monkeypatch):
    add_up = StepGradients.add_up

    def wild(self, gradients):
        add_up(self, gradients)
        next(self.trained.parameters()).grad[...] = float("inf")

    monkeypatch.setattr(StepGradients, "add_up", wild)
    with pytest.raises(RunError, match="the last 6 steps, up to step 6"):
        train(config, tmp_path / "run")


@pytest.mark.parametrize("clip", [0.0, 1.0])
@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_sound_steps_are_those_of_the_optimiser_alone(name, clip, monkeypatch):
    """What tells an optimiser to skip a step does not change a step that is not skipped."""
    results = []
    for alone in (True, False):
        torch.manual_seed(0)
        module = torch.nn.Linear(5, 3)
        optimizer = make_optimizer(OptimizerConfig(name=name, lr=0.1), module)
        for _ in range(3):
            optimizer.zero_grad()
            (module(torch.randn(4, 5)) ** 2).sum().backward()
            if not alone:
                assert update(optimizer, [*module.parameters()], clip) == 0
                continue
            if clip:
                torch.nn.utils.clip_grad_norm_(module.parameters(), clip)
            optimizer.step()
        results.append([p.detach().clone() for p in module.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


def test_a_diverging_run_ends_with_a_remedy_that_works(config, tmp_path, monkeypatch, capsys):
    config = config.model_copy(
        update={"train": config.train.model_copy(update={"steps": 60, "save_every": 2})}
    )
    with monkeypatch.context() as patch:
        with_wild_losses(patch, range(6, 60))
        with pytest.raises(RunError, match="the last 20 steps, up to step 26") as caught:
            train(config, tmp_path / "run")
    # The state of step 6 was saved, but no later step was sound: it may be what ruined them.
    assert read_state(tmp_path / "run" / "latest.safetensors")[0]["step"] == 4
    assert "goes on from step 4" in caught.value.hint
    command = caught.value.hint.partition("htgen ")[2].partition("   ")[0].split()
    assert command[-1] == "optimizer.lr=0.001"
    assert main([*command, "--set", "train.steps=8", "--device", "cpu"]) == 0
    change = {"step": 4, "key": "optimizer.lr", "before": 0.01, "after": 0.001}
    assert [line for line in metrics(tmp_path / "run") if line["event"] == "change"] == [
        {"event": "change", **change}
    ]
    best = GeneratorFile.read(tmp_path / "run" / "best.safetensors").provenance
    assert read_state(tmp_path / "run" / "latest.safetensors")[0]["changes"] == [change]
    assert find_run_config(RunFolder(tmp_path / "run")).optimizer.lr == 0.001
    if best.step > 4:
        assert best.to_json()["changes"] == [change]
    assert main(["train", "--run", str(tmp_path / "run"), "--resume", "--set", "seed=3"]) == 6
    assert "changed since the run began: seed" in capsys.readouterr().err


def test_nothing_of_a_ruined_stretch_becomes_the_best_or_is_saved(config, tmp_path, monkeypatch):
    config = config.model_copy(
        update={"train": config.train.model_copy(update={"save_every": 1, "val_every": 1})}
    )
    with_wild_losses(monkeypatch, {2, 3})
    train(config, tmp_path / "run")
    validations = [line for line in metrics(tmp_path / "run") if line["event"] == "validation"]
    assert [line["step"] for line in validations] == [1, 2, 3, 4, 5, 6]
    assert not any(line["best"] for line in validations if line["step"] in (3, 4))
    assert read_state(tmp_path / "run" / "latest.safetensors")[0]["skipped"] == 2


def test_without_a_good_state_a_run_is_to_be_begun_again(config, tmp_path):
    wild = OptimizerConfig(name="sgd", lr=1000, warmup=0, clip=0.0)
    with pytest.raises(RunError, match="no finite numbers") as caught:
        train(config.model_copy(update={"optimizer": wild}), tmp_path / "run")
    assert "begin again with a lower optimizer.lr (now 1000)" in caught.value.hint


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
