"""Averaged weights."""

import torch
from torch import Tensor


class Swapped:
    """Within it, the model has other weights; afterwards its own again."""

    def __init__(self, model: torch.nn.Module, weights: dict[str, Tensor] | None) -> None:
        self.model, self.weights = model, weights
        self.own: dict[str, Tensor] = {}

    def __enter__(self) -> None:
        if self.weights is not None:
            self.own = {name: p.detach().clone() for name, p in self.model.named_parameters()}
            self._load(self.weights)

    def __exit__(self, *_: object) -> None:
        if self.weights is not None:
            self._load(self.own)

    @torch.no_grad()
    def _load(self, weights: dict[str, Tensor]) -> None:
        for name, parameter in self.model.named_parameters():
            parameter.copy_(weights[name])
