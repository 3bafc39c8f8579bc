"""`htgen generate`: a folder of labelled images -> a CNN file."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from htgen.cli.device import prepare_for_use
from htgen.cli.generator_options import generator_files
from htgen.cli.grow import Growth, grow_file
from htgen.cli.labels import LABELLED_FOLDER, AllPages, LabelsInNames, LabelsOption, expect_one_source
from htgen.cli.made import print_report, say
from htgen.cli.numbers import number
from htgen.cli.written import expect_page, spare

if TYPE_CHECKING:
    from htgen.generator.from_folder import GeneratedFromFolder
    from htgen.generator.generator import Generator
    from htgen.generator.support_files import SupportFiles
    from htgen.images.preprocessing import Step

FolderArgument = Annotated[
    Path | None,
    typer.Argument(
        help="The same as --support; with --add or --drop, the CNN file.",
        show_default=False,
        metavar="[FOLDER]",
    ),
]
SupportOption = Annotated[
    Path | None,
    typer.Option(help=LABELLED_FOLDER, show_default=False),
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
GeneratorOption = Annotated[
    str | None,
    typer.Option(
        help="One that ships, a generator file, or a run folder. Default: one for what the images look like, "
        "drawings, icons or photographs.",
        show_default=False,
    ),
]
AddOption = Annotated[
    Path | None,
    typer.Option(
        help="Folder with one sub-folder of images per class, which the CNN file FOLDER shall know too.",
        show_default=False,
    ),
]
DropOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Class that the CNN file FOLDER shall not know any more; may be given several times.",
        show_default=False,
    ),
]
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
Device = Annotated[
    bool,
    typer.Option(
        "--device", help="Drawings: prepare as `htgen export --prepare` does it in C, for small devices."
    ),
]
NoEstimate = Annotated[
    bool, typer.Option("--no-estimate", help="Do not estimate how many images it gets right; be done sooner.")
]
EstimateSeconds = Annotated[
    float,
    typer.Option(
        min=0,
        callback=number,
        help="The estimate takes no more seconds: it counts the images left out so far, and says so.",
    ),
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
    generator: GeneratorOption = None,
    add: AddOption = None,
    drop: DropOption = None,
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
    estimate_seconds: EstimateSeconds = 60,
) -> None:
    """Turn a folder of a few labelled images into a CNN.

    Drawings are brought to one form first, and new ones by `htgen predict` too: surroundings, polarity, even
    paper, a cut to the ink, contrast, outlines of icons, strokes. Each step can be left out.

    The file that is written needs no generator and no configuration any more; use it with `htgen predict`.
    With --add and --drop a CNN file grows or loses classes, without the images that it was made of.

    Exits with 1 when the CNN was written but some images could not be read; they are listed on stderr.
    """
    prepare_for_use()
    expect_one_source(labels, labels_in_names)
    left_out = (
        *(no_transparency, no_clean, no_polarity, no_flatten, no_crop),
        *(no_contrast, no_outline, no_stroke, no_aspect),
    )
    steps = [step for step, is_out in zip(_STEPS, left_out, strict=True) if is_out]
    expect_page(report)
    spare({"--output": output, "--report": report}, {"the table of labels": [labels]})
    _expect_name_of_cnn(output)
    how = labels, labels_in_names, all_pages
    if add is not None or drop:
        _refuse_beside_growth(support, unlabeled, steps, device, report)
        grow_file(Growth(folder, add, tuple(drop or ()), *how, generator, not no_estimate), output)
        return
    seconds = None if no_estimate else estimate_seconds
    _write((_one_of(folder, support), unlabeled, *how), generator, steps, device, output, seconds, report)


_STEPS: "tuple[Step, ...]" = (
    *("transparency", "clean", "polarity", "flatten", "crop"),
    *("contrast", "outline", "stroke", "aspect"),
)
"""Those that can be left out, in the order of the options."""


def _write(
    places: tuple[Path, Path | None, Path | None, bool, bool],
    generator: str | None,
    steps: "list[Step]",
    device: bool,
    output: Path,
    seconds: float | None,
    report: Path | None,
) -> None:
    """Make a CNN of what `find_support` finds with the first arguments; None: without an estimate."""
    from htgen.cli.console import progress, tell
    from htgen.generator.choice import check_kind, choose
    from htgen.generator.from_folder import generate_from_files
    from htgen.generator.generator import load_generator
    from htgen.generator.support_files import find_support

    files = find_support(*places)
    _spare_inputs(output, report, generator, files)
    choice = choose(files.classes) if generator is None else None
    loaded = _without_steps(load_generator(choice.generator if choice else generator or ""), steps)
    if device:
        loaded = _for_device(loaded, bool(steps))
    with progress(lines=False) as tell_progress:
        made = generate_from_files(files, loaded, tell_progress, processes=None)
        made.bundle.save(output)
        say("written", f"{output}; next: htgen predict {shlex.quote(str(output))} IMAGES")
        made = replace(made, estimates=seconds is not None, estimate_seconds=seconds)
        if made.estimates:
            _estimate(made, output)
    tell([*made.images.notices, *([] if choice else check_kind(loaded, files.classes))])
    if choice is not None:
        say("generator", choice.sentence)
        tell(choice.notices)
    print_report(made)
    if report is not None:
        _write_page(made, output, report)
    if made.images.left_out:
        raise typer.Exit(1)


def _spare_inputs(output: Path, report: Path | None, generator: str | None, files: "SupportFiles") -> None:
    """Refuse to write in the place of a generator or of an image that the CNN is made of."""
    images = (*(path for paths in files.classes.values() for path in paths), *files.unlabeled)
    spare({"--output": output, "--report": report}, generator_files(generator), images)


def _write_page(made: "GeneratedFromFolder", output: Path, report: Path) -> None:
    from htgen.files import write_text
    from htgen.report.generated import generated_report
    from htgen.report.page import command_line

    write_text(report, generated_report(made, output, command_line()))
    say("report", f"{report}; open it in a browser")


def _refuse_beside_growth(
    support: Path | None,
    unlabeled: Path | None,
    steps: "list[Step]",
    device: bool,
    report: Path | None,
) -> None:
    """The images are prepared as those of the CNN, and it is they that have labels."""
    given = {"--support": support, "--unlabeled": unlabeled, "--device": device or None, "--report": report}
    given |= {f"--no-{step}": True for step in steps}
    for option, value in given.items():
        if value is not None:
            raise typer.BadParameter("it cannot be given with --add or --drop", param_hint=option)


def _expect_name_of_cnn(output: Path) -> None:
    """Refuse names of what is no CNN file: of exports, images, tables and archives."""
    from htgen.cli.export import ENDINGS
    from htgen.images.folders import ARCHIVES, TABLES
    from htgen.images.formats import is_known_ending

    ending = output.suffix.lower()
    if output.name == "-":
        raise typer.BadParameter("name a file, such as cnn.safetensors", param_hint="--output")
    if ending in ENDINGS:
        fault = f"'{ending}' is what htgen export makes of a CNN file, such as {output.stem}.safetensors"
        raise typer.BadParameter(fault, param_hint="--output")
    what = "an image" if is_known_ending(ending) else "a table" if ending in (*TABLES, ".json") else None
    what = "an archive" if ending in ARCHIVES else what
    if what is not None:
        fault = f"'{output.name}' is the name of {what}; a CNN file is called {output.stem}.safetensors"
        raise typer.BadParameter(fault, param_hint="--output")


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
                f"generator {generator.name!r} is not for drawings, and takes no such step",
                param_hint=f"--no-{step}",
            )
    return generator.without_steps(*steps)


def _for_device(generator: "Generator", steps_left_out: bool) -> "Generator":
    if steps_left_out:
        raise typer.BadParameter("it has steps of its own; leave none out", param_hint="--device")
    if not generator.preprocessing.is_for_drawings:
        raise typer.BadParameter(f"generator {generator.name!r} is not for drawings", param_hint="--device")
    return generator.on_device()
