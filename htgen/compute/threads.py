"""Several threads that each do a part of the episodes of a step, every operation on one core.

The operations of few-shot training are small: sharing each of them out among cores costs more than it
saves, while whole episodes have nothing to do with each other. So each thread gets episodes of its own, and
torch uses one core within a thread. Torch frees Python's lock while it computes.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from typing import TypeVar

import torch

from htgen.compute.memory import keep_freed_memory

Part = TypeVar("Part")

Result = TypeVar("Result")


class EpisodeThreads:
    """As many threads as torch would use for one operation.

    Args:
        size: number of threads; None = what torch is set to (`OMP_NUM_THREADS`, or the cores there are).
            One thread works in the caller's, with torch as it is set.
    """

    def __init__(self, size: int | None = None) -> None:
        self.size = torch.get_num_threads() if size is None else size
        self._pool: ThreadPoolExecutor | None = None
        if self.size > 1:
            self._pool = ThreadPoolExecutor(self.size, "htgen", partial(torch.set_num_threads, 1))

    @classmethod
    def for_device(cls, device: torch.device | str, size: int | None = None) -> "EpisodeThreads":
        """All cores (or `size` threads) for work on the CPU, whose memory is then kept for further work, see
        `htgen.compute.memory`; one thread that starts the work of a GPU."""
        if torch.device(device).type != "cpu":
            return cls(1)
        keep_freed_memory()
        return cls(size)

    def map(self, work: Callable[[Part], Result], parts: Iterable[Part]) -> Iterator[Result]:
        """Results of the parts in their order, whichever is done first.

        Gradient mode is the caller's; autocast is not, so `work` must enter it.
        """
        if self._pool is None:
            yield from map(work, parts)
            return
        with _one_core_each():
            yield from self._pool.map(partial(_in_mode, torch.is_grad_enabled(), work), parts)

    def share(self, count: int) -> list[range]:
        """`count` items as one contiguous range per thread, their lengths as equal as they can be."""
        size = min(self.size, count)
        bounds = [index * count // size for index in range(size + 1)]
        return [range(low, high) for low, high in pairwise(bounds)]


def _in_mode(grad: bool, work: Callable[[Part], Result], part: Part) -> Result:
    with torch.set_grad_enabled(grad):
        return work(part)


@contextmanager
def _one_core_each() -> Iterator[None]:
    """Torch's settings in part belong to the thread and in part to the process, so both are set."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
