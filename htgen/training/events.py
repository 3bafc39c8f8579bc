"""What a training tells while it runs."""

import math
import time
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from htgen.evaluation.accuracy import Evaluation


@dataclass(frozen=True)
class Progress:
    """After every `log_every` steps: means since the last such event. Rates are per second.

    Attributes:
        scalars: every other term of the loss, accuracy and weight that this run has, by name.
        skipped: steps since the run began that changed nothing, because their loss or gradients were not
            finite; the means leave them out.
    """

    step: int
    loss: float
    accuracy: float
    lr: float
    episodes_per_second: float
    scalars: dict[str, float]
    skipped: int = 0

    @classmethod
    def of(cls, step: int, means: dict[str, float], *, lr: float, episodes: int, skipped: int) -> "Progress":
        """That of the means since the last one, `loss`, `accuracy` and `seconds` among them.

        Args:
            episodes: of one step.
        """
        others = {name: mean for name, mean in means.items() if name not in ("loss", "accuracy", "seconds")}
        rate = episodes / max(means["seconds"], 1e-9)
        return cls(step, means["loss"], means["accuracy"], lr, rate, others, skipped)

    def to_json(self) -> dict[str, Any]:
        """The line of the metrics."""
        fields = dict(self.__dict__)
        scalars, skipped = fields.pop("scalars"), fields.pop("skipped")
        return {"event": "train", **fields, **({"skipped": skipped} if skipped else {}), **scalars}


@dataclass(frozen=True)
class Validated:
    """After every `val_every` steps; `is_best` when no earlier checkpoint did better."""

    step: int
    result: Evaluation
    is_best: bool


@dataclass(frozen=True)
class Saved:
    """The training state of this step is on disk."""

    step: int


Event = Progress | Validated | Saved


@dataclass
class Means:
    """Running means of named scalars; not every scalar comes with every step."""

    entries: dict[str, list[Any]] = field(default_factory=dict)  # of each: sum and count, maybe tensors

    def add(self, name: str, value: Tensor | float, skipped: Tensor | None = None) -> None:
        """Take in a value.

        Args:
            skipped: scalar; 1 = it does not count, whatever it is.
        """
        entry = self.entries.setdefault(name, [0.0, 0])
        total, counted = _sum_and_count(value, skipped)
        entry[0] = entry[0] + total
        entry[1] = entry[1] + counted

    def settle(self) -> None:
        """Make numbers of sums that are still being computed.

        Waiting for the device counts as time of the steps that began it: it is added to `seconds`.
        """
        started = time.perf_counter()
        for entry in self.entries.values():
            entry[0], entry[1] = float(entry[0]), int(entry[1])
        if "seconds" in self.entries:
            self.entries["seconds"][0] += time.perf_counter() - started

    def means(self) -> dict[str, float]:
        """Of those that were added at least once."""
        return {name: total / count for name, (total, count) in self.entries.items() if count}


def _sum_and_count(value: Tensor | float, skipped: Tensor | None) -> tuple[Any, Any]:
    """What one value adds; tensors on a GPU stay there, so that nothing waits for them."""
    if skipped is not None and skipped.device.type == "cuda":
        counts = 1 - skipped
        if isinstance(value, Tensor):
            return torch.where(counts > 0, value.double(), 0.0), counts.long()
        return (value if math.isfinite(value) else 0.0) * counts.double(), counts.long()
    if isinstance(value, Tensor) and value.device.type == "cuda":
        return value.double(), 1
    if skipped is not None and skipped.item():
        return 0.0, 0
    return float(value), 1
