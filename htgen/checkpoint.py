"""Files of generators and of training states; the folder of a run.

Both files are safetensors with one metadata entry, `htgen`, that holds sorted JSON (several entries
would be written in varying order). A generator file is what ships and what `generate` reads; a
training state holds in addition everything that is needed to go on as if nothing had happened.
"""

import contextlib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from htgen.config import Config, ModelConfig, load_config, validate
from htgen.curve import METRICS
from htgen.errors import ConfigError, ModelError, OutputError, RunError
from htgen.files import write_bytes, write_text
from htgen.generator_files import BEST_OF_RUN
from htgen.images import Preprocessing
from htgen.model import HyperTransformer

GENERATOR_FORMAT = "htgen-generator"
STATE_FORMAT = "htgen-training-state"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class GeneratorFile:
    """A trained generator as it is stored.

    Attributes:
        name: what it is called, e.g. `glyph-8`.
        model: the model configuration.
        tensors: the parameters of `HyperTransformer`, by name.
        preprocessing: how images become its input.
        provenance: where it comes from: config, seed, step, data and its checksum, validation accuracy.
    """

    name: str
    model: ModelConfig
    tensors: dict[str, Tensor]
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
        return _encode(GENERATOR_FORMAT, header, self.tensors)

    @classmethod
    def read(cls, path: str | Path) -> "GeneratorFile":
        """Read a generator.

        Raises:
            ModelError: the file is missing, damaged, or no generator that this version reads.
        """
        remedy = "a run folder, or a generator file such as its best.safetensors"
        header, tensors = _decode(path, GENERATOR_FORMAT, "a htgen generator", remedy)
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

    def build(self) -> HyperTransformer:
        """The generator itself, in evaluation mode.

        Raises:
            ModelError: the tensors do not fit the description.
        """
        model = HyperTransformer(self.model)
        load_tensors(model, self.tensors, f"generator '{self.name}'")
        return model.eval()


def load_tensors(model: torch.nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Copy tensors into a model of exactly these names and shapes.

    Raises:
        ModelError: names or shapes differ, the first few are named; or not all values are numbers.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
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
    if wrong := sorted(name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()):
        raise ModelError(f"{wrong[0]} of {source} holds values that are no numbers", "another checkpoint")
    model.load_state_dict({name: tensor.to(torch.float32) for name, tensor in tensors.items()})


def write_state(path: Path, header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write a training state atomically.

    Raises:
        OutputError: it cannot be written; the previous one is kept.
    """
    write_bytes(path, _encode(STATE_FORMAT, header, tensors))


def read_state(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Header and tensors of a training state.

    Raises:
        ModelError: the file is missing, damaged or no training state.
    """
    return _decode(path, STATE_FORMAT, "a htgen training state", "another run, or train it again")


def restore_shared_features(model: HyperTransformer, path: str | Path) -> None:
    """Copy the shared features of another run (its latest state) or generator file into a model.

    Raises:
        ModelError: there are none, or they have other shapes.
    """
    path = Path(path)
    if path.is_dir():
        tensors = read_state(RunFolder(path).state_path)[1]
        prefix = "model.shared."
    else:
        tensors = GeneratorFile.read(path).tensors
        prefix = "shared."
    found = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
    assert model.shared is not None
    load_tensors(model.shared, found, f"the shared features of {path}")


def file_hash(data: bytes) -> str:
    """Hexadecimal SHA-256, by which files of generators and CNNs name each other."""
    return hashlib.sha256(data).hexdigest()


def _encode(format_name: str, header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> bytes:
    metadata = {"format": format_name, "version": FORMAT_VERSION, **header}
    return save(
        {name: tensor.detach().cpu().contiguous() for name, tensor in sorted(tensors.items())},
        metadata={"htgen": json.dumps(metadata, sort_keys=True)},
    )


def _decode(
    path: str | Path, format_name: str, wanted: str, remedy: str
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})["htgen"])
            if header["format"] != format_name:
                raise ModelError(f"{path} is not {wanted} but a file of format '{header['format']}'", remedy)
            if header["version"] > FORMAT_VERSION:
                raise ModelError(
                    f"{path} has format version {header['version']}, this htgen reads {FORMAT_VERSION}",
                    "a newer htgen",
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except FileNotFoundError:
        raise ModelError(f"there is no file {path}", remedy) from None
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path} is not {wanted}, or it is damaged ({error})", remedy) from error
    return header, tensors


class RunFolder:
    """The folder of one training run.

        config.yaml            the resolved config
        metrics.jsonl          one line per logged step and per validation
        latest.safetensors     training state, for --resume
        best.safetensors       generator with the best validation accuracy so far

    A context manager that holds the folder's lock, so that two processes never write to one run.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock: TextIO | None = None
        self._made: list[Path] = []

    @property
    def config_path(self) -> Path:
        """The resolved config."""
        return self.path / "config.yaml"

    @property
    def metrics_path(self) -> Path:
        """JSON lines: one object per logged step and per validation."""
        return self.path / METRICS

    @property
    def state_path(self) -> Path:
        """The latest training state."""
        return self.path / "latest.safetensors"

    @property
    def best_path(self) -> Path:
        """The best generator by validation accuracy."""
        return self.path / BEST_OF_RUN

    def __enter__(self) -> "RunFolder":
        import fcntl

        try:
            self._made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / ".lock").open("w")
        except OSError as error:
            raise OutputError(
                f"cannot use {self.path} as a run folder: {error.strerror}", "another --run"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise RunError(
                f"the run folder {self.path} is in use by another process",
                "wait for it, or name another --run",
            ) from None
        for leftover in self.path.glob(".*.tmp"):  # of a process that was killed while it wrote
            leftover.unlink(missing_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is None:
            return
        if not self.config_path.exists():
            # Nothing was started: what was made for the lock goes again.
            (self.path / ".lock").unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # no longer empty
                for folder in self._made:
                    folder.rmdir()
        self._lock.close()

    def is_in_use(self) -> bool:
        """Whether a process holds the folder's lock, that is, is training it now."""
        import fcntl

        try:
            with (self.path / ".lock").open() as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return False

    def start(self, config_text: str, overwrite: bool) -> None:
        """Make the folder ready for a new run.

        Raises:
            RunError: there is a run already and `overwrite` is false.
        """
        existing = [
            p for p in (self.config_path, self.metrics_path, self.state_path, self.best_path) if p.exists()
        ]
        if existing and not overwrite:
            raise RunError(
                f"{self.path} already holds a run ({existing[0].name})",
                "--resume to go on with it, --overwrite to replace it, or another --run",
            )
        for path in existing:
            path.unlink()
        write_text(self.config_path, config_text)

    def log(self, entry: Mapping[str, Any]) -> None:
        """Append one line to the metrics.

        Raises:
            OutputError: it cannot be written.
        """
        try:
            with self.metrics_path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry, allow_nan=False) + "\n")
        except OSError as error:
            raise OutputError(
                f"cannot write {self.metrics_path}: {error.strerror}", "free some space; --resume goes on"
            ) from error

    def launch(self) -> str | None:
        """Which start of `torchrun` last began or resumed the run, or None."""
        path = self.path / ".launch"
        return path.read_text(encoding="utf-8") if path.exists() else None

    def note_launch(self, launch: str | None) -> None:
        """Keep that for `launch`, so that a restart knows its own run."""
        if launch is not None:
            write_text(self.path / ".launch", launch)

    def forget_after(self, step: int) -> None:
        """Drop metrics of later steps than `step`: a resumed run writes them again."""
        if not self.metrics_path.exists():
            return
        kept = []
        for line in self.metrics_path.read_text(encoding="utf-8").splitlines():
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line)
            except (ValueError, KeyError):
                continue  # a line cut off by a crash
        write_text(self.metrics_path, "".join(f"{line}\n" for line in kept))


def find_run_config(run: RunFolder, values: Mapping[str, Any] | None = None) -> Config:
    """The config of an existing run, with some values replaced: key path -> value.

    Raises:
        RunError: there is no run in the folder.
    """
    if not run.config_path.exists():
        raise RunError(
            f"{run.path} is not a run folder: it has no {run.config_path.name}", "the folder given as --run"
        )
    return load_config(run.config_path, values=values)
