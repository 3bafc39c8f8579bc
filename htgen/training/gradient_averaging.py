"""The gradients of a step, averaged over the processes that share out its episodes."""

from typing import NamedTuple

import torch

from htgen.compute.processes import Processes
from htgen.training.loss import Scalars


class Agreed(NamedTuple):
    """What all processes know alike after a step.

    Attributes:
        scalars: means over all processes.
        stop: whether any process is to stop.
        seconds: that the training has taken, the mean of their clocks.
    """

    scalars: Scalars
    stop: bool
    seconds: float


def average_over_processes(
    processes: Processes, trained: torch.nn.Module, scalars: Scalars, stop: bool, seconds: float
) -> Agreed:
    """Average the gradients that the parameters have, and the scalars, over processes: one message.

    The same message tells whether any process is to stop, and what time it is for all.

    Raises:
        LostContact: another process is gone; nothing is changed then.
    """
    gradients = [p.grad for p in trained.parameters() if p.grad is not None]
    numbers = torch.stack(
        [
            torch.as_tensor(value, dtype=torch.float32, device=gradients[0].device).detach()
            for value in [*scalars.values(), float(stop), seconds]
        ]
    )
    processes.average([*gradients, numbers])
    *means, stopping, seconds = numbers.tolist()
    return Agreed(dict(zip(scalars, means, strict=True)), stopping > 0, seconds)
