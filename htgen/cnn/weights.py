"""The weights of generated CNNs, by layer."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class ConvWeights:
    """Weights of one block for E episodes: kernel `[E, O, C, k, k]`; bias, gamma, beta `[E, O]`.

    Support and query images have norm parameters of their own only if the config says so.
    """

    kernel: Tensor
    bias: Tensor | None
    gamma: Tensor
    beta: Tensor
    query_gamma: Tensor
    query_beta: Tensor


@dataclass(frozen=True)
class Moments:
    """Mean and variance `[E, C]` of a block's output, before normalisation."""

    mean: Tensor
    variance: Tensor


@dataclass(frozen=True)
class GeneratedWeights:
    """The CNNs of E episodes.

    Attributes:
        convs: weights of each block.
        stats: support-set statistics of each block, for `normalise`.
        logits_weight: `[E, n, F]`.
        logits_bias: `[E, n]`.
    """

    convs: list[ConvWeights]
    stats: list[Moments]
    logits_weight: Tensor
    logits_bias: Tensor
