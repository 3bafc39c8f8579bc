"""What a CNN's file holds of its classes beside weights, so that some can be added or removed later."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from htgen.arrays import Floats


@dataclass(frozen=True, eq=False)
class ClassMeans:
    """The class means that a logits layer was made of.

    Attributes:
        means: `[n, F]` float32, of the inputs of the logits layer; with PLDA, in its coordinates.
        counts: `[n]` float32, of how many images each is; unlabelled images count by their shares.
    """

    means: Floats
    counts: Floats

    def of(self, places: Sequence[int]) -> "ClassMeans":
        """Those of some classes, in this order."""
        return ClassMeans(self.means[list(places)], self.counts[list(places)])

    def and_further(self, others: "ClassMeans") -> "ClassMeans":
        """Those of further classes behind these."""
        return ClassMeans(
            np.concatenate([self.means, others.means]), np.concatenate([self.counts, others.counts])
        )

    def with_images(self, place: int, mean: Floats, count: float) -> "ClassMeans":
        """The same after further images of one class, of which the mean `[F]` and the number are given.

        A negative number takes images out.
        """
        means, counts = self.means.copy(), self.counts.copy()
        total = float(counts[place]) + count
        both = counts[place] * means[place].astype(np.float64) + count * mean.astype(np.float64)
        means[place], counts[place] = both / total, total
        return ClassMeans(means, counts)

    def faults(self, classes: int, features: int) -> list[str]:
        """What is wrong with those of so many classes and features, one sentence each."""
        expected = ((classes, features), (classes,))
        if (self.means.shape, self.counts.shape) != expected:
            return [f"class means must have the shapes {expected[0]} and {expected[1]}"]
        if any(array.dtype != np.float32 for array in (self.means, self.counts)):
            return ["class means must be float32 numbers"]
        if not (np.isfinite(self.means).all() and np.isfinite(self.counts).all() and (self.counts > 0).all()):
            return ["class means must be numbers, and of more than no image"]
        return []
