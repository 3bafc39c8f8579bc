"""How fast training is."""

from collections.abc import Callable

from torch import Tensor

from htgen.bench.cost import training_cost
from htgen.bench.machine import Effort, TimedSection, median, synchronize, times
from htgen.bench.report import Measure, Rate
from htgen.episodes.batch import EpisodeBatch
from htgen.episodes.shape import EpisodeSize
from htgen.training.loss import Scalars
from htgen.training.optimizer import update as update_weights
from htgen.training.trainer import Trainer


def measure_training(trainer: Trainer, size: EpisodeSize, rate: Rate, effort: Effort) -> list[Measure]:
    episodes, device = trainer.config.train.episodes_per_step, trainer.device
    cost = training_cost(trainer.config.model, size)
    speed = rate.multiply_adds_per_second
    found = TimedSection("train", effort.train_warmup, effort.train_repeats)
    events = trainer.events()  # one after every `train_steps` steps
    steps = found.time(lambda: next(events), device)
    sampling = found.time(lambda: trainer.tasks.training.batch(trainer.step * episodes, episodes), device)
    phases = [_phases(trainer) for _ in range(found.warmup + found.repeats)][found.warmup :]
    compute = [sum(times) for times in phases]
    forward, backward, update = (median(list(times)) for times in zip(*phases, strict=True))
    whole = speed / cost.total
    rate_of = effort.train_steps * episodes / median(steps)
    found.add("episodes_per_second", "training, whole steps", rate_of, "episodes/s", whole)
    rate_of = episodes / median(compute)
    found.add("compute_episodes_per_second", "training without sampling", rate_of, "episodes/s", whole)
    rate_of = episodes / median(sampling)
    found.add("sampling_episodes_per_second", "sampling of episodes", rate_of, "episodes/s")
    found.add("forward_seconds", "one step, forward", forward, "s", episodes * cost.forward / speed)
    found.add("backward_seconds", "one step, backward", backward, "s", episodes * cost.backward / speed)
    found.add("update_seconds", "one step, optimiser", update, "s")
    return found.measures


def _phases(trainer: Trainer) -> tuple[float, float, float]:
    """Seconds of forward, backward and optimiser in one step on a batch that is there already."""
    device, step = trainer.device, trainer.gradients
    parts = step.threads.share(trainer.config.train.episodes_per_step)
    batches = [trainer.tasks.training.batch(part.start, len(part)) for part in parts]
    trainer.trained.train()
    losses: list[Tensor] = []
    gradients: list[list[Tensor | None]] = []

    def loss_of(batch: EpisodeBatch) -> tuple[Tensor, Scalars]:
        return step.loss_of(batch, trainer.step)

    def forward() -> None:
        losses.extend(loss for loss, _ in step.threads.map(loss_of, batches))

    def backward() -> None:
        gradients.extend(step.threads.map(step.gradients_of, losses))

    def update() -> None:
        step.add_up(gradients)
        update_weights(trainer.optimizer, step.parameters, trainer.config.optimizer.clip)

    synchronize(device)
    runs: list[Callable[[], object]] = [forward, backward, update]
    first, second, third = (times(run, 0, 1, device)[0] for run in runs)
    return first, second, third
