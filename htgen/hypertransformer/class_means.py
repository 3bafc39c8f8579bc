"""Logits layers from class means, and what training classes tell of them (PLDA). For tensors and arrays.

Probabilistic linear discriminant analysis is about how classes, and samples of one class, differ in general.

A class mean of few samples is a noisy guess of the class's centre, in some directions more than in others.
What training classes tell of these directions corrects the guess for new classes. All is Gaussian: centres of
classes vary with a covariance B about a common one, samples of a class with a covariance W about its centre
(Ioffe, "Probabilistic linear discriminant analysis", ECCV 2006). In coordinates in which W is a multiple of
the identity and B is diagonal, every number can be corrected by itself:

    centre given n samples of mean z:   n / (n + r) z,       r = W / B, the samples that the prior counts for
    variance of a further sample:       W (1 + 1 / (n + r))

No torch here.
"""

from typing import TYPE_CHECKING, Any, TypeVar

import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

    Array = TypeVar("Array", Tensor, npt.NDArray[Any])
else:
    Array = TypeVar("Array")


def membership(labels: Array, classes: Array, ignore: Array | None) -> Array:
    """Which labelled samples are of which class.

    Args:
        labels: `[E, S]`, 0..n-1; negative = unlabelled.
        classes: `[n]`, the numbers 0..n-1.
        ignore: `[E, S]` bool or None, True for samples that do not count.

    Returns:
        `[E, n, S]` bool.
    """
    member: Array = labels[:, None, :] == classes[:, None]
    return member if ignore is None else member & ~ignore[:, None, :]


def weighted_means(features: Array, weight: Array) -> tuple[Array, Array]:
    """Means of samples `[E, S, F]`, weighted for each class `[E, n, S]`: `[E, n, F]`; sums of weights.

    The mean of nothing is zero.
    """
    total = weight.sum(2)
    divisor = total + (total == 0)
    return (weight @ features) / divisor[:, :, None], total


def refine_means(
    features: Array, member: Array, probabilities: Array, unlabeled: Array
) -> tuple[Array, Array]:
    """Class means that count the unlabelled samples too: one step of soft k-means.

    Each unlabelled sample belongs to every class by its probability; labelled ones belong to their own (Ren
    et al., "Meta-learning for semi-supervised few-shot classification", ICLR 2018, eq. 3).

    Args:
        features: of all samples, `[E, S, F]`.
        member: `[E, n, S]`, which labelled samples are of which class.
        probabilities: `[E, S, n]`, of all samples.
        unlabeled: `[E, S]` bool, which of them are unlabelled, and count.

    Returns:
        Means `[E, n, F]` and the number of samples in each `[E, n]`; without unlabelled samples, those of
        the labelled ones.
    """
    soft = probabilities.swapaxes(1, 2) * unlabeled[:, None, :]  # [E, n, S]
    return weighted_means(features, member + soft)


def nearest_mean(
    means: Array, counts: Array, sharpness: Array, prior_counts: Array | None
) -> tuple[Array, Array]:
    """A logits layer `s |x|^2 - s |x - mu_c|^2 = 2 s mu_c . x - s |mu_c|^2` with the sharpness `s`.

    Args:
        means: `[E, n, F]`.
        counts: `[E, n]`, of how many samples they are; views of an image are no further samples.
        prior_counts: `[F]`, by which the means are corrected and their coordinates weighed; None = not.

    Returns:
        Weight `[E, n, F]`, bias `[E, n]`. What all classes have in common changes no probability; it is left
        out, so that logits are small, and so is their rounding.
    """
    weighted = means
    if prior_counts is not None:
        means = corrected_means(means, counts, prior_counts)
        weighted = means * precisions(counts, prior_counts)
    squares = (weighted * means).sum(2)
    weight = 2 * sharpness * (weighted - weighted.mean(1)[:, None])
    return weight, -sharpness * (squares - squares.mean(1)[:, None])


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
