"""Trainings whose numbers grow without end are stopped, before a state without use is saved.

A step whose loss or gradients are not finite changes nothing (`htgen.training.optimizer.update`) and is
counted. Many of them in a row are the end: the weights before them are of no use any more.
"""

import torch
from torch import Tensor

from htgen.config.run import Config
from htgen.errors import RunError
from htgen.training.run_folder import RunFolder

MOST_SKIPPED = 20
"""Steps in a row that may be skipped."""

Count = Tensor | int


class Skips:
    """How many steps were skipped; on a GPU both numbers are tensors, which are not waited for.

    Attributes:
        total: since the run began.
        row: up to the last step, one after the other.
    """

    def __init__(self, total: int = 0) -> None:
        self.total: Count = total
        self.row: Count = 0

    def add(self, skipped: Tensor) -> None:
        """Count a step: scalar, 1 = it was skipped."""
        if skipped.device.type == "cuda":
            now = skipped.long()
            self.total, self.row = self.total + now, (self.row + 1) * now
        else:
            now_or_not = int(skipped)
            self.total, self.row = self.total + now_or_not, (self.row + 1) * now_or_not

    def settle(self) -> int:
        """Wait for both numbers; returns how many steps up to the last one were skipped."""
        self.total, self.row = int(self.total), int(self.row)
        return self.row


def diverged(step: int, row: int, good_step: int | None, config: Config, run: RunFolder) -> RunError:
    """The error that ends a training.

    Args:
        step: the last one.
        row: how many were skipped up to it.
        good_step: of the saved state, if one is there that training was seen to go on from.
    """
    lr = config.optimizer.lr
    if good_step is None:
        remedy = f"begin again with a lower optimizer.lr (now {lr:g}), or with optimizer.clip"
    else:
        remedy = (
            f"htgen train --run {run.path} --resume --set optimizer.lr={lr / 10:.3g}   "
            f"(now {lr:g}; it goes on from step {good_step}, the last good state)"
        )
    return RunError(
        f"{config.name} diverged: the last {row} steps, up to step {step}, had a loss or gradients that are "
        "no finite numbers, and changed nothing",
        remedy,
    )


def check_weights(module: torch.nn.Module, step: int, config: Config, run: RunFolder) -> None:
    """Raise RunError when a parameter is no number after a step."""
    if not all(torch.isfinite(p).all() for p in module.parameters()):
        kept = "; the last saved state is still there" if run.state_path.exists() else ""
        raise RunError(
            f"the weights of {config.name} are no longer numbers at step {step}",
            f"a lower optimizer.lr (now {config.optimizer.lr:g}), or optimizer.clip{kept}",
        )
