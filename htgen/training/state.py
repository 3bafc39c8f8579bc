"""Training states; generators as modules of torch.

A training state holds, beside what its generator file does, everything that is needed to go on as if
nothing had happened.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from htgen.files import kind_at, write_bytes
from htgen.generator.file import GeneratorFile
from htgen.generator.network import load_tensors, to_arrays
from htgen.hypertransformer.hypertransformer import HyperTransformer
from htgen.tensor_files import Arrays, decode, encode
from htgen.training.run_folder import RunFolder

STATE_FORMAT = "htgen-training-state"

Named = TypeVar("Named")


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
