"""Training states: what a run has beside a generator, to go on as if nothing had happened."""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from htgen.config.faults import validate
from htgen.config.files import flatten
from htgen.config.run import Config, TrainConfig
from htgen.errors import ConfigError, ModelError, RunError
from htgen.files import kind_at, write_bytes
from htgen.generator.file import check, read_generator
from htgen.generator.network import load_tensors, to_arrays
from htgen.generator.provenance import SettingChange
from htgen.hypertransformer.hypertransformer import HyperTransformer
from htgen.hypertransformer.label_codes import maps_of_tables
from htgen.tensor_files import Arrays, decode, encode, warn_without_checksum
from htgen.training.divergence import Skips
from htgen.training.events import Means
from htgen.training.run_folder import RunFolder

STATE_FORMAT = "htgen-training-state"

CHANGEABLE = {
    "name",
    "description",
    "data.store",
    "data.second.store",
    "train.steps",
    "train.minutes",
    "train.log_every",
    "train.val_every",
    "train.save_every",
}
"""What may be edited in a run's config.yaml before it is resumed; `steps` and `minutes` move the end of the
schedule."""

RECORDED = {"optimizer.lr"}
"""What may be edited too, and is recorded in the state, the metrics and the generator, because it touches
what is trained: after a divergence it must be."""

Named = TypeVar("Named")


@dataclass
class Counters:
    """How far a training is.

    Attributes:
        step: steps done.
        seconds: that they took, in all processes that this training has had one after the other.
        best: the best validation accuracy, 0..1; None before the first validation.
        sums: since the last logged step, so that a resumed run logs what an uninterrupted one would.
        skips: steps that changed nothing.
        changes: of settings when the run was resumed: `step`, `key`, `before` and `after`.
    """

    step: int = 0
    seconds: float = 0.0
    best: float | None = None
    sums: Means = field(default_factory=Means)
    skips: Skips = field(default_factory=Skips)
    changes: list[dict[str, Any]] = field(default_factory=list)

    def changes_at(self, step: int) -> list[dict[str, Any]]:
        """Those of when the run was resumed at a step."""
        return [change for change in self.changes if change["step"] == step]


class StateHeader(BaseModel):
    """What the description of a training state must hold; that of a damaged one may hold anything."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)

    config: str
    step: int = Field(ge=0, lt=2**53)
    seconds: float = Field(default=0.0, ge=0.0)  # states of before this was counted have none
    best: float | None = Field(default=None, ge=0.0, le=1.0)
    sums: dict[str, Annotated[tuple[float, Annotated[int, Field(ge=0)]], Field(strict=False)]]
    skipped: int = Field(default=0, ge=0)
    changes: list[SettingChange] = Field(default_factory=list)
    data: str


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


def encode_state(config: Config, data: str, trained: Trained, counters: Counters) -> bytes:
    """The file of the training state: weights, average, optimiser, random state, counters."""
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
        "skipped": int(counters.skips.total),
        "changes": counters.changes,
        "data": data,
    }
    return encode(STATE_FORMAT, header, to_arrays(tensors))


def load_state(run: RunFolder, config: Config, data: str, trained: Trained) -> Counters:
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
    if header["data"] != data:
        places = config.data.store, config.data.second.store
        raise RunError(
            "the run was trained on other data than "
            f"{' and '.join(places[: 1 + bool(config.data.second.share)])} holds now",
            "the original store as --data" + ", or --set data.second.store=" * bool(config.data.second.share),
        )
    changes = [*header.get("changes", ()), *_changes(run, state_config(header, path), config, header["step"])]
    weights = {name: a for name, a in arrays.items() if name.partition(".")[0] in ("model", "loss")}
    load_tensors(trained.modules, weights, str(path))
    tensors = {name: torch.tensor(array) for name, array in arrays.items() if name not in weights}
    # States of before kept an average without use.
    average = below("average.", arrays) if config.train.ema else {}
    check(average, {name: tuple(t.shape) for name, t in trained.average.items()}, f"the average of {path}")
    for name, array in average.items():
        trained.average[name].copy_(torch.tensor(array))
    try:
        _load_optimizer(trained.optimizer, below("optimizer.", tensors))
        torch.set_rng_state(tensors["random.cpu"])
        if trained.device.type == "cuda" and "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"], trained.device)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise _damaged(path, error) from error
    sums = Means({name: list(entry) for name, entry in header["sums"].items()})
    skips = Skips(header.get("skipped", 0))
    return Counters(header["step"], header.get("seconds", 0.0), header.get("best"), sums, skips, changes)


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Set the moments of an optimiser, named `<number of the parameter>.<key>`.

    Raises:
        ValueError: a name or a shape is none of its own, or a moment is no number.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    entries: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        number, _, key = name.partition(".")
        index = int(number)
        if not 0 <= index < len(parameters) or key not in ("step", "exp_avg", "exp_avg_sq"):
            raise ValueError(f"optimizer.{name} is no moment of a parameter")
        shape = () if key == "step" else parameters[index].shape
        if tensor.shape != shape or tensor.dtype != torch.float32 or not tensor.isfinite().all():
            raise ValueError(f"optimizer.{name} has another shape, or holds values that are no numbers")
        entries.setdefault(index, {})[key] = tensor
    if any(len(entry) != 3 or (entry["exp_avg_sq"] < 0).any() for entry in entries.values()):
        raise ValueError("a parameter has not all moments of its own")
    optimizer.load_state_dict({**optimizer.state_dict(), "state": entries})


def _changes(run: RunFolder, before: Config, after: Config, step: int) -> list[dict[str, Any]]:
    """What is to be recorded: going on means with the same settings, but for those that do not touch what is
    trained, and the learning rate.

    Raises:
        RunError: others were changed.
    """
    then, now = (flatten(config.model_dump(mode="json")) for config in (before, after))
    changed = [key for key, value in then.items() if now[key] != value and key not in CHANGEABLE | RECORDED]
    if changed:
        raise RunError(
            f"{run.config_path} was changed since the run began: {', '.join(changed)}",
            "the values as they were, or a new run",
        )
    return [
        {"step": step, "key": key, "before": then[key], "after": now[key]}
        for key in sorted(RECORDED)
        if now[key] != then[key]
    ]


def state_config(header: Mapping[str, Any], path: Path) -> Config:
    """The config that a training state was made with.

    What there was no setting for when the run began is as it was without it: the default.

    Args:
        header: of `read_state`.
        path: of the state, for messages.

    Raises:
        ModelError: it has values that this version does not know, or is damaged.
    """
    try:
        values = json.loads(header["config"])
        if not isinstance(values, dict):
            raise ValueError("its config is no object")
        return validate(Config, values, f"the config inside {path}")
    except (ValueError, RecursionError) as error:
        raise _damaged(path, error) from error
    except ConfigError as error:
        raise ModelError(error.in_one_line, "a newer htgen, or a new run") from error


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
    file = decode(path, STATE_FORMAT, "an htgen training state", "another run, or train it again")
    if not file.has_checksum:
        warn_without_checksum(path)
    try:
        StateHeader.model_validate(file.header)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, fault["loc"]))
        raise _damaged(path, f"{place}: {fault['msg']}") from error
    return file.header, file.tensors


def _damaged(path: Path, reason: object) -> ModelError:
    return ModelError(f"{path} is damaged: {reason}", "train it again, with --overwrite")


def shipped_weights(header: Mapping[str, Any], tensors: Arrays) -> Arrays:
    """The model's tensors in a training state as they would ship: averaged where the run averages.

    Args:
        header, tensors: of `read_state`.
    """
    averages = _averages(header)
    # What is no parameter has no average.
    return below("model.", tensors) | (below("average.", tensors) if averages else {})


def _averages(header: Mapping[str, Any]) -> bool:
    """Whether the run averages; states of before kept an average without use."""
    with contextlib.suppress(ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return bool(json.loads(header["config"])["train"]["ema"] > 0)
    return False


def below(prefix: str, tensors: Mapping[str, Named]) -> dict[str, Named]:
    """Those whose names begin with the prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def restore(model: HyperTransformer, config: TrainConfig) -> None:
    """Copy the weights that a new run starts from, if there are such, into its model.

    They are those of another run (its latest state, averaged if it averages) or of a generator. A table of
    labels becomes a map of codes where the model has such. PLDA is copied where both have it. A prototypical
    network, which has kernels and no transformer, gives the kernels; the rest begins as always.

    Raises:
        ModelError: there are none, or they have other shapes.
    """
    if config.restore_shared is not None:
        assert model.shared is not None
        shared = below("shared.", _weights_at(config.restore_shared))
        load_tensors(model.shared, shared, f"the shared features of {config.restore_shared}")
    if config.restore is None:
        return
    tensors, own = _weights_at(config.restore), to_arrays(model.state_dict())
    rows = len(tensors.get("logits.slices.labels", ()))
    if model.config.has_codes and rows == model.config.max_way + 1:
        tensors = maps_of_tables(tensors)
    known = {name: tensor for name, tensor in tensors.items() if name in own or ".plda." not in name}
    has_transformer = any(".slices." in name for name in tensors)
    rest = {name: tensor for name, tensor in own.items() if ".plda." in name or not has_transformer}
    load_tensors(model, {**rest, **known}, config.restore)


def _weights_at(path: str | Path) -> Arrays:
    """The tensors of a run's latest state as they would ship, of a generator file, or of one that ships."""
    if kind_at(Path(path)) == "folder":
        return shipped_weights(*read_state(RunFolder(Path(path)).state_path))
    return read_generator(path, warns=True).file.tensors
