"""The gradients of one training step."""

from typing import NamedTuple

import torch
from torch import Tensor

from htgen.episodes.shape import Counts
from htgen.training.loss import Scalars

Gradients = tuple[list[Tensor | None], Scalars]
"""Of every trained parameter, None where the loss does not depend on it; and the scalars worth logging."""


class RecordingKind(NamedTuple):
    """What is the same for all parts of steps that can be computed by the same recording."""

    counts: Counts
    episodes: int
    share: float


def laid_out_as(parameter: Tensor, gradient: Tensor) -> Tensor:
    if gradient.stride() == parameter.stride():
        return gradient
    return torch.empty_like(parameter).copy_(gradient)


def has_dropout(module: torch.nn.Module) -> bool:
    return any(isinstance(part, torch.nn.Dropout) and part.p > 0 for part in module.modules())
