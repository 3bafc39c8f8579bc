"""The folder of a training run: its files, its lock, its config. No torch here."""

import contextlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from htgen.config.files import load_config
from htgen.config.run import Config
from htgen.errors import OutputError, RunError
from htgen.files import kind_at, write_text
from htgen.generator.shipped import BEST_OF_RUN

METRICS = "metrics.jsonl"


@dataclass(frozen=True)
class Curve:
    """What a run has logged so far.

    Attributes:
        name: of the run folder.
        train: lines of training, by step: `step`, `loss`, `accuracy` (0..1), `lr` and more.
        validation: lines of validation, by step: `step`, `accuracy`, `interval95`, `best` and more.
    """

    name: str
    train: list[dict[str, Any]]
    validation: list[dict[str, Any]]


def read_curve(run: str | Path) -> Curve:
    """Read the metrics of a run, finished or not; a line that is still being written is left out.

    Raises:
        RunError: the folder is no run, or nothing was logged yet.
    """
    path = Path(run) / METRICS
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = "there is none" if isinstance(error, FileNotFoundError) else str(error)
        raise RunError(f"cannot read {path}: {reason}", "the folder given to htgen train as --run") from error
    found: dict[str, list[dict[str, Any]]] = {"train": [], "validation": []}
    for line in lines:
        try:
            entry = json.loads(line)
            found[entry["event"]].append({**entry, "step": int(entry["step"])})
        except (ValueError, KeyError, TypeError):
            continue
    if not any(found.values()):
        raise RunError(f"{path} has no metrics yet", "wait for train.log_every steps")
    return Curve(Path(run).resolve().name, found["train"], found["validation"])


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

    @property
    def tensorboard_path(self) -> Path:
        """TensorBoard's folder of events, where they are written."""
        return self.path / "tensorboard"

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
        if existing:  # otherwise a folder of that name is somebody else's
            shutil.rmtree(self.tensorboard_path, ignore_errors=True)
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
    if kind_at(run.config_path) is None:
        raise RunError(
            f"{run.path} is not a run folder: it has no {run.config_path.name}", "the folder given as --run"
        )
    return load_config(run.config_path, values=values)
