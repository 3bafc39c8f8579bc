"""The training loop. It yields events and never prints; the command line shows them.

Source: the paper, section 4; where htgen goes further (many episodes per step, AdamW with warm-up and
cosine decay, averaged weights) the config says so.
"""

import json
import math
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from htgen.compute.precision import product_precision
from htgen.compute.processes import ALONE, LostContact, Processes
from htgen.compute.recording import CudaGraphs, Replay
from htgen.compute.threads import Crew
from htgen.config.faults import validate
from htgen.config.files import flatten
from htgen.config.model import ModelConfig
from htgen.config.run import Config
from htgen.episodes.augmentation import augmentation
from htgen.episodes.batch import EpisodeBatch
from htgen.episodes.sampler import EpisodeSampler, load_images, open_store
from htgen.episodes.shape import episode_shape
from htgen.errors import ConfigError, DataError, ModelError, RunError
from htgen.evaluation.accuracy import TASKS_PER_BATCH, Evaluation, evaluate
from htgen.evaluation.plda import measure_plda, plda_sampler
from htgen.files import write_bytes
from htgen.generator.file import GeneratorFile
from htgen.generator.network import load_tensors, to_arrays
from htgen.generator.provenance import Provenance
from htgen.hypertransformer.hypertransformer import HyperTransformer
from htgen.training.averaging import Swapped
from htgen.training.events import Event, Means, Progress, Saved, Validated
from htgen.training.loss import Scalars, TrainingLoss
from htgen.training.optimizer import learning_rate, parameter_groups
from htgen.training.run_folder import RunFolder
from htgen.training.state import CHANGEABLE, below, read_state, restore_shared_features, write_state
from htgen.training.step import Gradients, RecordingKind, has_dropout, laid_out_as
from htgen.version import __version__


class Trainer:
    """One training run on one device, or the part of it that one of several processes has.

    On the CPU the process keeps freed memory from then on; see `htgen.compute.memory`.

    Args:
        config: the resolved config.
        run: the run folder, locked by the caller (in rank 0; the other processes only read it).
        device: where to train.
        resuming: whether `resume` will be called, so that nothing needs to be fetched from other runs.
        processes: among which processes the episodes of each step are shared out.
        build: makes the model from the config; for benchmarks that train another one in the same way.

    Raises:
        ConfigError: the episodes of a step cannot be shared out evenly.
        DataError: the store is missing or damaged, or does not fit the config.
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
        self._check_sharing()
        self.store = open_store(config.data.store)
        self._check_store()
        images = load_images(self.store, self.device)
        self.train_sampler = EpisodeSampler.from_store(
            self.store,
            config.data.train,
            episode_shape(config.episodes),
            images=images,
            slot_count=config.model.max_way,
            seed=config.seed,
            stream="train",
            period=config.train.episodes_per_step,
            augmentation=augmentation(config.augment),
            device=self.device,
        )
        self.val_sampler = EpisodeSampler.from_store(
            self.store,
            config.data.val,
            episode_shape(config.validation),
            images=images,
            slot_count=config.model.max_way,
            seed=config.seed,
            stream="validation",
            period=TASKS_PER_BATCH,
            augmentation=augmentation(config.augment_validation.resolve(config.augment)),
            device=self.device,
        )
        self.plda_sampler = None
        if config.model.weights.plda:
            self.plda_sampler = plda_sampler(config, self.store, images, self.device)
        torch.manual_seed(config.seed)
        self.model = build(config.model).to(self.device)
        self.loss = TrainingLoss(config, self.model, self.train_sampler.class_ids).to(self.device)
        if config.train.restore_shared is not None and not resuming:
            restore_shared_features(self.model, config.train.restore_shared)
        self.trained = torch.nn.ModuleDict({"model": self.model, "loss": self.loss})
        # Masks of dropout come from one sequence of random numbers, which threads cannot share repeatably.
        self.crew = Crew.for_device(self.device, size=1 if has_dropout(self.trained) else None)
        # Weights of the warm-up heads change with the step; images from a file must be waited for.
        recordable = isinstance(images, Tensor) and not config.train.head_steps
        self._replay: Replay[RecordingKind, Gradients] | None = None
        if self.device.type == "cuda" and recordable:
            self._replay = Replay(CudaGraphs(self.device))
        self.average = (
            {name: p.detach().clone() for name, p in self.model.named_parameters()}
            if config.train.ema
            else {}
        )
        groups = parameter_groups(self.trained, config.optimizer.weight_decay)
        self.optimizer: torch.optim.Optimizer = (
            torch.optim.AdamW(groups, lr=config.optimizer.lr, fused=True)
            if config.optimizer.name == "adamw"
            else torch.optim.SGD(groups, lr=config.optimizer.lr, fused=True)
        )
        self.step = 0
        self.seconds = 0.0  # of `events` so far, in all processes that this training has had
        self.best: float | None = None
        self.stopped = False  # whether `stop()` was true, in this process or another one
        # Sums since the last logged step, so that a resumed run logs what an uninterrupted one would.
        self._sums = Means()
        self._started = time.monotonic()

    def _check_sharing(self) -> None:
        episodes, count = self.config.train.episodes_per_step, self.processes.count
        if episodes % count:
            raise ConfigError(
                f"train.episodes_per_step: {episodes} episodes cannot be shared out evenly among {count} "
                "processes",
                f"a multiple of {count}, or another number of processes",
            )

    def _check_store(self) -> None:
        model = self.config.model
        expected, found = (model.image_size, model.image_channels), (self.store.size, self.store.channels)
        if expected != found:
            raise DataError(
                f"store {self.store.path} has images of {found[0]}x{found[0]} pixels, {found[1]} channels; "
                f"the config wants {expected[0]}x{expected[0]} and {expected[1]}",
                "model.image_size and model.image_channels as in the store, or prepare the data again",
            )

    # ------------------------------------------------------------------------------------------ the loop

    def events(self, stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
        """Train for the configured steps or minutes, or until `stop()` is true after a step.

        The training state is saved every `save_every` steps, and at the end or stop. With several
        processes, all stop after the same step: that in which the first `stop()` was true.

        Raises:
            LostContact: another process is gone. The state after the last full step is then on disk,
                unless it went during a validation.
            RunError: the loss is no longer a number.
        """
        train = self.config.train
        self._started = time.monotonic() - self.seconds
        if self._is_over() and self.best is None and not train.pretrain_shared:
            yield self._validate()  # told to end where it had been stopped, before its first validation
            self.save()
            yield Saved(self.step)
        while not self._is_over():
            try:
                self._train_step(stop)
            except LostContact:
                self.save()  # nothing of this step has changed anything yet
                raise
            is_last = self._is_over()
            if self.step % train.log_every == 0 or is_last:
                yield self._log_progress()
            if (self.step % train.val_every == 0 or is_last) and not train.pretrain_shared:
                yield self._validate()
            if self.processes.count == 1:
                self.stopped = stop()  # several processes agree on it within the step
            if self.step % train.save_every == 0 or is_last or self.stopped:
                self.save()
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

    def _train_step(self, stop: Callable[[], bool] = lambda: False) -> None:
        started = time.perf_counter()
        config = self.config
        lr = learning_rate(config.optimizer, self.step, config.train.steps, self._time_spent())
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        processes, episodes = self.processes, config.train.episodes_per_step
        share = episodes // processes.count
        if processes.count > 1:
            # Dropout differs between processes, and a resumed run needs no random state but rank 0's.
            torch.manual_seed(zlib.crc32(f"{config.seed}/{self.step}/{processes.rank}".encode()))
        values = self._differentiate(self.step * episodes + processes.rank * share, share)
        self.seconds = time.monotonic() - self._started
        if processes.count > 1:
            values = self._average_over_processes(values, stop())
        loss = values["loss"]
        if not isinstance(loss, Tensor) or self.device.type != "cuda":  # a GPU need not wait for each loss
            self._check_loss(float(loss), self.step + 1)
        self.update()
        self.step += 1
        self._update_average()
        for name, value in values.items():
            self._sums.add(name, value)
        self._sums.add("seconds", time.perf_counter() - started)

    def _check_loss(self, loss: float, step: int) -> None:
        if not math.isfinite(loss):
            raise RunError(
                f"the loss of {self.config.name} is no longer a number by step {step}",
                self._divergence_remedy(),
            )

    def _differentiate(self, first: int, count: int) -> Scalars:
        """Gradients of the mean loss of episodes `first .. first + count - 1`; returns loss and scalars."""
        self.trained.train()

        def work(part: range) -> Gradients:
            kind = RecordingKind(self.train_sampler.counts(first), len(part), len(part) / count)
            if self._replay is not None:
                return self._replay(self._differentiate_part, kind, first + part.start)
            return self._differentiate_part(kind, torch.tensor(first + part.start, device=self.device))

        parts = self.crew.share(count)
        gradients, values = zip(*self.crew.map(work, parts), strict=True)
        self.add_up(gradients)
        return {
            name: sum(of[name] * (len(part) / count) for of, part in zip(values, parts, strict=True))
            for name in values[0]
        }

    def _differentiate_part(self, kind: "RecordingKind", first: Tensor) -> Gradients:
        """Gradients of the loss of the episodes from `first` on, times their share of the step; scalars."""
        episodes = first + torch.arange(kind.episodes, device=self.device)
        loss, scalars = self.loss_of(self.train_sampler.draw(episodes, kind.counts))
        return self.gradients_of(loss * kind.share), {"loss": loss.detach(), **scalars}

    def loss_of(self, batch: EpisodeBatch) -> tuple[Tensor, Scalars]:
        """The mean loss of some episodes of the current step, and the scalars worth logging."""
        with product_precision(self.config.train.precision, self.device):
            loss, scalars = self.loss(self.model, batch, self.step)
        return loss, {k: v.detach() if isinstance(v, Tensor) else v for k, v in scalars.items()}

    def gradients_of(self, loss: Tensor) -> list[Tensor | None]:
        """The gradient of every trained parameter; None where the loss does not depend on it.

        All are laid out in memory as their parameters are, which the optimiser takes for granted.
        """
        parameters = [*self.trained.parameters()]
        with product_precision(self.config.train.precision, self.device):
            gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        return [
            gradient if gradient is None else laid_out_as(parameter, gradient)
            for parameter, gradient in zip(parameters, gradients, strict=True)
        ]

    def add_up(self, gradients: Sequence[Sequence[Tensor | None]]) -> None:
        """Sum the gradients of the parts of a step, always in the same order, into the parameters' own."""
        for parameter, own in zip(self.trained.parameters(), zip(*gradients, strict=True), strict=True):
            # Which parameters have a gradient is the same in all parts.
            parameter.grad = None if own[0] is None else sum(own[1:], start=own[0])

    def update(self) -> None:
        """One step of the optimiser, with gradients clipped."""
        if self.config.optimizer.clip:
            torch.nn.utils.clip_grad_norm_(self.trained.parameters(), self.config.optimizer.clip)
        self.optimizer.step()

    def _check_weights(self) -> None:
        if not all(torch.isfinite(p).all() for p in self.trained.parameters()):
            raise RunError(
                f"the weights of {self.config.name} are no longer numbers at step {self.step}",
                self._divergence_remedy(),
            )

    def _divergence_remedy(self) -> str:
        kept = "; the last saved state is still there" if self.run.state_path.exists() else ""
        return f"a lower optimizer.lr (now {self.config.optimizer.lr:g}), or optimizer.clip{kept}"

    def _average_over_processes(self, values: Scalars, stop: bool) -> Scalars:
        """Average gradients and scalars in one message, which also tells whether any process is to stop, and
        what time it is for all."""
        gradients = [p.grad for p in self.trained.parameters() if p.grad is not None]
        numbers = torch.stack(
            [
                torch.as_tensor(value, dtype=torch.float32, device=self.device).detach()
                for value in [*values.values(), float(stop), self.seconds]
            ]
        )
        self.processes.average([*gradients, numbers])
        *means, stopping, self.seconds = numbers.tolist()
        self.stopped = stopping > 0
        return dict(zip(values, means, strict=True))

    @torch.no_grad()
    def _update_average(self) -> None:
        """Exponential moving average; its early values forget the random start faster."""
        if decay := min(self.config.train.ema, self.step / (self.step + 10)):
            torch._foreach_lerp_(
                list(self.average.values()), [p.detach() for p in self.model.parameters()], 1 - decay
            )

    def _log_progress(self) -> Progress:
        self._settle_sums()
        means, self._sums = self._sums.means(), Means()
        progress = Progress(
            step=self.step,
            loss=means.pop("loss"),
            accuracy=means.pop("accuracy"),
            lr=self.optimizer.param_groups[0]["lr"],
            episodes_per_second=self.config.train.episodes_per_step / max(means.pop("seconds"), 1e-9),
            scalars=means,
        )
        fields = dict(progress.__dict__)
        extra = fields.pop("scalars")
        self._log({"event": "train", **fields, **extra})
        return progress

    def _settle_sums(self) -> None:
        """Wait for what the device still has to do, which counts as time of the steps that began it.

        Raises:
            RunError: a loss was no number.
        """
        if not self._sums.entries:
            return
        started = time.perf_counter()
        self._sums.settle()
        self._sums.entries["seconds"][0] += time.perf_counter() - started
        self._check_loss(self._sums.entries["loss"][0], self.step)

    def _validate(self) -> Validated:
        self._settle_sums()
        with self.averaged_weights():
            if self.plda_sampler is not None:
                self._check_weights()
                measure_plda(self.model, self.plda_sampler, processes=self.processes)
            result = evaluate(
                self.model,
                self.val_sampler,
                tasks=self.config.train.val_tasks,
                processes=self.processes,
            )
            is_best = self.best is None or result.accuracy > self.best
            if is_best:
                self.best = result.accuracy
            if is_best and self.processes.is_main:
                write_bytes(self.run.best_path, self.generator_file(result).to_bytes())
        self._log(
            {
                "event": "validation",
                "step": self.step,
                "accuracy": result.accuracy,
                "interval95": result.interval95,
                "best": is_best,
            }
        )
        return Validated(self.step, result, is_best)

    def _log(self, entry: dict[str, Any]) -> None:
        if self.processes.is_main:
            self.run.log(entry)

    def averaged_weights(self) -> "Swapped":
        """A context in which the model has its averaged weights, where there are such."""
        return Swapped(self.model, self.average if self.config.train.ema else None)

    def generator_file(self, validation: Evaluation | None = None) -> GeneratorFile:
        """The generator as it is now, with where it comes from."""
        provenance = {
            "config": self.config.model_dump(mode="json"),
            "step": self.step,
            "episodes": self.step * self.config.train.episodes_per_step,
            "data": {"name": self.store.name, "sha256": self.store.checksum},
            "htgen": __version__,
            "validation": None if validation is None else validation.to_dict(),
        }
        return GeneratorFile(
            self.config.name,
            self.config.model,
            to_arrays(self.model.state_dict()),
            self.store.preprocessing,
            Provenance.from_json(provenance),
        )

    # -------------------------------------------------------------------------------- saving and resuming

    def save(self) -> None:
        """Write the training state: weights, average, optimiser, random state, counters. Rank 0 only.

        Raises:
            RunError: the weights are no longer numbers; the state before is kept.
            OutputError: it cannot be written; the state before is kept.
        """
        if not self.processes.is_main:
            return
        self._check_weights()
        self._settle_sums()
        tensors = dict(self.trained.state_dict())
        tensors |= {f"average.{name}": tensor for name, tensor in self.average.items()}
        tensors["random.cpu"] = torch.get_rng_state()
        if self.device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state(self.device)
        for index, entries in self.optimizer.state_dict()["state"].items():
            for key, value in entries.items():
                if isinstance(value, Tensor):
                    tensors[f"optimizer.{index}.{key}"] = value
        header = {
            "config": json.dumps(self.config.model_dump(mode="json"), sort_keys=True),
            "step": self.step,
            "seconds": self.seconds,
            "best": self.best,
            "sums": self._sums.entries,
            "data": self.store.fingerprint,
        }
        write_state(self.run.state_path, header, tensors)

    def resume(self) -> None:
        """Go on from the run folder's training state, exactly.

        Raises:
            RunError: there is none, or it was made from other data.
            ModelError: it is damaged or does not fit the config.
        """
        path = self.run.state_path
        if not path.exists():
            raise RunError(
                f"{self.run.path} has no training state to resume ({path.name})",
                "start it again without --resume, with --overwrite",
            )
        header, arrays = read_state(path)
        if header["data"] != self.store.fingerprint:
            raise RunError(
                f"the run was trained on other data than {self.store.path} holds now",
                "the original store as --data",
            )
        self._check_unchanged(json.loads(header["config"]))
        parts = {name: a for name, a in arrays.items() if name.partition(".")[0] in ("model", "loss")}
        load_tensors(self.trained, parts, str(path))
        tensors = {name: torch.tensor(array) for name, array in arrays.items() if name not in parts}
        # States of before kept an average without use.
        average = below("average.", tensors) if self.config.train.ema else {}
        if average.keys() != self.average.keys():
            raise ModelError(f"{path} does not fit its config: averaged weights differ")
        for name, tensor in average.items():
            self.average[name].copy_(tensor)
        state = self.optimizer.state_dict()
        entries: dict[int, dict[str, Tensor]] = {}
        for name, tensor in below("optimizer.", tensors).items():
            index, key = name.split(".", 1)
            entries.setdefault(int(index), {})[key] = tensor
        self.optimizer.load_state_dict({**state, "state": entries})
        torch.set_rng_state(tensors["random.cpu"])
        if self.device.type == "cuda" and "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"], self.device)
        self.step, self.best, self._sums = header["step"], header["best"], Means(header["sums"])
        self.seconds = header.get("seconds", 0.0)  # states of before this was counted have none
        if self.processes.is_main:
            self.run.forget_after(self.step)

    def _check_unchanged(self, before: dict[str, Any]) -> None:
        """Going on means with the same settings, but for those that do not touch what is trained."""
        # What there was no setting for when the run began is as it was without it: the default.
        then, now = (
            flatten(config.model_dump(mode="json"))
            for config in (validate(Config, before, f"the config inside {self.run.state_path}"), self.config)
        )
        changed = [key for key, value in then.items() if now[key] != value and key not in CHANGEABLE]
        if changed:
            raise RunError(
                f"{self.run.config_path} was changed since the run began: {', '.join(changed)}",
                "the values as they were, or a new run",
            )
