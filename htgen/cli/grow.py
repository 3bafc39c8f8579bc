"""`htgen generate --add` and `--drop`: a CNN file that grows, or loses classes."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from htgen.cli.generator_options import generator_files
from htgen.cli.made import print_estimate, print_images, print_warnings, say
from htgen.cli.written import spare

if TYPE_CHECKING:
    from htgen.generator.grown_folder import GrownFromFolder


@dataclass(frozen=True)
class Growth:
    """What is to be done with a CNN file.

    Attributes:
        cnn: the file.
        add: folder of images to add.
        drop: classes to remove.
        labels, labels_in_names, all_pages: how the images of `add` are labelled and read.
        generator: what wrote the CNN; None: what ships by the name in the file.
        estimates: whether the added images are classified with each left out.
    """

    cnn: Path | None
    add: Path | None
    drop: tuple[str, ...]
    labels: Path | None
    labels_in_names: bool
    all_pages: bool
    generator: str | None
    estimates: bool


def grow_file(wanted: Growth, output: Path) -> None:
    """Read the CNN, change it and write another."""
    from dataclasses import replace

    from htgen.cli.console import progress, tell
    from htgen.cnn.bundle import Bundle
    from htgen.generator.grown_folder import grow
    from htgen.generator.support_files import find_support

    if wanted.cnn is None:
        raise typer.BadParameter(
            "name the CNN that is changed: htgen generate --add DIR cnn.safetensors -o new.safetensors",
            param_hint="--add" if wanted.add else "--drop",
        )
    cnn = Bundle.load(wanted.cnn)
    files = None
    if wanted.add is not None:
        labels = wanted.labels, wanted.labels_in_names, wanted.all_pages
        files = find_support(wanted.add, None, *labels, minimum=1)
    # The CNN itself may be replaced by what it becomes.
    classes = {} if files is None else files.classes
    spare(
        {"--output": output},
        generator_files(wanted.generator),
        (path for paths in classes.values() for path in paths),
    )
    with progress(lines=False) as report:
        grown = grow(cnn, files, wanted.drop, wanted.generator, report, processes=None)
        grown.bundle.save(output)
    if not wanted.estimates:
        grown = replace(grown, estimates=False)
    tell(grown.images.notices)
    _print(grown, wanted.cnn, output)
    if grown.images.left_out:
        raise typer.Exit(1)


def _print(grown: "GrownFromFolder", before: Path, output: Path) -> None:
    cnn = grown.bundle
    changes = [
        f"{what} {', '.join(names)}"
        for what, names in (
            ("added", grown.added),
            ("further images of", grown.joined),
            ("dropped", grown.dropped),
        )
        if names
    ]
    say("changes", f"{before}: {'; '.join(changes)}")
    counts = ", ".join(f"{name} ({cnn.support.get(name, '?')})" for name in cnn.classes)
    say("classes", f"{len(cnn.classes)}: {counts}")
    if grown.images.labeled:
        print_images(grown)
    numbers = f"{cnn.parameter_count} numbers, {len(cnn.to_bytes())} bytes"
    say("CNN", f"{numbers}; by {grown.generator.name} in {1000 * grown.seconds:.1f} ms")
    kept = "its convolutions do not depend on the images: the same CNN as of all images at once"
    if not grown.is_exact:
        kept = (
            "its convolutions are those of the images that it was made of first; made anew, it may be better"
        )
    say("", kept)
    if grown.images.labeled:
        print_estimate(grown, "added images right when left out of their class mean")
    print_warnings(grown)
    say("written", f"{output}; next: htgen predict {shlex.quote(str(output))} IMAGES")
