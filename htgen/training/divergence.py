"""Trainings whose numbers grow without end are stopped, before a state without use is saved."""

import math

import torch

from htgen.config.run import Config
from htgen.errors import RunError
from htgen.training.run_folder import RunFolder


def check_loss(loss: float, step: int, config: Config, run: RunFolder) -> None:
    """Raise RunError when the loss of a step is no number."""
    if not math.isfinite(loss):
        raise RunError(
            f"the loss of {config.name} is no longer a number by step {step}", _remedy(config, run)
        )


def check_weights(module: torch.nn.Module, step: int, config: Config, run: RunFolder) -> None:
    """Raise RunError when a parameter is no number after a step."""
    if not all(torch.isfinite(p).all() for p in module.parameters()):
        raise RunError(
            f"the weights of {config.name} are no longer numbers at step {step}", _remedy(config, run)
        )


def _remedy(config: Config, run: RunFolder) -> str:
    kept = "; the last saved state is still there" if run.state_path.exists() else ""
    return f"a lower optimizer.lr (now {config.optimizer.lr:g}), or optimizer.clip{kept}"
