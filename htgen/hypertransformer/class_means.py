"""Logits layers from class means, for tensors and arrays alike. No torch here.

The layer answers with the class whose mean is nearest. Means can be moved by unlabelled samples
(`refine_means`) and corrected by what training classes tell (`htgen.hypertransformer.plda_coordinates`).

Axis legend: E episodes, n ways, S support images, F features.
"""

from collections.abc import Callable

from htgen.hypertransformer.plda_coordinates import (
    Array,
    PldaCoordinates,
    coordinate_weights,
    corrected_means,
)


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
        weighted = means * coordinate_weights(counts, prior_counts)
    squares = (weighted * means).sum(2)
    weight = 2 * sharpness * (weighted - weighted.mean(1)[:, None])
    return weight, -sharpness * (squares - squares.mean(1)[:, None])


def class_mean_layer(
    features: Array,
    member: Array,
    unlabeled: Array,
    *,
    sharpness: Array,
    copies: int,
    plda: PldaCoordinates[Array] | None,
    refinements: int,
    classify: Callable[[Array, Array, Array], Array],
) -> tuple[Array, Array, Array, Array]:
    """A logits layer that answers with the class whose mean is nearest.

    Args:
        features: inputs of the layer for all samples, `[E, S, F]`.
        member: `[E, n, S]` of the type of `features`, 1 where a labelled sample is of a class, otherwise 0.
        unlabeled: `[E, S]` bool, which samples are unlabelled, and count.
        sharpness: see `nearest_mean`.
        copies: how often each image is there; its views are no further samples.
        plda: in whose coordinates means are compared and corrected; None = as they are.
        refinements: steps of soft k-means by which unlabelled samples move the means.
        classify: probabilities `[E, S, n]` of samples by a layer: of its inputs, weight and bias.

    Returns:
        Weight `[E, n, F]`, bias `[E, n]`; the means `[E, n, F]` (with PLDA in its coordinates), and of how
        many images each is, `[E, n]`.
    """
    seen = features if plda is None else plda.coordinates(features)
    prior_counts = None if plda is None else plda.prior_counts
    means, counts = weighted_means(seen, member)
    weight, bias = nearest_mean(means, counts / copies, sharpness, prior_counts)
    for _ in range(refinements):
        means, counts = refine_means(seen, member, classify(seen, weight, bias), unlabeled)
        weight, bias = nearest_mean(means, counts / copies, sharpness, prior_counts)
    if plda is not None:
        weight, bias = plda.back(weight, bias)
    return weight, bias, means, counts / copies


def layer_of_means(
    means: Array, counts: Array, sharpness: Array, plda: PldaCoordinates[Array] | None
) -> tuple[Array, Array]:
    """The layer of means `[E, n, F]` of `[E, n]` images, as `class_mean_layer` gives them."""
    if plda is None:
        return nearest_mean(means, counts, sharpness, None)
    return plda.back(*nearest_mean(means, counts, sharpness, plda.prior_counts))
