"""Rounds a generated CNN to whole numbers, of which `htgen export` writes fast C for small processors.

Each channel of activations has a scale and a zero of its own. Weights have a scale for each output channel;
the logits layer has one scale for all classes, so that its sums are compared as they are. What a block's norm
does after its pool is part of the weights and biases of the layer that reads it, and so costs nothing.

There are two kinds. CNNs of grey drawings in plain blocks have activations and weights of 8 bits. Others, as
of photographs, have activations of 16 bits; their weights have 16 bits too in a CNN of few weights, else in
the logits layer and in small blocks alone.

Which value a level stands for follows from the norm's statistics, which are those of the support images:
levels reach from the least value that there is to `REACH` standard deviations above the mean. Blocks without
a norm reach as far as their weights allow, but not far beyond what they give for smooth pictures and noise.

Scales are such that no sum of 32 bits can overflow, whatever the pixels are.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from htgen.arrays import Doubles, Floats
from htgen.cnn.bundle import Bundle
from htgen.cnn.spec import CNN_LEAKY_SLOPE, CnnSpec, ConvSpec
from htgen.cnn.weights import BlockWeights
from htgen.cnn.whole_executor import BYTE, Pool, Residual, WholeBlock, WholeCnn
from htgen.cnn.whole_length import FINER, HALF, WholeLength, Wholes
from htgen.cnn.whole_ranges import Span, block_span, folded, observed_spans
from htgen.errors import ModelError

REACH = {BYTE: 8.0, HALF: 32.0}
"""Standard deviations about the mean up to which activations are told apart, by the largest level."""

SMALL = 127
"""Largest weight of 8 bits."""

_ROOM = 1 << 16
"""Where activations have 16 bits, weights have 16 if all blocks have so few together."""

_FEW = 12
"""Otherwise a block has weights of 16 bits if at most one in so many of all weights is its own."""

_SUMS, _BIASES = 3 << 29, 1 << 28
"""What products, and what a bias may add up to."""

_FEWEST = 256
"""Sums that levels reach over at least."""

_SPREAD = 5
"""Bits that sums of levels of 8 bits may lack, so that all channels are shifted alike."""

_FAR = 64
"""A channel whose sums count so many times as much as the middle one's is as good as at its ends always."""

_SLOPES = {"relu": 0.0, "relu6": 0.0, "lrelu": CNN_LEAKY_SLOPE, "none": 1.0}

_REMEDY = "htgen export --float, or the CNN file itself, with `htgen predict`"


@dataclass(frozen=True)
class Held:
    """What the levels of activations stand for: `(level - origin) * step`, by channel.

    Attributes:
        step, origin: `[C]`; an origin need not be whole.
        levels: the largest.
    """

    step: Doubles
    origin: Doubles
    levels: int

    @property
    def zero(self) -> Wholes:
        """`[C]`, the levels nearest to zero, for padding."""
        return np.rint(self.origin).astype(np.int64)

    @property
    def span(self) -> Span:
        """Least and largest values."""
        ends = (-self.origin * self.step, (self.levels - self.origin) * self.step)
        return Span(np.minimum(*ends), np.maximum(*ends))


def default_bits(spec: CnnSpec) -> int:
    """Of activations: 8 for grey drawings in plain blocks, 16 for anything else."""
    plain = all(conv.norm and conv.groups == 1 and not conv.add for conv in spec.convs)
    return 8 if plain and spec.image_channels == 1 else 16


def whole_cnn(bundle: Bundle, bits: int | None = None) -> WholeCnn:
    """Round a CNN to whole numbers.

    Args:
        bits: of activations, 8 or 16; None for what suits the CNN.

    Raises:
        ModelError: what is pooled would have to be the least and not the largest, or numbers are so far apart
            that 32 bits cannot hold them.
    """
    spec, weights = bundle.spec, bundle.weights
    levels = BYTE if (bits or default_bits(spec)) == 8 else HALF
    rounding = _Rounding(spec, levels, sum(block.kernel.size for block in weights.blocks))
    middle = np.full(spec.image_channels, 128.0)
    held = Held(middle / 128**2, middle, BYTE)  # pixels
    outputs: dict[str, Held] = {}
    blocks = []
    for conv, block, seen in zip(spec.convs, weights.blocks, observed_spans(bundle), strict=True):
        whole, held = rounding.block(conv, block, held, outputs.get(conv.add), seen)
        outputs[conv.name] = held
        blocks.append(whole)
    length = None
    if spec.unit_features:
        length, held = _length(spec, held)
    return WholeCnn(spec, tuple(blocks), levels, *_logits(bundle, held), length)


def _length(spec: CnnSpec, held: Held) -> tuple[WholeLength, Held]:
    """What scales features to length 1, and what they stand for then."""
    finer = FINER if spec.head == "average" and held.levels == BYTE else 1
    alike = not held.origin.any() and np.ptp(held.step) == 0 and held.step[0] > 0
    unit = 1.0 if alike else max(float(np.abs(held.step).max()), float(np.finfo(np.float32).tiny)) / HALF
    factor = np.ones(len(held.step)) if alike else np.rint(held.step / unit)
    zero = np.rint(factor * held.origin * finer)
    unit_held = Held(np.full_like(held.step, 1 / HALF), np.zeros_like(held.origin), HALF)
    return WholeLength(factor.astype(np.int64), zero.astype(np.int64), finer), unit_held


def _logits(bundle: Bundle, held: Held) -> tuple[Wholes, Wholes, float]:
    """Weights, biases and step of the logits layer."""
    last, way = bundle.spec.convs[-1], len(bundle.classes)
    weight = bundle.weights.logits_weight.astype(np.float64).reshape(way, last.out_channels, -1)
    bias = bundle.weights.logits_bias.astype(np.float64)
    adds = bundle.spec.head == "average" and held.levels == BYTE
    positions = last.out_size**2 if adds else 1
    weight = weight * held.step[:, None] / positions  # [n, C, positions], or [n, C, 1]
    most, largest = held.levels * positions, SMALL if held.levels == BYTE else HALF
    total = np.abs(weight).sum(axis=(1, 2)).max()
    step = float(max(np.abs(weight).max() / largest, total * most / _SUMS, np.abs(bias).max() / _BIASES))
    step = max(step, float(np.finfo(np.float32).tiny))
    whole = round_alike(weight / step, largest)
    offset = (whole * held.origin[:, None]).sum(axis=(1, 2)) * positions
    whole_bias = np.rint(bias / step - offset).astype(np.int64)
    _expect_fit(whole, whole_bias, most, "the logits layer")
    return whole.reshape(way, -1), whole_bias, step


def round_alike(values: Doubles, largest: int) -> Wholes:
    """Round `[..., P]` such that sums over the last axis stay what they are, but for one rounding.

    Neighbouring pixels are alike, so what matters most in the weights of a kernel is their sum. Those that
    are nearest to it are rounded the other way.
    """
    whole = np.rint(values)
    error = values - whole
    missing = np.rint(error.sum(axis=-1, keepdims=True))
    order = np.argsort(-error * np.sign(missing), axis=-1, kind="stable")
    rank = np.argsort(order, axis=-1, kind="stable")
    whole += np.where(rank < np.abs(missing), np.sign(missing), 0)
    return np.clip(whole, -largest, largest).astype(np.int64)


@dataclass(frozen=True)
class _Rounding:
    """How blocks are rounded.

    Attributes:
        levels: largest activation.
        weights: how many there are in all blocks.
    """

    spec: CnnSpec
    levels: int
    weights: int

    def block(
        self, conv: ConvSpec, weights: BlockWeights[Floats], held: Held, added: Held | None, seen: Span
    ) -> tuple[WholeBlock, Held]:
        """A block, and what the levels of its output stand for.

        Args:
            held: what it reads.
            added: what is added to it, if anything is.
            seen: what a block without a norm gives for pictures.
        """
        block = folded(self.spec, weights)
        pool_sums, pool_levels = self._pools(conv, weights)
        reach = REACH[self.levels]
        span = block_span(self.spec, conv, block, held.span, added.span if added else None, seen, reach)
        if block.mean is None and self.levels == HALF:  # weights that are whole already stay so
            span = Span(np.full_like(span.low, span.low.min()), np.full_like(span.high, span.high.max()))
        # The value that the norm makes 0 of must be a level, for padding.
        span = Span(np.minimum(span.low, block.nothing), np.maximum(span.high, block.nothing))
        places = 4 if pool_sums == "sum" else 1
        kernel = block.kernel * block.by_output(held.step)[:, :, None, None]  # of what a level stands for
        most, largest = held.levels * places, self._largest(kernel.size)
        step = np.maximum.reduce(
            [
                np.abs(kernel).max(axis=(1, 2, 3)) / largest,
                np.abs(kernel).sum(axis=(1, 2, 3)) * most / _SUMS,
                np.abs(block.bias) * places / _BIASES,
            ]
        )
        # A channel that is silent is not told more finely than its sums, nor sums than makes a difference.
        width = np.maximum.reduce([span.high - span.low, step * _FEWEST, np.full_like(step, 1e-9)])
        step = np.maximum(step, width / _BIASES)
        unit = self.levels / width  # levels for a value of 1 before the norm
        parts = (kernel / step[:, None, None, None]).reshape(*kernel.shape[:2], -1)
        whole = round_alike(parts, largest)
        offset = (whole.sum(axis=2) * block.by_output(held.origin)).sum(axis=1)
        bias = np.rint((block.bias / step - offset) * places).astype(np.int64)
        _expect_fit(whole, bias, most, conv.name)
        output = Held(block.factor / unit, (block.nothing - span.low) * unit, self.levels)
        top = np.full(len(whole), self.levels)
        if self.spec.activation_of(conv) == "relu6":
            top = np.minimum(top, np.rint(np.maximum(6 - span.low, 0) * unit).astype(np.int64))
        scales = self._scales(conv, step / places, unit, span, added)
        made = WholeBlock(
            kernel=whole.reshape(kernel.shape),
            bias=bias,
            zero=held.zero,
            top=top,
            pool_sums=pool_sums,
            pool_levels=pool_levels,
            **scales,
        )
        return made, output

    def _largest(self, weights: int) -> int:
        """The largest weight of a block that has so many."""
        has_room = self.weights <= _ROOM or weights * _FEW <= self.weights
        return HALF if self.levels == HALF and has_room else SMALL

    def _pools(self, conv: ConvSpec, weights: BlockWeights[Floats]) -> tuple[Pool, Pool]:
        """How sums are pooled, and how levels are.

        Raises:
            ModelError: the largest sum would have to be the least.
        """
        if not conv.pool:
            return "", ""
        comes_first = self.spec.norm_first == "after-pool"
        turns = comes_first and weights.norm is not None and (weights.norm.gamma < 0).any()
        if conv.pooling == "max" and turns:
            raise ModelError(f"{conv.name} pools before a norm that turns its sign", _REMEDY)
        if conv.pooling == "max":
            return ("", "max") if conv.add else ("max", "")
        return ("sum", "") if comes_first else ("", "average")

    def _scales(
        self, conv: ConvSpec, step: Doubles, unit: Doubles, span: Span, added: Held | None
    ) -> dict[str, Any]:
        """Factors and shifts of a block.

        Args:
            step: what a sum of 1 stands for.
            unit: levels for a value of 1.
            span: of values.
        """
        activation = self.spec.activation_of(conv)
        farthest = np.ceil(np.maximum(np.abs(span.low), np.abs(span.high)) / step)
        shift = np.clip(np.ceil(np.log2((farthest + 1) / HALF)), 0, 16).astype(np.int64)
        if self.levels == BYTE and np.ptp(shift) <= _SPREAD:
            shift[:] = shift.max()
        factor = step * unit * 2.0**shift
        low = -span.low * unit + 0.5
        share = added.step * unit if added else np.zeros(len(unit))
        offset = -share * added.origin if added else share
        ordinary = factor <= _FAR * np.median(factor)
        for down in range(30, -1, -1):
            scale = 2.0**down
            most = HALF * np.minimum(np.rint(factor * scale), HALF) + np.rint(np.abs(low) * scale)
            most += self.levels * np.rint(np.abs(share) * scale) + np.rint(np.abs(offset) * scale)
            fit = (factor * scale)[ordinary].max() <= HALF and np.abs(share * scale).max() <= HALF
            if fit and most.max() < 1 << 31:
                break
        else:
            raise ModelError(f"numbers of {conv.name} are too far apart for 32 bits", _REMEDY)
        whole = [np.rint(part * scale).astype(np.int64) for part in (factor, low, share, offset)]
        positive = np.minimum(whole[0], HALF)
        negative = np.rint(positive * _SLOPES[activation]).astype(np.int64)
        residual = Residual(whole[2], whole[3], activation) if added else None
        return {
            "factor": positive,
            "negative": positive if residual else negative,
            "summand": whole[1],
            "shift": shift,
            "down": down,
            "residual": residual,
        }


def _expect_fit(weights: Wholes, bias: Wholes, most: int, where: str) -> None:
    """Refuse what a sum of 32 bits cannot hold, whatever is read.

    Args:
        weights: `[O, ...]`.
        most: largest level, or sum of levels, that a weight is multiplied by.
    """
    weights = weights.reshape(len(weights), -1)
    above, below = np.maximum(weights, 0).sum(axis=1) * most, np.minimum(weights, 0).sum(axis=1) * most
    largest = max(np.abs(part).max() for part in (above, below, bias, above + bias, below + bias))
    if largest >= 1 << 31:
        raise ModelError(f"sums of {where} may not fit into 32 bits", _REMEDY)
