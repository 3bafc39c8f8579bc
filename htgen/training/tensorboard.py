"""Events of a training as TensorBoard's, by its optional package."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from htgen.errors import RunError
from htgen.training.events import Event, Progress, Validated


def summary_writer() -> Any:
    """TensorBoard's class that writes events.

    Raises:
        RunError: the optional package is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise RunError("TensorBoard is not installed", "pip install 'htgen[tensorboard]'") from None
    return SummaryWriter


def scalar_writer(folder: Path, step: int) -> Callable[[Event], None]:
    """A function that writes every scalar of an event.

    Args:
        folder: where TensorBoard's files are.
        step: done so far; what is there of later steps counts no more.

    Raises:
        RunError: the optional package is not installed.
    """
    writer = summary_writer()(folder, purge_step=step + 1)

    def write(event: Event) -> None:
        if isinstance(event, Progress):
            named = {"loss": event.loss, "accuracy": event.accuracy, "lr": event.lr, **event.scalars}
            for name, value in {**named, "episodes_per_second": event.episodes_per_second}.items():
                writer.add_scalar(f"train/{name}", value, event.step)
        elif isinstance(event, Validated):
            writer.add_scalar("validation/accuracy", event.result.accuracy, event.step)
        writer.flush()

    return write
