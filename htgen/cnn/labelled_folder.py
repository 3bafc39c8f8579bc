"""How good a CNN is on a folder of labelled images. No torch here."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from htgen.arrays import Integers
from htgen.cnn.answers import Answer, NoAnswer, answers
from htgen.cnn.bundle import Bundle
from htgen.cnn.score import Score
from htgen.errors import DataError
from htgen.images.every_page import images_of_classes
from htgen.images.labels import LabeledFiles, find_labeled
from htgen.images.names import known_as
from htgen.images.notices import told_with_errors
from htgen.workers import worth_starting


@dataclass(frozen=True)
class TestedImage:
    """An image whose class is known, and what a CNN says of it.

    Attributes:
        path: its file.
        label: its class.
        predicted: the most probable class; None if that has less than the probability asked for.
        probabilities: class -> probability, most probable first.
        is_blank: whether nothing is to be seen.
        warnings: what people should know of it.
    """

    __test__ = False  # no test of pytest

    path: Path
    label: str
    predicted: str | None
    probabilities: dict[str, float]
    is_blank: bool = False
    warnings: tuple[str, ...] = ()

    @property
    def is_right(self) -> bool:
        """Whether the class is the predicted one."""
        return self.predicted == self.label

    @property
    def own(self) -> float:
        """Probability of its own class, 0..1."""
        return self.probabilities[self.label]


@dataclass(frozen=True)
class TestResult:
    """A CNN on a folder of labelled images.

    Attributes:
        classes: of the CNN, in the order of its logits.
        images: those that could be read, by class.
        unread: the other files, and why they cannot be read.
        notices: lines for people, on what else is in the folder.
    """

    __test__ = False  # no test of pytest

    classes: tuple[str, ...]
    images: tuple[TestedImage, ...]
    unread: dict[Path, str]
    notices: tuple[str, ...] = ()

    @cached_property
    def score(self) -> Score:
        """How many images are right, and the interval of the accuracy."""
        return Score(sum(image.is_right for image in self.images), len(self.images))

    @property
    def accuracy(self) -> float:
        """Fraction of images that are right, 0..1."""
        return self.score.accuracy

    @cached_property
    def confusion(self) -> Integers:
        """How many images of each class get each class: `[n, n + 1]`; the last column is none of these."""
        place = {name: index for index, name in enumerate(self.classes)}
        table = np.zeros((len(self.classes), len(self.classes) + 1), np.int64)
        for image in self.images:
            column = len(self.classes) if image.predicted is None else place[image.predicted]
            table[place[image.label], column] += 1
        return table

    @property
    def worst(self) -> list[TestedImage]:
        """The images that are not right, those with least probability of their own class first."""
        return sorted((image for image in self.images if not image.is_right), key=lambda image: image.own)


def test_cnn(
    cnn: Bundle | str | Path,
    folder: str | Path,
    labels: str | Path | None = None,
    labels_in_names: bool = False,
    reject: float = 0.0,
    progress: Callable[[str, int, int], None] | None = None,
    processes: int | None = 1,
    all_pages: bool = False,
) -> TestResult:
    """Classify a folder of labelled images and compare.

    Args:
        cnn: a CNN, or the file of one.
        folder: one sub-folder of images for some or all classes of the CNN, by their names; with `labels`,
            the images.
        labels: a CSV file that says which image is of which class: `file,label` in each line.
        labels_in_names: labels are in the names of the files, as in `cat_1.png`.
        reject: below this probability the answer is none of the classes, which is not right.
        progress: called as `progress(what, done, total)`.
        processes: that read and classify; None: as many as pay (`htgen.workers`).
        all_pages: every page or frame of a file is an image.

    Raises:
        DataError: there are no such images, or a class that the CNN does not know; or none can be read.
        ModelError: the CNN's file is missing or damaged.
    """
    bundle = cnn if isinstance(cnn, Bundle) else Bundle.load(cnn)
    found = find_labeled(folder, labels, labels_in_names, part="test")
    with told_with_errors(found.notices):
        of_class = {known_as(name, bundle.classes): paths for name, paths in found.classes.items()}
        _check_classes(bundle, found, folder)
        of_class = images_of_classes(of_class, all_pages)
        label_of = {path: name for name, paths in of_class.items() for path in paths}
        images: list[TestedImage] = []
        unread: dict[Path, str] = {}
        for done, answer in enumerate(
            answers(bundle, [*label_of], worth_starting(len(label_of), processes)), 1
        ):
            if isinstance(answer, NoAnswer):
                unread[answer.path] = answer.reason
            else:
                images.append(_tested(answer, label_of[answer.path], reject))
            if progress is not None:
                progress("images", done, len(label_of))
        if not images:
            raise DataError(
                f"no image in {folder} can be read; the first fault: {next(iter(unread.values()))}"
            )
    return TestResult(bundle.classes, tuple(images), unread, found.notices)


test_cnn.__test__ = False  # type: ignore[attr-defined]  # no test of pytest


def _tested(answer: Answer, label: str, reject: float) -> TestedImage:
    prediction, image = answer.prediction, answer.image
    predicted = prediction.label if prediction.probability >= reject else None
    return TestedImage(
        answer.path, label, predicted, prediction.probabilities, image.is_blank, image.warnings
    )


def _check_classes(bundle: Bundle, found: LabeledFiles, folder: str | Path) -> None:
    unknown = [name for name in found.classes if known_as(name, bundle.classes) not in bundle.classes]
    if unknown:
        raise DataError(
            f"the CNN has no {_listed(unknown)} of {folder}; its classes are {_list(bundle.classes)}",
            "rename what is called otherwise, and keep images of other classes elsewhere",
        )


def _listed(names: list[str]) -> str:
    return f"class {names[0]!r}" if len(names) == 1 else f"classes {_list(names)}"


def _list(names: "tuple[str, ...] | list[str]") -> str:
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return ", ".join(map(repr, names[:6])) + more
