"""The folder of a training run: its files, its lock, its config. No torch here."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TextIO

from htgen.config.files import load_config
from htgen.config.run import Config
from htgen.errors import OutputError, RunError
from htgen.files import kind_at, open_regular, open_to_append, read_regular, write_bytes, write_text
from htgen.generator.shipped import BEST_OF_RUN
from htgen.training.curve import METRICS, MOST_METRICS_BYTES, read_metrics_line


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
        self._made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        while True:
            self._lock = self._locked()
            if self._holds_the_place():
                break
            self._lock.close()  # whoever had it before took the folder away again; ours is none any more
        for leftover in self.path.glob(".*.tmp"):  # of a process that was killed while it wrote
            with contextlib.suppress(OSError):
                leftover.unlink(missing_ok=True)
        return self

    def _locked(self) -> TextIO:
        """The folder's lock, held.

        Raises:
            OutputError: there can be none.
            RunError: another process has it.
        """
        import fcntl

        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = open_to_append(self.path / ".lock")
        except OSError as error:
            raise OutputError(
                f"cannot use {self.path} as a run folder: {error.strerror}", "another --run"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise RunError(
                f"the run folder {self.path} is in use by another process",
                "wait for it, or name another --run",
            ) from None
        return lock

    def _holds_the_place(self) -> bool:
        """Whether the lock that is held is the one in the folder that now has the name."""
        if self._lock is None:
            return True
        try:
            there, held = (self.path / ".lock").stat(), os.fstat(self._lock.fileno())
        except OSError:
            return False
        return os.path.samestat(there, held)

    def _check_place(self) -> None:
        """Never write into a folder that another process may have by now, nor make one that is gone again.

        Raises:
            RunError: the folder was renamed, replaced or removed while it was in use.
        """
        if not self._holds_the_place():
            raise RunError(
                f"the run folder {self.path} was moved, replaced or removed while it was in use",
                "give it its name back, and go on with --resume",
            )

    def write(self, path: Path, data: bytes) -> None:
        """Write one of its files, whole or not at all.

        Raises:
            OutputError: it cannot be written; what was there is kept.
            RunError: the folder was renamed, replaced or removed while it was in use.
        """
        self._check_place()
        write_bytes(path, data)

    def __exit__(self, *_: object) -> None:
        if self._lock is None:
            return
        if not self.config_path.exists() and self._holds_the_place():
            # Nothing was started: what was made for the lock goes again.
            (self.path / ".lock").unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # no longer empty
                for folder in self._made:
                    folder.rmdir()
        self._lock.close()
        self._lock = None

    def is_in_use(self) -> bool:
        """Whether a process holds the folder's lock, that is, is training it now."""
        import fcntl

        try:
            with open_regular(self.path / ".lock") as file:
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
        # In this order, so that a run which is half removed is one that has not saved yet.
        files = (self.state_path, self.best_path, self.metrics_path, self.config_path)
        existing = [path for path in files if path.exists()]
        if existing and not overwrite:
            raise RunError(
                f"{self.path} already holds a run ({existing[-1].name})",
                "--resume to go on with it, --overwrite to replace it, or another --run",
            )
        try:
            for path in existing:
                if path != self.config_path:
                    path.unlink()
        except OSError as error:
            raise OutputError(f"cannot remove {path}: {error.strerror}", "another --run") from error
        if existing:  # otherwise a folder of that name is somebody else's
            shutil.rmtree(self.tensorboard_path, ignore_errors=True)
        self.keep_config(config_text)

    def keep_config(self, config_text: str) -> None:
        """Write the resolved config."""
        self.write(self.config_path, config_text.encode())

    def log(self, entry: Mapping[str, Any]) -> None:
        """Append one line to the metrics.

        Raises:
            OutputError: it cannot be written.
            RunError: the folder was renamed, replaced or removed while it was in use.
        """
        self._check_place()
        try:
            with open_to_append(self.metrics_path) as file:
                file.write(json.dumps(entry, allow_nan=False) + "\n")
        except OSError as error:
            raise OutputError(
                f"cannot write {self.metrics_path}: {error.strerror}", "free some space; --resume goes on"
            ) from error

    def launch(self) -> str | None:
        """Which start of `torchrun` last began or resumed the run, or None."""
        path = self.path / ".launch"
        try:
            return read_regular(path, 1 << 16).decode("utf-8", "replace")
        except OSError:
            return None

    def note_launch(self, launch: str | None) -> None:
        """Keep that for `launch`, so that a restart knows its own run."""
        if launch is not None:
            write_text(self.path / ".launch", launch)

    def forget_after(self, step: int) -> None:
        """Drop metrics of later steps than `step`, which a resumed run writes again, and what is no metric:
        no line of a log is worth a run that cannot be resumed."""
        try:
            content = read_regular(self.metrics_path, MOST_METRICS_BYTES)
        except FileNotFoundError:
            return
        except OSError as error:
            raise RunError(
                f"cannot read {self.metrics_path}: {error.strerror}", "remove it; only the log is lost"
            ) from error
        kept = []
        for line in content.split(b"\n"):
            entry = read_metrics_line(line)
            if entry and entry["step"] <= step and not (entry["event"] == "change" and entry["step"] == step):
                kept.append(line + b"\n")
        self.write(self.metrics_path, b"".join(kept))


def find_run_config(
    run: RunFolder, values: Mapping[str, Any] | None = None, overrides: Iterable[str] = ()
) -> Config:
    """The config of an existing run, with some values replaced.

    Args:
        values: key path -> value.
        overrides: `KEY=VALUE`.

    Raises:
        RunError: there is no run in the folder.
    """
    if kind_at(run.config_path) is None:
        raise RunError(
            f"{run.path} is not a run folder: it has no {run.config_path.name}", "the folder given as --run"
        )
    return load_config(run.config_path, overrides, values)
