"""`htgen import-reference`: a checkpoint of the published TensorFlow code -> a generator. Needs no torch."""

from pathlib import Path
from typing import Annotated

import typer

from htgen.cli.written import spare


def import_reference(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            help="Path of the checkpoint without its ending, such as run/model-4000000 for "
            "run/model-4000000.index.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="The generator to write. One that is there is replaced.",
            show_default=False,
        ),
    ],
    config: Annotated[
        str,
        typer.Option(
            "--config",
            help="Preset or YAML file of the model that was trained, with model.conventions: reference.",
        ),
    ] = "omniglot_1shot",
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="Another value of the config, as KEY.PATH=VALUE.")
    ] = None,
) -> None:
    """Make a generator of a checkpoint of the published HyperTransformer code.

    TensorFlow is not needed. Every tensor must have its place; those of training alone are left out.
    """
    from htgen.config.files import load_config
    from htgen.files import printable, write_bytes
    from htgen.generator.reference_weights import import_generator

    configs = [path] if (path := Path(config)).is_file() else []  # or the name of a preset
    spare({"--output": output}, {"a file of the checkpoint": _files_of(checkpoint), "the config": configs})
    file = import_generator(str(checkpoint), load_config(config, changes or []))
    data = file.to_bytes()
    write_bytes(output, data)
    numbers = sum(tensor.size for tensor in file.tensors.values())
    typer.echo(printable(f"{output}: generator '{file.name}', {numbers} parameters, {len(data)} bytes"))


def _files_of(checkpoint: Path) -> list[Path]:
    """The files of a checkpoint, which lie beside each other."""
    folder = checkpoint.parent
    found = folder.iterdir() if folder.is_dir() else []
    parts = tuple(f"{checkpoint.name}.{kind}" for kind in ("index", "meta", "data-"))
    return [path for path in found if path.name.startswith(parts)]
