"""A generated CNN in whole numbers: what the C of `htgen export` computes, bit for bit, with NumPy.

Activations are bytes 0..255 with a scale and a zero of their own for each channel. Weights are bytes
-127..127 with a scale for each output channel; the logits layer has one scale for all classes, so that its
sums are compared as they are. Sums are of 32 bits. Norms cost nothing: what a block's norm does after its
pool is part of the weights and biases of the layer that reads it.

Which value a byte stands for follows from the norm's statistics, which are those of the support images: bytes
reach from the least value that there is to `REACH` standard deviations above the mean.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from htgen.arrays import Doubles
from htgen.cnn.bundle import Bundle
from htgen.cnn.executor_numpy import convolve
from htgen.cnn.spec import CNN_LEAKY_SLOPE, NORM_EPSILON, CnnSpec, ConvSpec
from htgen.cnn.weights import BlockWeights
from htgen.errors import ModelError

Wholes = npt.NDArray[np.int64]

REACH = 8.0
"""Standard deviations above the mean up to which activations are told apart."""

_LARGEST = 127
"""Of weights."""

_BYTE = 255
"""Largest activation."""

_HALF = (1 << 15) - 1
"""Largest factor, and largest number that is multiplied by one."""

_SLOPES = {"relu": 0.0, "relu6": 0.0, "lrelu": CNN_LEAKY_SLOPE, "none": 1.0}


@dataclass(frozen=True)
class Bytes:
    """What the bytes of activations stand for: `(byte - origin) * step`, by channel.

    Attributes:
        step, origin: `[C]`; an origin need not be whole.
        zero: `[C]`, the byte nearest to zero, for padding.
    """

    step: Doubles
    origin: Doubles
    zero: Wholes


@dataclass(frozen=True)
class WholeBlock:
    """One block. A sum `s`, bias included, becomes `((min(s, limit) >> shift) * factor + summand) >> down`.

    Attributes:
        kernel: `[O, C, k, k]`, -127..127.
        bias: `[O]`.
        zero: `[C]`, what the input is padded with, 0..255.
        limit: largest positive sum, bias included, that is told from larger ones.
        factor: `[O]`, of positive sums, `negative`: `[O]`, of others; up to 32767.
        summand: `[O]`.
        shift, down: by so many bits.
    """

    kernel: Wholes
    bias: Wholes
    zero: Wholes
    limit: int
    factor: Wholes
    negative: Wholes
    summand: Wholes
    shift: int
    down: int


@dataclass(frozen=True)
class WholeCnn:
    """A CNN in whole numbers.

    Attributes:
        spec: its layers.
        blocks: in the order of `spec.convs`.
        logits_weight: `[n, F]`, features in the order `[C, H, W]`; with head `average` `[n, C]`, for sums.
        logits_bias: `[n]`.
        logits_step: a logit is a whole one times this.
    """

    spec: CnnSpec
    blocks: tuple[WholeBlock, ...]
    logits_weight: Wholes
    logits_bias: Wholes
    logits_step: float

    def logits(self, pixels: npt.NDArray[np.uint8]) -> Wholes:
        """Run it: prepared images `[N, C, H, W]` -> whole logits `[N, n]`."""
        x = pixels.transpose(0, 2, 3, 1).astype(np.int64)  # [N, H, W, C]
        for conv, block in zip(self.spec.convs, self.blocks, strict=True):
            x = _run_block(conv, block, x)
        features = x.transpose(0, 3, 1, 2)  # [N, C, H, W]
        if self.spec.head == "average":
            features = features.sum(axis=(2, 3))
        return features.reshape(len(x), -1) @ self.logits_weight.T + self.logits_bias


def _run_block(conv: ConvSpec, block: WholeBlock, x: Wholes) -> Wholes:
    """`[N, H, W, C] -> [N, H', W', O]`, both 0..255."""
    if conv.padding:
        count, height, width, channels = x.shape
        padded = np.empty((count, height + 2 * conv.padding, width + 2 * conv.padding, channels), np.int64)
        padded[:] = block.zero
        padded[:, conv.padding : -conv.padding, conv.padding : -conv.padding] = x
        x = padded
    kernel = block.kernel.transpose(2, 3, 1, 0)[None]  # [1, k, k, C, O]
    # Floating-point numbers hold such sums as they are.
    small = np.abs(block.kernel).sum(axis=(1, 2, 3)).max() * _BYTE < 1 << 24
    kind = np.float32 if small else np.float64
    sums = convolve(x[None].astype(kind), kernel.astype(kind), conv.stride)[0].astype(np.int64)
    if conv.pool:
        rows, columns = (side // 2 * 2 for side in sums.shape[1:3])
        sums = np.maximum(sums[:, 0:rows:2, :columns], sums[:, 1:rows:2, :columns])
        sums = np.maximum(sums[:, :, 0::2], sums[:, :, 1::2])
    sums = sums + block.bias
    positive = np.clip(sums, 0, block.limit) >> block.shift
    negative = np.clip(-sums, 0, block.limit) >> block.shift
    scaled = positive * block.factor - negative * block.negative + block.summand
    return np.minimum(np.maximum(scaled, 0) >> block.down, _BYTE)


def whole_cnn(bundle: Bundle, reach: float = REACH) -> WholeCnn:
    """Round a CNN to whole numbers.

    Raises:
        ModelError: sums may not fit into 32 bits, a weight is too large, or what is pooled would have to be
            the least and not the largest.
    """
    spec, weights = bundle.spec, bundle.weights
    pixels = np.full(spec.image_channels, 128.0)
    held = Bytes(pixels / 128**2, pixels, pixels.astype(np.int64))
    blocks = []
    for conv, block in zip(spec.convs, weights.blocks, strict=True):
        whole, held = _whole_block(spec, conv, block, held, reach)
        blocks.append(whole)
    last = spec.convs[-1]
    positions = last.out_size**2
    weight = weights.logits_weight.astype(np.float64).reshape(len(bundle.classes), last.out_channels, -1)
    if spec.head == "average":
        weight = weight / positions
    weight = weight * held.step[:, None]  # [n, C, positions], or [n, C, 1]
    step = max(np.abs(weight).max() / _LARGEST, np.finfo(np.float32).tiny)
    whole_weight = np.rint(weight / step).astype(np.int64)
    offset = (whole_weight * held.origin[:, None]).sum(axis=(1, 2))
    if spec.head == "average":
        offset = offset * positions
    bias = _rounded(weights.logits_bias / step - offset, "the logits layer")
    most = np.abs(whole_weight).sum(axis=(1, 2)) * (positions if spec.head == "average" else 1) * _BYTE
    _expect_fit(most + np.abs(bias), "the logits layer")
    return WholeCnn(spec, tuple(blocks), whole_weight.reshape(len(bundle.classes), -1), bias, float(step))


def _whole_block(
    spec: CnnSpec, conv: ConvSpec, weights: BlockWeights[np.ndarray], held: Bytes, reach: float
) -> tuple[WholeBlock, Bytes]:
    """A block, and what the bytes of its output stand for."""
    assert weights.norm is not None
    kernel = weights.kernel.astype(np.float64)
    bias = np.zeros(len(kernel)) if weights.bias is None else weights.bias.astype(np.float64)
    gamma, beta, mean, variance = (part.astype(np.float64) for part in weights.norm.values())
    deviation = np.sqrt(variance + NORM_EPSILON)
    factor = gamma / deviation
    summand = beta - mean * factor
    if spec.norm_first:
        if spec.norm_first == "after-pool" and conv.pool and (factor < 0).any():
            raise ModelError(f"{conv.name} pools before a norm that turns its sign", "htgen export --float")
        kernel, bias = kernel * factor[:, None, None, None], bias * factor + summand
        mean, deviation = beta, np.abs(gamma)
        factor, summand = np.ones(len(kernel)), np.zeros(len(kernel))
    kernel = kernel * held.step[:, None, None]  # of what a byte stands for
    step = np.maximum(np.abs(kernel).max(axis=(1, 2, 3)) / _LARGEST, 1e-12)
    whole = np.rint(kernel / step[:, None, None, None]).astype(np.int64)
    origin = (whole.sum(axis=(2, 3)) * held.origin).sum(axis=1)
    whole_bias = _rounded(bias / step - origin, conv.name)
    most = np.abs(whole).sum(axis=(1, 2, 3)) * _BYTE + np.abs(whole_bias)
    _expect_fit(most, conv.name)

    low, high = _range(spec, conv, mean, deviation, reach)
    # The value that the norm takes to 0 must be a byte, for padding.
    nothing = np.where(factor == 0, 0.0, -summand / np.where(factor == 0, 1, factor))
    low, high = np.minimum(low, nothing), np.maximum(high, nothing)
    width = np.maximum(high - low, 1e-9)
    origin = (nothing - low) * _BYTE / width
    output = Bytes(factor * width / _BYTE, origin, np.rint(origin).astype(np.int64))
    ratio = step * _BYTE / width  # bytes of output for one of the sums
    top = np.ceil(_BYTE / ratio).max()
    shift = max(0, int(np.ceil(np.log2((top + 1) / _HALF))))
    limit = min((_HALF << shift) | ((1 << shift) - 1), (1 << 31) - 1)
    down = int(np.clip(np.floor(np.log2(_HALF / (ratio * float(1 << shift)).max())), 0, 30))
    scaled = np.minimum(ratio * float(1 << shift) * float(1 << down), _HALF)
    slope = _SLOPES[spec.activation_of(conv)]
    whole_summand = _rounded(-low * _BYTE / width * float(1 << down) + (1 << down) / 2, conv.name)
    _expect_fit(np.abs(whole_summand) + _HALF * np.rint(scaled), conv.name)
    block = WholeBlock(
        whole,
        whole_bias,
        held.zero,
        limit,
        np.rint(scaled).astype(np.int64),
        np.rint(scaled * slope).astype(np.int64),
        whole_summand,
        shift,
        down,
    )
    return block, output


def _range(
    spec: CnnSpec, conv: ConvSpec, mean: Doubles, deviation: Doubles, reach: float
) -> tuple[Doubles, Doubles]:
    """Least and largest value of a block's output before its norm, by channel."""
    low, high = mean - reach * deviation, mean + reach * deviation
    activation = spec.activation_of(conv)
    if activation in ("relu", "relu6"):
        low = np.maximum(low, 0)
    elif activation == "lrelu":
        low = np.maximum(low, CNN_LEAKY_SLOPE * low)
    if activation == "relu6":
        high = np.minimum(high, 6)
    return np.minimum(low, high), high


def _rounded(values: Doubles, where: str) -> Wholes:
    if not np.isfinite(values).all() or np.abs(values).max() >= 1 << 31:
        raise ModelError(f"{where} holds what does not fit into 32 bits", "htgen export --float")
    return np.rint(values).astype(np.int64)


def _expect_fit(most: Wholes | Doubles, where: str) -> None:
    if np.max(most) >= 1 << 31:
        raise ModelError(f"sums of {where} may not fit into 32 bits", "htgen export --float")
