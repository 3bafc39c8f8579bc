"""Accuracy over unseen tasks, with its interval. Draws episodes, never prints."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from htgen.compute.precision import product_precision
from htgen.compute.processes import ALONE, Processes
from htgen.compute.threads import EpisodeThreads
from htgen.episodes.sampler import EpisodeSampler
from htgen.hypertransformer.hypertransformer import HyperTransformer

TASKS_PER_BATCH = 16
"""Most episodes in one pass. The episodes of a pass have one shape, so a sampler whose way or shot is a range
draws them anew only every so many episodes: its stream has this `period`."""

_ACTIVATION_BYTES = 64 << 20
"""On the CPU so much in one activation: with more, fresh memory costs as much as arithmetic, and what several
threads leave between their blocks adds up to more."""


@dataclass(frozen=True)
class Evaluation:
    """Mean accuracy over tasks.

    Attributes:
        accuracy: mean over tasks of the fraction of query images classified correctly, 0..1.
        interval95: half width of the 95 % confidence interval of the mean (1.96 standard errors over tasks).
        tasks: number of tasks.
        transductive: whether answers may depend on the other query images: with norm `batch`, and where the
            generator saw them.
    """

    accuracy: float
    interval95: float
    tasks: int
    transductive: bool

    @classmethod
    def of(cls, accuracies: Tensor, transductive: bool) -> "Evaluation":
        """The summary of at least 2 tasks' accuracies, `[tasks]`, 0..1."""
        return cls(
            accuracy=accuracies.mean().item(),
            interval95=half_width95(accuracies),
            tasks=len(accuracies),
            transductive=transductive,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return dict(self.__dict__)


@dataclass(frozen=True)
class Queries:
    """How the CNN of a task is asked.

    Attributes:
        rounds: batches of freshly drawn query images that it classifies (the reference protocol has 16).
        shown: whether the generator sees the query images too, without their labels (transductive); with one
            round only.
    """

    rounds: int = 1
    shown: bool = False


def half_width95(values: Tensor) -> float:
    """Half width of the 95 % confidence interval of the mean of `[N]` independent values, N at least 2."""
    return 1.96 * values.std().item() / math.sqrt(len(values))


def tasks_at_once(model: HyperTransformer, sampler: EpisodeSampler) -> int:
    """Episodes in one pass: a power of two up to `TASKS_PER_BATCH`, fewer where they are large."""
    if sampler.device.type != "cpu":
        return TASKS_PER_BATCH
    size = 4 * sampler.most_images * model.spec.largest_activation
    return min(TASKS_PER_BATCH, 1 << max(0, (_ACTIVATION_BYTES // size).bit_length() - 1))


def evaluate(
    model: HyperTransformer,
    sampler: EpisodeSampler,
    tasks: int,
    processes: Processes = ALONE,
    show_queries: bool = False,
) -> Evaluation:
    """Mean accuracy of a generator on the sampler's first `tasks` episodes.

    Args:
        model, tasks, processes: as in `task_accuracies`.
        sampler: of the tasks.
        show_queries: whether the generator sees the query images too, without their labels (transductive).

    Raises:
        LostContact: another process is gone.
    """
    queries = Queries(shown=show_queries)
    accuracies = task_accuracies(model, sampler, tasks, queries, processes=processes)
    return Evaluation.of(accuracies, transductive=show_queries or model.spec.norm == "batch")


@torch.no_grad()
def task_accuracies(
    model: HyperTransformer,
    sampler: EpisodeSampler,
    tasks: int,
    queries: Queries = Queries(),
    progress: Callable[[int], None] = lambda done: None,
    processes: Processes = ALONE,
) -> Tensor:
    """Accuracy of a generator on each of the sampler's first `tasks` episodes.

    Two generators on equal samplers see the same tasks: the mean of the differences has a much smaller
    interval than the difference of the means.

    On the CPU the process keeps freed memory from then on; see `htgen.compute.memory`.

    Args:
        model: the generator, on the sampler's device; left in the mode it was in.
        tasks: number of episodes, at least 2.
        queries: how each generated CNN is asked.
        progress: called with the number of tasks done.
        processes: among these the tasks are shared out; all of them get the same result, which does not
            depend on their number.

    Returns:
        `[tasks]`, 0..1, float64.

    Raises:
        LostContact: another process is gone.
    """
    assert queries.rounds == 1 or not queries.shown
    accuracies = torch.zeros(tasks, dtype=torch.float64)
    step = tasks_at_once(model, sampler)

    def correct(start: int) -> Tensor:
        """Fraction of queries classified correctly in each task of the batch that begins at `start`."""
        count = min(step, tasks - start)
        batch = sampler.batch(start, count)
        if model.drops_when_measured:
            torch.manual_seed(start)  # the same masks however the tasks are shared out
        seen = batch.showing_queries() if queries.shown else batch
        weights = model.generate(seen.support_images, seen.support_labels, seen.slots, seen.ignore)
        total = torch.zeros(count, dtype=torch.float64)
        for query_round in range(queries.rounds):
            asked = batch if query_round == 0 else sampler.batch(start, count, query_round)
            hits = model.execute(weights, asked.query_images).argmax(dim=2) == asked.query_labels
            total += hits.cpu().double().mean(dim=1)
        return total / queries.rounds

    starts = range(0, tasks, step)[processes.rank :: processes.count]
    # Masks of dropout come from one sequence of random numbers, which threads cannot share repeatably.
    threads = EpisodeThreads.for_device(sampler.device, size=1 if model.drops_when_measured else None)
    with _measuring(model, sampler.device):
        for start, result in zip(starts, threads.map(correct, starts), strict=True):
            accuracies[start : start + len(result)] = result
            progress(start + len(result))
    processes.add_up(accuracies)
    return accuracies


@contextmanager
def _measuring(model: HyperTransformer, device: torch.device) -> Iterator[None]:
    """The model in the mode for measuring, in full precision; it and torch's random numbers are left as
    they were."""
    was_training = model.training
    devices = [device] if device.type == "cuda" else []
    try:
        model.measure()
        with product_precision("float32", device), torch.random.fork_rng(devices, model.drops_when_measured):
            yield
    finally:
        model.train(was_training)
