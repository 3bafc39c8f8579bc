"""`htgen export`: a CNN file -> C. Needs no torch."""

from pathlib import Path
from typing import Annotated

import typer


def export(
    model: Annotated[Path, typer.Argument(help="A CNN that `htgen generate` wrote.", show_default=False)],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="The C header to write, e.g. symbols.h; its functions begin with the file's name. One that "
            "is there is replaced.",
            show_default=False,
        ),
    ],
    eight_bits: Annotated[
        bool, typer.Option("--eight-bits", help="Weights of 8 bits instead of 32: a quarter of the size.")
    ] = False,
) -> None:
    """Write a CNN as one C header without dependencies, for devices with kilobytes.

    It takes an image that is prepared already: as many pixels as the CNN reads, 0 to 255.
    """
    from htgen.cli.console import printable
    from htgen.cnn.bundle import Bundle
    from htgen.cnn.c_header import c_code
    from htgen.files import write_text

    if output.exists() and output.samefile(model):
        raise typer.BadParameter("it is the CNN itself", param_hint="--output")
    code = c_code(Bundle.load(model), output.stem, eight_bits)
    write_text(output, code.text)
    rows = [
        ("constants", f"{code.constants} bytes (flash)"),
        ("buffers", f"{code.buffers} bytes (RAM)"),
        ("work", f"{code.multiply_adds} multiply-adds an image"),
        ("written", f"{output}; {code.name}_classify(pixels, &probability) gives the index of a class"),
    ]
    for key, value in rows:
        typer.echo(f"{key:11}{printable(value)}")
