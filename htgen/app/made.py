"""The CNN of a page's images: how it is made, what left-out images tell, and what it answers."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from htgen.app.uploads import Upload
from htgen.arrays import Floats, Integers
from htgen.cnn.bundle import Bundle, Prediction
from htgen.cnn.nearest import features, nearest
from htgen.generator.generator import Generator
from htgen.generator.self_check import LeaveOneOut, LookAlike
from htgen.generator.support import Support
from htgen.images.gaps import widest
from htgen.images.inputs import ReadImage, as_input, photographs_alone


@dataclass
class SupportImage:
    """An image of a class.

    Attributes:
        upload: as it came.
        read: what the CNN sees of it, and what people should know.
        small: a PNG to show.
    """

    upload: Upload
    read: ReadImage
    small: bytes


@dataclass
class SupportClass:
    """A class: its name, and its images by number, in the order in which they came."""

    name: str
    images: dict[int, SupportImage]


@dataclass(frozen=True)
class Made:
    """A CNN of the images as they are.

    Attributes:
        bundle: the CNN.
        support: what it was made of.
        numbers: of those images, in their order.
        seconds: how long the writing took.
    """

    bundle: Bundle
    support: Support
    numbers: tuple[int, ...]
    seconds: float

    @cached_property
    def features(self) -> Floats:
        """The inputs of the logits layer for the support images: `[S, F]`."""
        return features(self.bundle, self.support.images)


@dataclass(frozen=True)
class Estimate:
    """What left-out images tell.

    Attributes:
        check: each labelled image classified without it; None where it cannot be done.
        doubtful: number of an image that disagrees with its class -> the class it looks like.
        look_alikes: pairs of classes that can hardly be told apart.
        copies: groups of images that are copies of each other.
    """

    check: LeaveOneOut | None
    doubtful: dict[int, str]
    look_alikes: list[LookAlike]
    copies: list[list[int]]


@dataclass(frozen=True)
class Tried:
    """The answer for a new image.

    Attributes:
        version: of the session whose CNN gave it.
        classes: of the CNN, in the order of its logits.
        prediction: probabilities of the classes.
        read: what the CNN sees of it.
        nearest: numbers of the support images whose last features are nearest, the nearest first.
    """

    version: int
    classes: tuple[str, ...]
    prediction: Prediction
    read: ReadImage
    nearest: list[int]


def make(generator: Generator, classes: Sequence[SupportClass]) -> Made:
    numbers = [number for found in classes for number in found.images]
    images = [image for found in classes for image in found.images.values()]
    names = [found.name for found in classes for _ in found.images]
    pixels = as_input([image.read.pixels for image in images], generator.preprocessing)
    started = time.perf_counter()
    support = generator.support(pixels, names)
    gaps = {
        found.name: widest([g for image in found.images.values() if (g := image.read.gaps) is not None])
        for found in classes
        if any(image.read.gaps is not None for image in found.images.values())
    }
    photographs = photographs_alone((found.name, i.read) for found in classes for i in found.images.values())
    bundle = replace(generator.generate_bundle(support), gaps=gaps, photographs=photographs)
    return Made(bundle, support, tuple(numbers), time.perf_counter() - started)


def estimate(generator: Generator, made: Made) -> Estimate:
    support = made.support
    groups = generator.find_copies(support)
    check = generator.leave_one_out(support, groups)
    doubtful = {}
    for place in [] if check is None else check.strangers():
        assert check is not None
        looks_like = support.classes[int(check.predictions[place])]
        doubtful[made.numbers[int(check.positions[place])]] = looks_like
    return Estimate(check, doubtful, generator.look_alikes(support, check), _copies(groups, made.numbers))


def _copies(groups: Integers, numbers: Sequence[int]) -> list[list[int]]:
    found: dict[int, list[int]] = {}
    for number, group in zip(numbers, groups.tolist(), strict=True):
        found.setdefault(group, []).append(number)
    return [members for members in found.values() if len(members) > 1]


def nearest_images(made: Made, x: Floats, most: int = 3) -> list[int]:
    """Numbers of the support images whose inputs of the logits layer are nearest."""
    order = nearest(features(made.bundle, x), made.features, most)[0]
    return [made.numbers[place] for place in order.tolist()]
