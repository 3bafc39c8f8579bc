"""What a trained generator can be given without more training: settings that training does not touch."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from htgen.config.faults import validate
from htgen.config.files import change_config, flatten
from htgen.config.run import Config
from htgen.datasets.store import Store
from htgen.errors import ConfigError, DataError, ModelError
from htgen.evaluation.plda import measure_plda, plda_sampler
from htgen.generator.file import GeneratorFile
from htgen.generator.network import load_tensors, to_arrays
from htgen.generator.provenance import Provenance
from htgen.hypertransformer.hypertransformer import HyperTransformer

if TYPE_CHECKING:
    import torch


SETTINGS_OF_USE = {
    "model.views",
    "model.weights.refine_prototypes",
    "model.weights.plda",
    "model.weights.plda_floor",
}
"""What a trained generator can be given without more training."""


def with_settings(
    file: GeneratorFile,
    overrides: Sequence[str],
    store: Store,
    images: "torch.Tensor | npt.NDArray[np.uint8]",
) -> GeneratorFile:
    """A generator as its training would have left it, had its config had other settings of use.

    Args:
        overrides: `KEY=VALUE`.
        store, images: what it was trained on, whose classes `weights.plda` is measured on.

    Returns:
        The generator, without figures that are of the settings before.

    Raises:
        ConfigError: a value is wrong, or for training.
        DataError: classes are to be measured, and the store is another one.
        ModelError: the generator does not say how it was trained.
    """
    origin = f"the config inside generator '{file.name}'"
    if not file.provenance.says_how_trained:
        raise ModelError(f"generator '{file.name}' does not say how it was trained", "one that htgen trained")
    before = validate(Config, file.provenance.config.to_json(), origin)
    config = change_config(before, overrides, origin)
    old, new = flatten(before.model_dump(mode="json")), flatten(config.model_dump(mode="json"))
    changed = sorted(key for key in new if new[key] != old.get(key))
    if refused := [key for key in changed if key not in SETTINGS_OF_USE]:
        raise ConfigError(
            f"{', '.join(refused)} cannot be changed in a trained generator, only "
            + ", ".join(sorted(SETTINGS_OF_USE)),
            "another training",
        )
    model = HyperTransformer(config.model)
    shapes, stored = model.state_dict(), file.tensors
    tensors = file.complete().tensors
    known = {name: array for name, array in tensors.items() if name in shapes or ".plda." not in name}
    load_tensors(model, {**to_arrays(shapes), **known}, f"generator '{file.name}'")
    if config.model.weights.plda and any("plda" in key for key in changed):
        if store.checksum != file.provenance.data.sha256:
            raise DataError(
                f"weights.plda is measured on what '{file.name}' was trained on, and store {store.path} "
                "holds other data",
                "the store that it was trained on as --data",
            )
        measure_plda(model, plda_sampler(config, store, images))
    kind = np.result_type(*file.tensors.values())  # as precise as it was
    provenance = file.provenance.to_json() | {"config": config.model_dump(mode="json")}
    if changed:
        provenance = {k: v for k, v in provenance.items() if k != "calibration"} | {"validation": None}
    return replace(
        file,
        model=config.model,
        tensors={
            name: array if name in file.narrow else array.astype(kind)
            for name, array in to_arrays(model.state_dict()).items()
            if name in stored or name not in tensors  # those of a package stay there
        },
        provenance=Provenance.from_json(provenance),
    )
