import itertools
import math

import pytest
import torch
from helpers.runs import train
from helpers.toy import toy_values
from safetensors.torch import load_file

from htgen.config.run import Config
from htgen.datasets.store import Store
from htgen.generator.generator import load_generator
from htgen.training.events import Progress, Saved, Validated
from htgen.training.run_folder import RunFolder, find_run_config


def test_a_run_reports_and_leaves_what_it_should(config, tmp_path):
    events = train(config, tmp_path / "run")
    assert [e.step for e in events if isinstance(e, Progress)] == [2, 4, 6]
    validated = [e for e in events if isinstance(e, Validated)]
    assert [e.step for e in validated] == [3, 6]
    assert [e.step for e in events if isinstance(e, Saved)] == [3, 6]
    assert {p.name for p in (tmp_path / "run").iterdir()} == {
        ".lock", "config.yaml", "metrics.jsonl", "latest.safetensors", "best.safetensors",
    }  # fmt: skip
    assert find_run_config(RunFolder(tmp_path / "run")) == config
    generator = load_generator(tmp_path / "run")
    best = max(validated, key=lambda e: e.result.accuracy)
    provenance = generator.file.provenance
    assert provenance.validation.accuracy == best.result.accuracy
    assert provenance.data.sha256 == Store.open(config.data.store).checksum
    assert provenance.config.to_json()["seed"] == 0


def test_training_learns_the_toy_task(store_path, tmp_path):
    values = toy_values(store_path)
    values["train"] |= {"steps": 60, "episodes_per_step": 4, "ema": 0.0, "log_every": 20, "val_every": 60}
    events = train(Config.model_validate(values), tmp_path / "run")
    losses = [e.loss for e in events if isinstance(e, Progress)]
    assert losses[-1] < 0.7 * losses[0]


def test_another_seed_gives_another_run_and_the_same_seed_the_same(config, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(config.model_copy(update={"seed": seed}), tmp_path / name)
    a, b, c = (load_file(tmp_path / n / "latest.safetensors")["average.logits.slices.labels"] for n in "abc")
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def by_the_clock(store_path, monkeypatch) -> Config:
    """A run of six seconds, on a clock that goes on by one at every look: once a step."""
    seconds = itertools.count()
    monkeypatch.setattr("htgen.training.trainer.time.monotonic", lambda: float(next(seconds)))
    values = toy_values(store_path)
    values["train"] |= {"steps": 2, "minutes": 0.1, "log_every": 1, "val_every": 1000, "save_every": 1000}
    values["optimizer"] |= {"lr": 1.0, "warmup": 0, "final": 0.0}
    return Config.model_validate(values)


def test_minutes_end_a_training_and_its_schedule(store_path, tmp_path, monkeypatch):
    events = train(by_the_clock(store_path, monkeypatch), tmp_path / "run")
    lrs = [event.lr for event in events if isinstance(event, Progress)]
    assert lrs == pytest.approx([(1 + math.cos(math.pi * second / 6)) / 2 for second in range(6)])
    assert [event.step for event in events if isinstance(event, Validated)] == [6]
    assert [event.step for event in events if isinstance(event, Saved)] == [6]


def test_a_resumed_training_has_the_minutes_that_are_left(store_path, tmp_path, monkeypatch):
    train(by_the_clock(store_path, monkeypatch), tmp_path / "run", stop_after=4)
    resumed = train(find_run_config(RunFolder(tmp_path / "run")), tmp_path / "run", resume=True)
    lrs = [event.lr for event in resumed if isinstance(event, Progress)]
    assert lrs == pytest.approx([(1 + math.cos(math.pi * second / 6)) / 2 for second in (4, 5)])
