"""By what the logits of generated CNNs are divided, so that their probabilities are right. No torch here.

From one image of a class a generator is surer than it should be, from ten less sure, so there is one
temperature for each number of support images that was measured (`htgen.evaluation.calibration`).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Temperature:
    """Temperatures by shot.

    Attributes:
        by_shot: pairs of shot and temperature, in ascending order; none: nothing was calibrated.
    """

    by_shot: tuple[tuple[float, float], ...] = ()

    @classmethod
    def of_record(
        cls, temperatures: Iterable[tuple[float, float]], temperature: float | None = None
    ) -> "Temperature":
        """What files of generators say.

        Args:
            temperatures: pairs of shot and temperature, in ascending order.
            temperature: of htgen 0.1, for every shot, in place of these.
        """
        pairs = temperatures if temperature is None else [(1.0, temperature)]
        return cls(tuple((float(shot), float(value)) for shot, value in pairs))

    def at(self, shot: float) -> float:
        """The temperature for a number of labelled support images per class, above 0.

        Linear in the logarithm of the shot between those that were measured, constant beyond.
        """
        if not self.by_shot:
            return 1.0
        shots, values = zip(*self.by_shot, strict=True)
        return float(np.interp(np.log(shot), np.log(shots), values))

    def __str__(self) -> str:
        return ", ".join(f"{value:.3f} (shot {shot:g})" for shot, value in self.by_shot)
