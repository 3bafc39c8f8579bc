"""The report of a CNN that was made: images, what it sees of them, weights, estimate, cost."""

from pathlib import Path

import numpy as np

from htgen.arrays import Floats
from htgen.cnn.activations import activations, channel_sheet, kernel_sheet
from htgen.cnn.bundle import Bundle
from htgen.errors import DataError
from htgen.generator.attention import attended
from htgen.generator.from_folder import GeneratedFromFolder
from htgen.images.inputs import ReadImage
from htgen.images.reading import load_image
from htgen.images.stages import stages
from htgen.images.words import describe_images, describe_steps
from htgen.report import page as p

_WITH_STEPS = 60
"""So many images are shown with each step of their preparation, the same number of each class."""

_MANY_BLOCKS = 8
"""With more, pictures of all blocks are folded away."""


def generated_report(made: GeneratedFromFolder, output: Path, command: str) -> str:
    """A page about a CNN and its support images.

    Args:
        output: the CNN's file.
        command: that made it.
    """
    bundle = made.bundle_with_estimate
    return p.page(
        f"{output.name}: a CNN of {len(bundle.classes)} classes",
        [
            ("In short", _summary(made, bundle)),
            ("What is odd", p.listed([*made.images.notices, *made.doubts])),
            ("Support images, and what the CNN sees", _support(made)),
            ("Step by step", _steps(made)),
            ("Left-out images", _confusions(made)),
            ("Kernels", kernels(bundle)),
            ("What the blocks make of one image of each class", _activations(made)),
            ("The commands", p.commands(command, f"htgen predict {output} IMAGES")),
        ],
    )


def _summary(made: GeneratedFromFolder, bundle: Bundle) -> str:
    counts = ", ".join(f"{name} ({count})" for name, count in bundle.support.items())
    estimate = (
        "There is no estimate."
        if bundle.estimate is None
        else f"Estimate: {bundle.estimate}, each left out of the support set once."
    )
    steps = "" if bundle.preprocessing.ink == "none" else f" Steps: {describe_steps(bundle.preprocessing)}."
    return "".join(
        map(
            p.paragraph,
            (
                f"Classes: {counts}.",
                estimate,
                f"Written by {made.generator.name} in {1000 * made.seconds:.1f} ms: {bundle.parameter_count} "
                f"numbers, {len(bundle.to_bytes())} bytes, "
                f"{bundle.spec.multiply_adds(len(bundle.classes))} multiply-adds an image.",
                f"The CNN sees {describe_images(bundle.preprocessing)}.{steps}",
            ),
        )
    )


def _support(made: GeneratedFromFolder) -> str:
    """Every image as it is and as the CNN sees it, with doubts and the attention that it got."""
    shares = attended(made.generator, made.support)
    mean: Floats | None = np.mean([*shares.values()], axis=0) if shares else None
    doubts = _looks_like(made)
    labels = [*made.images.labels, *["no label"] * len(made.images.unlabeled)]
    read = {**made.images.labeled, **made.images.unlabeled}
    figures = []
    for place, (path, image) in enumerate([*read.items()][: p.MOST_IMAGES]):
        words = [f"<strong>{p.text(labels[place])}</strong> {p.text(path.name)}"]
        if mean is not None:
            words.append(f"attention {100 * mean[place]:.1f} %")
        if path in doubts:
            words.append(f"<strong>? looks like {p.text(doubts[path])}</strong>")
        words += [f"! {p.text(warning)}" for warning in image.warnings]
        pictures = p.original(path) + p.picture(image.pixels, "as the CNN sees it")
        figures.append(p.figure(pictures, "<br>".join(words), path in doubts))
    about = (
        "“Attention” is the share of an image in what the written weights looked at, in the mean over the "
        f"layers {', '.join(shares)}; {100 / max(len(read), 1):.1f} % each if it were even."
        if shares
        else ""
    )
    return (p.paragraph(about) if about else "") + p.images(figures, len(read) - len(figures))


def _looks_like(made: GeneratedFromFolder) -> dict[Path, str]:
    check = made.check
    if check is None:
        return {}
    paths = [*made.images.labeled]
    wrong = np.flatnonzero(check.labels != check.predictions).tolist()
    return {paths[check.positions[place]]: check.classes[check.predictions[place]] for place in wrong}


def _steps(made: GeneratedFromFolder) -> str:
    """A row of pictures for the first images of each class."""
    each = max(1, _WITH_STEPS // len(made.bundle.classes))
    rows: list[str] = []
    taken = dict.fromkeys(made.bundle.classes, 0)
    for path, label in zip(made.images.labeled, made.images.labels, strict=True):
        if taken[label] >= each or len(rows) >= _WITH_STEPS:
            continue
        taken[label] += 1
        try:
            found = stages(load_image(path), made.bundle.preprocessing)
        except DataError:
            continue
        figures = [p.figure(p.original(path), f"{p.text(label)} {p.text(path.name)}")]
        figures += [p.figure(p.picture(pixels, what), p.text(what)) for what, pixels in found]
        rows.append(
            f"<details><summary>{p.text(label)}: {p.text(path.name)}</summary>{p.images(figures)}</details>"
        )
    return "".join(rows).replace("<details>", "<details open>", 1)


def _confusions(made: GeneratedFromFolder) -> str:
    check = made.check
    if check is None:
        return ""
    table = np.zeros((len(check.classes),) * 2, np.int64)
    np.add.at(table, (check.labels, check.predictions), 1)
    return p.paragraph(f"{check.score}. Of copies, the first counts.") + p.confusions(check.classes, table)


def kernels(bundle: Bundle) -> str:
    """The kernels of all blocks."""
    figures = [
        p.figure(
            p.sheet(kernel_sheet(block.kernel), f"kernels of {conv.name}", 6),
            f"{p.text(conv.name)}: a column for each of {conv.out_channels} outputs",
        )
        for conv, block in zip(bundle.spec.convs, bundle.weights.blocks, strict=True)
    ]
    shown = p.folded(p.images(figures), "all blocks", len(figures) > _MANY_BLOCKS)
    return p.paragraph("Orange is positive, violet negative, white zero.") + shown


def _activations(made: GeneratedFromFolder) -> str:
    places = [made.images.labels.index(name) for name in made.bundle.classes][: p.MOST_CELLS]
    read: list[ReadImage] = [*made.images.labeled.values()]
    outputs = activations(made.bundle, made.support.images[places])
    rows = []
    for number, place in enumerate(places):
        pictures = [
            p.figure(p.picture(read[place].pixels, "as the CNN sees it"), p.text(made.images.labels[place]))
        ]
        for conv, output in zip(made.bundle.spec.convs, outputs, strict=True):
            sheet = p.sheet(channel_sheet(output[number]), conv.name, 2 if output.shape[1] > 12 else 4)
            pictures.append(p.figure(sheet, p.text(conv.name)))
        rows.append(p.folded(p.images(pictures), made.images.labels[place], len(pictures) > _MANY_BLOCKS))
    return "".join(rows)
