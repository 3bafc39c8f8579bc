"""`htgen inspect`: what a CNN or generator file is, and where it comes from. Needs no torch."""

import json
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
    """Tell what a file is: layers and classes of a CNN; recipe, data and validation of a generator."""
    from htgen.cli.console import printable

    header, sizes = _read(_find(file))
    if as_json:
        typer.echo(json.dumps(header, indent=2))
        return
    numbers = sum(sizes.values())
    rows = [
        ("format", f"{header['format']} {header['version']}"),
        ("numbers", f"{numbers} in {len(sizes)} tensors"),
    ]
    rows += _about_cnn(header) if header["format"] == "htgen-cnn" else _about_generator(header)
    for key, value in rows:
        typer.echo(f"{key:12}{printable(value)}")


def _find(name: str) -> Path:
    """The file behind a path, a run folder or a name."""
    from htgen.generator_files import generator_path

    path = Path(name)
    return path if path.is_file() else generator_path(name)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """Header and number of entries per tensor of any file that htgen writes.

    Raises:
        ModelError: it is none.
    """
    from safetensors import SafetensorError, safe_open

    from htgen.errors import ModelError

    try:
        with safe_open(path, framework="np") as file:
            header: dict[str, Any] = json.loads((file.metadata() or {})["htgen"])
            sizes = {}
            for name in file.keys():  # noqa: SIM118 (no mapping)
                size = 1
                for side in file.get_slice(name).get_shape():
                    size *= side
                sizes[name] = size
            if not {"format", "version"} <= header.keys():
                raise KeyError("format")
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{path} is no file of htgen, or it is damaged ({error})", "a file that htgen wrote"
        ) from error
    return header, sizes


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
    if "config" in header:  # a training state
        return [("step", str(header["step"])), ("best", str(header["best"]))]
    model, provenance = header["model"], header["provenance"]
    cnn = model["cnn"]
    rows = [("name", header["name"])]
    rows.append(("classes", f"2 to {model['max_way']}"))
    rows.append(("CNN", f"{cnn['shape']}, {cnn['channels']} channels, norm {cnn['norm']}"))
    rows.append(("images", _images(header["preprocessing"])))
    if provenance.get("data"):
        rows.append(("data", f"{provenance['data']['name']} {provenance['data']['sha256'][:12]}"))
    if provenance.get("step"):
        rows.append(("trained", f"{provenance['step']} steps, {provenance.get('episodes', '?')} episodes"))
    if provenance.get("validation"):
        result = provenance["validation"]
        accuracy, interval = 100 * result["accuracy"], 100 * result["interval95"]
        split = provenance["config"]["data"]["val"]
        rows.append(("validation", f"{accuracy:.2f} ± {interval:.2f} % on {split}, {result['tasks']} tasks"))
    if provenance.get("calibration"):
        from htgen.temperature import Temperature

        result = provenance["calibration"]
        error = f"calibration error {100 * result['error']:.1f} % on {result['split']}"
        rows.append(("temperature", f"{Temperature.of(provenance)}; {error}"))
    return rows
