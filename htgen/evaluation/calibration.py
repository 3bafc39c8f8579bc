"""Making confidence mean something: a generator's temperatures, and what rejecting unsure answers costs.

Logits are divided by a temperature, one for each shot. They are chosen on tasks of classes that were not
trained on, of several ways, so that of all answers given with 80 % about 80 % are right.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from htgen.arrays import Floats
from htgen.cnn.executor_numpy import softmax
from htgen.config.data import EpisodeConfig
from htgen.datasets.splits import resolve_split
from htgen.datasets.store import Store
from htgen.episodes.pool import ClassPool, load_images
from htgen.episodes.sampler import EpisodeSampler, EpisodeStream
from htgen.errors import DataError, ModelError, SettingError
from htgen.evaluation.accuracy import tasks_at_once
from htgen.evaluation.after_training import with_settings
from htgen.evaluation.features import pool_after_trunk
from htgen.evaluation.known_classes import check_store, open_store_of, seen_classes
from htgen.evaluation.measurement import stored
from htgen.evaluation.protocol import Report, check_whole, no_report
from htgen.generator.file import GeneratorFile
from htgen.generator.generator import Generator
from htgen.generator.network import build
from htgen.generator.provenance import CalibratedSetting, Calibration, DataSource, Rejection
from htgen.generator.temperature import Temperature
from htgen.hypertransformer.hypertransformer import HyperTransformer
from htgen.hypertransformer.many_classes import check_way, most_classes
from htgen.images.notices import told_with_errors

WAYS, SHOTS, QUERY = (5, 10, 20), (1, 3, 10), 3
FOREIGN_CLASSES = 5

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


def rejections(outputs: Sequence[Outputs], temperature: Temperature) -> list[Rejection]:
    """The cost at each of `THRESHOLDS`, over all settings together."""
    confidence, correct = answers(outputs, temperature)
    foreign = np.concatenate([_confidence(output.foreign, output, temperature) for output in outputs])
    found = []
    for threshold in THRESHOLDS:
        accepted = confidence >= threshold
        accuracy = float(correct[accepted].mean()) if accepted.any() else 1.0
        caught = float((foreign < threshold).mean())
        rejected = float(1 - accepted.mean())
        found.append(
            Rejection(threshold=threshold, accuracy=accuracy, rejected=rejected, foreign_caught=caught)
        )
    return found


def answers(outputs: Sequence[Outputs], temperature: Temperature) -> tuple[Answers, npt.NDArray[np.bool_]]:
    """Confidence of every answer, and whether it was right, over all settings together."""
    confidence = [_confidence(output.logits, output, temperature) for output in outputs]
    correct = [output.logits.argmax(axis=1) == output.labels for output in outputs]
    return np.concatenate(confidence).astype(np.float64), np.concatenate(correct)


def _confidence(logits: Floats, output: Outputs, temperature: Temperature) -> Floats:
    return softmax(logits / np.float32(temperature.at(output.shot))).max(axis=1)


def describe(outputs: Sequence[Outputs], temperature: Temperature) -> Calibration:
    """All figures for these outputs, but for where they are from."""
    both = Temperature(), temperature
    before, after = (reliability(*answers(outputs, t)) for t in both)
    settings = []
    for output in outputs:
        errors = [reliability(*answers([output], t)).error for t in both]
        accuracy = float(answers([output], temperature)[1].mean())
        settings.append(
            CalibratedSetting(
                way=output.way,
                shot=output.shot,
                accuracy=accuracy,
                error_before=errors[0],
                error=errors[1],
            )
        )
    return Calibration(
        temperatures=temperature.by_shot,
        error_before=before.error,
        error=after.error,
        bins_before=before.bins,
        bins=after.bins,
        settings=tuple(settings),
        reject=tuple(rejections(outputs, temperature)),
    )


@dataclass(frozen=True)
class CalibrationTasks:
    """The tasks that a generator is calibrated in: every way with every shot.

    Attributes:
        ways: classes per task, at least 2 each; none: those of 5, 10, 20 that can be had, or else the most
            that can.
        shots: labelled support images per class, at least 1 each.
        tasks: number of tasks of each way and shot, at least 2.
        seed: the same seed gives the same tasks.
    """

    ways: tuple[int, ...] = ()
    shots: tuple[int, ...] = SHOTS
    tasks: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        for name, values, minimum in (
            ("way", self.ways, 2),
            ("shot", self.shots, 1),
            ("tasks", (self.tasks,), 2),
        ):
            for value in values:
                check_whole(name, value, minimum)

    def ways_of(self, classes: int, split: str, known: int | None = None) -> tuple[int, ...]:
        """The ways for a split of so many classes; `known` are the most of a generator (None: any number).

        Raises:
            DataError: tasks of a way that is named cannot be had, or none at all.
        """
        most = classes - FOREIGN_CLASSES
        usual = most if known is None else min(most, known)
        ways = self.ways or tuple(way for way in WAYS if way <= usual) or (max(2, usual),)
        if max(ways) > most:
            raise DataError(
                f"{max(ways)}-way tasks with {FOREIGN_CLASSES} foreign classes cannot be had: '{split}' has "
                f"{classes} classes",
                "a smaller --way, or a --split with more classes",
            )
        return ways


@dataclass(frozen=True)
class PreparedCalibration:
    """A calibration of which everything is checked, and nothing measured yet.

    Attributes:
        file: the generator.
        store, split: the classes of the tasks.
        tasks: the tasks, with the ways that can be had.
        warnings: sentences that say why the probabilities may not be right.
    """

    file: GeneratorFile
    store: Store
    split: str
    tasks: CalibrationTasks
    warnings: tuple[str, ...]

    def run(
        self, settings: Sequence[str] = (), half: bool = False, report: Report = no_report
    ) -> GeneratorFile:
        """Measure, and return the calibrated generator.

        Args:
            settings, half, report: as in `calibrate`.

        Raises:
            ConfigError: a setting is wrong, or for training.
        """
        images = load_images(self.store)
        file = with_settings(self.file, settings, self.store, images) if settings else self.file
        if half:
            file = file.in_half_precision()
        fitted_to, checked_on = self._outputs(build(file), images, report)
        calibration = describe(checked_on, fit(fitted_to)).with_values(
            split=self.split,
            tasks=self.tasks.tasks,
            seed=self.tasks.seed,
            data=DataSource(name=self.store.name, sha256=self.store.checksum),
        )
        return replace(file, provenance=file.provenance.with_values(calibration=calibration))

    def _outputs(
        self, model: HyperTransformer, images: torch.Tensor | npt.NDArray[np.uint8], report: Report
    ) -> list[list[Outputs]]:
        """Of every way and shot: on the tasks that temperatures are fitted to, and on others."""
        ways_and_shots = product(self.tasks.ways, self.tasks.shots)
        shapes = [EpisodeConfig(way=way, shot=shot, query=QUERY) for way, shot in ways_and_shots]
        pool = ClassPool.of_split(self.store, self.split, images)

        def make_sampler(stream: str, shape: EpisodeConfig) -> EpisodeSampler:
            slots = max(self.tasks.ways) + FOREIGN_CLASSES
            return EpisodeSampler(pool, shape, EpisodeStream(self.tasks.seed, stream), slots)

        model, pool = pool_after_trunk(model, pool)

        outputs: list[list[Outputs]] = []
        for number, stream in enumerate(("calibration", "calibration check")):
            outputs.append([])
            for done, shape in enumerate(shapes, start=number * len(shapes)):
                report("calibrating", done, 2 * len(shapes))
                sampler = partial(make_sampler, stream)
                outputs[-1].append(collect(model, sampler, shape, FOREIGN_CLASSES, self.tasks.tasks))
        return outputs


def prepare(
    generator: str | Path | Generator,
    tasks: CalibrationTasks,
    data: str | Path | None = None,
    split: str | None = None,
) -> PreparedCalibration:
    """Find and check everything that `calibrate` needs.

    Args:
        generator, tasks, data, split: as in `calibrate`.

    Raises:
        DataError: the store is missing or damaged, has other images, or too few classes.
        ModelError: there is no such generator, it is damaged, or has norm batch.
        SettingError: data or split must be given.
    """
    read = stored(generator)
    file = read.file
    if file.model.cnn.norm == "batch":
        raise ModelError(
            f"'{file.name}' has norm batch: the answer for an image depends on the others",
            "a generator with norm support",
        )
    store = open_store_of(file.provenance, data)
    split = split or file.provenance.config.data.val
    if split is None:
        raise SettingError("the generator does not say on what it was validated", "split")
    # Classes that it was chosen on are what is usual here.
    seen = replace(seen_classes(store, file.provenance), chosen=frozenset())
    warnings = (*read.notices, *check_store(store, file), *seen.warnings(store, split))
    with told_with_errors(warnings):
        ways = tasks.ways_of(len(resolve_split(store, split)), split, most_classes(file.model))
        check_way(file.model, max(ways), f"'{file.name}'")
    return PreparedCalibration(file, store, split, replace(tasks, ways=ways), warnings)


def calibrate(
    generator: str | Path | Generator,
    tasks: CalibrationTasks | None = None,
    *,
    data: str | Path | None = None,
    split: str | None = None,
    settings: Sequence[str] = (),
    half: bool = False,
    report: Report = no_report,
) -> GeneratorFile:
    """Find the temperatures, by shot, that make a generator's probabilities right.

    Tasks of every way with every shot are drawn from classes that were not trained on; all figures are of
    tasks other than those that the temperatures were fitted to. Foreign images are of 5 further classes.

    Example:
        >>> file = htgen.calibrate("runs/mine", data="data/omniglot", split="lake:val")
        >>> print(file.provenance.calibration.error)
        >>> Path("mine.safetensors").write_bytes(file.to_bytes())

    Args:
        generator: a run folder, a generator file, the name of one that ships, or a loaded one.
        tasks: ways, shots and number of tasks; 64 of each by default.
        data: the folder of a store; None: the one that the generator was trained on.
        split: classes to use; None: those that it was validated on.
        settings: `KEY=VALUE` of settings that are not for training, to change before; see
            `htgen.evaluation.after_training.SETTINGS_OF_USE`.
        half: round its weights to 16 bits before, for a file of half the size.
        report: called with what is done, how many settings of it, and of how many.

    Returns:
        The generator with its temperatures; what was measured is its `provenance.calibration`.

    Raises:
        ConfigError: a setting is wrong, or for training.
        DataError: the store is missing or damaged, has other images, or too few classes.
        ModelError: there is no such generator, it is damaged, or has norm batch.
        SettingError: data or split must be given.
    """
    return prepare(generator, tasks or CalibrationTasks(), data, split).run(settings, half, report)
