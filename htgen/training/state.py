"""Training states: what a run has beside a generator, to go on as if nothing had happened."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from htgen.config.faults import validate
from htgen.config.files import flatten
from htgen.config.run import Config
from htgen.datasets.store import Store
from htgen.errors import ModelError, RunError
from htgen.files import kind_at, write_bytes
from htgen.generator.file import GeneratorFile
from htgen.generator.network import load_tensors, to_arrays
from htgen.hypertransformer.hypertransformer import HyperTransformer
from htgen.tensor_files import Arrays, decode, encode
from htgen.training.events import Means
from htgen.training.run_folder import RunFolder

STATE_FORMAT = "htgen-training-state"

CHANGEABLE = {
    "name",
    "description",
    "data.store",
    "train.steps",
    "train.minutes",
    "train.log_every",
    "train.val_every",
    "train.save_every",
}
"""What may be edited in a run's config.yaml before it is resumed; `steps` and `minutes` move the end of the
schedule."""

Named = TypeVar("Named")


@dataclass
class Counters:
    """How far a training is.

    Attributes:
        step: steps done.
        seconds: that they took, in all processes that this training has had one after the other.
        best: the best validation accuracy, 0..1; None before the first validation.
        sums: since the last logged step, so that a resumed run logs what an uninterrupted one would.
    """

    step: int = 0
    seconds: float = 0.0
    best: float | None = None
    sums: Means = field(default_factory=Means)


@dataclass(frozen=True)
class Trained:
    """What the steps of a training change.

    Attributes:
        modules: `model` and `loss`, on the device that trains.
        average: the averaged parameters of the model, by name; empty when there are none.
        optimizer: with the moments that it keeps.
    """

    modules: torch.nn.Module
    average: Mapping[str, Tensor]
    optimizer: torch.optim.Optimizer

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.modules.parameters()).device


def save_state(path: Path, config: Config, store: Store, trained: Trained, counters: Counters) -> None:
    """Write the training state: weights, average, optimiser, random state, counters.

    Raises:
        OutputError: it cannot be written; the previous one is kept.
    """
    tensors = dict(trained.modules.state_dict())
    tensors |= {f"average.{name}": tensor for name, tensor in trained.average.items()}
    tensors["random.cpu"] = torch.get_rng_state()
    if trained.device.type == "cuda":
        tensors["random.cuda"] = torch.cuda.get_rng_state(trained.device)
    for index, entries in trained.optimizer.state_dict()["state"].items():
        for key, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{index}.{key}"] = value
    header = {
        "config": json.dumps(config.model_dump(mode="json"), sort_keys=True),
        "step": counters.step,
        "seconds": counters.seconds,
        "best": counters.best,
        "sums": counters.sums.entries,
        "data": store.fingerprint,
    }
    write_state(path, header, tensors)


def load_state(run: RunFolder, config: Config, store: Store, trained: Trained) -> Counters:
    """Put the run's training state into what is trained, and torch's random state, and return the counters.

    Raises:
        RunError: there is none, or it was made from other data, or with other settings.
        ModelError: it is damaged or does not fit the config.
    """
    path = run.state_path
    if not path.exists():
        raise RunError(
            f"{run.path} has no training state to resume ({path.name})",
            "start it again without --resume, with --overwrite",
        )
    header, arrays = read_state(path)
    if header["data"] != store.fingerprint:
        raise RunError(
            f"the run was trained on other data than {store.path} holds now", "the original store as --data"
        )
    _check_unchanged(run, state_config(header, path), config)
    weights = {name: a for name, a in arrays.items() if name.partition(".")[0] in ("model", "loss")}
    load_tensors(trained.modules, weights, str(path))
    tensors = {name: torch.tensor(array) for name, array in arrays.items() if name not in weights}
    # States of before kept an average without use.
    average = below("average.", tensors) if config.train.ema else {}
    if average.keys() != trained.average.keys():
        raise ModelError(f"{path} does not fit its config: averaged weights differ")
    for name, tensor in average.items():
        trained.average[name].copy_(tensor)
    _load_optimizer(trained.optimizer, below("optimizer.", tensors))
    torch.set_rng_state(tensors["random.cpu"])
    if trained.device.type == "cuda" and "random.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random.cuda"], trained.device)
    seconds = header.get("seconds", 0.0)  # states of before this was counted have none
    return Counters(header["step"], seconds, header["best"], Means(header["sums"]))


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Set the moments of an optimiser, named `<number of the parameter>.<key>`."""
    entries: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, key = name.split(".", 1)
        entries.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": entries})


def _check_unchanged(run: RunFolder, before: Config, after: Config) -> None:
    """Going on means with the same settings, but for those that do not touch what is trained."""
    then, now = (flatten(config.model_dump(mode="json")) for config in (before, after))
    changed = [key for key, value in then.items() if now[key] != value and key not in CHANGEABLE]
    if changed:
        raise RunError(
            f"{run.config_path} was changed since the run began: {', '.join(changed)}",
            "the values as they were, or a new run",
        )


def state_config(header: Mapping[str, Any], path: Path) -> Config:
    """The config that a training state was made with.

    What there was no setting for when the run began is as it was without it: the default.

    Args:
        header: of `read_state`.
        path: of the state, for messages.

    Raises:
        ConfigError: it has values that this version does not know.
    """
    return validate(Config, json.loads(header["config"]), f"the config inside {path}")


def write_state(path: Path, header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write a training state atomically.

    Raises:
        OutputError: it cannot be written; the previous one is kept.
    """
    write_bytes(path, encode(STATE_FORMAT, header, to_arrays(tensors)))


def read_state(path: Path) -> tuple[dict[str, Any], Arrays]:
    """Header and tensors of a training state.

    Raises:
        ModelError: the file is missing, damaged or no training state.
    """
    return decode(path, STATE_FORMAT, "a htgen training state", "another run, or train it again")


def shipped_weights(header: Mapping[str, Any], tensors: Arrays) -> Arrays:
    """The model's tensors in a training state as they would ship: averaged where the run averages.

    Args:
        header, tensors: of `read_state`.
    """
    averages = json.loads(header["config"])["train"]["ema"] > 0
    # What is no parameter has no average.
    return below("model.", tensors) | (below("average.", tensors) if averages else {})


def below(prefix: str, tensors: Mapping[str, Named]) -> dict[str, Named]:
    """Those whose names begin with the prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def restore_shared_features(model: HyperTransformer, path: str | Path) -> None:
    """Copy the shared features of another run (its latest state, averaged if it averages) or generator file
    into a model.

    Raises:
        ModelError: there are none, or they have other shapes.
    """
    path = Path(path)
    if kind_at(path) == "folder":
        tensors = shipped_weights(*read_state(RunFolder(path).state_path))
    else:
        tensors = GeneratorFile.read(path).tensors
    assert model.shared is not None
    load_tensors(model.shared, below("shared.", tensors), f"the shared features of {path}")
