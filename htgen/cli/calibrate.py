"""`htgen calibrate`: make a generator's probabilities mean what they say."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from htgen.cli.generator_options import (
    DataOption,
    GeneratorArgument,
    JsonOption,
    SeedOption,
    generator_files,
    options_are_named,
)
from htgen.cli.written import spare

if TYPE_CHECKING:
    from htgen.generator.provenance import Calibration

OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        help="Write the generator with its temperatures to this file.",
        show_default=False,
    ),
]
HalfOption = Annotated[
    bool,
    typer.Option(
        "--half",
        help="Round its weights to 16 bits, for a file of half the size; all figures are with that.",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a setting that is not for training: model.views, model.weights.refine_prototypes, "
        "model.weights.plda or model.weights.plda_floor; may be given several times.",
        show_default=False,
    ),
]
SplitOption = Annotated[
    str | None,
    typer.Option(help="Classes to use. Default: those it was validated on.", show_default=False),
]
WayOption = Annotated[
    list[int] | None,
    typer.Option(
        min=2,
        help="Classes per task; may be given several times. Default: those of 5, 10, 20 "
        "that can be had, or else the most that can.",
        show_default=False,
    ),
]
ShotOption = Annotated[
    list[int] | None,
    typer.Option(
        min=1, help="Images per class; may be given several times. Default: 1, 3, 10.", show_default=False
    ),
]


def calibrate(
    generator: GeneratorArgument,
    output: OutputOption = None,
    half: HalfOption = False,
    override: SetOption = None,
    data: DataOption = None,
    split: SplitOption = None,
    way: WayOption = None,
    shot: ShotOption = None,
    tasks: Annotated[int, typer.Option(min=2, help="Tasks of each way and shot.")] = 64,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Find the temperatures, by shot, that make a generator's probabilities right, and what rejecting costs.

    Tasks of every way with every shot are drawn from classes that were not trained on; all figures are of
    tasks other than those that the temperature was fitted to. Foreign images are of 5 further classes. With
    -o, a generator is written whose CNNs answer with these probabilities.
    """
    from htgen.cli.console import progress, tell
    from htgen.evaluation.calibration import SHOTS, CalibrationTasks, prepare
    from htgen.files import check_writable, write_bytes

    if output is not None:
        spare({"--output": output}, generator_files(generator))
    wanted = CalibrationTasks(tuple(way or ()), tuple(shot or SHOTS), tasks, seed)
    with options_are_named():
        prepared = prepare(generator, wanted, data, split)
    tell(prepared.warnings)
    if output is not None:
        check_writable(output)
    with progress() as report:
        file = prepared.run(override or (), half, report)
    calibration = file.provenance.calibration
    assert calibration is not None
    if as_json:
        typer.echo(json.dumps({"generator": file.name, **calibration.to_json()}, indent=2))
    else:
        _print(file.name, calibration)
    if output is not None:
        write_bytes(output, file.to_bytes())
        if not as_json:
            typer.echo(f"written     {output}")


def _print(name: str, calibration: "Calibration") -> None:
    from htgen.files import printable

    def percent(value: float | None) -> str:
        return f"{100 * (value or 0):.1f} %"

    place = printable(f"{name}, {calibration.tasks} tasks of {calibration.split}")
    typer.echo(f"generator   {place} in each row")
    typer.echo(f"temperature {calibration.to_temperature()}")
    before, after = percent(calibration.error_before), percent(calibration.error)
    typer.echo(f"calibration error {before} before, {after} after")
    typer.echo("way  shot  accuracy   before    after")
    for row in calibration.settings:
        columns = map(percent, (row.accuracy, row.error_before, row.error))
        typer.echo(f"{row.way:3}  {row.shot:4}  " + "  ".join(f"{column:>7}" for column in columns))
    typer.echo("reject  accepted right  rejected  foreign caught")
    for cost in calibration.reject:
        columns = map(percent, (cost.accuracy, cost.rejected, cost.foreign_caught))
        widths = (14, 8, 14)
        cells = "  ".join(f"{column:>{width}}" for column, width in zip(columns, widths, strict=True))
        typer.echo(f"{cost.threshold:6.2f}  {cells}")
