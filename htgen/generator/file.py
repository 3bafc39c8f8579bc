"""The file of a generator: what ships, what training writes and what `generate` reads. No torch here."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from htgen.config.faults import validate
from htgen.config.model import ModelConfig, cnn_spec, model_record
from htgen.eight_bits import narrowed, rounded, widened, with_16_bits
from htgen.errors import ConfigError, ModelError
from htgen.generator.provenance import NOT_KNOWN, Provenance
from htgen.generator.shipped import generator_path, shipped_generators
from htgen.generator.weight_package import PACKAGES, efficientnet_blocks
from htgen.images.preprocessing import Preprocessing
from htgen.tensor_files import Arrays, decode, encode, unusable, warn_without_checksum, without_checksum

GENERATOR_FORMAT = "htgen-generator"


@dataclass(frozen=True)
class GeneratorFile:
    """A trained generator as it is stored.

    Attributes:
        name: what it is called, e.g. `glyph-8`.
        model: the model configuration.
        tensors: the parameters of `htgen.hypertransformer.hypertransformer.HyperTransformer`, by name.
        preprocessing: how images become its input.
        provenance: where it comes from.
        trunk: what is known of its trunk: `source` and `licence`; and `package` where its weights are those
            of another package (`htgen.generator.weight_package`), and no part of the file.
        has_8_bits: whether the kernels of the trunk have 8 bits a weight, in its files and those of its CNNs.
    """

    name: str
    model: ModelConfig
    tensors: Arrays
    preprocessing: Preprocessing
    provenance: Provenance = NOT_KNOWN
    trunk: Mapping[str, str] = field(default_factory=dict)
    has_8_bits: bool = False

    @property
    def knows_unlabeled(self) -> bool:
        """Whether support images without labels help it: it moves class means by them, or has seen such."""
        return self.provenance.config.episodes.unlabeled != 0 or self.model.weights.refine_prototypes > 0

    def to_bytes(self) -> bytes:
        """The file's content; the same generator gives the same bytes."""
        header: dict[str, Any] = {
            "name": self.name,
            "model": model_record(self.model),
            "preprocessing": self.preprocessing.to_dict(),
            "provenance": self.provenance.to_json(),
        }
        if self.trunk:
            header["trunk"] = dict(self.trunk)
        if self.has_8_bits:
            header["has_8_bits"] = True
        return encode(GENERATOR_FORMAT, header, narrowed(self.tensors, self.narrow))

    @property
    def narrow(self) -> set[str]:
        """Names of the tensors that have 8 bits a weight."""
        return {name for name in self.tensors if self.has_8_bits and name.endswith(".base_kernel")}

    def in_half_precision(self) -> "GeneratorFile":
        """The same with numbers of 16 bits, a file of half the size; use computes with 32 bits."""
        return replace(
            self,
            tensors={
                name: array if name in self.narrow else array.astype(np.float16)
                for name, array in self.tensors.items()
            },
        )

    def complete(self) -> "GeneratorFile":
        """The same with the weights of its trunk, where these are those of a package.

        Raises:
            ModelError: the package is unknown, not installed or damaged, or its weights do not fit.
        """
        if (name := self.trunk.get("package")) is None:
            return self
        if (package := PACKAGES.get(name)) is None:
            raise ModelError(f"'{self.name}' has weights of an unknown package '{name}'", "a newer htgen")
        try:
            tensors = package.read()
            blocks = efficientnet_blocks(cnn_spec(self.model), tensors)
        except KeyError as error:
            raise ModelError(f"'{self.name}' asks {name} for {error}, which it lacks", _REMEDY) from error
        except ModelError as error:
            raise ModelError(f"'{self.name}' cannot be used: {error.message}", error.hint) from error
        own: dict[str, Any] = {}
        for index, block in enumerate(blocks):
            kernel, bias = block.kernel, block.bias
            assert bias is not None
            if self.has_8_bits:
                kernel, bias = rounded(kernel), with_16_bits(bias).astype(np.float32)
            own |= {f"convs.{index}.base_kernel": kernel, f"convs.{index}.base_bias": bias}
        return replace(self, tensors={**self.tensors, **own})

    @classmethod
    def read(cls, path: str | Path) -> "GeneratorFile":
        """Read a generator.

        Raises:
            ModelError: the file is missing, damaged, or no generator that this version reads.
        """
        return StoredGenerator.read(path).file


_FAULTS = (
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    RecursionError,
    ConfigError,
    ModelError,
)
"""What reading a description that is none may raise."""

_REMEDY = "a run folder, or a generator file such as its best.safetensors"


@dataclass(frozen=True)
class StoredGenerator:
    """A generator and the hash of its file.

    Attributes:
        file: its content.
        sha256: hexadecimal; empty for a generator that was never in a file, such as a running training's.
        lacks_checksum: whether it was read from a file without one, as an older htgen wrote.
    """

    file: GeneratorFile
    sha256: str = ""
    lacks_checksum: bool = False

    @property
    def notices(self) -> list[str]:
        """What people should know of the file."""
        return [without_checksum(f"generator '{self.file.name}'")] if self.lacks_checksum else []

    @classmethod
    def read(cls, path: str | Path) -> "StoredGenerator":
        """Read a generator.

        Raises:
            ModelError: the file is missing, damaged, or no generator that this version reads.
        """
        content = decode(path, GENERATOR_FORMAT, "an htgen generator", _REMEDY, hashed=True)
        header = content.header
        try:
            tensors = widened(content.tensors)
            model = validate(ModelConfig, header["model"], f"the description inside {path}")
            preprocessing = Preprocessing.from_dict(header["preprocessing"])
            name, provenance = header["name"], header["provenance"]
            trunk, has_8_bits = dict(header.get("trunk", {})), header.get("has_8_bits", False)
        except _FAULTS as error:
            reason = error.in_one_line if isinstance(error, ConfigError) else getattr(error, "message", error)
            raise ModelError(
                f"{path} describes a generator that this version of htgen does not know: {reason}",
                "a newer htgen",
            ) from error
        if not isinstance(name, str) or not isinstance(provenance, dict):
            raise ModelError(f"{path} is damaged: no name, or no provenance", _REMEDY)
        are_texts = all(isinstance(text, str) for text in (*trunk, *trunk.values()))
        if not are_texts or type(has_8_bits) is not bool:
            raise ModelError(f"{path} is damaged: its trunk is not described in texts", _REMEDY)
        if (model.image_size, model.image_channels) != (preprocessing.size, preprocessing.channels):
            raise ModelError(f"{path} is damaged: it prepares other images than it reads", _REMEDY)
        origin = Provenance.from_json(provenance, str(path))
        file = GeneratorFile(name, model, tensors, preprocessing, origin, trunk, has_8_bits)
        return cls(file, content.sha256, not content.has_checksum)


def read_generator(name_or_path: str | Path, warns: bool = False) -> StoredGenerator:
    """Read a generator: one that ships, by name; a generator file; or the best of a run folder.

    Args:
        warns: of a file without a checksum; without it the caller says so.

    Raises:
        ModelError: there is none, or it is damaged.
    """
    path = generator_path(name_or_path)
    stored = StoredGenerator.read(path)
    if stored.lacks_checksum and str(name_or_path) in shipped_generators():
        raise ModelError(f"{path} is damaged: it is not the file that ships", "install htgen again")
    if stored.lacks_checksum and warns:
        warn_without_checksum(path)
    return stored


def unlabeled_are_new_to(generator: str) -> str:
    """What to tell who gives unlabelled images to a generator that never saw any, by its name."""
    return f"note: {generator} was trained without unlabelled images; they may do more harm than good"


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
    for name, tensor in sorted(tensors.items()):
        if fault := "values that are no numbers" if tensor.dtype.kind not in "fiu" else unusable(tensor):
            raise ModelError(f"{name} of {source} holds {fault}", "another checkpoint")
