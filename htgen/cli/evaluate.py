"""`htgen evaluate`: accuracy over thousands of unseen tasks."""

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from htgen.cli.generator_options import (
    DataOption,
    GeneratorArgument,
    JsonOption,
    SeedOption,
    options_are_named,
)
from htgen.evaluation.augmented_as import AugmentedAs

if TYPE_CHECKING:
    import torch

    from htgen.evaluation.protocol import EvaluationProtocol

MOST_TASKS = 1_000_000


class Protocol(StrEnum):
    """What `--protocol` takes."""

    htgen = "htgen"
    reference = "reference"
    omniglot_runs = "omniglot-runs"


SplitOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Classes to draw from, as scheme:part or scheme:ranges; may be given several times. "
        "Default: the test part of the scheme it was trained on.",
        show_default=False,
    ),
]
WayOption = Annotated[int, typer.Option(min=2, help="Classes per task.")]
ShotOption = Annotated[int, typer.Option(min=1, help="Labelled support images per class.")]
QueryOption = Annotated[
    int | None, typer.Option(min=1, help="Query images per class. Default: 15.", show_default=False)
]
UnlabeledOption = Annotated[int, typer.Option(min=0, help="Support images per class without label.")]
TransductiveOption = Annotated[
    bool,
    typer.Option(
        "--transductive",
        help="Show the generator each task's query images too, without their labels, as `htgen generate "
        "--unlabeled` does with the images that are to be classified.",
    ),
]
TasksOption = Annotated[
    int | None,
    typer.Option(min=2, max=MOST_TASKS, help="Number of tasks. Default: 1000.", show_default=False),
]
ProtocolOption = Annotated[
    Protocol,
    typer.Option(
        help="reference: 1024 tasks, 16 batches of 100 fresh queries per generated CNN, in place of "
        "--tasks and --query. omniglot-runs: the within-alphabet challenge of --source, error in percent."
    ),
]
AugmentOption = Annotated[
    AugmentedAs,
    typer.Option(
        help="Change the images as in the generator's training or validation; none: images as they are."
    ),
]
OverlapOption = Annotated[
    bool,
    typer.Option(
        "--overlap",
        help="Draw query images without regard to the support set, as the published code does: the generator "
        "saw some of them with their class.",
    ),
]
SourceOption = Annotated[
    Path | None,
    typer.Option(
        help="omniglot-runs: all_runs.zip of the Omniglot repository, or the folder that it unpacks to.",
        show_default=False,
    ),
]
RelatedOption = Annotated[
    bool,
    typer.Option(
        "--related", help="Hard tasks: of classes of one group, such as an alphabet, as far as it has enough."
    ),
]
WatchOption = Annotated[
    bool,
    typer.Option(
        "--watch",
        help="Evaluate each new checkpoint of a run while it trains, and add the results to its metrics.",
    ),
]
AgainstOption = Annotated[
    str | None,
    typer.Option(
        help="Another generator that reads the same images: also how far the first is ahead of it, task "
        "by task.",
        show_default=False,
    ),
]


def evaluate(
    generator: GeneratorArgument,
    data: DataOption = None,
    split: SplitOption = None,
    way: WayOption = 20,
    shot: ShotOption = 1,
    query: QueryOption = None,
    unlabeled: UnlabeledOption = 0,
    transductive: TransductiveOption = False,
    tasks: TasksOption = None,
    seed: SeedOption = 0,
    protocol: ProtocolOption = Protocol.htgen,
    augment: AugmentOption = AugmentedAs.none,
    source: SourceOption = None,
    related: RelatedOption = False,
    overlap: OverlapOption = False,
    watch: WatchOption = False,
    against: AgainstOption = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    as_json: JsonOption = False,
) -> None:
    """Measure a generator on tasks of unseen classes, with the 95 % interval of the mean."""
    if protocol is Protocol.omniglot_runs:
        fixed = (data, split, query, tasks, against, watch, transductive, overlap, unlabeled, related)
        _measure_runs(generator, source, any(value for value in fixed), as_json)
        return
    if source is not None:
        raise typer.BadParameter("it is for --protocol omniglot-runs", param_hint="--source")
    if watch and as_json:
        raise typer.BadParameter("results are added to the run's metrics.jsonl", param_hint="--json")
    if watch and against is not None:
        raise typer.BadParameter("checkpoints are measured by themselves", param_hint="--against")

    from htgen.cli.device import resolve_device
    from htgen.evaluation.protocol import EvaluationProtocol

    if protocol is Protocol.reference and (tasks is not None or query is not None):
        raise typer.BadParameter("it fixes --tasks and --query itself", param_hint="--protocol")
    make = EvaluationProtocol.reference if protocol is Protocol.reference else EvaluationProtocol
    given = {name: value for name, value in {"tasks": tasks, "query": query}.items() if value is not None}
    with options_are_named():
        settings = make(
            way=way,
            shot=shot,
            unlabeled=unlabeled,
            transductive=transductive,
            seed=seed,
            augment=augment,
            disjoint=not overlap,
            related=related,
            **given,
        )
        target = resolve_device(device)
        if watch:
            _watch(Path(generator), settings, data, split or [], target)
        else:
            _measure(generator, settings, data, split or [], against, target, as_json)


def _measure_runs(generator: str, source: Path | None, is_changed: bool, as_json: bool) -> None:
    """The within-alphabet challenge; its tasks are those of the archive."""
    from htgen.cli.console import progress
    from htgen.evaluation.omniglot_runs import evaluate_runs
    from htgen.generator.generator import load_generator

    if is_changed:
        raise typer.BadParameter("it fixes classes, images and tasks itself", param_hint="--protocol")
    if source is None:
        raise typer.BadParameter("omniglot-runs needs all_runs.zip", param_hint="--source")
    with progress() as report:
        result = evaluate_runs(load_generator(generator), source, report)
    typer.echo(json.dumps(result.to_dict(), indent=2) if as_json else result)


def _measure(
    generator: str,
    settings: "EvaluationProtocol",
    data: Path | None,
    splits: list[str],
    against: str | None,
    device: "torch.device",
    as_json: bool,
) -> None:
    from htgen.cli.console import progress, tell
    from htgen.evaluation.measurement import prepare

    prepared = prepare(generator, settings, data, splits, against)
    tell(prepared.warnings)
    with progress() as report:
        results = prepared.run(device, report)
    if as_json:
        documents = [result.to_dict() for result in results]
        typer.echo(json.dumps(documents[0] if len(documents) == 1 else {"results": documents}, indent=2))
    else:
        for result in results:
            typer.echo(result)


def _watch(
    path: Path, settings: "EvaluationProtocol", data: Path | None, splits: list[str], device: "torch.device"
) -> None:
    """Evaluate each checkpoint of a run until its training ends."""
    from htgen.cli.console import progress, tell
    from htgen.training.follow import Watched
    from htgen.training.run_folder import RunFolder

    watched = Watched.prepare(RunFolder(path), settings, data, splits)
    tell(watched.warnings)
    told = set(watched.warnings)
    with progress() as report:
        for step, results in watched.evaluations(device, report):
            for result in results:
                tell(sorted(set(result.warnings) - told))
                told |= {*result.warnings}
                typer.echo(f"step {step}: {result}")
