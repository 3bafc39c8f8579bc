"""Following a training run from another process: each new checkpoint as a generator, until training ends."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from htgen.config.run import Config
from htgen.datasets.store import Store
from htgen.episodes.pool import load_images
from htgen.errors import DataError, RunError
from htgen.evaluation.known_classes import check_store, open_store_of, splits_to_measure
from htgen.evaluation.measurement import Measurement, augmentation_of
from htgen.evaluation.plda import measure_plda, plda_sampler
from htgen.evaluation.protocol import EvaluationProtocol, EvaluationResult, Report, no_report
from htgen.generator.file import GeneratorFile, StoredGenerator
from htgen.generator.network import build, to_arrays
from htgen.generator.provenance import DataSource, Provenance
from htgen.training.checkpoint import generator_file
from htgen.training.run_folder import RunFolder, find_run_config
from htgen.training.state import read_state, shipped_weights, state_config


def checkpoints(run: RunFolder, store: Store, poll: float = 2.0) -> Iterator[GeneratorFile]:
    """Yield every new training state as the generator it would ship, and stop when training has ended.

    States that are written while the caller is busy with one are passed over, but for the last.

    Args:
        store: what the run is trained on; its classes are what `weights.plda` is measured on.
        poll: seconds between looks.

    Raises:
        RunError: there is no run in the folder, or it ended without a training state.
    """
    find_run_config(run)
    seen = -1
    while True:
        # Looked at before the state: what is written until training ends is still seen.
        is_running = run.is_in_use()
        if run.state_path.exists():
            file = _generator(run, store)
            if file.provenance.step > seen:
                seen = file.provenance.step
                yield file
        if not is_running:
            break
        time.sleep(poll)
    if seen < 0:
        raise RunError(
            f"{run.path} has no training state, and nothing is training it", "start htgen train first"
        )


def _generator(run: RunFolder, store: Store) -> GeneratorFile:
    header, tensors = read_state(run.state_path)
    config, step = state_config(header, run.state_path), int(header["step"])
    trained_on = store if header["data"].startswith(store.fingerprint) else None
    second = _second_store(config)
    if second is not None and not header["data"].endswith(f"+{second.fingerprint}"):
        second = None
    weights, changes = shipped_weights(header, tensors), header.get("changes", ())
    images = store.preprocessing
    file = generator_file(config, weights, images, step, (trained_on, second), changes=changes)
    if not config.model.weights.plda:
        return file
    model = build(file)
    measure_plda(model, plda_sampler(config, store, load_images(store)))
    return replace(file, tensors=to_arrays(model.state_dict()))


def _second_store(config: Config) -> Store | None:
    """The store whose other classes a run is trained on, if it is there."""
    if config.data.second.share:
        with contextlib.suppress(DataError):
            return Store.open(config.data.second.store)
    return None


@dataclass(frozen=True)
class Watched:
    """A run whose checkpoints are evaluated while it trains.

    Attributes:
        run: its folder.
        store, splits: on which classes.
        trained_on: the store that it is trained on.
        protocol: in which tasks.
        warnings: sentences that say why the accuracy may mislead.
    """

    run: RunFolder
    store: Store
    trained_on: Store
    splits: tuple[str, ...]
    protocol: EvaluationProtocol
    warnings: tuple[str, ...]

    @classmethod
    def prepare(
        cls,
        run: RunFolder,
        protocol: EvaluationProtocol,
        data: str | Path | None = None,
        splits: Sequence[str] = (),
    ) -> "Watched":
        """Find and check all that is needed.

        Args:
            run: its folder.
            protocol: what the tasks are.
            data: the folder of a store; None: the one that the run is trained on.
            splits: classes to draw from; none: the test part of the scheme that it is trained on.

        Raises:
            DataError: a store is missing or damaged, or has no such split.
            RunError: there is no run in the folder.
            SettingError: data or split must be given.
        """
        config = find_run_config(run)
        provenance = Provenance.from_json({"config": config.model_dump(mode="json")})
        store = open_store_of(provenance, data)
        trained_on = store
        if data is not None:
            try:
                trained_on = open_store_of(provenance)
            except DataError:
                if config.model.weights.plda:  # which is measured on it
                    raise
        if data is None or trained_on is not store:
            source = DataSource(name=trained_on.name, sha256=trained_on.checksum)
            provenance = provenance.with_values(data=source)
        if (second := _second_store(config)) is not None:
            source = DataSource(name=second.name, sha256=second.checksum)
            provenance = provenance.with_values(second=source)
        chosen, warnings = splits_to_measure(store, provenance, splits)
        return cls(run, store, trained_on, tuple(chosen), protocol, tuple(warnings))

    def evaluations(
        self, device: torch.device | str = "cpu", report: Report = no_report
    ) -> Iterator[tuple[int, list[EvaluationResult]]]:
        """Step and results of each checkpoint, which are added to the run's metrics, until training ends.

        Args:
            device: where to measure, as torch names it.
            report: called with what is done, how many tasks of it, and of how many.

        Raises:
            ConfigError: the run's augmentation is wrong.
            DataError: a store has other images, or no such task.
            ModelError: the tasks have more classes than the run's generator knows.
            OutputError: metrics cannot be written.
            RunError: there is no run in the folder, or it ended without a training state.
        """
        measurement = None
        for file in checkpoints(self.run, self.trained_on):
            if measurement is None:
                changes = augmentation_of(file.provenance, self.protocol.augment)
                measurement = Measurement(self.store, self.splits, self.protocol, device, changes)
            warnings = (*self.warnings, *check_store(self.store, file))
            results = measurement.run(StoredGenerator(file), None, report, warnings)
            step = file.provenance.step
            for result in results:
                self.run.log({"event": "evaluation", "step": step, **result.to_dict()})
            yield step, results
