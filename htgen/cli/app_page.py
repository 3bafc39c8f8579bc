"""`htgen app`: a page in the browser to make and try CNNs. Needs no torch."""

from pathlib import Path
from typing import Annotated

import typer

from htgen.cli.device import prepare_for_use

FolderArgument = Annotated[
    Path | None,
    typer.Argument(
        help="Begin with this folder of one sub-folder of images per class.",
        show_default=False,
        metavar="[FOLDER]",
    ),
]
GeneratorOption = Annotated[
    str | None,
    typer.Option(
        help="One that ships, a generator file, or a run folder. Default: the one that suits the images; it "
        "can be chosen on the page too.",
        show_default=False,
    ),
]
PortOption = Annotated[
    int, typer.Option(min=0, max=65535, help="The port on this machine; 0: one that is free.")
]
BrowserOption = Annotated[
    bool, typer.Option("--browser/--no-browser", help="Open the page in the browser of this machine.")
]


def app(
    folder: FolderArgument = None,
    generator: GeneratorOption = None,
    port: PortOption = 0,
    browser: BrowserOption = True,
) -> None:
    """Open a page on which classes are drawn, dropped or photographed, and a CNN of them is tried out.

    The page is served to this machine alone (127.0.0.1), at an address with a secret word. Nothing is sent to
    anywhere else. What is on the page is in memory and goes when the command ends: Ctrl-C. Needs the extra
    `app`.
    """
    prepare_for_use()

    from htgen.app.start import serve
    from htgen.cli.console import tell

    def ready(address: str, notices: list[str]) -> None:
        typer.echo(address)
        tell([*notices, "open this address in a browser on this machine; Ctrl-C ends"])

    serve(generator, port, folder, ready, browser)
