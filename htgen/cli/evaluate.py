"""`htgen evaluate`: accuracy over thousands of unseen tasks."""

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from htgen.augment import Augmentation

REFERENCE_TASKS = 1024
REFERENCE_ROUNDS = 16
REFERENCE_QUERIES = 100


class Protocol(StrEnum):
    """What `--protocol` takes."""

    htgen = "htgen"
    reference = "reference"


class AugmentedAs(StrEnum):
    """What `--augment` takes."""

    none = "none"
    training = "training"
    validation = "validation"


def evaluate(
    generator: Annotated[
        str,
        typer.Argument(
            help="A run folder, a generator file, or the name of one that ships.", show_default=False
        ),
    ],
    data: Annotated[
        Path | None, typer.Option(help="The store. Default: the one it was trained on.", show_default=False)
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="Classes to draw from, as scheme:part or scheme:ranges. Default: the test part of the "
            "scheme it was trained on.",
            show_default=False,
        ),
    ] = None,
    way: Annotated[int, typer.Option(min=2, help="Classes per task.")] = 20,
    shot: Annotated[int, typer.Option(min=1, help="Support images per class.")] = 1,
    query: Annotated[int, typer.Option(min=1, help="Query images per class.")] = 15,
    tasks: Annotated[int, typer.Option(min=2, help="Number of tasks.")] = 1000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same tasks.")] = 0,
    protocol: Annotated[
        Protocol,
        typer.Option(
            help="reference: 1024 tasks, 16 batches of 100 fresh queries per generated CNN, in place of "
            "--tasks and --query."
        ),
    ] = Protocol.htgen,
    augment: Annotated[
        AugmentedAs,
        typer.Option(
            help="Change the images as in the generator's training or validation; none: images as they are."
        ),
    ] = AugmentedAs.none,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Measure a generator on tasks of unseen classes, with the 95 % interval of the mean."""
    from htgen.cli.console import progress
    from htgen.cli.device import resolve_device
    from htgen.episodes import EpisodeSampler, EpisodeShape, load_images, open_store
    from htgen.errors import DataError, ModelError
    from htgen.evaluate import TASKS_PER_BATCH
    from htgen.evaluate import evaluate as measure
    from htgen.generator import load_generator

    loaded = load_generator(generator)
    trained_on = loaded.file.provenance.get("config", {}).get("data", {})
    if data is None and "store" not in trained_on:
        raise typer.BadParameter("the generator does not say what it was trained on", param_hint="--data")
    store = open_store(data if data is not None else trained_on["store"])
    if split is None:
        split = f"{trained_on.get('train', 'default').partition(':')[0]}:test"
    rounds = 1
    if protocol is Protocol.reference:
        if REFERENCE_QUERIES % way:
            raise typer.BadParameter(
                f"batches of {REFERENCE_QUERIES} queries need a way that divides it", param_hint="--way"
            )
        tasks, query, rounds = REFERENCE_TASKS, REFERENCE_QUERIES // way, REFERENCE_ROUNDS
    if way > loaded.max_way:
        raise ModelError(
            f"{way}-way tasks, but generator '{loaded.name}' knows at most {loaded.max_way} classes",
            f"--way {loaded.max_way}",
        )
    spec = loaded.model.spec
    if (store.size, store.channels) != (spec.image_size, spec.image_channels):
        raise DataError(
            f"store {store.path} has images of {store.size}x{store.size} pixels, {store.channels} channels; "
            f"generator '{loaded.name}' reads {spec.image_size}x{spec.image_size} and {spec.image_channels}",
            "a store prepared for this generator",
        )
    target = resolve_device(device)
    loaded.model.to(target)
    sampler = EpisodeSampler.from_store(
        store,
        split,
        EpisodeShape(way, shot, query),
        images=load_images(store, target),
        slot_count=loaded.max_way,
        seed=seed,
        stream="evaluation",
        period=TASKS_PER_BATCH,
        augmentation=_augmentation(loaded.file.provenance, augment),
        device=target,
    )
    with progress() as report:
        result = measure(loaded.model, sampler, tasks, rounds, lambda done: report("evaluating", done, tasks))

    document = {
        **result.to_dict(),
        "generator": loaded.name,
        "sha256": loaded.sha256,
        "split": split,
        "way": way,
        "shot": shot,
        "query": query,
        "query_rounds": rounds,
        "seed": seed,
        "augment": augment.value,
        "data": {"name": store.name, "sha256": store.checksum},
    }
    if as_json:
        typer.echo(json.dumps(document, indent=2))
        return
    label = "  (transductive: batch norm reads the query batch)" if result.transductive else ""
    if augment is not AugmentedAs.none:
        label += f"  (images augmented as in {augment.value})"
    typer.echo(
        f"{loaded.name} on {split}, {way}-way {shot}-shot: "
        f"{100 * result.accuracy:.2f} ± {100 * result.interval95:.2f} %{label}\n"
        f"{tasks} tasks, {query * way * rounds} queries each, seed {seed}"
    )


def _augmentation(provenance: dict[str, Any], choice: AugmentedAs) -> "Augmentation | None":
    """The augmentation that a generator was trained or validated with, from what its file says."""
    if choice is AugmentedAs.none:
        return None
    from htgen.config import AugmentConfig, ValidationAugmentConfig, validate
    from htgen.train import augmentation

    config = provenance.get("config")
    if config is None:
        raise typer.BadParameter("the generator does not say how it was trained", param_hint="--augment")
    training = validate(AugmentConfig, config.get("augment", {}), "the generator's config: augment")
    if choice is AugmentedAs.training:
        return augmentation(training)
    # Generators from before there was such a section were validated on images as they are.
    section = config.get("augment_validation", {})
    origin = "the generator's config: augment_validation"
    return augmentation(validate(ValidationAugmentConfig, section, origin).resolve(training))
