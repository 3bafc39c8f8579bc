"""`htgen generate`: a folder of labelled images -> a CNN file."""

import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from htgen.cli.device import one_thread
from htgen.generator.shipped import DEFAULT_GENERATOR

if TYPE_CHECKING:
    from htgen.arrays import Pixels
    from htgen.images.paper import Polarity
    from htgen.images.preprocessing import Preprocessing, Step


def generate(
    support: Annotated[
        Path, typer.Option(help="Folder with one sub-folder of images per class.", show_default=False)
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="The CNN file to write; one that is there is replaced.", show_default=False
        ),
    ],
    unlabeled: Annotated[
        Path | None,
        typer.Option(
            help="Folder of further images of these classes, without labels.",
            show_default=False,
        ),
    ] = None,
    generator: Annotated[
        str, typer.Option(help="One that ships, a generator file, or a run folder.")
    ] = DEFAULT_GENERATOR,
    no_transparency: Annotated[
        bool, typer.Option("--no-transparency", help="Take all as opaque, in the colours that lie beneath.")
    ] = False,
    no_polarity: Annotated[
        bool, typer.Option("--no-polarity", help="Drawings: do not turn dark on light over.")
    ] = False,
    no_flatten: Annotated[
        bool, typer.Option("--no-flatten", help="Drawings: leave shadows and grey paper in.")
    ] = False,
    no_crop: Annotated[
        bool, typer.Option("--no-crop", help="Drawings: do not cut to the ink; size and place count.")
    ] = False,
    no_contrast: Annotated[
        bool, typer.Option("--no-contrast", help="Drawings: do not stretch pale ink, do not clear noise.")
    ] = False,
    no_stroke: Annotated[
        bool, typer.Option("--no-stroke", help="Drawings: leave strokes as thin or thick as they are.")
    ] = False,
    no_aspect: Annotated[
        bool, typer.Option("--no-aspect", help="Stretch what is not square, instead of margins or a cut.")
    ] = False,
) -> None:
    """Turn a folder of a few labelled images into a CNN.

    Drawings are brought to one form first, and new ones by `htgen predict` too: polarity, even paper, a cut
    to the ink, contrast, strokes. Each step can be left out.

    The file that is written needs no generator and no configuration any more; use it with `htgen predict`.
    Exits with 1 when the CNN was written but some images could not be read; they are listed on stderr.
    """
    one_thread()

    from htgen.cli.console import (
        note_unlabeled_are_new_to,
        printable,
        stdout,
        warn,
        warn_blank,
        warn_left_out,
        warn_undrawn,
    )
    from htgen.errors import DataError
    from htgen.images.folders import class_folders, find_images

    class_files = class_folders(support)
    for folder in [support / name for name in class_files] + ([] if unlabeled is None else [unlabeled]):
        warn_left_out(folder)
    warn(f"images beside the folders of classes, in {support}:", [p.name for p in find_images(support)], 3)
    further_files = [] if unlabeled is None else find_images(unlabeled)
    if unlabeled is not None and not further_files:
        raise DataError(f"{unlabeled} holds no image files", "a folder with images directly in it")

    from htgen.generator.generator import load_generator
    from htgen.images.inputs import as_input

    loaded = load_generator(generator)
    left_out_steps: dict[Step, bool] = {
        "transparency": no_transparency,
        "polarity": no_polarity,
        "flatten": no_flatten,
        "crop": no_crop,
        "contrast": no_contrast,
        "stroke": no_stroke,
        "aspect": no_aspect,
    }
    for step, out in left_out_steps.items():
        if out and step not in loaded.preprocessing.possible:
            raise typer.BadParameter(
                f"generator '{loaded.name}' is not for drawings, and takes no such step",
                param_hint=f"--no-{step}",
            )
    loaded = loaded.without_steps(*(step for step, out in left_out_steps.items() if out))

    paths: list[Path] = []
    labels: list[str] = []
    looks: list[_Look] = []
    for name, files in class_files.items():
        readable = _look_at(files, loaded.preprocessing)
        if not readable:
            raise DataError(
                f"class '{name}' has no image that can be read (of {len(files)} in {support / name})",
                "replace them, or remove the folder",
            )
        paths += readable
        looks += readable.values()
        labels += [name] * len(readable)
    if loaded.preprocessing.is_for_drawings:
        warn_undrawn(sum(not look.looks_drawn for look in looks), len(looks))
    further = _look_at(further_files, loaded.preprocessing)
    seen = [*zip(paths, looks, strict=True), *further.items()]
    warn_blank([path for path, look in seen if look.is_blank])
    left_out = sum(map(len, class_files.values())) + len(further_files) - len(paths) - len(further)
    if further and not loaded.knows_unlabeled:
        note_unlabeled_are_new_to(loaded.name)
    images = as_input([look.pixels for _, look in seen], loaded.preprocessing)
    prepared = loaded.support(images, labels)
    started = time.perf_counter()
    bundle = loaded.generate_bundle(prepared)
    milliseconds = 1000 * (time.perf_counter() - started)
    size = bundle.save(output)
    check = loaded.leave_one_out(prepared)

    def say(key: str, value: str) -> None:
        stdout().print(f"{key:11}{printable(value)}", markup=False)

    counts = bundle.support
    say("classes", f"{len(counts)}: " + ", ".join(f"{name} ({count})" for name, count in counts.items()))
    if further:
        say("unlabelled", f"{len(further)} images")
    if loaded.preprocessing.ink != "none":
        polarities = [look.polarity for look in looks if look.polarity]
        say("ink", _describe_polarity(polarities, loaded.preprocessing))
        say("steps", _describe_steps(loaded.preprocessing))
    say("CNN", f"{bundle.parameter_count} numbers, {size} bytes, {loaded.name} in {milliseconds:.1f} ms")
    if bundle.spec.norm == "batch":
        say("estimate", "none: with norm batch an answer depends on the other images (transductive)")
    elif check is None:
        say("estimate", "none: it takes at least two images of every class")
    else:
        missed = [i for i in range(len(paths)) if check.labels[i] != check.predictions[i]]
        say(
            "estimate",
            f"{100 * check.accuracy:.0f} % of {len(paths)} images right when left out of the support set",
        )
        for i in missed[:10]:
            say("", f"{paths[i]} looks like {check.classes[check.predictions[i]]}")
        if len(missed) > 10:
            say("", f"... and {len(missed) - 10} more")
        strangers = [
            f"{paths[i]} looks like {check.classes[check.predictions[i]]}" for i in check.strangers()
        ]
        warn("images disagree with their class; is one mislabelled?", strangers)
    pairs = [
        f"{pair.first} and {pair.second} ({100 * pair.confusion:.0f} %)"
        for pair in loaded.look_alikes(prepared, check)
    ]
    warn("classes look alike to the generator; more images of them help, or one class for both:", pairs)
    say("written", f"{output}; next: htgen predict {output} IMAGES")
    if left_out:
        raise typer.Exit(1)


class _Look(NamedTuple):
    """What is kept of an image: photographs are large, and what a CNN sees of them is small.

    Of images that are no drawings only the pixels are looked at.
    """

    pixels: "Pixels"
    is_blank: bool
    polarity: "Polarity | None"
    looks_drawn: bool | None


def _look_at(files: list[Path], preprocessing: "Preprocessing") -> dict[Path, _Look]:
    """The images that can be read; those that cannot are told."""
    from htgen.cli.console import printable, stderr
    from htgen.errors import DataError
    from htgen.images.reading import load_image

    has_ink, is_drawing = preprocessing.ink != "none", preprocessing.is_for_drawings
    found = {}
    for path in files:
        try:
            image = preprocessing.read(load_image(path))
        except DataError as error:
            stderr().print(printable(f"left out: {error.message}"), markup=False)
        else:
            found[path] = _Look(
                image.pixels,
                image.is_blank,
                image.polarity if has_ink else None,
                image.looks_drawn if is_drawing else None,
            )
    return found


def _describe_polarity(polarities: "list[Polarity]", preprocessing: "Preprocessing") -> str:
    """What the images are, and how many of them are inverted for the CNN."""
    wanted = "light on dark" if preprocessing.ink == "bright" else "dark on light"
    if not preprocessing.steps.polarity:
        return f"taken to be {wanted}, as the generator was trained on"
    counts = Counter(polarities)
    found = ", ".join(f"{count} {polarity}" for polarity, count in sorted(counts.items()))
    inverted = sum(polarity != wanted for polarity in polarities)
    return f"{found}; {inverted} inverted, as the generator was trained on {wanted}"


def _describe_steps(preprocessing: "Preprocessing") -> str:
    """What is done with drawings beside turning them over, and which steps for all images are left out."""
    steps = preprocessing.steps
    done = {
        "light made even": steps.flatten,
        "cut to the ink": steps.crop,
        "contrast stretched": steps.contrast,
        "strokes made even": steps.stroke,
        "transparency ignored": preprocessing.transparency == "ignore",
        "stretched to a square": preprocessing.fit == "stretch",
    }
    return ", ".join(what for what, is_done in done.items() if is_done) or "none"
