"""What a support set tells of the CNN that is made of it: left-out images, classes that look alike."""

from dataclasses import dataclass

import numpy as np

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
