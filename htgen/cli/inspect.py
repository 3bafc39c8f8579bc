"""`htgen inspect`: what a CNN or generator file is, and where it comes from. Needs no torch."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from htgen.cli.written import spare


def inspect(
    file: Annotated[
        str,
        typer.Argument(
            help="A CNN, a generator file, a run folder, a store, or the name of a generator that ships.",
            show_default=False,
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="All that the file says, as JSON.")] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Also read it as the commands do that use it; of a store, compare the checksum of its "
            "images. Damage is exit code 5, of a store 4.",
        ),
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option(
            help="Also write a PNG: the kernels of a CNN, or some images of each class of a store.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Tell what a file is: layers and classes of a CNN; recipe and data of a generator, and what it was
    validated with, unless settings were changed since (those that ship: see their cards)."""
    from htgen.files import printable

    if _is_store(Path(file)):
        header, rows = _store(Path(file), check)
    else:
        header, rows = _tensor_file(file, check)
    if plot is not None:
        _write_picture(file, plot)
    if as_json:
        typer.echo(json.dumps(header, indent=2))
        return
    for key, value in rows:
        typer.echo(f"{key:12}{printable(value)}")


def _write_picture(file: str, plot: Path) -> None:
    """What there is to see of a file, as PNG.

    Raises:
        ModelError: it is neither a CNN nor a store.
    """
    from htgen.files import write_bytes
    from htgen.images.pictures import image_of, png_of

    if plot.suffix.lower() != ".png":
        raise typer.BadParameter("pictures are PNG: name a file ending with .png", param_hint="--plot")
    spare({"--plot": plot}, {"what is drawn": [Path(file)]})
    if _is_store(Path(file)):
        from htgen.datasets.contact_sheet import contact_sheet
        from htgen.datasets.store import Store

        pixels = contact_sheet(Store.open(file))
    else:
        from htgen.cnn.activations import kernels_picture
        from htgen.cnn.bundle import Bundle

        pixels = kernels_picture(Bundle.load(_find(file)))
    write_bytes(plot, png_of(image_of(pixels)))


def _is_store(path: Path) -> bool:
    from htgen.files import kind_at

    if kind_at(path) != "folder":
        return False
    from htgen.datasets.store_format import MANIFEST  # with pydantic, which files do without

    return kind_at(path / MANIFEST) == "file"


def _tensor_file(name: str, check: bool) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """All that a file says, and what is shown of it."""
    from htgen.errors import ModelError
    from htgen.tensor_files import read_any

    path = _find(name)
    file = read_any(path)
    header = file.header
    count = sum(tensor.size for tensor in file.tensors.values())
    rows = [("numbers", f"{count} in {len(file.tensors)} tensors")]
    if file.has_checksum:
        rows.append(("checksum", "right"))
    else:
        rows.append(("checksum", "none; the file is of an older htgen, and damage may not be noticed"))
    try:
        rows.insert(0, ("format", f"{header['format']} {header['version']}"))
        rows += _ABOUT[header["format"]](header)
        rows = [(key, str(value)) for key, value in rows]
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError, ModelError) as error:
        reason = error.message if isinstance(error, ModelError) else str(error)
        raise ModelError(
            f"{path} is damaged: its description does not say what it should ({reason})",
            "a file that htgen wrote",
        ) from error
    if check:
        rows.append(("check", _checked(path, name, header["format"])))
    return header, rows


def _checked(path: Path, name: str, format_name: str) -> str:
    """Read a file as the commands do that use it, and say what was found right.

    Raises:
        ModelError: it is damaged.
    """
    from htgen.cnn.bundle import Bundle
    from htgen.generator.generator import load_generator

    if format_name == "htgen-cnn":
        Bundle.load(path)
        return "its tensors are those that its description asks for, all of them usable numbers"
    if format_name == "htgen-generator":
        load_generator(name)
        return "its tensors are those that its description asks for, all of them usable numbers"
    return "its description can be read; `htgen train --resume` compares it with its run"


def _store(path: Path, check: bool) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """All that the manifest of a store says, and what is shown of it.

    Raises:
        DataError: it is damaged.
    """
    from htgen.datasets.store import Store
    from htgen.datasets.store_format import read_manifest

    store = Store.open(path, verify=check)
    manifest = read_manifest(path)
    own = "checksum right" if manifest.checksum else "no checksum; the store is of an older htgen"
    return manifest.model_dump(), [
        ("format", f"{manifest.format} {manifest.format_version}"),
        ("name", store.name),
        ("classes", str(store.class_count)),
        ("images", f"{len(store.images)} of {store.size} x {store.size} x {store.channels}, ink {store.ink}"),
        ("splits", ", ".join(f"{name}:{part}" for name, s in store.schemes.items() for part in s.parts)),
        ("manifest", own),
        ("checksum", "right" if check else "not compared; --check does"),
    ]


def _find(name: str) -> Path:
    """The file behind a path, a run folder or a name.

    Raises:
        ModelError: there is none.
    """
    from htgen.errors import ModelError
    from htgen.files import kind_at
    from htgen.generator.shipped import generator_path, shipped_generators

    if kind_at(name) == "file":
        return Path(name)
    try:
        return generator_path(name)
    except ModelError as error:
        remedy = "a CNN, a generator file, a run folder in which training has validated once, or a store"
        if kind_at(name) is None:
            shipped = f"a generator that ships ({', '.join(shipped_generators())})"
            raise ModelError(f"there is no '{name}'", f"{shipped}, {remedy}") from None
        raise ModelError(error.message, remedy) from None


def _about_cnn(header: dict[str, Any]) -> list[tuple[str, str]]:
    from htgen.cnn.score import Score

    cnn = header["cnn"]
    rows = [
        ("classes", ", ".join(f"{c} ({header['support'].get(c, '?')} images)" for c in header["classes"]))
    ]
    rows.append(("generator", f"{header['generator']['name']} {header['generator']['sha256'][:12]}"))
    if "estimate" in header:
        rows.append(("estimate", f"{Score.from_dict(header['estimate'])}, each left out of the support set"))
    rows += _images(header["preprocessing"])
    if any(conv.get("norm", True) for conv in cnn["convs"]):
        how = " (transductive)" if cnn["norm"] == "batch" else " statistics, frozen"
        rows.append(("norm", cnn["norm"] + how))
    rows += _trunk(header)
    if len(cnn["convs"]) > MOST_LAYERS:
        last = cnn["convs"][-1]
        count = f"{len(cnn['convs'])} convolutions, {last['out_channels']} channels in the last"
        return [*rows, ("layers", f"{count}; --json names them all")]
    for conv in cnn["convs"]:
        pool = ", pool" if conv["pool"] else ""
        shape = f"{conv['in_channels']} -> {conv['out_channels']} channels, {conv['kernel']}x{conv['kernel']}"
        rows.append((conv["name"], f"{shape}{pool}, {conv['in_size']} -> {conv['out_size']} pixels"))
    return rows


MOST_LAYERS = 12
"""That are told one by one."""


def _trunk(header: dict[str, Any]) -> list[tuple[str, str]]:
    """Who trained the trunk, where a file says so."""
    trunk = header.get("trunk", {})
    parts = ("source", "licence", "package")
    return [("trunk" if part == "source" else part, trunk[part]) for part in parts if part in trunk]


def _images(record: dict[str, Any]) -> list[tuple[str, str]]:
    """What becomes of an image; `--json` has the numbers."""
    from htgen.images.preprocessing import Preprocessing
    from htgen.images.words import describe_images, describe_steps

    preprocessing = Preprocessing.from_dict(record)
    images = ("images", describe_images(preprocessing))
    if preprocessing.ink == "none":
        return [images]
    turned = "" if preprocessing.steps.polarity else "; not turned over"
    return [images, ("steps", describe_steps(preprocessing) + turned)]


def _describe_classes(model: dict[str, Any]) -> str:
    """How many classes a CNN can have, and how many of them the generator is shown at once."""
    weights = model["weights"]
    if model.get("labels") == "codes" or weights["prototypes"] == "alone":
        return "2 and more"
    if weights["prototypes"] and weights["base"] != "all":
        return f"2 and more; convolutions in view of {model['max_way']} at most"
    return f"2 to {model['max_way']}"


def _about_generator(header: dict[str, Any]) -> list[tuple[str, str]]:
    """What is shown is read from the plain values: pydantic, for the records, takes longer than all else."""
    from htgen.generator.temperature import Temperature

    model, provenance = header["model"], header["provenance"]
    cnn, data = model["cnn"], provenance.get("data", {})
    rows = [("name", header["name"])]
    rows.append(("classes", _describe_classes(model)))
    is_trunk = model["weights"].get("prototypes") == "alone"
    layers = "no transformer" if is_trunk else f"{cnn['channels']} channels, norm {cnn['norm']}"
    rows.append(("CNN", f"{cnn['shape']}, {layers}"))
    rows += _trunk(header)
    rows += _images(header["preprocessing"])
    sources = [data, provenance.get("second", {})]
    named = [
        f"{source['name']} {(source.get('sha256') or '')[:12]}" for source in sources if source.get("name")
    ]
    if named:
        rows.append(("data", " and ".join(named)))
    if step := provenance.get("step"):
        episodes = "?" if provenance.get("episodes") is None else provenance["episodes"]
        rows.append(("trained", f"{step} steps, {episodes} episodes"))
    if (result := provenance.get("validation")) is not None:
        accuracy, interval = 100 * result["accuracy"], 100 * result["interval95"]
        split = provenance.get("config", {}).get("data", {}).get("val")
        rows.append(("validation", f"{accuracy:.2f} ± {interval:.2f} % on {split}, {result['tasks']} tasks"))
    if (found := provenance.get("calibration")) is not None:
        temperature = Temperature.of_record(found.get("temperatures", ()), found.get("temperature"))
        error = ""
        if found.get("error") is not None:
            error = f"; calibration error {100 * found['error']:.1f} % on {found.get('split')}"
        rows.append(("temperature", f"{temperature}{error}"))
    return rows


def _about_state(header: dict[str, Any]) -> list[tuple[str, str]]:
    return [("step", str(header["step"])), ("best", str(header["best"]))]


_ABOUT = {
    "htgen-cnn": _about_cnn,
    "htgen-generator": _about_generator,
    "htgen-training-state": _about_state,
}
