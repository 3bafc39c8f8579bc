"""Work on a GPU recorded once and repeated: CUDA graphs.

A training step starts thousands of small operations, and the processor takes longer to start them one by
one than the GPU to do them. Recorded, they are started by one call. What is recorded is bound to its shapes
and its memory, so there is one recording for each kind of work, and each returns its results in the same
memory every time.
"""

from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Generic, TypeVar

import torch
from torch import Tensor

MOST_RECORDINGS = 256
"""Further kinds of work are not recorded: a recording holds its results, and what starts its operations."""

Result = TypeVar("Result")
Kind = TypeVar("Kind", bound=Hashable)


class Replay(Generic[Kind, Result]):
    """A function of a number, recorded for each kind of work at its second call.

    Args:
        work: `(kind, number) -> result`; the number is an int64 scalar on the GPU. The work must not wait for
            the GPU, and besides tensors its result may hold only what is the same for all numbers of a kind.
        device: the GPU.
    """

    def __init__(self, work: Callable[[Kind, Tensor], Result], device: torch.device) -> None:
        self._work, self._device = work, device
        self._seen: set[Kind] = set()
        self._recorded: dict[Kind, tuple[torch.cuda.CUDAGraph, Result]] = {}
        self._number = torch.zeros((), dtype=torch.int64, device=device)
        # Nothing is recorded on the stream that everything else uses.
        self._stream = torch.cuda.Stream(device)
        # One pool of memory for all: only one of them works at a time.
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, kind: Kind, number: int) -> Result:
        """The result of the work. It is good until the next call: its memory is used again."""
        self._number.fill_(number)
        if kind not in self._seen:
            # What a library sets up at its first call cannot be recorded; and the kind may never come again.
            self._seen.add(kind)
            return self._work(kind, self._number)
        if kind not in self._recorded:
            if len(self._recorded) == MOST_RECORDINGS:
                return self._work(kind, self._number)
            self._recorded[kind] = self._record(kind)
        graph, result = self._recorded[kind]
        graph.replay()
        return result

    def _record(self, kind: Kind) -> tuple[torch.cuda.CUDAGraph, Result]:
        graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize(self._device)
        torch.cuda.empty_cache()  # what the first call left: no recording can have it
        with torch.cuda.stream(self._stream):
            graph.capture_begin(pool=self._pool)
            try:
                result = self._work(kind, self._number)
            except BaseException:
                with suppress(RuntimeError):  # what went wrong in the recording is the error to be told
                    graph.capture_end()
                raise
            graph.capture_end()
        return graph, result
