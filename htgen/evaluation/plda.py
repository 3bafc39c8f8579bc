"""How classes, and samples of a class, vary: measured on tasks of training classes, for the logits layer.

What is made of it is in `htgen.hypertransformer.plda_coordinates`.
"""

from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from htgen.arrays import Doubles
from htgen.compute.precision import product_precision
from htgen.compute.processes import ALONE, Processes
from htgen.compute.threads import EpisodeThreads
from htgen.config.run import Config
from htgen.datasets.store import Store
from htgen.episodes.pool import ClassPool, Images
from htgen.episodes.sampler import EpisodeSampler, EpisodeStream
from htgen.evaluation.accuracy import TASKS_PER_BATCH, tasks_at_once
from htgen.hypertransformer.hypertransformer import HyperTransformer

BETWEEN_FLOOR = 0.2
"""Added to the diagonal of B, relative to what is added to that of W."""

MOST_PRIOR_COUNTS = 1e4
"""What files can hold with 16 bits; a class mean counts for nothing in such a direction."""


@dataclass(frozen=True)
class Variation:
    """Sums over samples and classes from which the two covariances follow; they can be added up.

    Attributes:
        scatter: `[F, F]`, of samples about the mean of their class.
        freedom: number of samples less number of classes.
        means: `[F]`, sum of the class means.
        squares: `[F, F]`, sum of their outer products.
        shares: sum of 1 / samples over classes.
        classes: how many.
    """

    scatter: Doubles
    freedom: int
    means: Doubles
    squares: Doubles
    shares: float
    classes: int

    def __add__(self, other: "Variation") -> "Variation":
        return Variation(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))

    @staticmethod
    def of(features: npt.NDArray[Any], labels: npt.NDArray[np.int64]) -> "Variation":
        """Of one task: features `[N, F]` of samples with labels `[N]`."""
        features = features.astype(np.float64)
        member = (labels == np.unique(labels)[:, None]).astype(np.float64)
        counts = member.sum(axis=1)
        means = member @ features / counts[:, None]
        rest = features - means[member.argmax(axis=0)]
        classes = len(counts)
        return Variation(
            scatter=rest.T @ rest,
            freedom=len(labels) - classes,
            means=means.sum(axis=0),
            squares=means.T @ means,
            shares=float((1 / counts).sum()),
            classes=classes,
        )

    def plda(self, floor: float) -> dict[str, npt.NDArray[np.float32]]:
        """The coordinates, as the tensors of `htgen.hypertransformer.layer_writers.Plda`.

        Args:
            floor: added to the diagonal of W, relative to its mean: features are not Gaussian, and new
                classes are not those that were measured.

        Returns:
            `centre` `[F]`; `directions` `[F, F]`, by which features less the centre are multiplied; a sample
            varies within its class as much as before, on average over coordinates; `prior_counts` `[F]`.
        """
        within = self.scatter / max(1, self.freedom)
        centre = self.means / self.classes
        between = self.squares / self.classes - np.outer(centre, centre)
        between -= within * (self.shares / self.classes)  # means of few samples vary by that much more
        unit = within.trace() / len(within) or 1.0
        within += floor * unit * np.eye(len(within))
        between += BETWEEN_FLOOR * floor * unit * np.eye(len(within))
        inverse = np.linalg.inv(np.linalg.cholesky(within))
        spread, axes = np.linalg.eigh(inverse @ between @ inverse.T)
        prior_counts = 1 / spread.clip(1 / MOST_PRIOR_COUNTS)
        directions = inverse.T @ axes * ((1 + floor) * unit) ** 0.5
        found = {"centre": centre, "directions": directions, "prior_counts": prior_counts}
        return {name: array.astype(np.float32) for name, array in found.items()}


TASKS = 128


@torch.no_grad()
def measure_plda(
    model: HyperTransformer, sampler: EpisodeSampler, tasks: int = TASKS, processes: Processes = ALONE
) -> None:
    """Set the PLDA of a generator that has one, from support and query images of its sampler's first tasks.

    Args:
        model: the generator, on the sampler's device; left in the mode it was in.
        sampler: gives tasks of the classes that the generator was trained on.
        tasks: how many.
        processes: among these the tasks are shared out; all of them come to the same.

    Raises:
        LostContact: another process is gone.
    """
    plda = model.logits.plda
    assert plda is not None
    was_training = model.training
    model.eval()
    step = tasks_at_once(model, sampler)

    def variation(start: int) -> Variation:
        batch = sampler.batch(start, min(step, tasks - start))
        output = model.run(
            batch.support_images, batch.support_labels, batch.query_images, batch.slots, batch.ignore
        )
        features = output.features
        support, views = batch.support_labels.shape[1], output.view.labels.shape[1]
        features = torch.cat([features[:, :support], features[:, views:]], dim=1)  # no views of images
        labels = torch.cat([batch.support_labels, batch.query_labels], dim=1)
        known = labels >= 0
        if batch.ignore is not None:
            known[:, :support] &= ~batch.ignore
        parts = (
            Variation.of(*(part[mask].cpu().numpy() for part in (one, own)))
            for one, own, mask in zip(features, labels, known, strict=True)
        )
        return reduce(add, parts)

    starts = range(0, tasks, step)[processes.rank :: processes.count]
    try:
        with product_precision("float32", sampler.device):
            own = [*EpisodeThreads.for_device(sampler.device).map(variation, starts)]
    finally:
        model.train(was_training)
    # One sum of each process, and none of one that had no tasks: a message of a few megabytes.
    sums = (part for parts in processes.gather([reduce(add, own)] if own else []) for part in parts)
    for name, array in reduce(add, sums).plda(model.config.weights.plda_floor).items():
        getattr(plda, name).copy_(torch.from_numpy(array))


def plda_sampler(
    config: Config, store: Store, images: Images, device: torch.device | str = "cpu"
) -> EpisodeSampler:
    """Tasks of the training classes as they are, without augmentation, for `measure_plda`."""
    return EpisodeSampler(
        ClassPool.of_split(store, config.data.train, images, device),
        config.episodes,
        EpisodeStream(config.seed, "plda", period=TASKS_PER_BATCH),
        config.model.max_way,
        slot_sets=config.model.slot_sets,
    )
