"""What training classes tell of class means (PLDA): the coordinates, and the correction in them.

Probabilistic linear discriminant analysis is about how classes, and samples of one class, differ in general.

A class mean of few samples is a noisy guess of the class's centre, in some directions more than in others.
What training classes tell of these directions corrects the guess for new classes. All is Gaussian: centres of
classes vary with a covariance B about a common one, samples of a class with a covariance W about its centre
(Ioffe, "Probabilistic linear discriminant analysis", ECCV 2006). In coordinates in which W is a multiple of
the identity and B is diagonal, every number can be corrected by itself:

    centre given n samples of mean z:   n / (n + r) z,       r = W / B, the samples that the prior counts for
    variance of a further sample:       W (1 + 1 / (n + r))

`htgen.evaluation.plda` measures the coordinates. For tensors and arrays alike; no torch here.
"""

from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

    Array = TypeVar("Array", Tensor, npt.NDArray[Any])
else:
    Array = TypeVar("Array")


class PldaCoordinates(Generic[Array]):
    """Coordinates of features in which every number of a class mean can be corrected by itself.

    Attributes:
        centre: of all classes, `[F]`.
        directions: `[F, F]`, one coordinate a column.
        prior_counts: `[F]`, the samples that the prior counts for in each coordinate.
    """

    centre: Array
    directions: Array
    prior_counts: Array

    def coordinates(self, features: Array) -> Array:
        """Of inputs of the logits layer, `[E, S, F] -> [E, S, F]`."""
        coordinates: Array = (features - self.centre) @ self.directions
        return coordinates

    def back(self, weight: Array, bias: Array) -> tuple[Array, Array]:
        """A layer that reads coordinates -> one that reads features: weight `[E, n, F]`, bias `[E, n]`."""
        weight = weight @ self.directions.T
        return weight, bias - (weight @ self.centre[:, None])[:, :, 0]


def corrected_means(means: Array, counts: Array, prior_counts: Array) -> Array:
    """The likeliest centres of classes: `[E, n, F]` means of `[E, n]` samples -> `[E, n, F]`."""
    share: Array = counts[:, :, None] / (counts[:, :, None] + prior_counts).clip(1e-6)
    return means * share


def coordinate_weights(counts: Array, prior_counts: Array) -> Array:
    """How much each coordinate is worth when a sample is compared with corrected means, `[E, 1, F]`.

    1 where the prior counts for nothing. A linear layer can only have one for all classes: that of the mean
    of their `counts` `[E, n]`.
    """
    count = counts.mean(1)[:, None, None].clip(1e-6)
    one: Array = (1 + 1 / count) / (1 + 1 / (count + prior_counts))
    return one
