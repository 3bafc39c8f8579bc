"""The training loop. It yields events and never prints; the command line shows them.

Source: the paper, section 4; where htgen goes further (many episodes per step, AdamW with warm-up and
cosine decay, averaged weights) the config says so.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from htgen.compute.processes import ALONE, LostContact, Processes
from htgen.config.model import ModelConfig
from htgen.config.run import Config
from htgen.evaluation.accuracy import Evaluation, evaluate
from htgen.evaluation.plda import measure_plda
from htgen.generator.file import GeneratorFile
from htgen.generator.network import to_arrays
from htgen.hypertransformer.hypertransformer import HyperTransformer
from htgen.training.averaged_weights import AveragedWeights
from htgen.training.checkpoint import generator_file
from htgen.training.divergence import MOST_SKIPPED, check_weights, diverged
from htgen.training.events import Event, Means, Progress, Saved, Validated
from htgen.training.gradient_averaging import average_over_processes
from htgen.training.loss import TrainingLoss
from htgen.training.optimizer import learning_rate, make_optimizer, set_learning_rate, update
from htgen.training.run_folder import RunFolder
from htgen.training.saving import SavedStates
from htgen.training.state import Counters, Trained, load_state, restore
from htgen.training.step import StepGradients
from htgen.training.tasks import check_sharing, open_tasks

_GPU_WAITS_EVERY = 100
"""Steps after which it is found out how many were skipped."""


class Trainer:
    """One training run on one device, or the part of it that one of several processes has.

    `htgen.training.launch` makes one, begins or resumes its run folder, and goes through its events.

    On the CPU the process keeps freed memory from then on; see `htgen.compute.memory`.

    Args:
        config: the resolved config.
        run: the run folder, locked by the caller (in rank 0; the other processes only read it).
        device: where to train.
        processes: among which processes the episodes of each step are shared out.
        resuming: whether `resume` will be called, so that nothing needs to be fetched from other runs.
        build: makes the model from the config; for measurements that train another one in the same way.

    Attributes:
        tasks: the store, and the samplers of its episodes.
        model: the generator, with the weights of the last step.
        gradients: computes the gradients of a step.
        average: the averaged weights, if the config has such.
        is_resumed: whether it goes on from a saved state.
        saved: the states that were saved; see `save` for when.
        stopped: whether `stop()` was true, in this process or another one.

    Raises:
        ConfigError: the episodes of a step cannot be shared out evenly.
        DataError: the store is missing or damaged, or does not fit the config.
        ModelError: the shared features to start from are missing, or do not fit.
    """

    def __init__(
        self,
        config: Config,
        run: RunFolder,
        device: torch.device | str = "cpu",
        processes: Processes = ALONE,
        resuming: bool = False,
        build: Callable[[ModelConfig], HyperTransformer] = HyperTransformer,
    ) -> None:
        self.config, self.run, self.device = config, run, torch.device(device)
        self.processes = processes
        check_sharing(config, processes)
        self.tasks = open_tasks(config, self.device)
        torch.manual_seed(config.seed)
        self.model = build(config.model).to(self.device)
        loss = TrainingLoss(config, self.model, self.tasks.training.pool.class_ids).to(self.device)
        if not resuming:
            restore(self.model, config.train)
        self.gradients = StepGradients(config, self.model, loss, self.tasks.training, processes)
        self.trained = self.gradients.trained
        self.average = AveragedWeights(self.model, config.train.ema)
        self.optimizer = make_optimizer(config.optimizer, self.trained)
        self.saved = SavedStates(run)
        self.is_resumed = self.stopped = self._save_is_due = False
        self._counters = Counters()
        self._started = time.monotonic()

    @property
    def step(self) -> int:
        """Steps done, in all processes that this training has had."""
        return self._counters.step

    @property
    def seconds(self) -> float:
        """What these steps took."""
        return self._counters.seconds

    @property
    def best(self) -> float | None:
        """The best validation accuracy so far, 0..1; None before the first validation."""
        return self._counters.best

    def means(self) -> dict[str, float]:
        """Of all that is logged, since it was last logged: `loss`, `accuracy`, `seconds` and more.

        Raises:
            RunError: the training diverged.
        """
        self._settle()
        return self._counters.sums.means()

    def events(self, stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
        """Train for the configured steps or minutes, or until `stop()` is true after a step.

        The training state is saved every `save_every` steps, and at the end or stop. With several
        processes, all stop after the same step: that in which the first `stop()` was true.

        Raises:
            LostContact: another process is gone. The state after the last full step is then on disk,
                unless it went during a validation.
            RunError: the training diverged; the last good state is then on disk.
        """
        train = self.config.train
        self._started = time.monotonic() - self.seconds
        if self._is_over() and self.best is None and not train.pretrain_shared:
            yield self.validate()  # told to end where it had been stopped, before its first validation
            self.save()
            yield Saved(self.step)
        while not self._is_over():
            try:
                self.train_step(stop)
            except LostContact:
                self.save()  # nothing of this step has changed anything yet
                raise
            is_last = self._is_over()
            if (self.step % train.log_every == 0 or is_last) and (progress := self._log_progress()):
                yield progress
            if (self.step % train.val_every == 0 or is_last) and not train.pretrain_shared:
                yield self.validate()
            if self.processes.count == 1:
                self.stopped = stop()  # several processes agree on it within the step
            is_due = self.step % train.save_every == 0 or self._save_is_due
            if (is_due or is_last or self.stopped) and self.save():
                yield Saved(self.step)
            if self.stopped:
                return

    def _is_over(self) -> bool:
        spent = self._time_spent()
        return self.step >= self.config.train.steps if spent is None else spent >= 1

    def _time_spent(self) -> float | None:
        """The share of the time that is over, 0..1; None when steps are counted instead."""
        minutes = self.config.train.minutes
        return None if minutes is None else min(1.0, self.seconds / (60 * minutes))

    def train_step(self, stop: Callable[[], bool] = lambda: False) -> None:
        """One step: gradients, the same in all processes; the optimiser's update; averaged weights.

        Raises:
            LostContact: another process is gone; nothing is changed then.
            RunError: the training diverged.
        """
        started = time.perf_counter()
        config, counters = self.config, self._counters
        lr = learning_rate(config.optimizer, self.step, config.train.steps, self._time_spent())
        set_learning_rate(self.optimizer, lr)
        scalars = self.gradients.compute(self.step)
        counters.seconds = time.monotonic() - self._started
        if self.processes.count > 1:
            scalars, self.stopped, counters.seconds = average_over_processes(
                self.processes, self.trained, scalars, stop(), counters.seconds
            )
        skipped = update(self.optimizer, self.gradients.parameters, config.optimizer.clip, scalars["loss"])
        counters.step += 1
        counters.skips.add(skipped)
        if self.device.type != "cuda" or self.step % _GPU_WAITS_EVERY == 0:
            self._settle()
        self.average.update(self.step)
        for name, value in scalars.items():
            counters.sums.add(name, value, skipped)
        counters.sums.add("seconds", time.perf_counter() - started)

    def _settle(self) -> None:
        """Wait for what the device has to do; RunError when the training diverged."""
        self._counters.sums.settle()
        row = self._counters.skips.settle()
        if row >= MOST_SKIPPED or (row and self._is_over()):
            good_step = self.saved.put_back(self.step - row) if self.processes.is_main else None
            raise diverged(self.step, row, good_step, self.config, self.run)

    def _log_progress(self) -> Progress | None:
        """None when all steps since the last time were skipped."""
        if "loss" not in (means := self.means()):
            return None
        self._counters.sums = Means()
        progress = Progress.of(
            self.step,
            means,
            lr=self.optimizer.param_groups[0]["lr"],
            episodes=self.config.train.episodes_per_step,
            skipped=int(self._counters.skips.total),
        )
        self._log(progress.to_json())
        return progress

    def validate(self) -> Validated:
        """Measure the accuracy on the validation episodes; write the generator if it is the best so far.

        Raises:
            RunError: the training diverged, or the weights are no longer numbers.
        """
        self._settle()
        with self.average.in_place():
            if self.tasks.plda is not None:
                check_weights(self.trained, self.step, self.config, self.run)
                measure_plda(self.model, self.tasks.plda, processes=self.processes)
            result = evaluate(
                self.model,
                self.tasks.validation,
                tasks=self.config.train.val_tasks,
                processes=self.processes,
            )
            is_sound = not self._counters.skips.row  # otherwise the weights may be ruined
            is_best = is_sound and (self.best is None or result.accuracy > self.best)
            if is_best:
                self._counters.best = result.accuracy
            if is_best and self.processes.is_main:
                self.run.write(self.run.best_path, self.generator_file(result).to_bytes())
        fields = {"accuracy": result.accuracy, "interval95": result.interval95, "best": is_best}
        self._log({"event": "validation", "step": self.step, **fields})
        return Validated(self.step, result, is_best)

    def _log(self, entry: dict[str, Any]) -> None:
        if self.processes.is_main:
            self.run.log(entry)

    def generator_file(self, validation: Evaluation | None = None) -> GeneratorFile:
        """The generator as it is now, with where it comes from."""
        tasks, tensors, changes = self.tasks, to_arrays(self.model.state_dict()), self._counters.changes
        images, stores = tasks.store.preprocessing, (tasks.store, tasks.second)
        kernels = self.gradients.kernels
        return generator_file(self.config, tensors, images, self.step, stores, validation, changes, kernels)

    # -------------------------------------------------------------------------------- saving and resuming

    def save(self) -> bool:
        """Write the training state, in rank 0; put off while steps are skipped, as the weights may be ruined.

        Returns:
            Whether it was not put off.

        Raises:
            RunError: the weights are no longer numbers; the state before is kept.
            OutputError: it cannot be written; the state before is kept.
        """
        self._settle()
        self._save_is_due = self._counters.skips.settle() > 0 and self.step > 0
        if self.processes.is_main and not self._save_is_due:
            check_weights(self.trained, self.step, self.config, self.run)
            self.saved.save(self.config, self.tasks.fingerprint, self._all_trained(), self._counters)
        return not self._save_is_due

    def resume(self) -> None:
        """Go on from the run folder's training state, exactly.

        Raises:
            RunError: there is none, or it was made from other data.
            ModelError: it is damaged or does not fit the config.
        """
        self.is_resumed = True
        self._counters = load_state(self.run, self.config, self.tasks.fingerprint, self._all_trained())
        if self.processes.is_main:
            self.saved.note_read(self.step)
            self.run.forget_after(self.step)
            for change in self._counters.changes_at(self.step):
                self._log({"event": "change", **change})

    def _all_trained(self) -> Trained:
        return Trained(self.trained, self.average.tensors, self.optimizer)
