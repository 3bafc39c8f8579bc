"""A CNN for one image at a time with NumPy: what can be worked out beforehand is.

`htgen.cnn.executor_numpy` is made for many images; with one, most of its time goes into calling NumPy. Here a
block is three calls, which write where the last image was. Its norm, scale and shift, is part of the layer
behind it: the scale of that layer's kernel, the shift of what that layer adds; around that layer's input is
what the norm makes zeros of. Where a pool follows, the four pixels that it looks at are computed apart, so
that it takes the maximum of four long rows, and of zero for ReLU.

Logits differ from those of the executor by rounding alone.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from htgen.arrays import Floats
from htgen.cnn.executor_numpy import activate
from htgen.cnn.spec import NORM_EPSILON, Activation, CnnSpec, ConvSpec
from htgen.cnn.weights import BlockWeights, CnnWeights

LEAST_SCALE = 1e-12
"""Of a channel of a norm. What is around a layer's input is divided by it, so less would not be exact."""

Doubles = npt.NDArray[np.float64]


def can_run(spec: CnnSpec, weights: CnnWeights[Floats]) -> bool:
    """Whether a CNN is of the kind that this is for: a chain of convolutions whose norms come last, and
    leave something of every channel.

    Args:
        weights: of one CNN, without an axis in front.
    """
    return (
        spec.norm_first is False
        and spec.norm == "support"
        and not spec.unit_features
        and all(
            conv.groups == 1 and not conv.add and (conv.pooling == "max" or not conv.pool)
            for conv in spec.convs
        )
        and all(
            bool((np.abs(_affine(block, conv.out_channels)[0]) >= LEAST_SCALE).all())
            for conv, block in zip(spec.convs, weights.blocks, strict=True)
        )
    )


class _Block(NamedTuple):
    """What a block needs, `[H, W]` with channels last.

    Attributes:
        around: its input with what is around it, and zeros where the input comes, `[H, W * C]`.
        inner: where that is.
        windows: shape, and strides in bytes, of a view of patches: `[k, k, 2, 2, H', W']` for one channel,
            otherwise `[2, 2, H', W', k, k * C]`; without a pool, 1 in place of 2.
        is_turned: whether the former.
        kernel: `[k * k * C + 1, O]`; the last row is what is added, as if there were ones in every patch.
        pools: 4 where a pool takes the maximum of four pixels, otherwise 1.
        activation: after the pool.
    """

    around: Floats
    inner: tuple[slice, slice]
    windows: tuple[tuple[int, ...], tuple[int, ...]]
    is_turned: bool
    kernel: Floats
    pools: int
    activation: Activation


class _Room:
    """Where a CNN works on one image, with what it writes; the next image takes the same place.

    Attributes:
        image: where it comes, `[H, W * C]`.
        features: what is found, `[F]`.
        steps: the calls that find it.
    """

    def __init__(self, blocks: list[_Block]) -> None:
        padded = [block.around.copy() for block in blocks]
        inside = [part[block.inner] for part, block in zip(padded, blocks, strict=True)]
        height, width = blocks[-1].windows[0][4 if blocks[-1].is_turned else 2 :][:2]
        found = np.empty((height, width * blocks[-1].kernel.shape[1]), np.float32)
        self.image, self.features = inside[0], found.reshape(-1)
        self.steps: list[Callable[[], object]] = []
        for block, part, out in zip(blocks, padded, [*inside[1:], found], strict=True):
            self._add(block, part, out)

    def _add(self, block: _Block, padded: Floats, out: Floats) -> None:
        """Add the steps of a block, which write `out` `[H', W' * O]`."""
        shape, strides = block.windows
        windows: Floats = np.ndarray(shape, padded.dtype, padded, 0, strides)
        rows, channels = block.kernel.shape
        places = math.prod(shape) // (rows - 1)
        if block.is_turned:
            factors = np.ones((rows, places), padded.dtype)
            patches = factors[:-1].reshape(shape)
            factors = factors.T
        else:
            factors = np.ones((places, rows), padded.dtype)
            patches = np.lib.stride_tricks.as_strided(factors, shape, _row_strides(shape, factors.strides))
        product = np.empty((places, channels), padded.dtype)
        pooled = product.reshape(block.pools, *out.shape)
        self.steps += [partial(np.copyto, patches, windows), partial(np.dot, factors, block.kernel, product)]
        if block.activation == "relu":
            self.steps.append(partial(np.maximum.reduce, pooled, 0, None, out, False, 0))
        else:
            self.steps.append(partial(np.maximum.reduce, pooled, 0, None, out))
            self.steps.append(partial(_activate, out, block.activation))


def _row_strides(shape: tuple[int, ...], strides: tuple[int, ...]) -> tuple[int, ...]:
    """Strides of `[2, 2, H', W', k, k * C]` in rows `[places, k * k * C + 1]`."""
    row, number = strides
    _, across, height, width, _, inner = shape
    return (across * height * width * row, height * width * row, width * row, row, inner * number, number)


def _activate(x: Floats, activation: Activation) -> None:
    """In place."""
    if activation != "none":
        x[...] = activate(x, activation)


class OneImage:
    """A CNN for one image at a time; it may be used by several threads.

    Args:
        spec, weights: of which `can_run` is true.
    """

    def __init__(self, spec: CnnSpec, weights: CnnWeights[Floats]) -> None:
        self._blocks: list[_Block] = []
        self._spare: list[_Room] = []  # that no thread works in
        scale, shift = np.ones(spec.image_channels), np.zeros(spec.image_channels)
        with np.errstate(over="ignore", invalid="ignore"):  # whoever asks for answers tells
            for conv, block in zip(spec.convs, weights.blocks, strict=True):
                self._blocks.append(_prepared(spec, conv, block, scale, shift))
                scale, shift = _affine(block, conv.out_channels)
            self._head, self._bias = _head(spec, weights, scale, shift)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_spare": []}  # views would become copies

    def __call__(self, image: Floats) -> Floats:
        """An image `[C, H, W]`, -1..1 -> logits `[n]`."""
        try:
            room = self._spare.pop()
        except IndexError:
            room = _Room(self._blocks)
        pixels = image[0] if len(image) == 1 else image.transpose(1, 2, 0).reshape(room.image.shape)
        np.copyto(room.image, pixels)
        for step in room.steps:
            step()
        logits: Floats = room.features @ self._head
        self._spare.append(room)
        logits += self._bias
        return logits


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
    added = (kernel * shift[:, None]).sum(axis=(0, 1, 2))
    if block.bias is not None:
        added = added + block.bias
    folded = (kernel * scale[:, None]).reshape(-1, conv.out_channels)
    around = np.empty((side, side, channels), np.float32)
    around[:] = -shift / scale
    end = before + conv.in_size
    around[before:end, before:end] = 0
    row, column = 4 * side * channels * stride, 4 * channels * stride  # bytes
    step = 2 if conv.pool else 1
    half = conv.conv_size // step
    pooled, places = (step, step, half, half), (row, column, step * row, step * column)
    if is_turned := channels == 1:
        windows = (k, k, *pooled), (4 * side, 4, *places)
    else:
        windows = (*pooled, k, k * channels), (*places, 4 * side * channels, 4)
    return _Block(
        around.reshape(side, -1),
        (slice(before, end), slice(before * channels, end * channels)),
        windows,
        is_turned,
        np.concatenate([folded, added[None]]).astype(np.float32),
        step**2,
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
