"""What a support set tells of the CNN that is made of it: left-out images, classes that look alike."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from htgen.arrays import Floats, Integers
from htgen.cnn.executor_numpy import run, softmax
from htgen.cnn.spec import CnnSpec
from htgen.cnn.weights import CnnWeights
from htgen.episodes.shape import UNLABELED
from htgen.generator.support import Support

Writer = Callable[[Floats, Integers], CnnWeights[Floats]]
"""Support images `[E, S, C, H, W]` and labels `[E, S]` -> the weights of E CNNs."""

EPISODES_PER_BATCH = 16

MOST_ALONE = 64
"""Up to so many images are left out one by one, which is exact; more, which would take minutes, in at most so
many rounds."""

STRANGER = 0.05
"""An image whose own class gets less than this, when it is left out, disagrees with its class. Chosen on the
validation characters: nearly all swapped images get less, and few of the others."""

ALIKE = 0.25
"""Classes whose images get at least this for each other, in the mean, look alike."""


@dataclass(frozen=True)
class LeaveOneOut:
    """Each support image classified by a CNN that was generated without it.

    Attributes:
        labels: `[S]`, the class each image was given, as an index into `classes`.
        probabilities: `[S, n]`, what its classes were found to be.
        classes: class names.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    classes: tuple[str, ...]

    @property
    def predictions(self) -> np.ndarray:
        """`[S]`, the class each image was found to be."""
        return self.probabilities.argmax(axis=1)

    @property
    def accuracy(self) -> float:
        """Fraction of images found to be of the class they were given, 0..1."""
        return float((self.labels == self.predictions).mean())

    def strangers(self) -> list[int]:
        """Images that disagree with their own class, by position: mislabelled ones are nearly always here."""
        own = self.probabilities[np.arange(len(self.labels)), self.labels]
        return np.flatnonzero(own < STRANGER).tolist()


def leave_one_out(spec: CnnSpec, write: Writer, support: Support) -> LeaveOneOut | None:
    """Classify each labelled image by a CNN that was generated without it.

    Args:
        spec: what the CNNs are.
        write: writes them.
        support: at least one image of every class.

    Returns:
        None when a class has a single image, and with norm `batch`; see `Generator.leave_one_out`.
    """
    labeled = np.flatnonzero(support.labels != UNLABELED)
    labels = support.labels[labeled]
    if spec.norm == "batch" or np.bincount(labels).min() < 2:
        return None
    everything = np.arange(len(support.labels))
    probabilities = np.zeros((len(everything), len(support.classes)), np.float32)  # [S, n]
    for left_out in _rounds(labeled, labels):  # [E, images]
        rest = np.stack([np.setdiff1d(everything, images) for images in left_out])
        cnns = write(support.images[rest], support.labels[rest])
        probabilities[left_out] = softmax(run(spec, cnns, support.images[left_out]))
    return LeaveOneOut(labels, probabilities[labeled], support.classes)


def _rounds(labeled: Integers, labels: Integers) -> list[Integers]:
    """Which images are left out together: for each pass of the generator `[E, images]`, one row a CNN.

    Args:
        labeled: `[L]`, positions of the labelled images; `labels`: their classes.
    """
    if len(labeled) <= MOST_ALONE:
        starts = range(0, len(labeled), EPISODES_PER_BATCH)
        return [labeled[start : start + EPISODES_PER_BATCH, None] for start in starts]
    rounds = np.array([(labels[:i] == label).sum() for i, label in enumerate(labels)]) % MOST_ALONE
    return [labeled[rounds == number][None] for number in range(rounds.max() + 1)]


@dataclass(frozen=True)
class LookAlike:
    """Two classes that a generator can hardly tell apart.

    Attributes:
        first, second: their names.
        confusion: mean probability that images of each get for the other, 0..1.
    """

    first: str
    second: str
    confusion: float


def look_alikes(labels: np.ndarray, probabilities: np.ndarray, classes: tuple[str, ...]) -> list[LookAlike]:
    """Pairs of classes whose images get each other's probability, the most alike first.

    Args:
        labels: `[S]`, indices into `classes`; every class occurs.
        probabilities: `[S, n]`.
        classes: class names.
    """
    means = np.stack([probabilities[labels == index].mean(axis=0) for index in range(len(classes))])
    confusion = (means + means.T) / 2
    pairs = [
        LookAlike(classes[first], classes[second], float(confusion[first, second]))
        for first, second in zip(*np.triu_indices(len(classes), 1), strict=True)
        if confusion[first, second] >= ALIKE
    ]
    return sorted(pairs, key=lambda pair: -pair.confusion)


def find_look_alikes(
    spec: CnnSpec, write: Writer, support: Support, check: LeaveOneOut | None
) -> list[LookAlike]:
    """Classes of a support set that can hardly be told apart.

    Args:
        spec, write: as for `leave_one_out`.
        check: what that returned. Without it, the CNN's answers for its own support images are taken, which
            tell only classes that are almost the same.
    """
    if check is not None:
        return look_alikes(check.labels, check.probabilities, check.classes)
    labeled = support.labels != UNLABELED
    cnn = write(support.images[None], support.labels[None])
    logits = run(spec, cnn, support.images[None, labeled])[0]
    return look_alikes(support.labels[labeled], softmax(logits), support.classes)
