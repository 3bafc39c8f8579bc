"""`htgen calibrate`: make a generator's probabilities mean what they say."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

WAYS, SHOTS, QUERY = (5, 10, 20), (1, 3, 10), 3
FOREIGN_CLASSES = 5


def calibrate(
    generator: Annotated[
        str,
        typer.Argument(
            help="A run folder, a generator file, or the name of one that ships.", show_default=False
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Write the generator with its temperatures to this file.",
            show_default=False,
        ),
    ] = None,
    half: Annotated[
        bool,
        typer.Option(
            "--half",
            help="Round its weights to 16 bits, for a file of half the size; all figures are with that.",
        ),
    ] = False,
    override: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a setting that is not for training: model.views, model.weights.refine_prototypes, "
            "model.weights.plda or model.weights.plda_floor; may be given several times.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="The store. Default: the one it was trained on.", show_default=False)
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="Classes to use. Default: those it was validated on.", show_default=False),
    ] = None,
    way: Annotated[
        list[int] | None,
        typer.Option(
            min=2,
            help="Classes per task; may be given several times. Default: those of 5, 10, 20 "
            "that can be had, or else the most that can.",
            show_default=False,
        ),
    ] = None,
    shot: Annotated[
        list[int] | None,
        typer.Option(
            min=1, help="Images per class; may be given several times. Default: 1, 3, 10.", show_default=False
        ),
    ] = None,
    tasks: Annotated[int, typer.Option(min=2, help="Tasks of each way and shot.")] = 64,
    seed: Annotated[int, typer.Option(help="The same seed gives the same tasks.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Find the temperatures, by shot, that make a generator's probabilities right, and what rejecting costs.

    Tasks of every way with every shot are drawn from classes that were not trained on; all figures are of
    tasks other than those that the temperature was fitted to. Foreign images are of 5 further classes. With
    -o, a generator is written whose CNNs answer with these probabilities.
    """
    from dataclasses import replace
    from functools import partial
    from itertools import product

    from htgen.cli.console import progress
    from htgen.cli.stores import check_store, open_store_of, seen_classes, tell_seen
    from htgen.config.data import EpisodeConfig
    from htgen.datasets.splits import resolve_split
    from htgen.episodes.pool import ClassPool, load_images
    from htgen.episodes.sampler import EpisodeSampler, EpisodeStream
    from htgen.errors import DataError, ModelError
    from htgen.evaluation.after_training import with_settings
    from htgen.evaluation.calibration import Outputs, collect, describe, fit
    from htgen.files import check_writable, write_bytes
    from htgen.generator.generator import load_generator
    from htgen.generator.network import build

    loaded = load_generator(generator)
    if loaded.model.spec.norm == "batch":
        raise ModelError(
            f"'{loaded.name}' has norm batch: the answer for an image depends on the others",
            "a generator with norm support",
        )
    provenance = loaded.file.provenance
    store = open_store_of(provenance, data)
    split = split or provenance.get("config", {}).get("data", {}).get("val")
    if split is None:
        raise typer.BadParameter("the generator does not say on what it was validated", param_hint="--split")
    check_store(store, loaded)
    tell_seen(store, split, replace(seen_classes(store, provenance), chosen=frozenset()))
    if output is not None:
        check_writable(output)
    classes = len(resolve_split(store, split))
    most = min(loaded.max_way, classes - FOREIGN_CLASSES)
    ways = way or [count for count in WAYS if count <= most] or [max(2, most)]
    if max(ways) > most:
        raise DataError(
            f"{max(ways)}-way tasks with {FOREIGN_CLASSES} foreign classes cannot be had: '{split}' has "
            f"{classes} classes, and '{loaded.name}' knows {loaded.max_way} at most",
            "a smaller --way, or a --split with more classes",
        )
    images = load_images(store)
    file = with_settings(loaded.file, override, store, images) if override else loaded.file
    if half:
        file = file.in_half_precision()
    model = build(file)

    shapes = [EpisodeConfig(way=w, shot=s, query=QUERY) for w, s in product(ways, shot or SHOTS)]

    pool = ClassPool.of_split(store, split, images)

    def make_sampler(stream: str, shape: EpisodeConfig) -> EpisodeSampler:
        slots = max(ways) + FOREIGN_CLASSES
        return EpisodeSampler(pool, shape, EpisodeStream(seed, stream), slots)

    streams = ("calibration", "calibration check")
    outputs: dict[str, list[Outputs]] = {stream: [] for stream in streams}
    with progress() as report:
        for done, (stream, shape) in enumerate(product(streams, shapes)):
            report("calibrating", done, len(streams) * len(shapes))
            found = collect(model, partial(make_sampler, stream), shape, FOREIGN_CLASSES, tasks)
            outputs[stream].append(found)
    temperature = fit(outputs[streams[0]])
    document = {
        **describe(outputs[streams[1]], temperature),
        "split": split,
        "tasks": tasks,
        "seed": seed,
        "data": {"name": store.name, "sha256": store.checksum},
    }
    if as_json:
        typer.echo(json.dumps({"generator": loaded.name, **document}, indent=2))
    else:
        _print(loaded.name, document)
    if output is not None:
        file = replace(file, provenance={**file.provenance, "calibration": document})
        write_bytes(output, file.to_bytes())
        if not as_json:
            typer.echo(f"written     {output}")


def _print(name: str, document: dict[str, Any]) -> None:
    from htgen.generator.temperature import Temperature

    def percent(value: float) -> str:
        return f"{100 * value:.1f} %"

    typer.echo(f"generator   {name}, {document['tasks']} tasks of {document['split']} in each row")
    typer.echo(f"temperature {Temperature.of({'calibration': document})}")
    before, after = percent(document["error_before"]), percent(document["error"])
    typer.echo(f"calibration error {before} before, {after} after")
    typer.echo("way  shot  accuracy   before    after")
    for row in document["settings"]:
        columns = (percent(row[key]) for key in ("accuracy", "error_before", "error"))
        typer.echo(f"{row['way']:3}  {row['shot']:4}  " + "  ".join(f"{column:>7}" for column in columns))
    typer.echo("reject  accepted right  rejected  foreign caught")
    for row in document["reject"]:
        columns = (percent(row[key]) for key in ("accuracy", "rejected", "foreign_caught"))
        widths = (14, 8, 14)
        cells = "  ".join(f"{column:>{width}}" for column, width in zip(columns, widths, strict=True))
        typer.echo(f"{row['threshold']:6.2f}  {cells}")
