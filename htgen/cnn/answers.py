"""Predictions for many images of which some may not be readable. No torch here."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from htgen.cnn.bundle import Bundle, Prediction
from htgen.errors import DataError
from htgen.images.gaps import Gaps
from htgen.images.inputs import IMAGES_PER_BATCH, ReadImage, as_input, read_images
from htgen.images.notices import SEVERAL


@dataclass(frozen=True)
class Answer:
    """What a CNN says of one image file.

    Attributes:
        path: the file.
        image: what was read of it.
        prediction: the classes.
    """

    path: Path
    image: ReadImage
    prediction: Prediction


@dataclass(frozen=True)
class NoAnswer:
    """A file that cannot be read.

    Attributes:
        path: the file.
        reason: why.
    """

    path: Path
    reason: str


def answers(cnn: Bundle, paths: Iterable[Path]) -> Iterator[Answer | NoAnswer]:
    """Classify image files, in their order; `Bundle.predict` ends at the first that cannot be read.

    Each file is classified as soon as it is read, so memory does not grow with their number. With norm
    `batch`, where an answer depends on the other images of its batch, there are `IMAGES_PER_BATCH` in one.
    """
    reads = read_images(paths, cnn.preprocessing)
    while batch := list(islice(reads, IMAGES_PER_BATCH if cnn.spec.norm == "batch" else 1)):
        pixels = [read.pixels for _, read in batch if isinstance(read, ReadImage)]
        predictions = iter(cnn.classify(as_input(pixels, cnn.preprocessing)) if pixels else ())
        for path, read in batch:
            if isinstance(read, DataError):
                yield NoAnswer(path, read.message)
            else:
                prediction = next(predictions)
                yield Answer(path, _warned(read, cnn.gaps.get(prediction.label)), prediction)


def _warned(image: ReadImage, usual: Gaps | None) -> ReadImage:
    """The image, with a warning where it falls apart as none of its class does; `usual` is what they do."""
    if usual is None or image.gaps is None or not image.gaps.are_wider_than(usual):
        return image
    return replace(image, warnings=(*image.warnings, SEVERAL))
