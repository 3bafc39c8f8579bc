"""The layers of the generated CNN with NumPy: `htgen.cnn.executor` without torch and without gradients.

Axis legend: E episodes (each with its own weights), N images per episode, H x W pixels, C or O channels,
k kernel size. Channels come last, so that convolutions are products of long rows.
"""

from collections.abc import Callable, Mapping

import numpy as np

from htgen.arrays import Floats
from htgen.cnn.spec import LEAKY_SLOPE, NORM_EPSILON, Activation, CnnSpec, ConvSpec

Moments = tuple[Floats, Floats]
"""Mean and variance `[E, C]` of a block's output, before normalisation."""

CACHED_NUMBERS = 100_000
"""How many numbers are gathered at a time: few enough to stay in the processor's cache."""


def run(spec: CnnSpec, tensors: Mapping[str, Floats], images: Floats) -> Floats:
    """Run each episode's CNN on its images.

    Args:
        tensors: by the names of exported files (`htgen.cnn.bundle`), each with E in front.
        images: `[E, N, C, H, W]`, -1..1.

    Returns:
        Logits `[E, N, n]`.
    """
    x = channels_last(images)
    for conv in spec.convs:
        gamma, beta, mean, variance = (
            tensors[f"{conv.name}.norm.{part}"] for part in ("weight", "bias", "mean", "var")
        )

        def norm(
            y: Floats, stats: Moments = (mean, variance), gamma: Floats = gamma, beta: Floats = beta
        ) -> Floats:
            return normalise(y, stats if spec.norm == "support" else moments(y), gamma, beta)

        kernel, bias = tensors[f"{conv.name}.weight"], tensors.get(f"{conv.name}.bias")
        x = conv_block(x, kernel, bias, conv, spec, norm)
    weight, bias = tensors["logits.weight"], tensors["logits.bias"]
    return head_features(x, spec) @ weight.swapaxes(1, 2) + bias[:, None]


def channels_last(images: Floats) -> Floats:
    """`[E, N, C, H, W] -> [E, N, H, W, C]`."""
    return np.ascontiguousarray(images.transpose(0, 1, 3, 4, 2))


def conv_block(
    x: Floats,
    kernel: Floats,
    bias: Floats | None,
    conv: ConvSpec,
    cnn: CnnSpec,
    norm: Callable[[Floats], Floats],
) -> Floats:
    """One block: `[E, N, H, W, C] -> [E, N, H', W', O]`.

    Args:
        kernel, bias: `[E, O, C, k, k]` and `[E, O]`.
        norm: normalises `[E, N, H, W, O]`; the caller knows with which statistics.
    """
    kernel = kernel.transpose(0, 3, 4, 2, 1)

    def before_norm(part: Floats) -> Floats:
        part = convolve(part, kernel, conv.stride, conv.padding)
        if conv.pool and not cnn.norm_first:  # before bias and activation, as in `htgen.cnn.executor`
            part = _pool(part)
        if bias is not None:
            add(part, bias)
        return part if cnn.norm_first else activate(part, cnn.activation)

    x = by_images(before_norm, x, len(x) * conv.conv_size**2 * conv.kernel**2 * conv.in_channels)
    x = norm(x)
    if cnn.norm_first:
        x = activate(x, cnn.activation)
        return _pool(x) if conv.pool else x
    return x


def by_images(run: Callable[[Floats], Floats], x: Floats, numbers: int) -> Floats:
    """Run some images of `[E, N, ...]` at a time, where each image by itself is as among others.

    Args:
        numbers: that are gathered for one image of each episode.
    """
    step = max(1, CACHED_NUMBERS // numbers)
    parts = [run(x[:, start : start + step]) for start in range(0, x.shape[1], step)]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def convolve(x: Floats, kernel: Floats, stride: int, padding: int) -> Floats:
    """`[E, N, H, W, C] * [E, k, k, C, O] -> [E, N, H', W', O]`, as one matrix product per episode."""
    episodes, count, height, width, channels = x.shape
    k = kernel.shape[1]
    if padding:
        padded = np.zeros((episodes, count, height + 2 * padding, width + 2 * padding, channels), x.dtype)
        padded[:, :, padding:-padding, padding:-padding] = x
        x = padded
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
    return np.maximum(x, 0 if activation == "relu" else x * LEAKY_SLOPE)


def add(x: Floats, bias: Floats) -> Floats:
    """Add a bias `[E, C]` to activations `[E, N, H, W, C]`, in place."""
    rows = _rows(x)
    rows += _spread(bias, x)
    return x


def moments(x: Floats) -> Moments:
    """Per-channel mean and (biased) variance over images and positions: `[E, N, H, W, C] -> [E, C]`."""
    mean = global_average(x).mean(axis=1)
    centred = _rows(x) - _spread(mean, x)
    centred *= centred
    return mean, global_average(centred.reshape(x.shape)).mean(axis=1)


def normalise(x: Floats, stats: Moments, gamma: Floats, beta: Floats) -> Floats:
    """Batch normalisation with given statistics; gamma and beta are `[E, C]`."""
    mean, variance = stats
    scale = gamma / np.sqrt(variance + NORM_EPSILON)
    out = _rows(x) * _spread(scale, x)
    out += _spread(beta - mean * scale, x)
    return out.reshape(x.shape)


def head_features(x: Floats, spec: CnnSpec) -> Floats:
    """Inputs of the logits layer: `[E, N, H, W, C] -> [E, N, F]`, in the order `[C, H, W]`."""
    if spec.head == "average":
        return global_average(x)
    return x.transpose(0, 1, 4, 2, 3).reshape(*x.shape[:2], -1)


def global_average(x: Floats) -> Floats:
    """`[E, N, H, W, C] -> [E, N, C]`."""
    episodes, count, height, width, channels = x.shape
    rows = np.add.reduce(x.reshape(episodes, count, height, -1), axis=2)
    total: Floats = np.add.reduce(rows.reshape(episodes, count, width, channels), axis=2)
    total /= height * width
    return total


def softmax(logits: Floats) -> Floats:
    """Probabilities over the last axis."""
    exponentials: Floats = logits - np.maximum.reduce(logits, axis=-1, keepdims=True)
    np.exp(exponentials, out=exponentials)
    exponentials /= np.add.reduce(exponentials, axis=-1, keepdims=True)
    return exponentials


def _pool(x: Floats) -> Floats:
    """2x2 max-pool; an odd last row or column is dropped."""
    rows, columns = (side // 2 * 2 for side in x.shape[2:4])
    x = np.maximum(x[:, :, 0:rows:2, :columns], x[:, :, 1:rows:2, :columns])
    return np.maximum(x[:, :, :, 0::2], x[:, :, :, 1::2])


# Arithmetic on rows of pixels and channels, `[E, N * H, W * C]`: NumPy is slow on short last axes.


def _rows(x: Floats) -> Floats:
    """A view of `[E, N, H, W, C]`."""
    return x.reshape(len(x), x.shape[1] * x.shape[2], -1)


def _spread(values: Floats, x: Floats) -> Floats:
    """`[E, C]`, once for each pixel of a row of `x`: `[E, 1, W * C]`."""
    return values[:, None].repeat(x.shape[3], axis=1).reshape(len(values), 1, -1)
