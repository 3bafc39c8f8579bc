"""The generator of a training as a file, with where it comes from."""

from collections.abc import Mapping, Sequence
from typing import Any

from htgen.config.run import Config
from htgen.datasets.store import Store
from htgen.evaluation.accuracy import Evaluation
from htgen.generator.file import GeneratorFile
from htgen.generator.provenance import Provenance
from htgen.images.preprocessing import Preprocessing
from htgen.tensor_files import Arrays
from htgen.version import __version__


def generator_file(
    config: Config,
    tensors: Arrays,
    preprocessing: Preprocessing,
    step: int,
    stores: tuple[Store | None, Store | None],
    validation: Evaluation | None = None,
    changes: Sequence[Mapping[str, Any]] = (),
    kernels: str | None = None,
) -> GeneratorFile:
    """A generator as it is after some steps of a training.

    Args:
        config: of the run.
        tensors: the model's, averaged where the run averages.
        preprocessing: how images become its input.
        step: steps done.
        stores: what it was trained on, and the second one, if there is one; None = it is not at hand, so that
            its checksum is not known.
        validation: how good it was, if that was measured.
        changes: of settings on the way; see `htgen.generator.provenance.SettingChange`.
        kernels: what the kernels of the CNNs were compiled by; None for plain operations.
    """
    provenance: dict[str, Any] = {
        "config": config.model_dump(mode="json"),
        "step": step,
        "episodes": step * config.train.episodes_per_step,
        "htgen": __version__,
        "validation": None if validation is None else validation.to_dict(),
    }
    if changes:
        provenance["changes"] = [dict(change) for change in changes]
    if kernels is not None:
        provenance["kernels"] = kernels
    for key, source in zip(("data", "second"), stores, strict=True):
        if source is not None:
            provenance[key] = {"name": source.name, "sha256": source.checksum}
    return GeneratorFile(config.name, config.model, tensors, preprocessing, Provenance.from_json(provenance))
