"""Making confidence mean something: a generator's temperatures, and what rejecting unsure answers costs.

Logits are divided by a temperature, one for each shot. They are chosen on tasks of classes that were not
trained on, of several ways, so that of all answers given with 80 % about 80 % are right.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from htgen.arrays import Floats
from htgen.cnn.executor_numpy import softmax
from htgen.config.data import EpisodeConfig
from htgen.episodes.sampler import EpisodeSampler
from htgen.evaluation.accuracy import tasks_at_once
from htgen.generator.temperature import Temperature
from htgen.hypertransformer.hypertransformer import HyperTransformer

BINS = 15

THRESHOLDS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.99)

Answers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Outputs:
    """What a generator's CNNs say about tasks of one way and shot.

    Attributes:
        way, shot: of the tasks.
        logits: `[N, way]`, of images of the tasks' classes.
        labels: `[N]`, their classes.
        foreign: `[M, way]`, logits of images of other classes.
    """

    way: int
    shot: int
    logits: Floats
    labels: npt.NDArray[np.int64]
    foreign: Floats


@torch.no_grad()
def collect(
    model: HyperTransformer,
    make_sampler: Callable[[EpisodeConfig], EpisodeSampler],
    shape: EpisodeConfig,
    foreign: int,
    tasks: int,
) -> Outputs:
    """Classify the query images of some tasks, and those of `foreign` further classes without support images.

    Args:
        make_sampler: gives the sampler for a shape; its slots are not used.
        shape: with a fixed way, shot and query.
        tasks: how many.
    """
    assert isinstance(shape.way, int)
    assert isinstance(shape.shot, int)
    way = shape.way
    sampler = make_sampler(shape.model_copy(update={"way": way + foreign}))
    own, labels, others = [], [], []
    step = tasks_at_once(model, sampler)
    for start in range(0, tasks, step):
        count = min(step, tasks - start)
        batch = sampler.batch(start, count)
        kept = batch.support_labels < way  # the same number in every episode: shapes are balanced
        images = batch.support_images[kept].unflatten(0, (count, -1))
        slots = torch.arange(way, device=images.device).expand(count, -1)  # as when a CNN is exported
        logits = model(images, batch.support_labels[kept].view(count, -1), batch.query_images, slots)
        known = batch.query_labels < way
        own.append(logits[known].cpu().numpy())
        labels.append(batch.query_labels[known].cpu().numpy())
        others.append(logits[~known].cpu().numpy())
    return Outputs(way, shape.shot, *(np.concatenate(parts) for parts in (own, labels, others)))


def fit(outputs: Sequence[Outputs]) -> Temperature:
    """One temperature for each shot that occurs, every way counting alike."""
    shots = sorted({output.shot for output in outputs})
    return Temperature(
        tuple(
            (shot, fit_temperature([output for output in outputs if output.shot == shot])) for shot in shots
        )
    )


def fit_temperature(outputs: Sequence[Outputs]) -> float:
    """The temperature at which answers are as sure as they are right in the mean, all settings alike.

    That of the least cross-entropy, which is usual, is ruled by the few answers that are sure and wrong, and
    makes all others too unsure. Confidence falls with the temperature, so there is one; 0.1 to 10.

    Where all answers are right, half a mistake is taken to be among them: more cannot be known of so few.
    """
    mistakes = [max(0.5, (~answers([output], Temperature())[1]).sum()) for output in outputs]
    accuracy = np.mean([1 - wrong / len(o.labels) for wrong, o in zip(mistakes, outputs, strict=True)])

    def is_surer_than_right(inverse: float) -> bool:
        means = [softmax(output.logits * np.float32(inverse)).max(axis=1).mean() for output in outputs]
        return bool(np.mean(means) > accuracy)

    low, high = 0.1, 10.0
    for _ in range(40):
        middle = (low * high) ** 0.5
        low, high = (low, middle) if is_surer_than_right(middle) else (middle, high)
    return float((low * high) ** -0.5)


@dataclass(frozen=True)
class Reliability:
    """How sure the answers were, and how right, in bins of equal width.

    Attributes:
        error: the expected calibration error, 0..1: mean distance of confidence and accuracy over answers.
        bins: for each bin that has answers: mean confidence, accuracy, share of the answers.
    """

    error: float
    bins: tuple[tuple[float, float, float], ...]


def reliability(confidence: Answers, correct: npt.NDArray[np.bool_]) -> Reliability:
    """Compare confidences 0..1 with whether the answers were right, both `[N]`."""
    index = np.minimum((confidence * BINS).astype(int), BINS - 1)
    bins = []
    for number in range(BINS):
        inside = index == number
        if inside.any():
            bins.append(
                (float(confidence[inside].mean()), float(correct[inside].mean()), float(inside.mean()))
            )
    return Reliability(sum(share * abs(sure - right) for sure, right, share in bins), tuple(bins))


@dataclass(frozen=True)
class Rejection:
    """What it costs to take answers below a threshold for "none of these"; all but `threshold` are 0..1.

    Attributes:
        threshold: the least probability of an answer that is accepted.
        accuracy: of accepted answers about images of the tasks' classes.
        rejected: share of such images that get no answer.
        foreign_caught: share of images of other classes that get no answer.
    """

    threshold: float
    accuracy: float
    rejected: float
    foreign_caught: float


def rejections(outputs: Sequence[Outputs], temperature: Temperature) -> list[Rejection]:
    """The cost at each of `THRESHOLDS`, over all settings together."""
    confidence, correct = answers(outputs, temperature)
    foreign = np.concatenate([_confidence(output.foreign, output, temperature) for output in outputs])
    found = []
    for threshold in THRESHOLDS:
        accepted = confidence >= threshold
        accuracy = float(correct[accepted].mean()) if accepted.any() else 1.0
        caught = float((foreign < threshold).mean())
        found.append(Rejection(threshold, accuracy, float(1 - accepted.mean()), caught))
    return found


def answers(outputs: Sequence[Outputs], temperature: Temperature) -> tuple[Answers, npt.NDArray[np.bool_]]:
    """Confidence of every answer, and whether it was right, over all settings together."""
    confidence = [_confidence(output.logits, output, temperature) for output in outputs]
    correct = [output.logits.argmax(axis=1) == output.labels for output in outputs]
    return np.concatenate(confidence).astype(np.float64), np.concatenate(correct)


def _confidence(logits: Floats, output: Outputs, temperature: Temperature) -> Floats:
    return softmax(logits / np.float32(temperature.at(output.shot))).max(axis=1)


def describe(outputs: Sequence[Outputs], temperature: Temperature) -> dict[str, Any]:
    """All figures for these outputs, as plain values: what a generator file keeps as its `calibration`."""
    both = Temperature(), temperature
    before, after = (reliability(*answers(outputs, t)) for t in both)
    settings = []
    for output in outputs:
        errors = [reliability(*answers([output], t)).error for t in both]
        accuracy = float(answers([output], temperature)[1].mean())
        settings.append(
            {
                "way": output.way,
                "shot": output.shot,
                "accuracy": accuracy,
                "error_before": errors[0],
                "error": errors[1],
            }
        )
    return {
        "temperatures": [list(pair) for pair in temperature.by_shot],
        "error_before": before.error,
        "error": after.error,
        "bins_before": before.bins,
        "bins": after.bins,
        "settings": settings,
        "reject": [rejection.__dict__ for rejection in rejections(outputs, temperature)],
    }
