"""What a support set tells of the CNN that is made of it: left-out images, classes that look alike."""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from htgen.arrays import Floats, Integers
from htgen.cnn.executor_numpy import run, softmax
from htgen.cnn.score import Score
from htgen.cnn.spec import CnnSpec
from htgen.cnn.weights import CnnWeights
from htgen.episodes.shape import UNLABELED
from htgen.generator.support import Support
from htgen.workers import work_in_processes

Writer = Callable[[Integers | None], CnnWeights[Floats]]
"""Which images of a support set, `[E, S']` positions, or None for all -> the weights of E CNNs."""

EPISODES_PER_BATCH = 16

MOST_ALONE = 64
"""Most CNNs that are generated to leave images out. Up to so many images each is left out alone, which is
exact. Of more, which would take minutes, some are left out together: see `leave_one_out`."""

STRANGER = 0.05
"""An image whose own class gets less than this, when it is left out, disagrees with its class. Chosen on the
validation characters: nearly all swapped images get less, and few of the others."""

ALIKE = 0.25
"""Classes whose images get at least this for each other, in the mean, look alike."""


@dataclass(frozen=True)
class LeaveOneOut:
    """Support images, each classified by a CNN that was generated without it and without its copies.

    Attributes:
        labels: `[T]`, the class that each tested image was given, as an index into `classes`.
        probabilities: `[T, n]`, what its classes were found to be.
        classes: class names.
        positions: `[T]`, where each tested image is in the support set.
        untested: classes of which no image could be left out: it is the only one, or all are its copies.
        copies: `[T]`, equal for images that are copies of each other, which count as one; None: there are
            none.
        planned: as how many images they would count if time had not run out; None: it has not.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    classes: tuple[str, ...]
    positions: np.ndarray
    untested: tuple[str, ...] = ()
    copies: np.ndarray | None = None
    planned: int | None = None

    @property
    def predictions(self) -> np.ndarray:
        """`[T]`, the class each image was found to be."""
        return self.probabilities.argmax(axis=1)

    @property
    def score(self) -> Score:
        """How many images were found to be of the class they were given; of copies, the first counts."""
        is_right = self.labels == self.predictions
        if self.copies is not None:
            is_right = is_right[np.unique(self.copies, return_index=True)[1]]
        return Score(int(is_right.sum()), len(is_right), self.planned)

    @property
    def accuracy(self) -> float:
        """Fraction of images found to be of the class they were given, 0..1."""
        return self.score.accuracy

    def strangers(self) -> list[int]:
        """Images that disagree with their own class, by their place among the tested ones: mislabelled ones
        are nearly always here.
        """
        own = self.probabilities[np.arange(len(self.labels)), self.labels]
        return np.flatnonzero(own < STRANGER).tolist()


def leave_one_out(
    spec: CnnSpec,
    write: Writer,
    support: Support,
    copies: Integers,
    progress: Callable[[int, int], None] | None = None,
    seconds: float | None = None,
    processes: int = 1,
) -> LeaveOneOut | None:
    """Classify each labelled image by a CNN that was generated without it and without its copies.

    Args:
        spec: what the CNNs are; their norm is not `batch`.
        write: writes them.
        support: at least one image of every class.
        copies: `[S]`, equal for images that are copies of each other.
        progress: called as `progress(done, total)` with the number of images.
        seconds: when they have passed, the images that were left out so far are taken; None: no bound.
        processes: that write CNNs; the answers are the same.

    Returns:
        None when no image can be left out; see `Generator.leave_one_out`.
    """
    ends = math.inf if seconds is None else time.monotonic() + seconds
    probabilities = np.zeros((len(support.labels), len(support.classes)), np.float32)  # [S, n]
    is_tested = np.zeros(len(support.labels), bool)
    rounds = _rounds(support.labels, copies)
    total, done = sum(left_out.size for left_out in rounds), 0
    work = partial(_classified, spec, write, support)
    with closing(work_in_processes(work, rounds, processes, at_once=1)) as results:
        for left_out, found in zip(rounds, results, strict=True):  # [E, images], [E, images, n]
            probabilities[left_out] = found
            is_tested[left_out] = True
            done += left_out.size
            if progress is not None:
                progress(done, total)
            if time.monotonic() > ends:
                break
    positions = np.flatnonzero(is_tested & (support.labels != UNLABELED))
    if not len(positions):
        return None
    labels = support.labels[positions]
    untested = tuple(name for index, name in enumerate(support.classes) if index not in labels)
    tested = probabilities[positions]
    planned = None
    if done < total:
        all_images = np.concatenate([left_out.reshape(-1) for left_out in rounds])
        planned = len(np.unique(copies[all_images[support.labels[all_images] != UNLABELED]]))
    return LeaveOneOut(labels, tested, support.classes, positions, untested, copies[positions], planned)


def _classified(spec: CnnSpec, write: Writer, support: Support, rounds: Sequence[Integers]) -> list[Floats]:
    """Probabilities `[E, images, n]` of the images that are left out, for each of some rounds."""
    everything, found = np.arange(len(support.labels)), []
    for left_out in rounds:  # [E, images]
        rest = np.stack([np.setdiff1d(everything, images) for images in left_out])
        found.append(softmax(run(spec, write(rest), support.inputs[left_out])))
    return found


def _rounds(labels: Integers, copies: Integers) -> list[Integers]:
    """Which images are left out together: for each pass of the generator `[E, images]`, one row a CNN.

    Args:
        labels: `[S]`, and `copies` as in `leave_one_out`.
    """
    labeled = np.flatnonzero(labels != UNLABELED)
    units = [np.flatnonzero(copies == group) for group in dict.fromkeys(copies[labeled].tolist())]
    units = [unit for unit in units if _keeps_all_classes(labels, unit)]
    places: dict[int, int] = {}  # of the next unit within its class
    together: dict[int, list[Integers]] = {}
    for unit in units:
        label = int(labels[unit].max())  # any of an image that has one
        number = places.get(label, 0)
        places[label] = number + 1
        together.setdefault(number % MOST_ALONE, []).append(unit)
    if len(labeled) <= MOST_ALONE:
        # One of every class first, so that each has its share when time runs out.
        return _in_batches([unit for _, parts in sorted(together.items()) for unit in parts])
    rounds: list[Integers] = []
    for _, parts in sorted(together.items()):
        images = np.sort(np.concatenate(parts))
        rounds += [images[None]] if _keeps_all_classes(labels, images) else _in_batches(parts)
    return rounds


def _keeps_all_classes(labels: Integers, left_out: Integers) -> bool:
    """Whether every class has a labelled image besides those that are left out."""
    rest = np.delete(labels, left_out)
    return len(np.unique(rest[rest != UNLABELED])) == labels.max() + 1


def _in_batches(units: list[Integers]) -> list[Integers]:
    """Sets of images that are left out alone, those of one size together: `[E, images]` each."""
    batches = []
    for size in dict.fromkeys(len(unit) for unit in units):
        same = np.stack([unit for unit in units if len(unit) == size])
        batches += [same[i : i + EPISODES_PER_BATCH] for i in range(0, len(same), EPISODES_PER_BATCH)]
    return batches


class LookAlike(NamedTuple):
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
        labels: `[S]`, indices into `classes`. Where one class of a pair does not occur, the images of the
            other one tell.
        probabilities: `[S, n]`.
        classes: class names.
    """
    member = (labels == np.arange(len(classes))[:, None]).astype(np.float32)  # [n, S]
    occurs = member.any(axis=1)
    means = member @ probabilities / np.maximum(member.sum(axis=1), 1)[:, None]  # [n, n]
    confusion = (means + means.T) / np.maximum(occurs[:, None] + occurs.astype(np.float32), 1)
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
    cnn = write(None)
    logits = run(spec, cnn, support.inputs[None, labeled])[0]
    return look_alikes(support.labels[labeled], softmax(logits), support.classes)
