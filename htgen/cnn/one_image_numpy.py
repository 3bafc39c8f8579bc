"""A CNN for one image at a time with NumPy: what can be worked out beforehand is.

`htgen.cnn.executor_numpy` is made for many images; with one, most of its time goes into calling NumPy. Here a
block is seven calls. Its norm, scale and shift, is part of the layer behind it: the scale of that layer's
kernel, the shift of what that layer adds. Where a pool follows, the four pixels that it looks at are computed
apart, so that it takes the maximum of four long rows.

Logits differ from those of the executor by rounding alone.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from htgen.arrays import Floats
from htgen.cnn.executor_numpy import activate, convolve, pad
from htgen.cnn.spec import NORM_EPSILON, Activation, CnnSpec, ConvSpec
from htgen.cnn.weights import BlockWeights, CnnWeights

Doubles = npt.NDArray[np.float64]


def can_run(spec: CnnSpec) -> bool:
    """Whether a CNN is of the kind that this is for: a chain of convolutions whose norms come last."""
    return (
        spec.norm_first is False
        and spec.norm == "support"
        and not spec.unit_features
        and all(
            conv.groups == 1 and not conv.add and (conv.pooling == "max" or not conv.pool)
            for conv in spec.convs
        )
    )


class _Block(NamedTuple):
    """What a block needs, `[H, W]` with channels last.

    Attributes:
        padded: shape of its input with zeros around, `[H, W * C]`.
        inner: where the input itself is in it.
        windows: shape, and strides in bytes, of a view of patches: `[k, k, 2, 2, H', W']` for one channel,
            otherwise `[2, 2, H', W', k, k * C]`; without a pool, 1 in place of 2.
        is_turned: whether the former.
        kernel: `[k * k * C, O]`.
        addend: what the kernel does not give, `[4 or 1 * H' * W', O]`; None for nothing.
        activation: after the pool.
    """

    padded: tuple[int, int]
    inner: tuple[slice, slice]
    windows: tuple[tuple[int, ...], tuple[int, ...]]
    is_turned: bool
    kernel: Floats
    addend: Floats | None
    activation: Activation

    def run(self, padded: Floats, pools: int) -> Floats:
        """The block's output before its activation, `[H' * W' * O]`.

        Args:
            pools: 4 where a pool takes the maximum of four pixels, otherwise 1.
        """
        shape, strides = self.windows
        view: Floats = np.ndarray(shape, padded.dtype, padded, 0, strides)
        rows = len(self.kernel)
        patches = view.reshape(rows, -1).T if self.is_turned else view.reshape(-1, rows)
        out: Floats = np.dot(patches, self.kernel)
        if self.addend is not None:
            out += self.addend
        return np.maximum.reduce(out.reshape(4, -1), axis=0) if pools == 4 else out.reshape(-1)


class OneImage:
    """A CNN for one image at a time; it may be used by several threads.

    Args:
        spec: of which `can_run` is true.
        weights: of one CNN, without an axis in front.
    """

    def __init__(self, spec: CnnSpec, weights: CnnWeights[Floats]) -> None:
        self._blocks, self._pools = [], [4 if conv.pool else 1 for conv in spec.convs]
        self._channels = spec.image_channels
        scale, shift = np.ones(spec.image_channels), np.zeros(spec.image_channels)
        with np.errstate(over="ignore", invalid="ignore"):  # whoever asks for answers tells
            for conv, block in zip(spec.convs, weights.blocks, strict=True):
                self._blocks.append(_prepared(spec, conv, block, scale, shift))
                scale, shift = _affine(block, conv.out_channels)
            self._head, self._bias = _head(spec, weights, scale, shift)

    def __call__(self, image: Floats) -> Floats:
        """An image `[C, H, W]`, -1..1 -> logits `[n]`."""
        first = self._blocks[0]
        padded = np.zeros(first.padded, np.float32)
        padded[first.inner] = image.transpose(1, 2, 0).reshape(image.shape[1], -1)
        out = first.run(padded, self._pools[0])
        for before, block, pools in zip(self._blocks, self._blocks[1:], self._pools[1:], strict=False):
            padded = np.zeros(block.padded, np.float32)
            inside = padded[block.inner]
            _activate(out.reshape(inside.shape), before.activation, inside)
            out = block.run(padded, pools)
        _activate(out, self._blocks[-1].activation, out)
        logits: Floats = out @ self._head
        logits += self._bias
        return logits


def _activate(x: Floats, activation: Activation, out: Floats) -> None:
    """`htgen.cnn.executor_numpy.activate`, written to a place."""
    if activation == "relu":
        np.maximum(x, 0, out=out)
    else:
        out[...] = activate(x, activation)


def _affine(block: BlockWeights[Floats], channels: int) -> tuple[Doubles, Doubles]:
    """By what a block's norm multiplies, and what it adds: `[O]`."""
    norm = block.norm
    if norm is None:
        return np.ones(channels), np.zeros(channels)
    scale = norm.gamma.astype(np.float64) / np.sqrt(norm.variance.astype(np.float64) + NORM_EPSILON)
    return scale, norm.beta - norm.mean * scale


def _prepared(
    spec: CnnSpec, conv: ConvSpec, block: BlockWeights[Floats], scale: Doubles, shift: Doubles
) -> _Block:
    """A block that reads what the norm before it has not changed yet.

    Args:
        scale, shift: of that norm, `[C]`.
    """
    k, stride, channels = conv.kernel, conv.stride, conv.in_channels
    before, side = conv.padding_before, conv.in_size + conv.padding_before + conv.padding
    kernel: Any = block.kernel.astype(np.float64).transpose(2, 3, 1, 0)  # [k, k, C, O]
    constant: Any = np.tile(shift, (1, 1, conv.in_size, conv.in_size, 1))
    added: Any = convolve(pad(constant, before, conv.padding), kernel[None], stride)[0, 0]  # [H', W', O]
    if block.bias is not None:
        added += block.bias
    half = conv.conv_size // 2
    pooled = (2, 2, half, half) if conv.pool else (1, 1, conv.conv_size, conv.conv_size)
    row, column = 4 * side * channels * stride, 4 * channels * stride  # bytes
    step = 2 if conv.pool else 1
    places = (row, column, step * row, step * column)
    if conv.pool:
        added = added[: 2 * half, : 2 * half].reshape(half, 2, half, 2, -1).transpose(1, 3, 0, 2, 4)
    if is_turned := channels == 1:
        windows = (k, k, *pooled), (4 * side, 4, *places)
    else:
        windows = (*pooled, k, k * channels), (*places, 4 * side * channels, 4)
    folded = (kernel * scale[:, None]).reshape(-1, conv.out_channels).astype(np.float32)
    addend = added.reshape(-1, conv.out_channels).astype(np.float32)
    inner = slice(before, before + conv.in_size), slice(before * channels, (before + conv.in_size) * channels)
    return _Block(
        (side, side * channels),
        inner,
        windows,
        is_turned,
        folded,
        addend if addend.any() else None,
        spec.activation_of(conv),
    )


def _head(
    spec: CnnSpec, weights: CnnWeights[Floats], scale: Doubles, shift: Doubles
) -> tuple[Floats, Floats]:
    """Weight `[H * W * C, n]` and bias `[n]` of the logits layer, which reads what no norm has changed."""
    last = spec.convs[-1]
    weight = weights.logits_weight.astype(np.float64)  # [n, F]
    places = last.out_size**2
    if spec.head == "average":
        by_place = np.repeat(weight[:, :, None] / places, places, axis=2)  # [n, C, H * W]
    else:
        by_place = weight.reshape(len(weight), last.out_channels, places)
    bias = weights.logits_bias + (by_place * shift[:, None]).sum(axis=(1, 2))
    head = (by_place * scale[:, None]).transpose(2, 1, 0).reshape(-1, len(weight))
    return np.ascontiguousarray(head, np.float32), bias.astype(np.float32)
