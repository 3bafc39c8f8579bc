"""Measuring, on tasks of training classes, what the logits layer may take for granted (`htgen.plda`)."""

from functools import reduce
from operator import add

import torch

from htgen.cnn import head_features
from htgen.crew import Crew
from htgen.distributed import ALONE, Processes
from htgen.episodes import EpisodeSampler
from htgen.evaluate import tasks_at_once
from htgen.model import HyperTransformer
from htgen.plda import Variation
from htgen.precision import product_precision

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
        features = head_features(output.activations[-1], model.spec)
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
            own = [*Crew.for_device(sampler.device).map(variation, starts)]
    finally:
        model.train(was_training)
    # One sum of each process, and none of one that had no tasks: a message of a few megabytes.
    sums = (part for parts in processes.gather([reduce(add, own)] if own else []) for part in parts)
    for name, array in reduce(add, sums).plda(model.config.weights.plda_floor).items():
        getattr(plda, name).copy_(torch.from_numpy(array))
