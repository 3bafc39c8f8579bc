"""By what the logits of generated CNNs are divided, so that their probabilities are right. No torch here.

From one image of a class a generator is surer than it should be, from ten less sure, so there is one
temperature for each number of support images that was measured (`htgen.evaluation.calibration`).
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Temperature:
    """Temperatures by shot.

    Attributes:
        by_shot: pairs of shot and temperature, in ascending order; none: nothing was calibrated.
    """

    by_shot: tuple[tuple[float, float], ...] = ()

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
