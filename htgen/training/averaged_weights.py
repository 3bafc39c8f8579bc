"""Averaged weights: what is validated and shipped, while training goes on with the weights themselves."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor


class AveragedWeights:
    """Exponential moving averages of a model's parameters.

    Args:
        model: whose parameters are averaged.
        decay: per step, 0..1; 0 = there is no average.
    """

    def __init__(self, model: torch.nn.Module, decay: float) -> None:
        self.model, self.decay = model, decay
        self.tensors: dict[str, Tensor] = {}
        """By the parameter's name; empty when there is no average."""
        self._own = [p.detach() for p in model.parameters()]
        if decay:
            self.tensors = {name: p.detach().clone() for name, p in model.named_parameters()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after `step` steps; early averages forget the random start faster."""
        if decay := min(self.decay, step / (step + 10)):
            torch._foreach_lerp_(list(self.tensors.values()), self._own, 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within it the model has its averaged weights, if there are such; afterwards its own again."""
        if not self.tensors:
            yield
            return
        own = {name: p.detach().clone() for name, p in self.model.named_parameters()}
        self._load(self.tensors)
        try:
            yield
        finally:
            self._load(own)

    @torch.no_grad()
    def _load(self, weights: Mapping[str, Tensor]) -> None:
        for name, parameter in self.model.named_parameters():
            parameter.copy_(weights[name])
