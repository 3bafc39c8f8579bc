"""`htgen generate`: a folder of labelled images -> a CNN file."""

import shlex
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from htgen.cli.device import one_thread
from htgen.generator.shipped import DEFAULT_GENERATOR

if TYPE_CHECKING:
    from htgen.generator.from_folder import FolderImages, GeneratedFromFolder, SupportFiles
    from htgen.generator.generator import Generator
    from htgen.images.preprocessing import Preprocessing, Step

FolderArgument = Annotated[
    Path | None, typer.Argument(help="The same as --support.", show_default=False, metavar="[FOLDER]")
]
SupportOption = Annotated[
    Path | None,
    typer.Option(
        help="Folder with one sub-folder of images per class; with labels elsewhere, of the images.",
        show_default=False,
    ),
]
LabelsOption = Annotated[
    Path | None,
    typer.Option(
        help="CSV file that says which image is of which class: file,label in each line.", show_default=False
    ),
]
LabelsInNames = Annotated[
    bool,
    typer.Option("--labels-in-names", help="The files' names begin with labels: cat_1.png, cat.1.png."),
]
OutputOption = Annotated[
    Path,
    typer.Option(
        "--output", "-o", help="The CNN file to write; one that is there is replaced.", show_default=False
    ),
]
UnlabeledOption = Annotated[
    Path | None,
    typer.Option(help="Folder of further images of these classes, without labels.", show_default=False),
]
GeneratorOption = Annotated[str, typer.Option(help="One that ships, a generator file, or a run folder.")]
NoTransparency = Annotated[
    bool, typer.Option("--no-transparency", help="Take all as opaque, in the colours that lie beneath.")
]
NoClean = Annotated[
    bool, typer.Option("--no-clean", help="Drawings: what lies around and beside them, and dust, is ink too.")
]
NoPolarity = Annotated[bool, typer.Option("--no-polarity", help="Drawings: do not turn dark on light over.")]
NoFlatten = Annotated[bool, typer.Option("--no-flatten", help="Drawings: leave shadows and grey paper in.")]
NoCrop = Annotated[
    bool, typer.Option("--no-crop", help="Drawings: do not cut to the ink; size and place count.")
]
NoContrast = Annotated[
    bool, typer.Option("--no-contrast", help="Drawings: do not stretch pale ink, do not clear noise.")
]
NoOutline = Annotated[
    bool, typer.Option("--no-outline", help="Drawings: leave solid shapes solid (generators of icons).")
]
NoStroke = Annotated[
    bool, typer.Option("--no-stroke", help="Drawings: leave strokes as thin or thick as they are.")
]
NoAspect = Annotated[
    bool, typer.Option("--no-aspect", help="Stretch what is not square, instead of margins or a cut.")
]
AllPages = Annotated[
    bool,
    typer.Option(
        "--all-pages", help="Every page or frame of a file is an image; without it, one of each is read."
    ),
]
Device = Annotated[
    bool,
    typer.Option(
        "--device", help="Drawings: prepare as `htgen export --prepare` does it in C, for small devices."
    ),
]
NoEstimate = Annotated[
    bool, typer.Option("--no-estimate", help="Do not estimate how many images it gets right; be done sooner.")
]

ReportOption = Annotated[
    Path | None,
    typer.Option(
        help="Also write a page that shows the images, what the CNN sees of them, its weights and estimate.",
        show_default=False,
    ),
]


def generate(
    output: OutputOption,
    folder: FolderArgument = None,
    support: SupportOption = None,
    labels: LabelsOption = None,
    labels_in_names: LabelsInNames = False,
    unlabeled: UnlabeledOption = None,
    generator: GeneratorOption = DEFAULT_GENERATOR,
    no_transparency: NoTransparency = False,
    no_clean: NoClean = False,
    no_polarity: NoPolarity = False,
    no_flatten: NoFlatten = False,
    no_crop: NoCrop = False,
    no_contrast: NoContrast = False,
    no_outline: NoOutline = False,
    no_stroke: NoStroke = False,
    no_aspect: NoAspect = False,
    all_pages: AllPages = False,
    device: Device = False,
    no_estimate: NoEstimate = False,
    report: ReportOption = None,
) -> None:
    """Turn a folder of a few labelled images into a CNN.

    Drawings are brought to one form first, and new ones by `htgen predict` too: surroundings, polarity, even
    paper, a cut to the ink, contrast, outlines of icons, strokes. Each step can be left out.

    The file that is written needs no generator and no configuration any more; use it with `htgen predict`.
    Exits with 1 when the CNN was written but some images could not be read; they are listed on stderr.
    """
    one_thread()

    from htgen.cli.console import tell
    from htgen.generator.from_folder import find_support
    from htgen.generator.generator import load_generator

    if labels is not None and labels_in_names:
        raise typer.BadParameter("choose one of --labels and --labels-in-names", param_hint="--labels")
    files = find_support(_one_of(folder, support), unlabeled, labels, labels_in_names, all_pages)
    left_out: dict[Step, bool] = {
        "transparency": no_transparency,
        "clean": no_clean,
        "polarity": no_polarity,
        "flatten": no_flatten,
        "crop": no_crop,
        "contrast": no_contrast,
        "outline": no_outline,
        "stroke": no_stroke,
        "aspect": no_aspect,
    }
    loaded = _without_steps(load_generator(generator), [step for step, out in left_out.items() if out])
    if device:
        loaded = _for_device(loaded, any(left_out.values()))
    made = _make(files, loaded, output, not no_estimate)
    tell(made.images.notices)
    _print_report(made, output)
    if report is not None:
        _write_page(made, output, report)
    if made.images.left_out:
        raise typer.Exit(1)


def _make(
    files: "SupportFiles", generator: "Generator", output: Path, estimates: bool
) -> "GeneratedFromFolder":
    """Write the CNN, and again with its estimate."""
    from htgen.cli.console import progress
    from htgen.generator.from_folder import generate_from_files

    with progress(lines=False) as report:
        made = generate_from_files(files, generator, report, processes=None)
        made.bundle.save(output)
        if not estimates:
            return replace(made, estimates=False)
        _estimate(made, output)
    return made


def _write_page(made: "GeneratedFromFolder", output: Path, report: Path) -> None:
    from htgen.files import write_text
    from htgen.report.generated import generated_report
    from htgen.report.page import command_line

    write_text(report, generated_report(made, output, command_line()))
    _say("report", f"{report}; open it in a browser")


def _one_of(folder: Path | None, support: Path | None) -> Path:
    if (folder is None) == (support is None):
        fault = "name the folder once" if folder else "name a folder with one sub-folder of images per class"
        raise typer.BadParameter(fault, param_hint="--support")
    return folder or support or Path()


def _estimate(made: "GeneratedFromFolder", output: Path) -> None:
    """Make the estimate and write the CNN again with it; until then it is there without."""
    from htgen.cli.console import tell

    try:
        made.bundle_with_estimate.save(output)
    except KeyboardInterrupt:
        tell([*made.images.notices, f"interrupted; the CNN is written, without an estimate: {output}"])
        raise


def _without_steps(generator: "Generator", steps: "list[Step]") -> "Generator":
    for step in steps:
        if step not in generator.preprocessing.possible:
            raise typer.BadParameter(
                f"generator '{generator.name}' is not for drawings, and takes no such step",
                param_hint=f"--no-{step}",
            )
    return generator.without_steps(*steps)


def _for_device(generator: "Generator", steps_left_out: bool) -> "Generator":
    if steps_left_out:
        raise typer.BadParameter("it has steps of its own; leave none out", param_hint="--device")
    if not generator.preprocessing.is_for_drawings:
        raise typer.BadParameter(f"generator '{generator.name}' is not for drawings", param_hint="--device")
    return generator.on_device()


def _print_report(made: "GeneratedFromFolder", output: Path) -> None:
    from htgen.cli.console import tell
    from htgen.images.words import describe_steps

    bundle, images, counts = made.bundle_with_estimate, made.images, made.bundle.support
    _say("classes", f"{len(counts)}: " + ", ".join(f"{name} ({count})" for name, count in counts.items()))
    if images.unlabeled or images.ignored:
        ignored = f"; {len(images.ignored)} more do not count" if images.ignored else ""
        _say("unlabelled", f"{len(images.unlabeled)} images{ignored}")
    if bundle.preprocessing.ink != "none":
        _say("ink", _describe_polarity(images, bundle.preprocessing))
        _say("steps", describe_steps(bundle.preprocessing))
    size, milliseconds = len(bundle.to_bytes()), f"{1000 * made.seconds:.1f} ms"
    numbers = f"{bundle.parameter_count} numbers, {size} bytes"
    _say("CNN", f"{numbers}; written by {made.generator.name} in {milliseconds}")
    _print_estimate(made)
    _say_all(
        "warnings", [f"{images.name_of(path)}: {'; '.join(texts)}" for path, texts in images.warnings.items()]
    )
    tell(made.doubts)
    _say("written", f"{output}; next: htgen predict {shlex.quote(str(output))} IMAGES")


def _print_estimate(made: "GeneratedFromFolder") -> None:
    check = made.check
    if made.bundle.spec.norm == "batch":
        _say("estimate", "none: with norm batch an answer depends on the other images (transductive)")
    elif not made.estimates:
        _say("estimate", "none, as --no-estimate says")
    elif check is None:
        _say("estimate", "none: it takes at least two images of a class that are no copies of each other")
    else:
        low, high = (f"{100 * bound:.0f}" for bound in check.score.interval)
        percent, count = f"{100 * check.accuracy:.0f} %", check.score.images
        _say(
            "estimate",
            f"{percent} of {count} images right when left out of the support set; 95 % interval {low} to "
            f"{high} %",
        )
        if check.untested:
            _say("", f"without {', '.join(check.untested)}: only one image each that is no copy")
        missed = made.missed
        _say_all("", [*missed[:10], *([f"... and {len(missed) - 10} more"] if len(missed) > 10 else [])])


def _say_all(key: str, lines: list[str]) -> None:
    for line in lines:
        _say(key, line)
        key = ""


def _say(key: str, value: str) -> None:
    from htgen.cli.console import printable, stdout

    stdout().print(f"{key:11}{printable(value)}", markup=False)


def _describe_polarity(images: "FolderImages", preprocessing: "Preprocessing") -> str:
    """What the labelled images are, and how many of them are inverted for the CNN."""
    wanted = "light on dark" if preprocessing.ink == "bright" else "dark on light"
    if not preprocessing.steps.polarity:
        return f"taken to be {wanted}, as the generator was trained on"
    counts = Counter(image.polarity for image in images.labeled.values() if image.polarity)
    found = ", ".join(f"{count} {polarity}" for polarity, count in sorted(counts.items()))
    inverted = sum(count for polarity, count in counts.items() if polarity != wanted)
    return f"{found}; {inverted} inverted, as the generator was trained on {wanted}"
