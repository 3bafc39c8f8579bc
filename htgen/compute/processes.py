"""Several processes that train one model: which of them this one is, and what they tell each other.

`torchrun` starts them and tells each its place through the environment. Every process draws its own
part of each step's episodes, gradients are averaged, and rank 0 alone writes and prints. A process
that was not started by it is `ALONE`: it draws all episodes, and there is nobody to wait for.
"""

import atexit
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from htgen.errors import HtgenError, RunError

if TYPE_CHECKING:
    from torch import Tensor


Value = TypeVar("Value")

TIMEOUT = timedelta(minutes=10)
"""How long a process waits for one that is neither heard nor known to be gone. A process that dies
closes its connections, which is noticed at once; this is for machines that vanish."""


class LostContact(RunError):
    """Another process of this run ended without a word, or can no longer be reached."""


@dataclass(frozen=True)
class Processes:
    """This process among those that train one model.

    Attributes:
        rank: 0..count-1; rank 0 writes and prints.
        count: number of processes.
    """

    rank: int = 0
    count: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self.rank == 0

    def add_up(self, tensor: "Tensor") -> None:
        """Replace a tensor by its sum over all processes, in place; the same bits everywhere.

        Raises:
            LostContact: another process is gone.
        """
        if self.count > 1:
            import torch.distributed as dist

            with self._contact():
                dist.all_reduce(tensor)

    def average(self, tensors: "Sequence[Tensor]") -> None:
        """Replace tensors by their means over all processes, in place, with a single message.

        Nothing is changed when it fails.

        Raises:
            LostContact: another process is gone.
        """
        if self.count == 1:
            return
        import torch

        flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
        self.add_up(flat)
        flat /= self.count
        parts = flat.split([tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.detach().copy_(part.view(tensor.shape))

    def gather(self, value: Value) -> list[Value]:
        """The values that all processes have, by rank.

        Raises:
            LostContact: another process is gone.
        """
        values: list[Any] = [value] * self.count
        if self.count > 1:
            import torch.distributed as dist

            with self._contact():
                dist.all_gather_object(values, value)
        return values

    @contextmanager
    def all_or_none(self) -> Iterator[None]:
        """All processes finish the body, or none: an error of one ends all, and rank 0 tells it once.

        The body must not send anything to other processes.

        Raises:
            HtgenError: on rank 0, what the first process that failed met.
            SystemExit: on the others, with that error's exit code.
        """
        error: HtgenError | None = None
        try:
            yield
        except HtgenError as caught:
            if self.count == 1:
                raise
            error = caught
        if self.count == 1:
            return
        for rank, found in enumerate(self.gather(error)):
            if found is None:
                continue
            if not self.is_main:
                raise SystemExit(found.exit_code)
            if rank:
                found.message = f"process {rank} of {self.count}: {found.message}"
            raise found

    def leave(self) -> None:
        """Part from the others when all of them are done.

        Not for use after an error: the others may be gone.

        Raises:
            LostContact: another process failed in its last work, such as saving.
        """
        if self.count > 1:
            self.gather(None)
            _end_group()

    @contextmanager
    def _contact(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:  # torch has no narrower class for lost gloo connections
            raise LostContact(
                f"process {self.rank} of {self.count} lost contact with another one, which ended or cannot "
                f"be reached ({_reason(error)})",
                "see what that process says; then go on from the last saved state with --resume, or let "
                "`torchrun --max-restarts` do it",
            ) from error


ALONE = Processes()


def join(device: str) -> tuple[Processes, str]:
    """Meet the other processes that `torchrun` started; `leave` parts from them.

    Args:
        device: as the user names it. With several processes a machine, `auto` and `cuda` become the GPU
            of this process's number on its machine.

    Returns:
        This process among all, and the name of its device.

    Raises:
        RunError: the others cannot be reached, or there are more processes than GPUs.
    """
    environment = os.environ
    needed = {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}
    if not needed <= environment.keys() or int(environment["WORLD_SIZE"]) == 1:
        return ALONE, device

    import torch
    import torch.distributed as dist

    # Loaded by torch's optimizers, and its functions' defaults keep the group that there is at that time.
    import torch.distributed.nn.functional
    from torch.distributed.rendezvous import rendezvous

    processes = Processes(int(environment["RANK"]), int(environment["WORLD_SIZE"]))
    if device == "cuda" or (device == "auto" and torch.cuda.is_available()):
        index, gpus = int(environment.get("LOCAL_RANK", 0)), torch.cuda.device_count()
        if index >= gpus:
            raise RunError(
                f"this machine has {gpus} GPUs, but at least {index + 1} processes were started on it",
                f"torchrun --nproc-per-node {gpus}" if gpus else "--device cpu",
            )
        device = f"cuda:{index}"
    backend = "gloo"
    if device.startswith("cuda"):
        torch.cuda.set_device(device)
        backend = "cpu:gloo,cuda:nccl"
    try:
        store, _, _ = next(rendezvous("env://", timeout=TIMEOUT))
        if environment.get("GROUP_WORLD_SIZE") == "1":
            # torchrun keeps its store over restarts, and with it the addresses of processes that are
            # gone. On several machines the counts may differ; docs/explanation/several-processes.md says what
            # helps there.
            start = f"start {environment.get('TORCHELASTIC_RESTART_COUNT')}"
            store = dist.PrefixStore(start, store)  # type: ignore[attr-defined]
        dist.init_process_group(
            backend, store=store, rank=processes.rank, world_size=processes.count, timeout=TIMEOUT
        )
        atexit.register(_end_group)
    except (RuntimeError, ValueError) as error:
        raise RunError(
            f"process {processes.rank} of {processes.count} cannot reach the others at "
            f"{environment['MASTER_ADDR']}:{environment['MASTER_PORT']} ({_reason(error)})",
            "the same torchrun command on every machine, with an address that all can reach",
        ) from error
    return processes, device


def _end_group() -> None:
    """End the connections and the threads of gloo, on this side alone.

    A thread that still lets go of a tensor when Python ends makes the process abort (signal 6).
    """
    import torch.distributed as dist

    if dist.is_initialized():
        dist.destroy_process_group()


def _reason(error: Exception) -> str:
    """The first sentence of what torch says."""
    return (str(error).splitlines() or [""])[0].partition(". ")[0]


def launch_id() -> str | None:
    """What tells this start of `torchrun` from others, the same after its restarts; None without it."""
    given = os.environ.get("TORCHELASTIC_RUN_ID")
    if given in (None, "none"):  # "none": no --rdzv-id was given
        return None if given is None else f"process {os.getppid()} on {socket.gethostname()}"
    return given


def is_restart() -> bool:
    """Whether `torchrun` starts this process anew because one of its processes had failed."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)) > 0
