"""Recorded steps on the CPU, by a recorder that repeats what a GPU's does: operations in their memory.

What a step decides in Python, the numbers that it reads from tensors, and the memory that it takes anew are
all as in the recording when it is repeated. Whatever should not be shows here as another result.
"""

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from helpers.toy import toy_values
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from htgen.cnn.fused import plain_operations
from htgen.compute.recording import MOST_RECORDINGS, RecordedSteps
from htgen.compute.threads import EpisodeThreads
from htgen.config.files import dump_config
from htgen.config.run import Config
from htgen.episodes import randomness
from htgen.training.events import Progress, Validated
from htgen.training.run_folder import RunFolder
from htgen.training.trainer import Trainer

WAITS = {"_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero"}
"""Operations whose result Python sees, or whose result's size depends on values: a GPU must be waited for."""


class Tape(TorchDispatchMode):
    """Executes operations and notes them with the tensors that they read and write."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any], Any]] = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        name = operation.overloadpacket.__name__
        by_mask = name.startswith("index") and any(
            isinstance(leaf, Tensor) and leaf.dtype == torch.bool for leaf in tree_leaves(args[1:2])
        )
        assert name not in WAITS, f"{name} waits for the GPU"
        assert not by_mask, f"{name} by a mask waits for the GPU"
        result = operation(*args, **(kwargs or {}))
        self.operations.append((operation, args, kwargs or {}, result))
        return result


class OperationRecorder:
    """A `Recorder` without a GPU."""

    device = torch.device("cpu")

    def record(self, work):
        random = torch.get_rng_state()
        with Tape() as tape:
            result = work()
        # A recording only notes what is to be done: it draws no random numbers, and nothing may be read from
        # it before it is repeated.
        torch.set_rng_state(random)
        for tensor in tensors(result):
            if tensor.is_floating_point():
                tensor.detach().fill_(float("nan"))
        return lambda: self._repeat(tape), result

    @staticmethod
    @torch.no_grad()
    def _repeat(tape: Tape) -> None:
        for operation, args, kwargs, noted in tape.operations:
            read = {leaf.untyped_storage().data_ptr() for leaf in tensors((args, kwargs))}
            made = operation(*args, **kwargs)
            for old, new in zip(tensors(noted), tensors(made), strict=True):
                if old.untyped_storage().data_ptr() not in read:  # neither a view nor in place
                    old.detach().copy_(new)


@pytest.fixture(autouse=True)
def _operations_of_torch(monkeypatch):
    """A GPU has neither numba's kernels nor NumPy, and a tape notes only what torch does."""
    monkeypatch.setattr(randomness, "_mix_by_numpy", randomness.mix_anywhere)
    with plain_operations():
        yield


def tensors(tree: object) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def values_of(store_path, steps: int, dropout: float = 0.0, **sections: dict) -> dict:
    values = toy_values(store_path)
    values["model"]["shared"]["dropout"] = dropout
    values["model"]["weights"] |= sections.get("weights", {})
    values["model"]["cnn"] |= sections.get("cnn", {})
    values["episodes"] |= {"way": [3, 4], "shot": [1, 2], **sections.get("episodes", {})}
    values["augment"] |= {"rotation": 10, "elastic": 0.02, "chimeras": 0.3, "new_classes": {"mirror": True}}
    values["train"] |= {"steps": steps, "log_every": 1, "val_every": steps, **sections.get("train", {})}
    return values


def train(values: dict, path, recorded: bool, resume: bool = False) -> tuple[Trainer, list[float]]:
    """The trainer and every loss and validation accuracy that it told."""
    config = Config.model_validate(values)
    with RunFolder(path) as run:
        trainer = Trainer(config, run, resuming=resume)
        trainer.gradients.threads = EpisodeThreads(1)
        if recorded:
            trainer.gradients.recorded = RecordedSteps(OperationRecorder())
        if resume:
            trainer.resume()
        else:
            run.start(dump_config(config), overwrite=False)
        events = list(trainer.events())
    numbers = [event.loss for event in events if isinstance(event, Progress)]
    return trainer, numbers + [event.result.accuracy for event in events if isinstance(event, Validated)]


SETTINGS = {
    "generated": {},
    "learned": {"weights": {"learned_layers": 4}},
    "norm_of_the_batch": {"cnn": {"norm": "batch"}},
    "bfloat16": {"train": {"precision": "bfloat16"}},
    "unlabeled": {"episodes": {"unlabeled": 1, "remove_labeled": 0.3}},
    "related": {"episodes": {"related": 0.5}},
}


@pytest.mark.parametrize("layout", ["cpu", "gpu"])
@pytest.mark.parametrize("name", SETTINGS)
def test_recorded_steps_are_the_steps_themselves(store_path, tmp_path, request, name, layout):
    if layout == "gpu":
        request.getfixturevalue("episodes_apart")
    values = values_of(store_path, 12, **SETTINGS[name])
    plain, want = train(values, tmp_path / "plain", recorded=False)
    trainer, got = train(values, tmp_path / "recorded", recorded=True)
    assert trainer.gradients.recorded is not None
    assert len(trainer.gradients.recorded.recordings) >= 2  # of two ways by two shots
    assert got == want
    state = trainer.trained.state_dict()
    for key, tensor in plain.trained.state_dict().items():
        assert torch.equal(state[key], tensor), key


def test_masks_of_dropout_are_drawn_anew(store_path, tmp_path):
    values = values_of(store_path, 12, dropout=0.3)
    assert train(values, tmp_path / "a", True)[1] == train(values, tmp_path / "b", False)[1]


def test_a_resumed_run_records_anew_and_goes_on_exactly(store_path, tmp_path):
    values = values_of(store_path, 20)
    values["optimizer"]["schedule"] = "constant"
    values["train"]["val_every"] = 10
    _, whole = train(values, tmp_path / "whole", True)
    values["train"]["steps"] = 10
    _, first = train(values, tmp_path / "parts", True)
    values["train"]["steps"] = 20
    _, second = train(values, tmp_path / "parts", True, resume=True)
    assert [*first[:10], *second[:10]] == whole[:20]
    assert [first[-1], second[-1]] == whole[20:]


def test_a_trainer_is_freed_with_its_last_reference(store_path, tmp_path):
    trainer, _ = train(values_of(store_path, 4), tmp_path / "run", recorded=True)
    gc.collect()
    gc.disable()
    try:
        recorded_steps = weakref.ref(trainer.gradients.recorded)
        del trainer
        assert recorded_steps() is None
    finally:
        gc.enable()


def test_only_so_many_kinds_are_recorded(monkeypatch):
    monkeypatch.setattr("htgen.compute.recording.MOST_RECORDINGS", 2)
    assert MOST_RECORDINGS > 2
    recorded_steps = RecordedSteps(OperationRecorder())
    calls: list[int] = []

    def work(kind: int, number: Tensor) -> Tensor:
        calls.append(kind)
        return number * kind

    for number in range(4):
        for kind in (3, 5, 7):
            assert recorded_steps(work, kind, number).item() == number * kind
    assert [calls.count(kind) for kind in (3, 5, 7)] == [2, 2, 4]  # once as it is, once to record it


@pytest.mark.parametrize("wrong", [lambda t: t.item(), lambda t: t[t > 0], lambda t: bool(t)])
def test_the_recorder_of_these_tests_refuses_what_waits(wrong):
    recorded_steps = RecordedSteps(OperationRecorder())
    recorded_steps(lambda kind, number: wrong(number[None]), 0, 1)
    with pytest.raises(AssertionError, match="waits for the GPU"):
        recorded_steps(lambda kind, number: wrong(number[None]), 0, 1)
