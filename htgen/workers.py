"""Work on many items over several processes: results in the order of the items, few of them in memory.

Processes are started where they pay alone (`worth_starting`). A worker never sees Ctrl-C: it ends when the
process that started it does, or is done. What a worker could not do, as it was killed or an error was raised,
is done here, where the error is raised again.
"""

import os
import signal
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

Item = TypeVar("Item")
Result = TypeVar("Result")

Work = Callable[[Sequence[Item]], list[Result]]
"""What is done with some of the items. It can be pickled."""

ITEMS_AT_ONCE = 8
"""So many items are handed over at a time: results are seen as they come."""

_WAITING = 2
"""Parts that each worker has at most."""

_MOST = 8

_FEWEST_FORKED, _FEWEST_SPAWNED = 64, 600
"""Items of each worker that pay for starting it: a copy of this process, or a new one that imports all."""


def worth_starting(items: int, wanted: int | None = None) -> int:
    """How many workers to start for so many items; 0 or 1: none.

    Args:
        wanted: by who asked; None: as many as there are processors, if they pay, and 8 at most.
    """
    if wanted is not None:
        return min(wanted, -(-items // ITEMS_AT_ONCE))
    return min(usable_processors(), _MOST, items // (_FEWEST_FORKED if can_fork() else _FEWEST_SPAWNED))


def usable_processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def work_in_processes(
    work: Work[Item, Result], items: Sequence[Item], count: int, at_once: int = ITEMS_AT_ONCE
) -> Generator[Result, None, None]:
    """The results of all items, in their order.

    Args:
        count: workers; with 0 or 1 the work is done here, item by item.
        at_once: so many items are handed over at a time.
    """
    if count < 2:
        for item in items:
            yield from work([item])
        return
    parts = [items[start : start + at_once] for start in range(0, len(items), at_once)]
    with _started(work, count) as workers:
        for number, part in enumerate(parts[: count * _WAITING]):
            workers[number % count].give(part)
        for number, part in enumerate(parts):
            worker = workers[number % count]  # each takes its turn, so results are in order
            results = worker.take()
            if number + count * _WAITING < len(parts):
                worker.give(parts[number + count * _WAITING])
            yield from work(part) if results is None else results


class _Worker(Generic[Item, Result]):
    """A process and the way to it."""

    def __init__(self, process: "BaseProcess", connection: "Connection") -> None:
        self.process, self.connection = process, connection

    def give(self, part: Sequence[Item]) -> None:
        """Hand over a part; it is lost if the process has ended."""
        with suppress(OSError):
            self.connection.send(part)

    def take(self) -> list[Result] | None:
        """The results of the next part; None if the process has ended."""
        try:
            results: list[Result] = self.connection.recv()
        except (EOFError, OSError):
            return None
        return results

    def end(self) -> None:
        """Let go of the process, whatever it does."""
        self.connection.close()
        self.process.terminate()
        self.process.join()


@contextmanager
def _started(work: Work[Item, Result], count: int) -> Iterator[list[_Worker[Item, Result]]]:
    import multiprocessing  # loads sockets, which few images need not wait for

    context: Any = multiprocessing.get_context("fork" if can_fork() else "spawn")
    workers: list[_Worker[Item, Result]] = []
    try:
        with _without_interrupts():  # which the processes inherit
            for _ in range(count):
                here, there = context.Pipe()
                others = [here, *(worker.connection for worker in workers)]
                process = context.Process(target=_serve, args=(work, there, others), daemon=True)
                process.start()
                there.close()
                workers.append(_Worker(process, here))
        yield workers
    finally:
        for worker in workers:
            worker.end()


def _serve(work: Work[Item, Result], connection: "Connection", others: "list[Connection]") -> None:
    """What a worker does until its other end is closed.

    Args:
        others: ends that belong to the process that started this one; a copy of that process has them too,
            and would keep them open.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for other in others:
        other.close()
    try:
        while True:
            connection.send(work(connection.recv()))
    except Exception:
        connection.close()  # the part is done, and the error told, where it came from


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Ctrl-C comes after the body, where the system can hold it back."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def can_fork() -> bool:
    """Whether a copy of this process is safe: there is one thread, and the system is Linux."""
    if sys.platform != "linux":
        return False
    try:
        return len([*Path("/proc/self/task").iterdir()]) == 1
    except OSError:
        return False
