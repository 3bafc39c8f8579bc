"""`htgen train`: learn to generate CNNs."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from htgen.config.run import Config, TrainConfig
    from htgen.training.events import Event


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
    `torchrun --nproc-per-node N -m htgen train ...` shares the episodes of each step among N processes.
    """
    if resume and (run is None or config is not None or overrides or overwrite):
        raise typer.BadParameter(
            "it takes --run, and neither --config, --set nor --overwrite", param_hint="--resume"
        )
    if not resume and config is None:
        raise typer.BadParameter("a preset or a file is needed", param_hint="--config")

    from htgen.cli.console import stderr
    from htgen.cli.device import resolve_device
    from htgen.compute.processes import is_restart, join, launch_id
    from htgen.config.files import dump_config, load_config
    from htgen.datasets.splits import unseen_part
    from htgen.training.run_folder import RunFolder, find_run_config

    processes, device = join(device)
    named_store = {} if data is None else {"data.store": str(data)}
    with processes.all_or_none():
        if resume:
            assert run is not None
            settings = find_run_config(RunFolder(run), named_store)
        else:
            assert config is not None
            settings = load_config(config, overrides or [], named_store)
    folder = RunFolder(run if run is not None else Path("runs", settings.name))
    # After a failure torchrun starts all processes again, as before: what they began is then gone on with.
    restarted = processes.gather(is_restart() and folder.launch() == launch_id())[0]
    resume = resume or processes.gather(restarted and folder.state_path.exists())[0]
    with ExitStack() as stack:
        with processes.all_or_none():
            if processes.is_main:
                stack.enter_context(folder)
            from htgen.training.events import Saved
            from htgen.training.trainer import Trainer

            writer = _summary_writer() if tensorboard and processes.is_main else None
            target = resolve_device(device)
            trainer = Trainer(settings, folder, target, processes, resuming=resume)
            if resume:
                trainer.resume()
            elif processes.is_main:
                folder.start(dump_config(settings), overwrite or restarted)
            scalars = (
                None
                if writer is None
                else _scalar_writer(writer(folder.tensorboard_path, purge_step=trainer.step + 1))
            )
            if processes.is_main:
                folder.note_launch(launch_id())
        if processes.is_main:
            stderr().print(
                f"training {settings.name} on {target}, {_length(settings.train)} of "
                f"{settings.train.episodes_per_step} episodes, into {folder.path}"
                + (f", in {processes.count} processes" if processes.count > 1 else "")
                + (f", from step {trainer.step}" if resume else ""),
                markup=False,
            )
        view = (
            _view(settings, trainer.step, trainer.seconds)
            if processes.is_main
            else nullcontext(lambda event: None)
        )
        with _stop_signals(insistent=processes.count == 1) as received, view as show:
            for event in trainer.events(stop=lambda: bool(received)):
                if not isinstance(event, Saved):
                    show(event)
                if scalars is not None:
                    scalars(event)
    if trainer.stopped and processes.is_main:
        command = "htgen train --run" if processes.count == 1 else "torchrun ... -m htgen train --run-folder"
        stderr().print(
            f"stopped at step {trainer.step}; go on with: {command} {folder.path} --resume", markup=False
        )
    processes.leave()
    if trainer.stopped:
        # Where only another process got the signal: machines that are taken away send SIGTERM.
        raise typer.Exit(128 + (received[0] if received else signal.SIGTERM))
    if not processes.is_main:
        return
    if settings.train.pretrain_shared:
        typer.echo(f"shared features {folder.state_path}")
        typer.echo(f"next: htgen train --config NAME --set train.restore_shared={folder.path}")
        return
    assert trainer.best is not None
    typer.echo(f"best validation accuracy {100 * trainer.best:.2f} %\ngenerator {folder.best_path}")
    has_test = unseen_part(trainer.store, settings.data.train) is not None
    typer.echo(f"next: htgen evaluate {folder.path}{'' if has_test else ' --split CLASSES'}")


def _summary_writer() -> Any:
    """TensorBoard's class that writes events.

    Raises:
        RunError: the optional package is not installed.
    """
    from htgen.errors import RunError

    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise RunError("TensorBoard is not installed", "pip install 'htgen[tensorboard]'") from None
    return SummaryWriter


def _scalar_writer(writer: Any) -> "Callable[[Event], None]":
    """A function that writes every scalar of an event."""
    from htgen.training.events import Progress, Validated

    def write(event: "Event") -> None:
        if isinstance(event, Progress):
            named = {"loss": event.loss, "accuracy": event.accuracy, "lr": event.lr, **event.scalars}
            for name, value in {**named, "episodes_per_second": event.episodes_per_second}.items():
                writer.add_scalar(f"train/{name}", value, event.step)
        elif isinstance(event, Validated):
            writer.add_scalar("validation/accuracy", event.result.accuracy, event.step)
        writer.flush()

    return write


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
    from htgen.training.events import Progress, Validated

    started = time.monotonic()
    latest: dict[str, str] = {}

    def describe(event: "Event") -> None:
        if isinstance(event, Progress):
            done, seconds = event.step - first_step, time.monotonic() - started
            train = config.train
            if train.minutes is None:
                latest["step"] = f"{event.step} / {train.steps}"
                seconds_left = (train.steps - event.step) * seconds / max(1, done)
            else:
                latest["step"] = f"{event.step}"
                seconds_left = max(0.0, 60 * train.minutes - spent - seconds)
            latest["loss"] = f"{event.loss:.4f}"
            latest.update((name, f"{value:.4f}") for name, value in event.scalars.items())
            latest["train accuracy"] = f"{100 * event.accuracy:.2f} %"
            latest["learning rate"] = f"{event.lr:.2e}"
            latest["episodes/s"] = f"{event.episodes_per_second:.1f}"
            latest["time left"] = _clock(seconds_left)
        elif isinstance(event, Validated):
            result = event.result
            best = " (best)" if event.is_best else ""
            latest["validation"] = f"{100 * result.accuracy:.2f} ± {100 * result.interval95:.2f} %{best}"

    if stderr().is_terminal:
        with live_table(f"htgen train: {config.name}") as update:

            def show_live(event: "Event") -> None:
                describe(event)
                update(latest)

            yield show_live
    else:

        def show_lines(event: "Event") -> None:
            latest.clear()
            describe(event)
            line = "  ".join(f"{key} {value}" for key, value in latest.items())
            prefix = "" if "step" in latest else f"step {event.step}  "
            stderr().print(prefix + line, markup=False)

        yield show_lines
