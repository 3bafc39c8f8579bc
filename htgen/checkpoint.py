"""Training states; generators as modules of torch.

A training state holds, beside what its generator file does, everything that is needed to go on as if
nothing had happened.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from htgen.files import write_bytes
from htgen.generator_format import GeneratorFile, check
from htgen.model import HyperTransformer
from htgen.paths import kind_at
from htgen.run_folder import RunFolder
from htgen.tensor_files import Arrays, decode, encode

STATE_FORMAT = "htgen-training-state"
Named = TypeVar("Named")


def build(file: GeneratorFile) -> HyperTransformer:
    """A stored generator as a module, in evaluation mode, to be trained, evaluated or calibrated.

    Raises:
        ModelError: the tensors do not fit the description.
    """
    model = HyperTransformer(file.model)
    load_tensors(model, file.tensors, f"generator '{file.name}'")
    return model.eval()


def to_arrays(tensors: Mapping[str, Tensor]) -> Arrays:
    """Copies of tensors, as files hold them."""
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in tensors.items()}


def load_tensors(model: torch.nn.Module, tensors: Arrays, source: str) -> None:
    """Copy tensors into a model of exactly these names and shapes.

    Raises:
        ModelError: names or shapes differ, or not all values are numbers.
    """
    check(tensors, {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}, source)
    model.load_state_dict({name: torch.tensor(array, dtype=torch.float32) for name, array in tensors.items()})


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
