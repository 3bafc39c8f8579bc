"""Measuring trained generators over thousands of unseen tasks: `htgen evaluate` from Python."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from htgen.config.data import AugmentConfig, ValidationAugmentConfig
from htgen.config.faults import validate
from htgen.config.model import ModelConfig
from htgen.datasets.store import Store
from htgen.episodes.pool import ClassPool, load_images
from htgen.episodes.sampler import EpisodeSampler, EpisodeStream
from htgen.errors import SettingError
from htgen.evaluation.accuracy import TASKS_PER_BATCH, Evaluation, half_width95, task_accuracies
from htgen.evaluation.augmented_as import AugmentedAs
from htgen.evaluation.features import after_trunk
from htgen.evaluation.known_classes import check_store, open_store_of, seen_classes, splits_to_measure
from htgen.evaluation.protocol import (
    Comparison,
    EvaluationProtocol,
    EvaluationResult,
    Report,
    no_report,
)
from htgen.generator.file import StoredGenerator, check, read_generator, unlabeled_are_new_to
from htgen.generator.generator import Generator
from htgen.generator.network import build
from htgen.generator.provenance import Provenance
from htgen.hypertransformer.hypertransformer import HyperTransformer
from htgen.hypertransformer.many_classes import check_way
from htgen.hypertransformer.plan import generator_plan


class Measurement:
    """Tasks of some splits of a store, on which any number of generators are measured.

    The images are read once, to the device.

    Args:
        store: the store.
        splits: its splits.
        protocol: what the tasks are.
        device: where to measure.
        augmentation: changes the images; None: none.
    """

    def __init__(
        self,
        store: Store,
        splits: Sequence[str],
        protocol: EvaluationProtocol,
        device: torch.device | str = "cpu",
        augmentation: AugmentConfig | None = None,
    ) -> None:
        self.store, self.splits, self.protocol = store, list(splits), protocol
        self.device = torch.device(device)
        self._augmentation = augmentation
        self._images = load_images(store, self.device)

    def run(
        self,
        generator: StoredGenerator,
        against: StoredGenerator | None = None,
        report: Report = no_report,
        warnings: Sequence[str] = (),
    ) -> list[EvaluationResult]:
        """Measure a generator, and how far it is ahead of another, on each split.

        Args:
            generator, against: these.
            report: called with what is done, how many tasks of it, and of how many.
            warnings: what the results shall tell.

        Raises:
            DataError: no such task can be drawn from a split.
            ModelError: the tasks have more classes than a generator knows.
        """
        generators = (generator,) if against is None else (generator, against)
        for one in generators:
            check_way(one.file.model, self.protocol.way, f"generator '{one.file.name}'")
        models = [build(one.file).to(self.device) for one in generators]
        protocol, file = self.protocol, generator.file
        is_transductive = protocol.transductive or file.model.cnn.norm == "batch"
        results = []
        for split in self.splits:
            # Apart in name too: a report of what was told already is no news.
            whats = [f"evaluating {file.name} on {split}"]
            if against is not None:
                whats.append(f"evaluating {against.file.name} (against) on {split}")
            own, *others = [
                self._accuracies(model, split, what, report)
                for model, what in zip(models, whats, strict=True)
            ]
            results.append(
                EvaluationResult(
                    evaluation=Evaluation.of(own, is_transductive),
                    generator=file.name,
                    sha256=generator.sha256,
                    split=split,
                    protocol=protocol,
                    data=(self.store.name, self.store.checksum),
                    against=None if against is None else _compare(against, own - others[0]),
                    warnings=tuple(warnings),
                )
            )
        return results

    def _accuracies(self, model: HyperTransformer, split: str, what: str, report: Report) -> Tensor:
        """The accuracy on each task of a split, `[tasks]`, 0..1, reported as `what`."""
        tasks = self.protocol.tasks

        def progress(done: int) -> None:
            report(what, done, tasks)

        sampler = self.sampler(split, model.config)
        if self._augmentation is None:
            model, sampler = after_trunk(model, sampler)
        return task_accuracies(model, sampler, tasks, self.protocol.queries, progress)

    def sampler(self, split: str, model: ModelConfig) -> EpisodeSampler:
        """What draws the tasks of a split; which these are does not depend on the generator."""
        pool = ClassPool.of_split(self.store, split, self._images, self.device)
        stream = EpisodeStream(self.protocol.seed, "evaluation", period=TASKS_PER_BATCH)
        return EpisodeSampler(
            pool, self.protocol.shape, stream, model.max_way, self._augmentation, model.slot_sets
        )


@dataclass(frozen=True)
class PreparedEvaluation:
    """An evaluation of which everything is checked, and nothing measured yet.

    Attributes:
        generator, against: what is measured, and against what.
        store, splits: on which classes.
        protocol: in which tasks.
        warnings: sentences that say why the accuracy may mislead.
    """

    generator: StoredGenerator
    against: StoredGenerator | None
    store: Store
    splits: tuple[str, ...]
    protocol: EvaluationProtocol
    warnings: tuple[str, ...]

    def run(self, device: torch.device | str = "cpu", report: Report = no_report) -> list[EvaluationResult]:
        """Measure.

        Raises:
            ConfigError: the augmentation that the generator's file tells is wrong.
            DataError: no such task can be drawn from a split.
            ModelError: the tasks have more classes than a generator knows.
            SettingError: `augment` cannot be had of this generator.
        """
        changes = augmentation_of(self.generator.file.provenance, self.protocol.augment)
        measurement = Measurement(self.store, self.splits, self.protocol, device, changes)
        return measurement.run(self.generator, self.against, report, self.warnings)


def prepare(
    generator: str | Path | Generator,
    protocol: EvaluationProtocol,
    data: str | Path | None = None,
    splits: Sequence[str] = (),
    against: str | Path | Generator | None = None,
) -> PreparedEvaluation:
    """Find and check everything that `evaluate` needs.

    Args:
        generator, protocol, data, splits, against: as in `evaluate`.

    Raises:
        DataError: the store is missing or damaged, has other images or no such split.
        ModelError: there is no such generator, or it is damaged.
        SettingError: data or split must be given.
    """
    first = stored(generator)
    other = None if against is None else stored(against)
    store = open_store_of(first.file.provenance, data)
    chosen, warnings = splits_to_measure(store, first.file.provenance, splits)
    if other is not None:
        seen = seen_classes(store, other.file.provenance)
        warnings += [text for split in chosen for text in seen.warnings(store, split, other.file.name)]
    for read in (first,) if other is None else (first, other):
        file = read.file
        warnings += read.notices
        if (protocol.transductive or protocol.unlabeled) and not file.knows_unlabeled:
            warnings.append(unlabeled_are_new_to(file.name))
        warnings += check_store(store, file)
    return PreparedEvaluation(first, other, store, tuple(chosen), protocol, tuple(warnings))


def evaluate(
    generator: str | Path | Generator,
    protocol: EvaluationProtocol | None = None,
    *,
    data: str | Path | None = None,
    splits: Sequence[str] = (),
    against: str | Path | Generator | None = None,
    device: torch.device | str = "cpu",
    report: Report = no_report,
) -> list[EvaluationResult]:
    """Measure a generator on tasks of unseen classes, with the 95 % interval of the mean.

    Example:
        >>> protocol = htgen.EvaluationProtocol(way=5, shot=1, tasks=400)
        >>> (result,) = htgen.evaluate("runs/mine", protocol, data="data/omniglot", splits=["lake:test"])
        >>> print(f"{100 * result.accuracy:.1f} ± {100 * result.interval95:.1f} %")

    Args:
        generator: a run folder, a generator file, the name of one that ships, or a loaded one. Images are
            taken as the store has them; the preprocessing of a loaded generator plays no part.
        protocol: what the tasks are; 1000 tasks of 20 ways and 1 shot by default.
        data: the folder of a store; None: the one that the generator was trained on.
        splits: classes to draw from, as scheme:part or scheme:ranges; none: the test part of the scheme that
            it was trained on.
        against: another generator that reads the same images: also how far the first is ahead of it.
        device: where to measure, as torch names it.
        report: called with what is done, how many tasks of it, and of how many.

    Returns:
        One result for each split, in order.

    Raises:
        ConfigError: the augmentation that the generator's file tells is wrong.
        DataError: the store is missing or damaged, has other images or no such split or task.
        ModelError: there is no such generator, it is damaged, or knows fewer classes.
        SettingError: data, split or augment must be given, or cannot be had of this generator.
    """
    prepared = prepare(generator, protocol or EvaluationProtocol(), data, splits, against)
    return prepared.run(device, report)


def stored(generator: str | Path | Generator) -> StoredGenerator:
    """The file of a generator that is loaded or named.

    Raises:
        ModelError: there is none, or it is damaged.
    """
    if isinstance(generator, Generator):
        return StoredGenerator(generator.file, generator.sha256)
    found = read_generator(generator)
    file = found.file.complete()
    check(file.tensors, generator_plan(file.model).shapes, f"generator '{file.name}'")
    return found


def augmentation_of(provenance: Provenance, choice: AugmentedAs) -> AugmentConfig | None:
    """The augmentation that a generator was trained or validated with, from what its file says.

    Raises:
        ConfigError: what it says is wrong.
        SettingError: it says nothing.
    """
    if choice is AugmentedAs.none:
        return None
    if not provenance.says_how_trained:
        raise SettingError("the generator does not say how it was trained", "augment")
    training = validate(AugmentConfig, provenance.config.augment, "the generator's config: augment")
    if choice is AugmentedAs.training:
        return training
    # Generators from before there was such a section were validated on images as they are.
    section, origin = provenance.config.augment_validation, "the generator's config: augment_validation"
    return validate(ValidationAugmentConfig, section, origin).resolve(training)


def _compare(other: StoredGenerator, ahead: Tensor) -> Comparison:
    return Comparison(other.file.name, other.sha256, ahead.mean().item(), half_width95(ahead))
