"""`htgen watch`: classify the images of a folder as they come. Needs no torch."""

from pathlib import Path
from typing import Annotated

import typer

from htgen.cli.device import prepare_for_use
from htgen.cli.numbers import RejectOption

ModelArgument = Annotated[Path, typer.Argument(help="A CNN that `htgen generate` wrote.", show_default=False)]
FolderArgument = Annotated[Path, typer.Argument(help="A folder into which images come.", show_default=False)]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]
ExistingOption = Annotated[
    bool, typer.Option("--existing", help="Also classify the images that are there at the start.")
]


def watch(
    model: ModelArgument,
    folder: FolderArgument,
    reject: RejectOption = 0.0,
    as_json: JsonOption = False,
    existing: ExistingOption = False,
) -> None:
    """Classify images as they come into a folder, one line each, until Ctrl-C.

    A file is read when it does not change any more, so that it is whole. One that is replaced is classified
    again. Names of files from another program: htgen predict --stdin.
    """
    prepare_for_use()

    from htgen.cli.console import tell
    from htgen.cli.resident import answers_in_folder, tell_all
    from htgen.cnn.bundle import Bundle
    from htgen.images.folders import find_images
    from htgen.images.notices import left_out_of

    cnn = Bundle.load(model)
    there = len(find_images(folder))  # an error before anything is said
    left_out = left_out_of(folder)
    found = answers_in_folder(cnn, folder, existing)
    passed_over = f"; images that are there already, passed over without --existing: {there}"
    tell([*left_out, f"watching {folder}; Ctrl-C ends{passed_over if there and not existing else ''}"])
    tell_all(found, reject, as_json)
