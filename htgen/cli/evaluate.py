"""`htgen evaluate`: accuracy over thousands of unseen tasks."""

import json
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from htgen.config.data import AugmentConfig, EpisodeConfig
    from htgen.datasets.store import Store
    from htgen.generator.generator import Generator

DEFAULT_TASKS = 1000
MOST_TASKS = 1_000_000
DEFAULT_QUERIES = 15
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
        list[str] | None,
        typer.Option(
            help="Classes to draw from, as scheme:part or scheme:ranges; may be given several times. "
            "Default: the test part of the scheme it was trained on.",
            show_default=False,
        ),
    ] = None,
    way: Annotated[int, typer.Option(min=2, help="Classes per task.")] = 20,
    shot: Annotated[int, typer.Option(min=1, help="Labelled support images per class.")] = 1,
    query: Annotated[
        int | None, typer.Option(min=1, help="Query images per class. Default: 15.", show_default=False)
    ] = None,
    unlabeled: Annotated[int, typer.Option(min=0, help="Support images per class without label.")] = 0,
    transductive: Annotated[
        bool,
        typer.Option(
            "--transductive",
            help="Show the generator each task's query images too, without their labels, as `htgen generate "
            "--unlabeled` does with the images that are to be classified.",
        ),
    ] = False,
    tasks: Annotated[
        int | None,
        typer.Option(min=2, max=MOST_TASKS, help="Number of tasks. Default: 1000.", show_default=False),
    ] = None,
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
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            help="Evaluate each new checkpoint of a run while it trains, and add the results to its metrics.",
        ),
    ] = False,
    against: Annotated[
        str | None,
        typer.Option(
            help="Another generator that reads the same images: also how far the first is ahead of it, task "
            "by task.",
            show_default=False,
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Measure a generator on tasks of unseen classes, with the 95 % interval of the mean."""
    rounds = 1
    if protocol is Protocol.reference:
        if tasks is not None or query is not None:
            raise typer.BadParameter("it fixes --tasks and --query itself", param_hint="--protocol")
        if REFERENCE_QUERIES % way:
            raise typer.BadParameter(
                f"batches of {REFERENCE_QUERIES} queries need a way that divides it", param_hint="--way"
            )
        if transductive:
            raise typer.BadParameter("each CNN classifies 16 batches there", param_hint="--transductive")
        tasks, query, rounds = REFERENCE_TASKS, REFERENCE_QUERIES // way, REFERENCE_ROUNDS
    if watch and as_json:
        raise typer.BadParameter("results are added to the run's metrics.jsonl", param_hint="--json")
    if watch and against is not None:
        raise typer.BadParameter("checkpoints are measured by themselves", param_hint="--against")

    from htgen.cli.device import resolve_device
    from htgen.cli.stores import check_store, open_store_of, seen_classes, tell_seen
    from htgen.config.data import EpisodeConfig

    target = resolve_device(device)
    shape = EpisodeConfig(
        way=way, shot=shot, query=DEFAULT_QUERIES if query is None else query, unlabeled=unlabeled
    )
    count = DEFAULT_TASKS if tasks is None else tasks
    settings = Settings(shape, count, rounds, seed, augment, target, transductive)
    if watch:
        _watch(Path(generator), data, split, settings)
        return

    from htgen.cli.console import note_unlabeled_are_new_to
    from htgen.generator.generator import load_generator

    loaded = load_generator(generator)
    other = None if against is None else load_generator(against)
    store = open_store_of(loaded.file.provenance, data)
    splits = _splits(store, loaded.file.provenance, split)
    if other is not None:
        for name in splits:
            tell_seen(store, name, seen_classes(store, other.file.provenance), other.name)
    for one in (loaded,) if other is None else (loaded, other):
        if (transductive or unlabeled) and not one.knows_unlabeled:
            note_unlabeled_are_new_to(one.name)
        check_store(store, one)
    documents = [_measure(loaded, other, store, name, settings) for name in splits]
    if as_json:
        typer.echo(json.dumps(documents[0] if len(documents) == 1 else {"results": documents}, indent=2))
    else:
        for document in documents:
            typer.echo(_describe(document))


@dataclass(frozen=True)
class Settings:
    """How to measure: what each task looks like, and how many there are."""

    shape: "EpisodeConfig"
    tasks: int
    rounds: int
    seed: int
    augment: AugmentedAs
    device: "torch.device"
    show_queries: bool


def _watch(path: Path, data: Path | None, split: list[str] | None, settings: Settings) -> None:
    """Evaluate each checkpoint of a run until its training ends."""
    from htgen.cli.stores import check_store, open_store_of
    from htgen.errors import DataError
    from htgen.generator.generator import Generator
    from htgen.training.follow import checkpoints
    from htgen.training.run_folder import RunFolder, find_run_config

    run = RunFolder(path)
    provenance: dict[str, Any] = {"config": find_run_config(run).model_dump(mode="json")}
    store = open_store_of(provenance, data)
    try:
        trained_on = store if data is None else open_store_of(provenance, None)
    except DataError:
        if provenance["config"]["model"]["weights"]["plda"]:  # which is measured on it
            raise
        trained_on = store
    else:
        provenance["data"] = {"name": trained_on.name, "sha256": trained_on.checksum}
    splits = _splits(store, provenance, split)
    for file in checkpoints(run, trained_on):
        loaded = Generator(file, "")
        check_store(store, loaded)
        for name in splits:
            document = _measure(loaded, None, store, name, settings)
            step = file.provenance["step"]
            run.log({"event": "evaluation", "step": step, **document})
            typer.echo(f"step {step}: {_describe(document)}")


def _splits(store: "Store", provenance: dict[str, Any], given: list[str] | None) -> list[str]:
    """The splits that are named, or the test part of the scheme trained on; all checked before measuring."""
    from htgen.cli.stores import seen_classes, tell_seen
    from htgen.datasets.splits import format_ranges, named_splits, resolve_split, unseen_part

    seen = seen_classes(store, provenance)
    if given:
        for name in given:
            tell_seen(store, name, seen)
        return given
    trained_on = provenance.get("config", {}).get("data", {}).get("train", "default:train")
    default = unseen_part(store, trained_on)
    if default is None:
        known = seen.trained | seen.chosen
        first = format_ranges(set(range(store.class_count)) - known).split(",")[:3]
        new = [f"{store.name}:{','.join(first)}"] if any(first) else ["those of another store (--data)"]
        new += [name for name in named_splits(store) if known.isdisjoint(resolve_split(store, name))]
        raise typer.BadParameter(
            f"the generator was trained on '{trained_on}', and store {store.path} has no test classes beside "
            f"those; name the classes to measure on, such as {', or '.join(new)}",
            param_hint="--split",
        )
    return [default]


def _measure(
    loaded: "Generator", other: "Generator | None", store: "Store", split: str, settings: Settings
) -> dict[str, Any]:
    """Evaluate on one split: the result and how it was made."""
    from htgen.evaluation.accuracy import Evaluation, half_width95

    shape = settings.shape
    augmentation = _augmentation(loaded.file.provenance, settings.augment)
    measure = partial(_accuracies, store=store, split=split, settings=settings, augmentation=augmentation)
    accuracies = measure(loaded)
    is_transductive = settings.show_queries or loaded.model.spec.norm == "batch"
    document = {
        **Evaluation.of(accuracies, is_transductive).to_dict(),
        "generator": loaded.name,
        "sha256": loaded.sha256,
        "split": split,
        "way": shape.way,
        "shot": shape.shot,
        "query": shape.query,
        "unlabeled": shape.unlabeled,
        "query_rounds": settings.rounds,
        "queries_shown": settings.show_queries,
        "seed": settings.seed,
        "augment": settings.augment.value,
        "data": {"name": store.name, "sha256": store.checksum},
    }
    if other is not None:
        ahead = accuracies - measure(other)
        document["against"] = {
            "generator": other.name,
            "sha256": other.sha256,
            "ahead": ahead.mean().item(),
            "interval95": half_width95(ahead),
        }
    return document


def _accuracies(
    loaded: "Generator",
    store: "Store",
    split: str,
    settings: Settings,
    augmentation: "AugmentConfig | None",
) -> "Tensor":
    """Of each task, `[tasks]`; which tasks these are does not depend on the generator."""
    from htgen.cli.console import progress
    from htgen.datasets.splits import resolve_split
    from htgen.episodes.pool import ClassPool
    from htgen.episodes.sampler import EpisodeSampler, EpisodeStream
    from htgen.errors import ModelError
    from htgen.evaluation.accuracy import TASKS_PER_BATCH, task_accuracies
    from htgen.generator.network import build

    shape = settings.shape
    assert isinstance(shape.way, int)
    if shape.way > loaded.max_way:
        raise ModelError(
            f"{shape.way}-way tasks, but generator '{loaded.name}' knows at most {loaded.max_way} classes",
            f"--way {min(loaded.max_way, len(resolve_split(store, split)))}",
        )
    model = build(loaded.file).to(settings.device)
    pool = ClassPool.of_split(store, split, device=settings.device)
    stream = EpisodeStream(settings.seed, "evaluation", period=TASKS_PER_BATCH)
    sampler = EpisodeSampler(pool, shape, stream, loaded.max_way, augmentation)
    with progress() as report:
        return task_accuracies(
            model,
            sampler,
            settings.tasks,
            settings.rounds,
            lambda done: report(f"evaluating {loaded.name} on {split}", done, settings.tasks),
            show_queries=settings.show_queries,
        )


def _describe(document: dict[str, Any]) -> str:
    """One result in two lines, or three."""
    label = ""
    if document["transductive"]:
        shown = document["queries_shown"]
        label = f"  (transductive: {'the generator saw' if shown else 'batch norm reads'} the query images)"
    if document["augment"] != AugmentedAs.none.value:
        label += f"  (images augmented as in {document['augment']})"
    unlabeled = f" with {document['unlabeled']} unlabelled" if document["unlabeled"] else ""
    queries = document["query"] * document["way"] * document["query_rounds"]
    compared = ""
    if other := document.get("against"):
        ahead, interval = 100 * other["ahead"], 100 * other["interval95"]
        compared = f"\nahead of {other['generator']} on the same tasks by {ahead:.2f} ± {interval:.2f}"
    return (
        f"{document['generator']} on {document['split']}, "
        f"{document['way']}-way {document['shot']}-shot{unlabeled}: "
        f"{100 * document['accuracy']:.2f} ± {100 * document['interval95']:.2f} %{label}\n"
        f"{document['tasks']} tasks, {queries} queries each, seed {document['seed']}{compared}"
    )


def _augmentation(provenance: dict[str, Any], choice: AugmentedAs) -> "AugmentConfig | None":
    """The augmentation that a generator was trained or validated with, from what its file says."""
    if choice is AugmentedAs.none:
        return None
    from htgen.config.data import AugmentConfig, ValidationAugmentConfig
    from htgen.config.faults import validate

    config = provenance.get("config")
    if config is None:
        raise typer.BadParameter("the generator does not say how it was trained", param_hint="--augment")
    training = validate(AugmentConfig, config.get("augment", {}), "the generator's config: augment")
    if choice is AugmentedAs.training:
        return training
    # Generators from before there was such a section were validated on images as they are.
    section = config.get("augment_validation", {})
    origin = "the generator's config: augment_validation"
    return validate(ValidationAugmentConfig, section, origin).resolve(training)
