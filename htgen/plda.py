"""How classes, and samples of one class, differ in general: probabilistic linear discriminant analysis.

A class mean of few samples is a noisy guess of the class's centre, in some directions more than in others.
What training classes tell of these directions corrects the guess for new classes. All is Gaussian: centres of
classes vary with a covariance B about a common one, samples of a class with a covariance W about its centre
(Ioffe, "Probabilistic linear discriminant analysis", ECCV 2006). In coordinates in which W is a multiple of
the identity and B is diagonal, every number can be corrected by itself:

    centre given n samples of mean z:   n / (n + r) z,       r = W / B, the samples that the prior counts for
    variance of a further sample:       W (1 + 1 / (n + r))

No torch here.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

    Array = TypeVar("Array", Tensor, npt.NDArray[Any])
else:
    Array = TypeVar("Array")

Floats = npt.NDArray[np.float64]

BETWEEN_FLOOR = 0.2
"""Added to the diagonal of B, relative to what is added to that of W."""
MOST_PRIOR_COUNTS = 1e4
"""What files can hold with 16 bits; a class mean counts for nothing in such a direction."""


def corrected_means(means: Array, counts: Array, prior_counts: Array) -> Array:
    """The likeliest centres of classes: `[E, n, F]` means of `[E, n]` samples -> `[E, n, F]`."""
    share: Array = counts[:, :, None] / (counts[:, :, None] + prior_counts).clip(1e-6)
    return means * share


def precisions(counts: Array, prior_counts: Array) -> Array:
    """How much each coordinate is worth when a sample is compared with corrected means, `[E, 1, F]`.

    1 where the prior counts for nothing. A linear layer can only have one for all classes: that of the mean
    of their `counts` `[E, n]`.
    """
    count = counts.mean(1)[:, None, None].clip(1e-6)
    one: Array = (1 + 1 / count) / (1 + 1 / (count + prior_counts))
    return one


@dataclass(frozen=True)
class Variation:
    """Sums over samples and classes from which the two covariances follow; they can be added up.

    Attributes:
        scatter: `[F, F]`, of samples about the mean of their class.
        freedom: number of samples less number of classes.
        means: `[F]`, sum of the class means.
        squares: `[F, F]`, sum of their outer products.
        shares: sum of 1 / samples over classes.
        classes: how many.
    """

    scatter: Floats
    freedom: int
    means: Floats
    squares: Floats
    shares: float
    classes: int

    def __add__(self, other: "Variation") -> "Variation":
        return Variation(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))

    @staticmethod
    def of(features: npt.NDArray[Any], labels: npt.NDArray[np.int64]) -> "Variation":
        """Of one task: features `[N, F]` of samples with labels `[N]`."""
        features = features.astype(np.float64)
        member = (labels == np.unique(labels)[:, None]).astype(np.float64)
        counts = member.sum(axis=1)
        means = member @ features / counts[:, None]
        rest = features - means[member.argmax(axis=0)]
        classes = len(counts)
        return Variation(
            scatter=rest.T @ rest,
            freedom=len(labels) - classes,
            means=means.sum(axis=0),
            squares=means.T @ means,
            shares=float((1 / counts).sum()),
            classes=classes,
        )

    def plda(self, floor: float) -> dict[str, npt.NDArray[np.float32]]:
        """The coordinates, as the tensors of `htgen.model.Plda`.

        Args:
            floor: added to the diagonal of W, relative to its mean: features are not Gaussian, and new
                classes are not those that were measured.

        Returns:
            `centre` `[F]`; `directions` `[F, F]`, by which features less the centre are multiplied; a sample
            varies within its class as much as before, on average over coordinates; `prior_counts` `[F]`.
        """
        within = self.scatter / max(1, self.freedom)
        centre = self.means / self.classes
        between = self.squares / self.classes - np.outer(centre, centre)
        between -= within * (self.shares / self.classes)  # means of few samples vary by that much more
        unit = within.trace() / len(within) or 1.0
        within += floor * unit * np.eye(len(within))
        between += BETWEEN_FLOOR * floor * unit * np.eye(len(within))
        inverse = np.linalg.inv(np.linalg.cholesky(within))
        spread, axes = np.linalg.eigh(inverse @ between @ inverse.T)
        prior_counts = 1 / spread.clip(1 / MOST_PRIOR_COUNTS)
        directions = inverse.T @ axes * ((1 + floor) * unit) ** 0.5
        found = {"centre": centre, "directions": directions, "prior_counts": prior_counts}
        return {name: array.astype(np.float32) for name, array in found.items()}
