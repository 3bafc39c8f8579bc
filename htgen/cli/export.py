"""`htgen export`: a CNN file -> C, ONNX, PyTorch or a web page. Needs no torch."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from htgen.cli.written import spare

if TYPE_CHECKING:
    from htgen.arrays import Pixels
    from htgen.cnn.bundle import Bundle
    from htgen.cnn.c_common import CCode

ENDINGS = (".h", ".onnx", ".py", ".html")

ModelArgument = Annotated[Path, typer.Argument(help="A CNN that `htgen generate` wrote.", show_default=False)]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        help="The file to write; its ending says what: a C header (.h; its functions begin with the file's "
        "name), ONNX (.onnx; needs the extra onnx), lines of plain PyTorch (.py), or a page for browsers "
        "(.html). One that is there is replaced.",
        show_default=False,
    ),
]
FloatOption = Annotated[
    bool,
    typer.Option("--float", help="C: in float instead of whole numbers; much slower on small processors."),
]
PrepareOption = Annotated[
    bool,
    typer.Option("--prepare", help="C: prepare frames too, as `htgen generate --device` did support images."),
]
ArduinoOption = Annotated[
    Path | None,
    typer.Option(help="Write an Arduino library into this folder; its name is the C's.", show_default=False),
]
BitsOption = Annotated[
    int | None,
    typer.Option(
        help="C: of activations, 8 or 16. Default: 8 for drawings; 16, which takes twice the memory, for "
        "photographs.",
        show_default=False,
    ),
]
SelftestOption = Annotated[
    Path | None,
    typer.Option(
        help="C: folder of images, or of one sub-folder per class, for the self-test to store; without it, "
        "the self-test takes images of noise.",
        show_default=False,
    ),
]
LikeOption = Annotated[
    Path | None,
    typer.Option(
        help="An earlier CNN file: classes keep the index that they have there, new ones come after.",
        show_default=False,
    ),
]
FlashOption = Annotated[
    str | None,
    typer.Option(help="C: refuse a CNN that needs more with gcc -O2, such as 32k.", show_default=False),
]
RamOption = Annotated[
    str | None,
    typer.Option(help="C: refuse a CNN whose buffers need more, such as 4k.", show_default=False),
]


def export(
    model: ModelArgument,
    output: OutputOption = None,
    in_float: FloatOption = False,
    prepare: PrepareOption = False,
    arduino: ArduinoOption = None,
    bits: BitsOption = None,
    selftest: SelftestOption = None,
    like: LikeOption = None,
    flash: FlashOption = None,
    ram: RamOption = None,
) -> None:
    """Write a CNN for other programs: C for devices with kilobytes, ONNX, PyTorch, or a web page.

    The C is one header without dependencies, in whole numbers. It takes an image that is prepared already: as
    many pixels as the CNN reads, 0 to 255; or, with --prepare, a grey frame of any size. The page is one
    file, too: it prepares and classifies what is drawn, dropped or shown to the camera, without a server.
    """
    from htgen.cnn.arduino import library_files
    from htgen.cnn.bundle import Bundle
    from htgen.cnn.c_common import expect_fits
    from htgen.files import kind_at

    limits = [_bytes(text, option) for text, option in ((flash, "--flash"), (ram, "--ram"))]
    if (output is None) == (arduino is None):
        raise typer.BadParameter("give one of -o and --arduino", param_hint="--output")
    ending = ".h" if output is None else output.suffix.lower()
    if ending not in ENDINGS:
        raise typer.BadParameter(
            f"'{ending}' is no format that there is: {', '.join(ENDINGS)}", param_hint="--output"
        )
    if bits not in (None, 8, 16):
        raise typer.BadParameter(f"{bits} is neither 8 nor 16", param_hint="--bits")
    if ending != ".h" and (in_float or prepare or bits or selftest or flash or ram):
        raise typer.BadParameter("--float, --prepare, --bits, --selftest, --flash and --ram are for C (.h)")
    if in_float and (prepare or bits or selftest or arduino):
        raise typer.BadParameter(
            "--prepare, --bits, --selftest and --arduino are for C in whole numbers", param_hint="--float"
        )
    pictures = [] if selftest is None else _images_in(selftest)
    read: dict[str, list[Path | None]] = {"the CNN itself": [model], "the CNN of --like": [like]}
    if kind_at(model):  # or else it is told that there is none
        spare({"--output": output}, read, pictures)
    bundle, stored = Bundle.load(model), None
    if like is not None:
        stored = bundle.classes
        bundle = bundle.with_classes_like(Bundle.load(like).classes)
    if ending == ".h":
        target = output or arduino
        assert target is not None
        code = _c(bundle, target.stem, in_float, prepare, pictures, bits)
        expect_fits(code, *limits)
        if arduino is not None:
            for path in library_files(code):
                spare({"--arduino": arduino / path}, read, pictures)
        _write_c(code, output, arduino)
    else:
        assert output is not None
        _write_other(bundle, output, model, stored)


def _bytes(text: str | None, option: str) -> int | None:
    """`32k` or `2048` as bytes."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,9})([kK]?)", text)
    if match is None:
        raise typer.BadParameter(f"'{text}' is no number of bytes, such as 2048 or 32k", param_hint=option)
    return int(match[1]) * (1024 if match[2] else 1)


def _c(
    bundle: "Bundle", name: str, in_float: bool, prepare: bool, selftest: list[Path], bits: int | None
) -> "CCode":
    from htgen.cnn.c_source import c_code

    images = _prepared(bundle, selftest) if selftest and not in_float else None
    return c_code(bundle, name, in_float, prepare, images, bits)


def _images_in(folder: Path) -> list[Path]:
    """Images of a folder, or else of its sub-folders; at least one."""
    from htgen.errors import DataError
    from htgen.images.folders import class_folders, find_folders, find_images

    paths = sorted(find_images(folder))
    if not paths and find_folders(folder):
        paths = [path for images in class_folders(folder, minimum=1).values() for path in images]
    if not paths:
        raise DataError(
            f"{folder} holds no image files", "a folder with images, or with one sub-folder per class"
        )
    return paths


def _prepared(bundle: "Bundle", paths: list[Path]) -> "Pixels":
    """Images as the CNN sees them: uint8 `[N, C, H, W]`."""
    import numpy as np

    from htgen.images.reading import load_image

    how = bundle.preprocessing
    images = [how.apply(load_image(path, how.enough)) for path in paths]
    return np.stack(images).transpose(0, 3, 1, 2)


def _write_c(code: "CCode", output: Path | None, arduino: Path | None) -> None:
    from htgen.cnn.arduino import library_files
    from htgen.files import write_text

    if output is not None:
        write_text(output, code.text)
    else:
        assert arduino is not None
        for path, content in library_files(code).items():
            (arduino / path).parent.mkdir(parents=True, exist_ok=True)
            write_text(arduino / path, content)
    arguments = "pixels, logits" if code.code else "pixels, &probability"
    _say("constants", f"{code.constants} bytes (flash)")
    if code.code:
        _say("code", f"about {code.code} bytes at most with -O2 (flash)")
    _say("buffers", f"{code.buffers} bytes (RAM)")
    _say("work", f"{code.multiply_adds} multiply-adds an image")
    _say("written", f"{output or arduino}; {code.name}_classify({arguments}) gives the index of a class")


def _write_other(bundle: "Bundle", output: Path, model: Path, stored: tuple[str, ...] | None) -> None:
    """Write a CNN; `stored` are the classes in the order of the file `model`, if they have another one."""
    import os

    from htgen.cnn.html_page import page_html, page_name
    from htgen.cnn.onnx_file import onnx_bytes
    from htgen.cnn.pytorch_file import pytorch_text
    from htgen.files import write_bytes, write_text

    if output.suffix.lower() == ".py":
        where = os.path.relpath(model, output.parent).replace(os.sep, "/")
        write_text(output, pytorch_text(bundle, where, stored))
        _say("written", f"{output}; it reads {model}")
    elif output.suffix.lower() == ".html":
        text = page_html(bundle, page_name(output))
        write_text(output, text)
        _say(
            "written",
            f"{output}, {len(text.encode())} bytes; open it in a browser, it sends nothing anywhere",
        )
    else:
        data = onnx_bytes(bundle)
        write_bytes(output, data)
        _say("written", f"{output}, {len(data)} bytes; uint8 pixels [N, C, H, W] -> logits, probabilities")


def _say(key: str, value: str) -> None:
    from htgen.files import printable

    typer.echo(f"{key:11}{printable(value)}")
