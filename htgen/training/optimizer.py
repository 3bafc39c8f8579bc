"""The optimiser: parameter groups, learning rate, and one update."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from htgen.config.run import OptimizerConfig


def make_optimizer(config: OptimizerConfig, trained: torch.nn.Module) -> torch.optim.Optimizer:
    """The optimiser of all parameters of a module."""
    groups = parameter_groups(trained, config.weight_decay)
    if config.name == "adamw":
        return torch.optim.AdamW(groups, lr=config.lr, fused=True)
    return torch.optim.SGD(groups, lr=config.lr, fused=True)


def parameter_groups(model: torch.nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay for matrices and kernels only: embeddings, norms, biases and scales are left alone."""
    decayed: list[Tensor] = []
    free: list[Tensor] = []
    for name, parameter in model.named_parameters():
        is_embedding = name.rpartition(".")[2] in ("labels", "placeholders")
        (decayed if parameter.ndim >= 2 and not is_embedding else free).append(parameter)
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]


def learning_rate(config: OptimizerConfig, step: int, steps: int, time_spent: float | None = None) -> float:
    """Learning rate of step 0..steps-1.

    Args:
        time_spent: the share of the time of a training that ends by the clock, 0..1; None = by steps.
    """
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    if config.schedule == "cosine":
        progress = time_spent
        if progress is None:
            progress = (step - config.warmup) / max(1, steps - config.warmup)
        return config.lr * (config.final + (1 - config.final) * 0.5 * (1 + math.cos(math.pi * progress)))
    if config.schedule == "exponential":
        return config.lr * config.decay_rate ** (step / config.decay_steps)
    return config.lr


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Use a learning rate from now on, for all parameters."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def update(
    optimizer: torch.optim.Optimizer, parameters: Sequence[Tensor], clip: float, loss: Tensor | float = 0.0
) -> Tensor:
    """One step of the optimiser with the gradients that the parameters have.

    Nothing changes where the loss or the norm of the gradients is not finite. A GPU need not be waited for:
    fused optimisers ask `found_inf` themselves, as `torch.amp.GradScaler` sets it.

    Args:
        parameters: all that it updates.
        clip: largest norm of all gradients together; 0 = no clipping.
        loss: that the gradients are of.

    Returns:
        Whether the step was skipped: float32 scalar, 1 or 0.
    """
    if clip:
        norm = torch.nn.utils.clip_grad_norm_(parameters, clip)
    else:
        # Nothing is scaled: one pass finds what is not finite.
        gradients = [p.grad.flatten() for p in parameters if p.grad is not None]
        norm = torch.linalg.vector_norm(torch.cat(gradients))
    is_sound = norm.isfinite() & torch.as_tensor(loss, device=norm.device).isfinite()
    skipped = 1.0 - is_sound.float()
    optimizer.found_inf = skipped  # type: ignore[attr-defined]
    optimizer.step()
    return skipped
