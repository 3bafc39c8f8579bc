"""`htgen bench`: how fast htgen is on this machine, beside how fast it could be."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from htgen.bench.report import Report
    from htgen.config.run import Config

DEFAULT_CONFIG = "omniglot_1shot"
DEFAULT_OVERRIDES = ("train.episodes_per_step=32",)
"""The preset takes one episode per step, as the reference does; nobody who wants speed would."""


ConfigOption = Annotated[
    str | None,
    typer.Option(
        help="A preset or a YAML file. Default: the shapes of omniglot_1shot, 32 episodes per step.",
        show_default=False,
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override one value, e.g. train.episodes_per_step=16.",
        show_default=False,
    ),
]
DeviceOption = Annotated[
    str | None,
    typer.Option(
        help="Where to train: auto, cpu, cuda, ... The rest runs on the CPU. Default: auto.",
        show_default=False,
    ),
]
ThreadsOption = Annotated[
    int | None, typer.Option(min=1, help="CPU threads. Default: torch's choice.", show_default=False)
]
QuickOption = Annotated[bool, typer.Option("--quick", help="Few repeats: rough figures, soon.")]
ProfileOption = Annotated[
    Path | None,
    typer.Option(help="Write where the time of training and generation goes.", show_default=False),
]
CountOption = Annotated[
    bool, typer.Option("--count", help="Only count the multiply-adds of the config; measure nothing.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def bench(
    config: ConfigOption = None,
    overrides: SetOption = None,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    quick: QuickOption = False,
    profile: ProfileOption = None,
    count: CountOption = False,
    as_json: JsonOption = False,
) -> None:
    """Measure training, generation, prediction and start-up on this machine; it needs no data.

    The floor is the counted multiply-adds over this machine's measured matrix-product rate; a process's
    floor is the import it cannot do without. Run it on a machine that does nothing else.
    """
    if count and (profile is not None or quick or threads is not None or device is not None):
        raise typer.BadParameter(
            "nothing is measured, so it takes no option of measuring", param_hint="--count"
        )

    from htgen.cli.written import spare

    spare({"--profile": profile}, {"the config": [Path(config)] if config is not None else []})
    settings = _settings(config, overrides or [])
    if count:
        _print_count(settings, as_json)
        return
    if threads is not None and "numpy" not in sys.modules:
        # Read once, when the libraries are loaded; the measured processes inherit it.
        os.environ.update(
            dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
        )

    from htgen.bench.measure import measure
    from htgen.cli.console import progress, stderr
    from htgen.cli.device import resolve_device

    with progress(lines=False) as show:

        def report(what: str, done: int, total: int) -> None:
            if what:
                stderr().print(f"measuring: {what}", markup=False)
            show("parts measured", done, total)

        found = measure(
            settings,
            resolve_device(device or "auto"),
            threads=threads,
            quick=quick,
            profile=profile,
            report=report,
        )
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=2))
    else:
        _print_report(found)
    if profile is not None:
        stderr().print(f"profile: {profile}", markup=False)


def _settings(config: str | None, overrides: list[str]) -> "Config":
    from htgen.config.files import load_config

    if config is None:
        return load_config(DEFAULT_CONFIG, [*DEFAULT_OVERRIDES, *overrides])
    return load_config(config, overrides)


def _print_report(report: "Report") -> None:
    machine, episode = report.machine, report.episode
    where = machine.gpu or machine.cpu
    typer.echo(f"{report.config} on {machine.device} ({where}), torch {machine.torch}")
    typer.echo(
        f"cores {machine.cores}, torch threads {machine.torch_threads}; {episode['way']} classes, "
        f"{episode['support']} + {episode['query']} images, {episode['episodes_per_step']} episodes per step"
    )
    for name, rate in report.rates.items():
        giga = rate.multiply_adds_per_second / 1e9
        typer.echo(
            f"matrix product for {name}: {giga:.1f} G multiply-adds/s "
            f"({rate.library}, {rate.dtype}, {rate.device}, {rate.size} x {rate.size})"
        )
    if report.quick:
        typer.echo("quick: few repeats, the figures are rough")
    typer.echo("")
    rows = [("what", "measured", "floor", "fraction")]
    for measure in report.measures:
        floor, fraction = measure.floor, measure.fraction
        rows.append(
            (
                measure.what,
                _quantity(measure.value, measure.unit),
                "" if floor is None else _quantity(floor, measure.unit),
                "" if fraction is None else f"{100 * fraction:.1f} %",
            )
        )
    _print_rows(rows)


def _print_count(config: "Config", as_json: bool) -> None:
    """The multiply-adds of a config, part by part."""
    from dataclasses import asdict

    from htgen.bench.cost import generation_cost, prediction_cost, training_cost
    from htgen.episodes.shape import largest_episode

    size = largest_episode(config.episodes)
    train = training_cost(config.model, size)
    generate = generation_cost(config.model, size.way, max(1, size.support // size.way)).total
    predict = prediction_cost(config.model, size.way).total
    if as_json:
        document: dict[str, Any] = {
            "config": config.name,
            "episode": asdict(size),
            "train": {
                "forward": train.forward,
                "backward": train.backward,
                "kinds": train.by_kind(),
                "parts": [asdict(part) for part in train.parts],
            },
            "generate": generate,
            "predict": predict,
        }
        typer.echo(json.dumps(document, indent=2))
        return
    typer.echo(f"{config.name}: {size.way} classes, {size.support} support and {size.query} query images\n")
    rows = [("multiply-adds of one episode", "forward", "backward", "")]
    share = {part.name: part.total / train.total for part in train.parts}
    rows += [
        (part.name, f"{part.forward:,}", f"{part.backward:,}", f"{100 * share[part.name]:.1f} %")
        for part in train.parts
    ]
    rows.append(("together", f"{train.forward:,}", f"{train.backward:,}", ""))
    rows.append(("generating one CNN", f"{generate:,}", "", ""))
    rows.append(("classifying one image", f"{predict:,}", "", ""))
    _print_rows(rows)


def _print_rows(rows: list[tuple[str, str, str, str]]) -> None:
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    for first, *others in rows:
        cells = [f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True)]
        typer.echo("  ".join([f"{first:{widths[0]}}", *cells]).rstrip())


def _quantity(value: float, unit: str) -> str:
    """A number with its unit, in the size that reads well."""
    if unit == "bytes":
        return f"{value / 1e6:.0f} MB"
    if unit == "s":
        return f"{1000 * value:.3g} ms" if value < 0.9995 else f"{value:.2f} s"
    return f"{value:.3g} {unit}" if value < 1000 else f"{value:,.0f} {unit}"
