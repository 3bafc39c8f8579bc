"""Work on a GPU recorded once and repeated: CUDA graphs.

A training step starts thousands of small operations, and the processor takes longer to start them one by
one than the GPU to do them. Recorded, they are started by one call. What is recorded is bound to its shapes
and its memory, so there is one recording for each kind of work, and each returns its results in the same
memory every time.
"""

from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

MOST_RECORDINGS = 256
"""Further kinds of work are not recorded: a recording holds its results, and what starts its operations."""

Result = TypeVar("Result")

Kind = TypeVar("Kind", bound=Hashable)


class Recorder(Protocol):
    """What can repeat the operations on tensors of a call, in the memory that they had then."""

    device: torch.device

    def record(self, work: Callable[[], Result]) -> tuple[Callable[[], Any], Result]:
        """Record what `work()` does.

        Returns:
            What repeats it, and the result, whose tensors hold what the latest repetition made. Before the
            first one they may hold nothing.
        """
        ...


class CudaGraphs:
    """The recorder of a GPU."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        # Nothing is recorded on the stream that everything else uses.
        self._stream = torch.cuda.Stream(device)
        # One pool of memory for all: only one of them works at a time.
        self._pool = torch.cuda.graph_pool_handle()

    def record(self, work: Callable[[], Result]) -> tuple[Callable[[], Any], Result]:
        """See `Recorder`. The work must not wait for the GPU."""
        graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize(self.device)
        torch.cuda.empty_cache()  # what earlier calls left: no recording can have it
        with torch.cuda.stream(self._stream):
            graph.capture_begin(pool=self._pool)
            try:
                result = work()
            except BaseException:
                with suppress(RuntimeError):  # what went wrong in the recording is the error to be told
                    graph.capture_end()
                raise
            graph.capture_end()
        return graph.replay, result


class RecordedSteps(Generic[Kind, Result]):
    """Work that depends on a number, recorded for each kind of work at its second call, and then repeated."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._seen: set[Kind] = set()
        self.recordings: dict[Kind, tuple[Callable[[], Any], Result]] = {}
        """Of each kind that was recorded: what repeats it, and its result."""
        self._number = torch.zeros((), dtype=torch.int64, device=recorder.device)

    def __call__(self, work: Callable[[Kind, Tensor], Result], kind: Kind, number: int) -> Result:
        """The result of the work. It is good until the next call: its memory is used again.

        Args:
            work: `(kind, number) -> result`, the same function at every call; the number is an int64 scalar
                on the device. Besides tensors its result may hold only what is the same for all numbers of a
                kind.
        """
        self._number.fill_(number)
        if kind not in self._seen:
            # What a library sets up at its first call cannot be recorded; and the kind may never come again.
            self._seen.add(kind)
            return work(kind, self._number)
        if kind not in self.recordings:
            if len(self.recordings) == MOST_RECORDINGS:
                return work(kind, self._number)
            self.recordings[kind] = self._recorder.record(lambda: work(kind, self._number))
        repeat, result = self.recordings[kind]
        repeat()
        return result
