"""Predictions for many images of which some may not be readable. No torch here."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

from htgen.cnn.bundle import Bundle, Prediction
from htgen.errors import DataError
from htgen.images.inputs import IMAGES_PER_BATCH, ReadImage, as_input, read_images
from htgen.images.notices import DRAWN, ENCLOSED, SEVERAL
from htgen.workers import work_in_processes


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


Answers = Generator[Answer | NoAnswer, None, None]


def answers(cnn: Bundle, paths: Sequence[Path], processes: int = 1) -> Answers:
    """Classify image files, in their order; `Bundle.predict` ends at the first that cannot be read.

    Each file is classified by itself as soon as it is read, so memory does not grow with their number, and
    an answer does not depend on the other images. With norm `batch`, where it does, there are
    `IMAGES_PER_BATCH` in one.

    Args:
        processes: that read and classify; the answers are the same (`htgen.workers`). With norm `batch`
            there is one.
    """
    if cnn.spec.norm == "batch":
        return _in_batches(cnn, paths)
    return work_in_processes(partial(_classified, cnn), paths, processes)


def _classified(cnn: Bundle, paths: Sequence[Path]) -> list[Answer | NoAnswer]:
    """The answers for files, each by itself."""
    return [answer for one in read_images(paths, cnn.preprocessing) for answer in _answers_to(cnn, [one])]


def _in_batches(cnn: Bundle, paths: Sequence[Path]) -> Answers:
    reads = read_images(paths, cnn.preprocessing)
    while batch := list(islice(reads, IMAGES_PER_BATCH)):
        yield from _answers_to(cnn, batch)


def _answers_to(cnn: Bundle, reads: list[tuple[Path, ReadImage | DataError]]) -> Iterator[Answer | NoAnswer]:
    """The answers to images that are classified together."""
    pixels = [read.pixels for _, read in reads if isinstance(read, ReadImage)]
    predictions = iter(cnn.classify(as_input(pixels, cnn.preprocessing)) if pixels else ())
    for path, read in reads:
        if isinstance(read, DataError):
            yield NoAnswer(path, read.message)
        else:
            prediction = next(predictions)
            yield Answer(path, warned(read, cnn, prediction.label), prediction)


def warned(image: ReadImage, cnn: Bundle, label: str) -> ReadImage:
    """The image, with what is to be said of it where it is found to be of a class: it falls apart or lies
    within a line as none of that class does, or it is drawn where all of them are photographs."""
    usual, told = cnn.gaps.get(label), []
    if usual is not None and image.gaps is not None and image.gaps.are_wider_than(usual):
        told.append(SEVERAL)
    if usual is not None and image.gaps is not None and image.gaps.are_enclosed_unlike(usual):
        told.append(ENCLOSED)
    if image.is_drawn and label in cnn.photographs:
        told.append(DRAWN)
    return replace(image, warnings=(*image.warnings, *told)) if told else image
