"""Processes that train together under the agent of torchrun, forked from one that has imported torch already.

torchrun starts Python anew for each, which takes seconds. Here are its agent, its restarts and its signals;
what such a process does at the end of Python is only seen when it is started by torchrun itself.
"""

import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import SimpleNamespace

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, Std
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

PRELOADED = ["torch._dynamo", "htgen.cli.train", "htgen.training.launch", "htgen.evaluation.known_classes"]
"""What training loads. The server of forks passes over what it cannot find; `faults.workshop` does not."""
HANDLED = signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT
"""What the agent has handlers for, in the process that calls it."""


@dataclass(frozen=True)
class Blow:
    """A signal that a rank gets before a step, at the first start alone."""

    step: int
    rank: int
    signal: signal.Signals


@dataclass(frozen=True)
class Ended:
    """How processes ended: the exit code of the one that failed first, or 0, and what all of them printed."""

    exit_code: int
    stdout: str
    stderr: str


def train_in_two(
    *arguments: str | Path, blow: Blow | None = None, tick: float = 0, restarts: int = 0
) -> Ended:
    """`htgen train` in two processes of one thread each.

    Args:
        arguments: what comes after `train`.
        blow: that one of them gets.
        tick: seconds that each look at the clock takes on rank 0, twice as many on rank 1; 0: as it is.
        restarts: that the agent may make.
    """
    multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOADED)
    with tempfile.TemporaryDirectory() as folder, _own_handlers():
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=2,
            run_id=Path(folder).name,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            max_restarts=restarts,
            monitor_interval=0.1,
            start_method="forkserver",
            logs_specs=DefaultLogsSpecs(folder, redirects=Std.ALL),
        )
        exit_code = 0
        try:
            elastic_launch(config, _work)(list(map(str, arguments)), blow, tick)
        except ChildFailedError as error:
            exit_code = error.get_first_failure()[1].exitcode
        return Ended(exit_code, _printed(folder, "stdout"), _printed(folder, "stderr"))


@contextmanager
def _own_handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in HANDLED}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _printed(folder: str, name: str) -> str:
    """By all ranks, start after start."""
    return "".join(path.read_text() for path in sorted(Path(folder).rglob(f"{name}.log")))


def _work(arguments: list[str], blow: Blow | None, tick: float) -> None:
    """What a process does."""
    import torch

    from htgen.cli import main
    from htgen.training import trainer

    torch.set_num_threads(1)
    plain, rank = trainer.Trainer.train_step, int(os.environ["RANK"])

    def train_step(self, *given):
        if (
            blow
            and (self.step, rank) == (blow.step, blow.rank)
            and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"
        ):
            os.kill(os.getpid(), blow.signal)
        plain(self, *given)

    trainer.Trainer.train_step = train_step
    if tick:
        looks = count()
        trainer.time = SimpleNamespace(
            monotonic=lambda: next(looks) * tick * (1 + rank), perf_counter=time.perf_counter
        )
    sys.exit(main(["train", *arguments]))
