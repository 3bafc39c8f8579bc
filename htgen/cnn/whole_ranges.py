"""From where to where the activations of a CNN reach, by block and channel."""

from dataclasses import dataclass

import numpy as np

from htgen.arrays import Doubles, Floats
from htgen.cnn.bundle import Bundle
from htgen.cnn.executor_numpy import channels_last, run_block
from htgen.cnn.spec import CNN_LEAKY_SLOPE, NORM_EPSILON, Activation, CnnSpec, ConvSpec
from htgen.cnn.weights import BlockWeights

BEYOND = 4.0
"""Blocks without a norm may reach so many times as far as they do for the pictures that are tried."""

_PICTURES = 12


@dataclass(frozen=True)
class Span:
    """Least and largest value of each channel."""

    low: Doubles
    high: Doubles

    def __add__(self, other: "Span") -> "Span":
        return Span(self.low + other.low, self.high + other.high)

    def activated(self, activation: Activation) -> "Span":
        """After an activation."""
        if activation == "none":
            return self
        floor = CNN_LEAKY_SLOPE * self.low if activation == "lrelu" else np.zeros_like(self.low)
        low, high = np.maximum(self.low, floor), np.maximum(self.high, floor)
        if activation == "lrelu":
            high = np.maximum(self.high, CNN_LEAKY_SLOPE * self.high)
        return Span(low, high) if activation != "relu6" else Span(np.minimum(low, 6), np.minimum(high, 6))

    def within(self, other: "Span") -> "Span":
        """What both have."""
        return Span(np.maximum(self.low, other.low), np.minimum(self.high, other.high))


@dataclass(frozen=True)
class FoldedBlock:
    """A block whose norm, where it comes before the activation, is part of kernel and bias.

    Attributes:
        kernel, bias: `[O, C / groups, k, k]` and `[O]`.
        factor, summand: `[O]`, of the norm after the pool; 1 and 0 where there is none.
        mean, deviation: `[O]`, of what the norm reads, or of what it gives where it comes first; None
            without a norm.
    """

    kernel: Doubles
    bias: Doubles
    factor: Doubles
    summand: Doubles
    mean: Doubles | None
    deviation: Doubles | None

    @property
    def nothing(self) -> Doubles:
        """`[O]`: what the norm makes 0 of."""
        return np.where(self.factor == 0, 0.0, -self.summand / np.where(self.factor == 0, 1, self.factor))

    def by_output(self, values: Doubles) -> Doubles:
        """`[C] -> [O, C / groups]`: of the channels that each output channel reads."""
        outputs, own = self.kernel.shape[:2]
        groups = len(values) // own
        return values.reshape(groups, own).repeat(outputs // groups, axis=0)


def folded(spec: CnnSpec, weights: BlockWeights[Floats]) -> FoldedBlock:
    """A block of a CNN with the norms of its support set."""
    kernel = weights.kernel.astype(np.float64)
    bias = np.zeros(len(kernel)) if weights.bias is None else weights.bias.astype(np.float64)
    one, zero = np.ones(len(kernel)), np.zeros(len(kernel))
    if weights.norm is None:
        return FoldedBlock(kernel, bias, one, zero, None, None)
    gamma, beta, mean, variance = (part.astype(np.float64) for part in weights.norm.values())
    deviation = np.sqrt(variance + NORM_EPSILON)
    factor = gamma / deviation
    summand = beta - mean * factor
    if spec.norm_first:
        kernel, bias = kernel * factor[:, None, None, None], bias * factor + summand
        return FoldedBlock(kernel, bias, one, zero, beta, np.abs(gamma))
    return FoldedBlock(kernel, bias, factor, summand, mean, deviation)


def block_span(
    spec: CnnSpec,
    conv: ConvSpec,
    block: FoldedBlock,
    read: Span,
    added: Span | None,
    seen: Span,
    reach: float,
) -> Span:
    """Where a block's output lies before the norm that follows it.

    Args:
        read: what it reads.
        added: what is added to it, if anything is.
        seen: what it gives for pictures.
        reach: standard deviations.
    """
    activation = spec.activation_of(conv)
    if block.mean is not None and block.deviation is not None:
        apart = reach * block.deviation
        span = Span(block.mean - apart, block.mean + apart)
        if spec.norm_first and added is not None:
            span += added
        return span.activated(activation)
    ends = [block.by_output(end)[:, :, None, None] * block.kernel for end in (read.low, read.high)]
    low, high = np.minimum(*ends).sum(axis=(1, 2, 3)), np.maximum(*ends).sum(axis=(1, 2, 3))
    span = Span(low + block.bias, high + block.bias)
    if added is not None:
        span += added
    span = span.activated(activation)
    # A channel that pictures leave at rest may have as much as others.
    most = max(float(np.abs(seen.low).max()), float(np.abs(seen.high).max()))
    beyond = Span(np.minimum(BEYOND * seen.low, -most), np.maximum(BEYOND * seen.high, most))
    return span.within(beyond)


def observed_spans(bundle: Bundle) -> list[Span]:
    """What blocks without a norm give for a few smooth pictures and noise; empty for others."""
    spec = bundle.spec
    if all(conv.norm for conv in spec.convs):
        return [Span(np.zeros(1), np.zeros(1)) for _ in spec.convs]
    x = channels_last(_pictures(spec.image_channels, spec.image_size)[None])
    spans: list[Span] = []
    outputs: dict[str, Floats] = {}
    weights = bundle.weights.map(lambda tensor: tensor[None])
    for conv, block in zip(spec.convs, weights.blocks, strict=True):
        with np.errstate(over="ignore", invalid="ignore"):
            x = np.nan_to_num(run_block(spec, conv, block, x, outputs.get(conv.add)))
        outputs[conv.name] = x
        spans.append(
            Span(*(extreme(x[0], axis=(0, 1, 2)).astype(np.float64) for extreme in (np.min, np.max)))
        )
    return spans


def _pictures(channels: int, size: int) -> Floats:
    """`[N, C, H, W]`, -1..1: random grids of more and more cells, enlarged; grey ones and coloured ones."""
    random = np.random.default_rng(0)
    pictures = []
    for index in range(_PICTURES):
        cells = min(size, 2 << index // 2)
        grid = random.random((channels if index % 2 else 1, cells, cells))
        at = np.linspace(0, cells - 1, size)
        first = np.minimum(at.astype(int), max(cells - 2, 0))
        second, part = np.minimum(first + 1, cells - 1), at - first
        grid = grid[:, first] * (1 - part[:, None]) + grid[:, second] * part[:, None]
        grid = grid[:, :, first] * (1 - part) + grid[:, :, second] * part
        pictures.append(np.broadcast_to(2 * grid - 1, (channels, size, size)))
    return np.stack(pictures).astype(np.float32)
