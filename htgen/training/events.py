"""What a training tells while it runs."""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from htgen.evaluation.accuracy import Evaluation


@dataclass(frozen=True)
class Progress:
    """After every `log_every` steps: means since the last such event. Rates are per second.

    Attributes:
        scalars: every other term of the loss, accuracy and weight that this run has, by name.
    """

    step: int
    loss: float
    accuracy: float
    lr: float
    episodes_per_second: float
    scalars: dict[str, float]


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

    entries: dict[str, list[Any]] = field(default_factory=dict)  # of each: sum, which may be a tensor; count

    def add(self, name: str, value: Tensor | float) -> None:
        entry = self.entries.setdefault(name, [0.0, 0])
        if isinstance(value, Tensor):
            value = value.double() if value.device.type == "cuda" else value.item()
        entry[0] = entry[0] + value
        entry[1] += 1

    def settle(self) -> None:
        """Make numbers of sums that are still being computed."""
        for entry in self.entries.values():
            entry[0] = float(entry[0])

    def means(self) -> dict[str, float]:
        return {name: total / count for name, (total, count) in self.entries.items()}
