"""The layers of generated CNNs with NumPy: `htgen.cnn.executor` without torch and without gradients.

Axis legend: E episodes (each with its own weights), N images per episode, H x W pixels, C or O channels,
k kernel size. Channels come last, so that convolutions are products of long rows.
"""

from collections.abc import Callable, Sequence

import numpy as np

from htgen.arrays import Floats
from htgen.cnn.depthwise_numpy import convolve_depthwise
from htgen.cnn.spec import CNN_LEAKY_SLOPE, LEAST_LENGTH, NORM_EPSILON, Activation, CnnSpec, ConvSpec, Pooling
from htgen.cnn.weights import BlockWeights, CnnWeights, Moments

LARGE_ACTIVATION = 250_000
"""Of CNNs with larger outputs of a layer, in numbers, each image is run by itself."""

CACHED_NUMBERS = 100_000
"""How many numbers are gathered at a time: few enough to stay in the processor's cache."""


def run(spec: CnnSpec, weights: CnnWeights[Floats], images: Floats) -> Floats:
    """Run each episode's CNN on its images, `[E, N, C, H, W]`, -1..1.

    Returns:
        Logits `[E, N, n]`.
    """
    features = last_features(spec, weights.blocks, images)
    return features @ weights.logits_weight.swapaxes(1, 2) + weights.logits_bias[:, None]


def last_features(spec: CnnSpec, blocks: Sequence[BlockWeights[Floats]], images: Floats) -> Floats:
    """The inputs of the logits layer: images `[E, N, C, H, W]`, -1..1 -> `[E, N, F]`."""
    if spec.norm == "support" and spec.largest_activation > LARGE_ACTIVATION and images.shape[1] > 1:
        parts = [last_features(spec, blocks, images[:, i : i + 1]) for i in range(images.shape[1])]
        return np.concatenate(parts, axis=1)
    x = channels_last(images)
    added = spec.added
    outputs: dict[str, Floats] = {}  # of the blocks that are added to later ones
    for conv, block in zip(spec.convs, blocks, strict=True):
        x = run_block(spec, conv, block, x, outputs.get(conv.add))
        if conv.name in added:
            outputs[conv.name] = x
    return head_features(x, spec)


def one_by_one(run_on: Callable[[Floats], Floats], images: Floats) -> Floats:
    """What is made of each of some images `[N, C, H, W]` by itself, `[N, F]`: no bit depends on the others.

    Args:
        run_on: images `[1, 1, C, H, W]` -> `[1, 1, F]`.
    """
    return np.concatenate([run_on(images[None, place : place + 1])[0] for place in range(len(images))])


def channels_last(images: Floats) -> Floats:
    """`[E, N, C, H, W] -> [E, N, H, W, C]`."""
    return np.ascontiguousarray(images.transpose(0, 1, 3, 4, 2))


def run_block(
    spec: CnnSpec, conv: ConvSpec, weights: BlockWeights[Floats], x: Floats, addend: Floats | None = None
) -> Floats:
    """One block: `[E, N, H, W, C] -> [E, N, H', W', O]`.

    Args:
        addend: the output of the earlier block that is added, if there is one.
    """
    x = before_norm(spec, conv, weights.kernel, weights.bias, x, addend)
    norm = weights.norm
    if norm is not None:
        stats = norm.moments if spec.norm == "support" else moments(x)
        x = normalise(x, stats, norm.gamma, norm.beta)
    return after_norm(spec, conv, x, addend)


def before_norm(
    spec: CnnSpec,
    conv: ConvSpec,
    kernel: Floats,
    bias: Floats | None,
    x: Floats,
    addend: Floats | None = None,
) -> Floats:
    """What a block does up to its norm: `[E, N, H, W, C] -> [E, N, H', W', O]`.

    Args:
        kernel, bias: `[E, O, C / groups, k, k]` and `[E, O]`.
    """
    kernel = kernel.transpose(0, 3, 4, 2, 1)  # [E, k, k, C / groups, O]
    # Before bias and activation, as in `htgen.cnn.executor`.
    pools_early = conv.pool and conv.pooling == "max" and addend is None

    def steps(part: Floats, addend: Floats | None = None) -> Floats:
        part = convolve(pad(part, conv.padding_before, conv.padding), kernel, conv.stride, conv.groups)
        if pools_early and not spec.norm_first:
            part = _pool(part, "max")
        if conv.pool and spec.norm_first == "after-pool":
            part = _pool(part, conv.pooling)
        if bias is not None:
            add(part, bias)
        if spec.norm_first:
            return part
        if addend is not None:
            part += addend
        part = activate(part, spec.activation_of(conv))
        return _pool(part, conv.pooling) if conv.pool and not pools_early else part

    gathered = len(x) * conv.conv_size**2 * conv.kernel**2 * conv.in_channels
    return by_images(steps, x, gathered, *([] if addend is None else [addend]))


def after_norm(spec: CnnSpec, conv: ConvSpec, x: Floats, addend: Floats | None = None) -> Floats:
    """What a block does after its norm: `[E, N, H, W, O] -> [E, N, H', W', O]`."""
    if not spec.norm_first:
        return x
    x = activate(x if addend is None else x + addend, spec.activation_of(conv))
    return _pool(x, conv.pooling) if conv.pool and spec.norm_first is True else x


def by_images(run: Callable[..., Floats], x: Floats, numbers: int, *others: Floats) -> Floats:
    """Run some images of `[E, N, ...]` at a time, where each image by itself is as among others.

    Args:
        numbers: that are gathered for one image of each episode.
        others: further arguments `[E, N, ...]`.
    """
    step = max(1, CACHED_NUMBERS // numbers)
    slices = (slice(start, start + step) for start in range(0, x.shape[1], step))
    parts = [run(*(array[:, part] for array in (x, *others))) for part in slices]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def pad(x: Floats, before: int, behind: int) -> Floats:
    """Zeros around images `[E, N, H, W, C]`: before their first, and behind their last rows and columns."""
    if not behind:
        return x
    episodes, count, height, width, channels = x.shape
    more = before + behind
    padded = np.zeros((episodes, count, height + more, width + more, channels), x.dtype)
    padded[:, :, before : before + height, before : before + width] = x
    return padded


def convolve(x: Floats, kernel: Floats, stride: int, groups: int = 1) -> Floats:
    """`[E, N, H, W, C] * [E, k, k, C / groups, O] -> [E, N, H', W', O]`, without padding.

    As one matrix product per episode and group; a depthwise one as a sum over the places of the kernel.
    """
    episodes, count, *_, channels = x.shape
    k = kernel.shape[1]
    if groups > 1 and groups == channels == kernel.shape[4]:
        return convolve_depthwise(x, kernel, stride)
    if groups > 1:
        parts = zip(np.split(x, groups, axis=4), np.split(kernel, groups, axis=4), strict=True)
        return np.concatenate([convolve(part, own, stride) for part, own in parts], axis=4)
    x = np.ascontiguousarray(x)
    rows, columns = (x.shape[2] - k) // stride + 1, (x.shape[3] - k) // stride + 1
    episode, image, row, column, channel = x.strides
    # A view: each pixel is in several windows.
    windows: Floats = np.ndarray(
        (episodes, count, rows, columns, k, k, channels),
        x.dtype,
        x,
        0,
        (episode, image, stride * row, stride * column, row, column, channel),
    )
    if channels == 1:  # in the order that has the longest rows to copy
        patches = windows.transpose(0, 4, 5, 6, 1, 2, 3).reshape(episodes, k * k, -1).swapaxes(1, 2)
    else:
        patches = windows.reshape(episodes, -1, k * k * channels)
    out = patches @ kernel.reshape(episodes, k * k * channels, -1)
    return out.reshape(episodes, count, rows, columns, -1)


def activate(x: Floats, activation: Activation) -> Floats:
    """The CNN's nonlinearity."""
    if activation == "none":
        return x
    if activation == "relu6":
        return np.clip(x, 0, 6)
    return np.maximum(x, 0 if activation == "relu" else x * CNN_LEAKY_SLOPE)


def add(x: Floats, bias: Floats) -> Floats:
    """Add a bias `[E, C]` to activations `[E, N, H, W, C]`, in place."""
    rows = _rows(x)
    rows += _spread(bias, x)
    return x


def moments(x: Floats) -> Moments[Floats]:
    """Per-channel mean and (biased) variance over images and positions: `[E, N, H, W, C] -> [E, C]`."""
    mean = _of_all_images(global_average(x))
    centred = _rows(x) - _spread(mean, x)
    centred *= centred
    return Moments(mean, _of_all_images(global_average(centred.reshape(x.shape))))


def _of_all_images(x: Floats) -> Floats:
    """The mean over images, `[E, N, C] -> [E, C]`; that of NumPy takes longer to call."""
    total: Floats = np.add.reduce(x, axis=1)
    total /= x.shape[1]
    return total


def normalise(x: Floats, stats: Moments[Floats], gamma: Floats, beta: Floats) -> Floats:
    """Batch normalisation with given statistics; gamma and beta are `[E, C]`."""
    scale = gamma / np.sqrt(stats.variance + NORM_EPSILON)
    out = _rows(x) * _spread(scale, x)
    out += _spread(beta - stats.mean * scale, x)
    return out.reshape(x.shape)


def head_features(x: Floats, spec: CnnSpec) -> Floats:
    """Inputs of the logits layer: `[E, N, H, W, C] -> [E, N, F]`, in the order `[C, H, W]`."""
    if spec.head == "average":
        features = global_average(x)
    else:
        features = x.transpose(0, 1, 4, 2, 3).reshape(*x.shape[:2], -1)
    if not spec.unit_features:
        return features
    length = np.sqrt((features * features).sum(axis=2, keepdims=True))
    unit: Floats = features / np.maximum(length, LEAST_LENGTH)
    return unit


def global_average(x: Floats) -> Floats:
    """`[E, N, H, W, C] -> [E, N, C]`."""
    episodes, count, height, width, channels = x.shape
    rows = np.add.reduce(x.reshape(episodes, count, height, -1), axis=2)
    total: Floats = np.add.reduce(rows.reshape(episodes, count, width, channels), axis=2)
    total /= height * width
    return total


def softmax(logits: Floats, out: Floats | None = None) -> Floats:
    """Probabilities over the last axis; in `out`, which may be the logits, if there is one."""
    largest = np.maximum.reduce(logits, axis=-1, keepdims=True)
    exponentials: Floats = np.subtract(logits, largest, out=out)
    np.exp(exponentials, out=exponentials)
    exponentials /= np.add.reduce(exponentials, axis=-1, keepdims=True)
    return exponentials


def _pool(x: Floats, pooling: Pooling) -> Floats:
    """2x2 pool; an odd last row or column is dropped."""
    rows, columns = (side // 2 * 2 for side in x.shape[2:4])
    if pooling == "average":
        x = x[:, :, 0:rows:2, :columns] + x[:, :, 1:rows:2, :columns]
        x = x[:, :, :, 0::2] + x[:, :, :, 1::2]
        return x * np.float32(0.25)
    x = np.maximum(x[:, :, 0:rows:2, :columns], x[:, :, 1:rows:2, :columns])
    return np.maximum(x[:, :, :, 0::2], x[:, :, :, 1::2])


# Arithmetic on rows of pixels and channels, `[E, N * H, W * C]`: NumPy is slow on short last axes.


def _rows(x: Floats) -> Floats:
    """A view of `[E, N, H, W, C]`."""
    return x.reshape(len(x), x.shape[1] * x.shape[2], -1)


def _spread(values: Floats, x: Floats) -> Floats:
    """`[E, C]`, once for each pixel of a row of `x`: `[E, 1, W * C]`."""
    return values[:, None].repeat(x.shape[3], axis=1).reshape(len(values), 1, -1)
