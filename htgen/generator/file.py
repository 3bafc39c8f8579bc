"""The file of a generator: what ships, what training writes and what `generate` reads. No torch here."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from htgen.config.faults import validate
from htgen.config.model import ModelConfig
from htgen.errors import ConfigError, ModelError
from htgen.images.preprocessing import Preprocessing
from htgen.tensor_files import Arrays, decode, encode

GENERATOR_FORMAT = "htgen-generator"


@dataclass(frozen=True)
class GeneratorFile:
    """A trained generator as it is stored.

    Attributes:
        name: what it is called, e.g. `glyph-8`.
        model: the model configuration.
        tensors: the parameters of `htgen.hypertransformer.hypertransformer.HyperTransformer`, by name.
        preprocessing: how images become its input.
        provenance: where it comes from: config, seed, step, data and its checksum, validation accuracy.
    """

    name: str
    model: ModelConfig
    tensors: Arrays
    preprocessing: Preprocessing
    provenance: dict[str, Any] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """The file's content; the same generator gives the same bytes."""
        header = {
            "name": self.name,
            "model": self.model.model_dump(mode="json"),
            "preprocessing": self.preprocessing.to_dict(),
            "provenance": self.provenance,
        }
        return encode(GENERATOR_FORMAT, header, self.tensors)

    def in_half_precision(self) -> "GeneratorFile":
        """The same with numbers of 16 bits, a file of half the size; use computes with 32 bits."""
        return replace(self, tensors={name: array.astype(np.float16) for name, array in self.tensors.items()})

    @classmethod
    def read(cls, path: str | Path) -> "GeneratorFile":
        """Read a generator.

        Raises:
            ModelError: the file is missing, damaged, or no generator that this version reads.
        """
        remedy = "a run folder, or a generator file such as its best.safetensors"
        header, tensors = decode(path, GENERATOR_FORMAT, "a htgen generator", remedy)
        try:
            model = validate(ModelConfig, header["model"], f"the description inside {path}")
            preprocessing = Preprocessing.from_dict(header["preprocessing"])
            name, provenance = header["name"], header["provenance"]
        except (KeyError, TypeError, AttributeError, ConfigError) as error:
            raise ModelError(
                f"{path} describes a generator that this version of htgen does not know: {error}",
                "a newer htgen",
            ) from error
        if not isinstance(name, str) or not isinstance(provenance, dict):
            raise ModelError(f"{path} is damaged: no name, or no provenance", remedy)
        if (model.image_size, model.image_channels) != (preprocessing.size, preprocessing.channels):
            raise ModelError(f"{path} is damaged: it prepares other images than it reads", remedy)
        return cls(name, model, tensors, preprocessing, provenance)


def check(tensors: Arrays, expected: Mapping[str, tuple[int, ...]], source: str) -> None:
    """Check that there are exactly the expected tensors.

    Raises:
        ModelError: names or shapes differ, the first few are named; or not all values are numbers.
    """
    found = {name: tensor.shape for name, tensor in tensors.items()}
    faults = [f"{name} is missing" for name in expected.keys() - found.keys()]
    faults += [f"{name} is not part of the model" for name in found.keys() - expected.keys()]
    faults += [
        f"{name} has shape {list(found[name])}, expected {list(expected[name])}"
        for name in expected.keys() & found.keys()
        if found[name] != expected[name]
    ]
    if faults:
        shown = "; ".join(sorted(faults)[:3])
        raise ModelError(
            f"the weights of {source} do not fit its config ({len(faults)} differences: {shown})",
            "the config that the weights were trained with",
        )
    if wrong := sorted(name for name, tensor in tensors.items() if not np.isfinite(tensor).all()):
        raise ModelError(f"{wrong[0]} of {source} holds values that are no numbers", "another checkpoint")
