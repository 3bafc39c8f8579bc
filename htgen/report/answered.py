"""Reports of answers: for new images, and for a folder of labelled ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from htgen.arrays import Pixels
from htgen.cnn.answers import Answer, NoAnswer
from htgen.cnn.bundle import Bundle
from htgen.cnn.labelled_folder import TestResult
from htgen.cnn.nearest import features, nearest
from htgen.errors import DataError
from htgen.images.inputs import ReadImage, as_input, read_images, read_pixels
from htgen.images.labels import find_labeled
from htgen.report import page as p
from htgen.report.generated import kernels

_NEAREST = 3


@dataclass(frozen=True)
class KnownImages:
    """Support images that new ones are compared with: paths, class names, and what the CNN sees."""

    paths: list[Path]
    labels: list[str]
    pixels: list[Pixels]


def known_images(cnn: Bundle, folder: Path) -> KnownImages:
    """The images of a support folder as a CNN sees them; what cannot be read is left out.

    Raises:
        DataError: there are no class folders.
    """
    found = find_labeled(folder)
    label_of = {path: name for name, paths in found.classes.items() for path in paths}
    known = KnownImages([], [], [])
    for path, read in read_pixels(label_of, cnn.preprocessing):
        if not isinstance(read, DataError):
            known.paths.append(path)
            known.labels.append(label_of[path])
            known.pixels.append(read)
    return known


def predicted_report(
    cnn: Bundle,
    model: Path,
    answers: Sequence[Answer | NoAnswer],
    reject: float,
    known: KnownImages | None,
    command: str,
) -> str:
    """A page about new images.

    Args:
        model: the CNN's file.
        reject: below this probability the answer is none of these.
        known: what the CNN was made of; None where that is not known.
        command: that made it.
    """
    read = [answer for answer in answers if isinstance(answer, Answer)]
    faults = [answer for answer in answers if isinstance(answer, NoAnswer)]
    shown = read[: p.MOST_IMAGES]
    beside = [""] * len(shown) if known is None else _nearest(cnn, [a.image.pixels for a in shown], known)
    figures = []
    for answer, pictures in zip(shown, beside, strict=True):
        prediction = answer.prediction
        label = prediction.label if prediction.probability >= reject else "none of these"
        figures.append(_answered(answer.path, label, prediction.probabilities, answer.image, pictures))
    return p.page(
        f"Answers of {model.name}",
        [
            ("In short", p.paragraph(f"{len(read)} images; {len(faults)} could not be read.") + _about(cnn)),
            ("Could not be read", p.listed([fault.reason for fault in faults])),
            ("Answers", p.images(figures, len(read) - len(shown))),
            ("Kernels of the CNN", kernels(cnn)),
            ("The command", p.commands(command)),
        ],
    )


def tested_report(cnn: Bundle, model: Path, result: TestResult, command: str) -> str:
    """A page about a labelled folder: what is taken for what, and the images that are wrong.

    Args:
        model: the CNN's file.
        command: that made it.
    """
    wrong = result.worst
    shown = wrong[: p.MOST_IMAGES]
    figures = []
    for (_, read), image in zip(read_images([i.path for i in shown], cnn.preprocessing), shown, strict=True):
        if not isinstance(read, DataError):
            label = f"{image.label}, found as {image.predicted or 'none of these'}"
            figures.append(_answered(image.path, label, image.probabilities, read, ""))
    low, high = (100 * bound for bound in result.score.interval)
    right = (
        f"{100 * result.accuracy:.1f} %: {result.score.right} of {result.score.images} images right; 95 % "
        f"interval {low:.1f} to {high:.1f} %."
    )
    return p.page(
        f"Test of {model.name}",
        [
            ("In short", p.paragraph(right) + _about(cnn)),
            ("What is odd", p.listed([*result.notices, *(f"left out: {r}" for r in result.unread.values())])),
            ("What is found as what", p.confusions(result.classes, result.confusion)),
            ("Wrong answers, the worst first", p.images(figures, len(wrong) - len(shown))),
            ("Kernels of the CNN", kernels(cnn)),
            ("The command", p.commands(command)),
        ],
    )


def _about(cnn: Bundle) -> str:
    size = f"The CNN has {cnn.parameter_count} numbers and {len(cnn.to_bytes())} bytes"
    made = f"{size}; {cnn.generator.get('name', 'a generator')} wrote it."
    estimate = "" if cnn.estimate is None else f" Estimate when it was made: {cnn.estimate}."
    return p.paragraph(made + estimate)


def _answered(path: Path, label: str, probabilities: dict[str, float], image: ReadImage, beside: str) -> str:
    pictures = p.original(path) + p.picture(image.pixels, "as the CNN sees it")
    words = [f"<strong>{p.text(label)}</strong> {p.text(path.name)}"]
    words += [f"! {p.text(warning)}" for warning in image.warnings]
    return p.figure(pictures, "<br>".join(words) + p.bars(probabilities) + beside, bool(image.warnings))


def _nearest(cnn: Bundle, pixels: list[Pixels], known: KnownImages) -> list[str]:
    """For each image its nearest support images, as HTML."""
    if not pixels or not known.pixels:
        return [""] * len(pixels)
    seen = features(cnn, as_input(pixels, cnn.preprocessing))
    order = nearest(seen, features(cnn, as_input(known.pixels, cnn.preprocessing)), _NEAREST)
    used = {place: p.picture(known.pixels[place], known.labels[place]) for place in np.unique(order).tolist()}
    return [
        "nearest:<div class=nearest>"
        + "".join(p.figure(used[place], p.text(known.labels[place])) for place in row)
        + "</div>"
        for row in order.tolist()
    ]
