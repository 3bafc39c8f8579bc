"""`htgen inspect`: what a CNN or generator file is, and where it comes from. Needs no torch."""

import json
import math
from pathlib import Path
from typing import Annotated, Any

import typer


def inspect(
    file: Annotated[
        str,
        typer.Argument(
            help="A CNN, a generator file, a run folder, or the name of a generator that ships.",
            show_default=False,
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="All that the file says, as JSON.")] = False,
) -> None:
    """Tell what a file is: layers and classes of a CNN; recipe and data of a generator, and what it was
    validated with, unless settings were changed since (those that ship: see their cards)."""
    from htgen.cli.console import printable
    from htgen.errors import ModelError
    from htgen.tensor_files import describe

    path = _find(file)
    header, shapes = describe(path)
    if as_json:
        typer.echo(json.dumps(header, indent=2))
        return
    rows = [("numbers", f"{sum(map(math.prod, shapes.values()))} in {len(shapes)} tensors")]
    try:
        rows.insert(0, ("format", f"{header['format']} {header['version']}"))
        rows += _ABOUT[header["format"]](header)
        lines = [f"{key:12}{printable(value)}" for key, value in rows]
    except (KeyError, TypeError, AttributeError, ValueError, ModelError) as error:
        reason = error.message if isinstance(error, ModelError) else error
        raise ModelError(
            f"{path} is damaged: its description does not say what it should ({reason})",
            "a file that htgen wrote",
        ) from error
    for line in lines:
        typer.echo(line)


def _find(name: str) -> Path:
    """The file behind a path, a run folder or a name."""
    from htgen.files import kind_at
    from htgen.generator.shipped import generator_path

    return Path(name) if kind_at(name) == "file" else generator_path(name)


def _about_cnn(header: dict[str, Any]) -> list[tuple[str, str]]:
    cnn, preprocessing = header["cnn"], header["preprocessing"]
    rows = [
        ("classes", ", ".join(f"{c} ({header['support'].get(c, '?')} images)" for c in header["classes"]))
    ]
    rows.append(("generator", f"{header['generator']['name']} {header['generator']['sha256'][:12]}"))
    rows.append(("images", _images(preprocessing)))
    rows.append(
        ("norm", cnn["norm"] + (" (transductive)" if cnn["norm"] == "batch" else " statistics, frozen"))
    )
    for conv in cnn["convs"]:
        pool = ", pool" if conv["pool"] else ""
        shape = f"{conv['in_channels']} -> {conv['out_channels']} channels, {conv['kernel']}x{conv['kernel']}"
        rows.append((conv["name"], f"{shape}{pool}, {conv['in_size']} -> {conv['out_size']} pixels"))
    return rows


def _images(preprocessing: dict[str, Any]) -> str:
    """The record in one line."""
    values = {**preprocessing, **preprocessing.get("steps", {})}
    return ", ".join(f"{key} {value}" for key, value in values.items() if key != "steps")


def _about_generator(header: dict[str, Any]) -> list[tuple[str, str]]:
    from htgen.generator.provenance import Provenance

    model, provenance = header["model"], Provenance.from_json(header["provenance"])
    cnn, data, result = model["cnn"], provenance.data, provenance.validation
    rows = [("name", header["name"])]
    rows.append(("classes", f"2 to {model['max_way']}"))
    rows.append(("CNN", f"{cnn['shape']}, {cnn['channels']} channels, norm {cnn['norm']}"))
    rows.append(("images", _images(header["preprocessing"])))
    if data.name is not None:
        rows.append(("data", f"{data.name} {(data.sha256 or '')[:12]}"))
    if provenance.step:
        episodes = "?" if provenance.episodes is None else provenance.episodes
        rows.append(("trained", f"{provenance.step} steps, {episodes} episodes"))
    if result is not None:
        accuracy, interval = 100 * result.accuracy, 100 * result.interval95
        split = provenance.config.data.val
        rows.append(("validation", f"{accuracy:.2f} ± {interval:.2f} % on {split}, {result.tasks} tasks"))
    if (found := provenance.calibration) is not None:
        error = (
            "" if found.error is None else f"; calibration error {100 * found.error:.1f} % on {found.split}"
        )
        rows.append(("temperature", f"{provenance.temperature}{error}"))
    return rows


def _about_state(header: dict[str, Any]) -> list[tuple[str, str]]:
    return [("step", str(header["step"])), ("best", str(header["best"]))]


_ABOUT = {
    "htgen-cnn": _about_cnn,
    "htgen-generator": _about_generator,
    "htgen-training-state": _about_state,
}
