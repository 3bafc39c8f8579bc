"""The gradients of one training step, and where they are averaged over processes.

The episodes of a step are shared out twice: among processes, each of which has every weight, and within a
process among threads. `StepGradients.compute` adds up the gradients of the threads; `average_over_processes`
averages those of the processes. On a GPU the work of a step is recorded and repeated.
"""

import zlib
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from htgen.cnn.fused import used
from htgen.compute.precision import product_precision
from htgen.compute.processes import Processes
from htgen.compute.recording import CudaGraphs, RecordedSteps
from htgen.compute.threads import EpisodeThreads
from htgen.config.run import Config
from htgen.episodes.batch import EpisodeBatch
from htgen.episodes.sampler import EpisodeSampler
from htgen.episodes.shape import Counts
from htgen.hypertransformer.hypertransformer import HyperTransformer
from htgen.training.loss import Scalars, TrainingLoss

Gradients = tuple[list[Tensor | None], Scalars]
"""Of every trained parameter, None where the loss does not depend on it; and the scalars worth logging."""


class RecordingKind(NamedTuple):
    """What is the same for all parts of steps that can be computed by the same recording.

    Attributes:
        counts: way, and images per class.
        episodes: in the part.
        share: of the part in what this process does of the step, 0..1.
    """

    counts: Counts
    episodes: int
    share: float


class StepGradients:
    """Computes the gradients of training steps.

    On the CPU the process keeps freed memory from then on; see `htgen.compute.memory`.

    Args:
        config: the resolved config.
        model: the generator that is trained.
        loss: with the modules that only training has.
        sampler: gives the episodes of all steps.
        processes: among which the episodes of each step are shared out.
    """

    def __init__(
        self,
        config: Config,
        model: HyperTransformer,
        loss: TrainingLoss,
        sampler: EpisodeSampler,
        processes: Processes,
    ) -> None:
        self.config, self.model, self.loss, self.sampler = config, model, loss, sampler
        self.processes, self.device = processes, sampler.device
        self.trained = torch.nn.ModuleDict({"model": model, "loss": loss})
        self.trained.train()
        self.parameters = [*self.trained.parameters()]  # looking them up takes a millisecond
        # Masks of dropout come from one sequence of random numbers, which threads cannot share repeatably.
        self.threads = EpisodeThreads.for_device(self.device, size=1 if has_dropout(self.trained) else None)
        # Weights of the warm-up heads change with the step; images from a file must be waited for.
        can_record = isinstance(sampler.pool.images, Tensor) and not config.train.head_steps
        self.recorded: RecordedSteps[RecordingKind, Gradients] | None = None
        """What repeats steps on a GPU; None = every operation is started anew."""
        if self.device.type == "cuda" and can_record:
            self.recorded = RecordedSteps(CudaGraphs(self.device))

    @property
    def kernels(self) -> str | None:
        """What the kernels that do the CNNs' work are compiled by; None where plain operations do it."""
        is_served = self.device.type == "cpu" and self.config.train.precision != "bfloat16"
        return used() if is_served and self.model.can_be_fused else None

    def compute(self, step: int) -> Scalars:
        """Leave the gradients of this process's episodes of a step in the parameters.

        Returns:
            The loss as `loss`, and the scalars worth logging: means over the episodes.
        """
        processes, episodes = self.processes, self.config.train.episodes_per_step
        if processes.count > 1:
            # Dropout differs between processes, and a resumed run needs no random state but rank 0's.
            torch.manual_seed(zlib.crc32(f"{self.config.seed}/{step}/{processes.rank}".encode()))
        count = episodes // processes.count
        first = step * episodes + processes.rank * count
        if not (self.model.training and self.loss.training):
            self.trained.train()

        def differentiate(part: range) -> Gradients:
            return self._part(step, first + part.start, len(part), len(part) / count)

        parts = self.threads.share(count)
        gradients, values = zip(*self.threads.map(differentiate, parts), strict=True)
        self.add_up(gradients)
        return {
            name: sum(of[name] * (len(part) / count) for of, part in zip(values, parts, strict=True))
            for name in values[0]
        }

    def _part(self, step: int, first: int, episodes: int, share: float) -> Gradients:
        """Gradients of `episodes` episodes from number `first` on, which are a share of the process's."""
        kind = RecordingKind(self.sampler.counts(first), episodes, share)

        def work(kind: RecordingKind, first: Tensor) -> Gradients:
            return self.of_episodes(kind, first, step)

        if self.recorded is not None:
            return self.recorded(work, kind, first)
        return work(kind, torch.tensor(first, device=self.device))

    def of_episodes(self, kind: RecordingKind, first: Tensor, step: int) -> Gradients:
        """Gradients of the loss of the episodes from `first` on, times their share; scalars.

        Args:
            first: int64 scalar on the device. It is not read here, so that the work can be recorded.
            step: for loss weights that change with it.
        """
        episodes = first + torch.arange(kind.episodes, device=self.device)  # [E]
        loss, scalars = self.loss_of(self.sampler.draw(episodes, kind.counts), step)
        return self.gradients_of(loss * kind.share), {"loss": loss.detach(), **scalars}

    def loss_of(self, batch: EpisodeBatch, step: int) -> tuple[Tensor, Scalars]:
        """The mean loss of some episodes of a step, and the scalars worth logging."""
        with product_precision(self.config.train.precision, self.device):
            loss, scalars = self.loss(self.model, batch, step)
        return loss, {k: v.detach() if isinstance(v, Tensor) else v for k, v in scalars.items()}

    def gradients_of(self, loss: Tensor) -> list[Tensor | None]:
        """The gradient of every trained parameter; None where the loss does not depend on it.

        All are laid out in memory as their parameters are, which the optimiser takes for granted.
        """
        parameters = self.parameters
        with product_precision(self.config.train.precision, self.device):
            gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        return [
            gradient if gradient is None else laid_out_as(parameter, gradient)
            for parameter, gradient in zip(parameters, gradients, strict=True)
        ]

    def add_up(self, gradients: Sequence[Sequence[Tensor | None]]) -> None:
        """Sum the gradients of the parts of a step, always in the same order, into the parameters' own."""
        for parameter, own in zip(self.parameters, zip(*gradients, strict=True), strict=True):
            # Which parameters have a gradient is the same in all parts.
            parameter.grad = None if own[0] is None else sum(own[1:], start=own[0])


def laid_out_as(parameter: Tensor, gradient: Tensor) -> Tensor:
    """The gradient with the strides of its parameter."""
    if gradient.stride() == parameter.stride():
        return gradient
    return torch.empty_like(parameter).copy_(gradient)


def has_dropout(module: torch.nn.Module) -> bool:
    """Whether random numbers decide what a module computes in training."""
    return any(isinstance(part, torch.nn.Dropout) and part.p > 0 for part in module.modules())
