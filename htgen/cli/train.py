"""`htgen train`: learn to generate CNNs."""

import shlex
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from htgen.errors import DataError, ModelError

if TYPE_CHECKING:
    from htgen.compute.processes import Processes
    from htgen.config.run import Config, TrainConfig
    from htgen.datasets.store import Store
    from htgen.training.events import Event
    from htgen.training.trainer import Trainer


def train(
    config: Annotated[
        str | None, typer.Option(help="A preset (`htgen configs`) or a YAML file.", show_default=False)
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Override one value, e.g. optimizer.lr=3e-4.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="The store, instead of the config's.", show_default=False)
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(
            "--run",
            "--run-folder",
            help="Folder of the run. Default: runs/<name of the config>. (torchrun rejects the short name.)",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --run, exactly.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a run that is there.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write TensorBoard events into the run folder too.")
    ] = False,
) -> None:
    """Train a generator.

    Ctrl-C and SIGTERM save the training state and exit with 130 or 143; --resume goes on from there.
    With --resume, --set changes what may change: the length of the run, how often it logs, validates and
    saves, and optimizer.lr.
    `torchrun --nproc-per-node N -m htgen train ...` shares the episodes of each step among N processes.
    """
    if resume and (run is None or config is not None or overwrite):
        raise typer.BadParameter(
            "it takes --run, and neither --config nor --overwrite", param_hint="--resume"
        )
    if not resume and config is None:
        raise typer.BadParameter("a preset or a file is needed", param_hint="--config")

    from htgen.compute.processes import join

    processes, device = join(device)
    with processes.all_or_none():
        settings = _settings(config, overrides or [], data, run if resume else None)
    folder = run if run is not None else Path("runs", settings.name)
    _train(settings, folder, device, processes, resume, overwrite, tensorboard)


def _settings(config: str | None, overrides: list[str], data: Path | None, run: Path | None) -> "Config":
    """The config that is named, or that of the run to be resumed, with the store that is named."""
    from htgen.config.files import load_config
    from htgen.training.run_folder import RunFolder, find_run_config

    named_store = {} if data is None else {"data.store": str(data)}
    if run is not None:
        return find_run_config(RunFolder(run), named_store, overrides)
    assert config is not None
    return load_config(config, overrides, named_store)


def _train(
    settings: "Config",
    path: Path,
    device: str,
    processes: "Processes",
    resume: bool,
    overwrite: bool,
    tensorboard: bool,
) -> None:
    """Train, show how it goes, and say what there is then."""
    from htgen.cli.device import resolve_device
    from htgen.training.launch import open_training
    from htgen.training.run_folder import RunFolder
    from htgen.training.tensorboard import scalar_writer, summary_writer

    with processes.all_or_none():
        target = resolve_device(device)
        if tensorboard and processes.is_main:
            summary_writer()  # told now where it is missing
    folder = RunFolder(path)
    with open_training(settings, folder, target, processes, resume, overwrite) as trainer:
        shows: list[Callable[[Event], None]] = []
        if tensorboard and processes.is_main:
            shows.append(scalar_writer(folder.tensorboard_path, trainer.step))
        with _stop_signals(insistent=processes.count == 1) as received, ExitStack() as stack:
            if processes.is_main:
                _print_start(trainer)
                shows.insert(0, stack.enter_context(_view(settings, trainer.step, trainer.seconds)))
            for event in trainer.events(stop=lambda: bool(received)):
                for show in shows:
                    show(event)
    if trainer.stopped and processes.is_main:
        _print_stop(trainer)
    processes.leave()
    if trainer.stopped:
        # Where only another process got the signal: machines that are taken away send SIGTERM.
        raise typer.Exit(128 + (received[0] if received else signal.SIGTERM))
    if processes.is_main:
        _print_end(trainer)


def _print_start(trainer: "Trainer") -> None:
    from htgen.cli.console import stderr

    config, processes = trainer.config, trainer.processes
    stderr().print(
        f"training {config.name} on {trainer.device}{_kernels(trainer)}, {_length(config.train)} of "
        f"{config.train.episodes_per_step} episodes, into {trainer.run.path}"
        + (f", in {processes.count} processes" if processes.count > 1 else "")
        + (f", from step {trainer.step}" if trainer.is_resumed else ""),
        markup=False,
    )


def _kernels(trainer: "Trainer") -> str:
    """What does the work on the CPU."""
    if trainer.device.type != "cpu":
        return ""
    kernels = trainer.gradients.kernels
    return f" (kernels by {kernels})" if kernels else " (plain operations; htgen[fast] has faster ones)"


def _print_stop(trainer: "Trainer") -> None:
    """How to go on."""
    from htgen.cli.console import stderr

    alone = trainer.processes.count == 1
    command = "htgen train --run" if alone else "torchrun ... -m htgen train --run-folder"
    step = trainer.saved.step  # steps that are skipped, as their loss is no number, put saving off
    run = shlex.quote(str(trainer.run.path))
    stderr().print(f"stopped at step {step}; go on with: {command} {run} --resume", markup=False)


def _print_end(trainer: "Trainer") -> None:
    """What there is now, and the next command."""
    config, run = trainer.config, trainer.run
    if config.train.pretrain_shared:
        typer.echo(f"shared features {run.state_path}")
        restore = shlex.quote(f"train.restore_shared={run.path}")
        typer.echo(f"next: htgen train --config NAME --set {restore}")
        return
    assert trainer.best is not None
    validation = config.validation
    tasks = f"{_range(validation.way)}-way {_range(validation.shot)}-shot on {config.data.val}"
    typer.echo(f"best validation accuracy {100 * trainer.best:.2f} % ({tasks})\ngenerator {run.best_path}")
    if config.train.minutes is not None and trainer.step < config.optimizer.warmup:
        typer.echo(
            f"note: time ended in step {trainer.step}, while the learning rate still rose, which takes "
            f"{config.optimizer.warmup}: --set optimizer.warmup={max(1, trainer.step // 10)}, or more minutes"
        )
    typer.echo(f"next: htgen evaluate {shlex.quote(str(run.path))}{_tasks_of(trainer)}")


_WAY, _QUERY = 20, 15
"""Of `htgen evaluate`, unless it is told otherwise."""


def _tasks_of(trainer: "Trainer") -> str:
    """Options of `htgen evaluate` that its classes need, and the shipped generator of the same recipe."""
    from htgen.datasets.splits import resolve_split, unseen_part
    from htgen.hypertransformer.many_classes import most_classes

    config, store = trainer.config, trainer.tasks.store
    split = unseen_part(store, config.data.train)
    if split is None:
        return " --split CLASSES"
    classes = resolve_split(store, split)
    way = min(len(classes), most_classes(config.model) or _WAY, _WAY)
    query = int(store.class_sizes[classes].min()) - 1
    options = f" --way {way}" * (2 <= way < _WAY) + f" --query {query}" * (1 <= query < _QUERY)
    return options + _against(config.name, store, way)


def _against(name: str, store: "Store", way: int) -> str:
    """The option that measures against a generator that ships, if it takes such tasks and there is one."""
    from htgen.evaluation.known_classes import check_store
    from htgen.evaluation.measurement import stored
    from htgen.generator.shipped import shipped_generators
    from htgen.hypertransformer.many_classes import check_way

    if name not in shipped_generators():
        return ""
    try:
        file = stored(name).file
        check_store(store, file)
        check_way(file.model, way)
    except (DataError, ModelError):  # also a package of weights that is not installed
        return ""
    return f" --against {name}"


def _range(count: int | tuple[int, int]) -> str:
    """A count of a config: a number, or the least and the most."""
    return f"{count}" if isinstance(count, int) else f"{count[0]} to {count[1]}"


@contextmanager
def _stop_signals(insistent: bool) -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM instead of dying from them.

    With `insistent`, a second SIGINT interrupts at once. torchrun may pass on one Ctrl-C twice.
    """
    received: list[int] = []

    def note(number: int, _: object) -> None:
        received.append(number)
        if insistent:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _clock(seconds: float) -> str:
    """Hours, minutes and seconds; a day has no end: 100 hours are 100:00:00."""
    minutes, seconds = divmod(int(seconds), 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"


def _length(train: "TrainConfig") -> str:
    return f"{train.steps} steps" if train.minutes is None else f"{train.minutes:g} minutes in steps"


@contextmanager
def _view(config: "Config", first_step: int, spent: float) -> "Iterator[Callable[[Event], None]]":
    """Yield `show(event)`: a live table on a terminal, plain lines elsewhere.

    Args:
        first_step, spent: steps and seconds that were done before.
    """
    from htgen.cli.console import live_table, stderr

    started = time.monotonic()

    def cells(event: "Event") -> dict[str, str]:
        seconds = time.monotonic() - started
        return _cells(event, config.train, first_step, spent, seconds)

    if stderr().is_terminal:
        latest: dict[str, str] = {}
        with live_table(f"htgen train: {config.name}") as update:

            def show_live(event: "Event") -> None:
                if found := cells(event):
                    latest.update(found)
                    update(latest)

            yield show_live
    else:

        def show_lines(event: "Event") -> None:
            if found := cells(event):
                prefix = "" if "step" in found else f"step {event.step}  "
                line = "  ".join(f"{key} {value}" for key, value in found.items())
                stderr().print(prefix + line, markup=False)

        yield show_lines


def _cells(
    event: "Event", train: "TrainConfig", first_step: int, spent: float, seconds: float
) -> dict[str, str]:
    """What an event says, by the name of the row.

    Args:
        first_step, spent: steps and seconds that were done before this process began.
        seconds: since then.
    """
    from htgen.training.events import Progress, Validated

    if isinstance(event, Validated):
        result = event.result
        best = " (best)" if event.is_best else ""
        return {"validation": f"{100 * result.accuracy:.2f} ± {100 * result.interval95:.2f} %{best}"}
    if not isinstance(event, Progress):
        return {}
    if train.minutes is None:
        step = f"{event.step} / {train.steps}"
        left = (train.steps - event.step) * seconds / max(1, event.step - first_step)
    else:
        step = f"{event.step}"
        left = max(0.0, 60 * train.minutes - spent - seconds)
    return {
        "step": step,
        "loss": f"{event.loss:.4f}",
        **{name: f"{value:.4f}" for name, value in event.scalars.items()},
        **({"skipped steps": f"{event.skipped}"} if event.skipped else {}),
        "train accuracy": f"{100 * event.accuracy:.2f} %",
        "learning rate": f"{event.lr:.2e}",
        "episodes/s": f"{event.episodes_per_second:.1f}",
        "time left": _clock(left),
    }
