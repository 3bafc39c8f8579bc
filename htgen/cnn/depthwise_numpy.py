"""Depthwise convolutions with NumPy: each channel by itself, with its own kernel.

A sum over the places of the kernel. With many channels, those of a pixel are a row that `einsum` multiplies
and adds at once. With few, a row of pixels with all its channels is one row, as NumPy is slow on short ones;
and what is added up is taken in blocks of rows that stay in the processor's cache.

Axis legend: E episodes, N images per episode, H x W pixels, C channels, k kernel size.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from htgen.arrays import Floats

BLOCK_NUMBERS = 65_536
"""About how many numbers are added up at a time."""

MANY_CHANNELS = 64
"""From here on the channels of a pixel are a row that is long enough."""


def convolve_depthwise(x: Floats, kernel: Floats, stride: int) -> Floats:
    """`[E, N, H, W, C] * [E, k, k, 1, C] -> [E, N, H', W', C]`, without padding."""
    k, channels = kernel.shape[1], x.shape[4]
    rows, columns = (x.shape[2] - k) // stride + 1, (x.shape[3] - k) // stride + 1
    if channels >= MANY_CHANNELS:
        many = np.empty((*x.shape[:2], rows, columns, channels), x.dtype)
        kernels = np.ascontiguousarray(kernel[:, :, :, 0])
        for images, own, results in zip(x, kernels, many, strict=True):
            for image, result in zip(images, results, strict=True):  # no bit depends on other images
                windows = sliding_window_view(image, (k, k), (0, 1))[::stride, ::stride]
                np.einsum("hwcij,ijc->hwc", windows, own, out=result)
        return many
    out = np.empty((*x.shape[:2], rows, columns * channels), x.dtype)
    for images, own, results in zip(x, kernel[:, :, :, 0], out, strict=True):
        shape = (k, k, columns, channels)
        places = np.broadcast_to(own[:, :, None], shape).reshape(k, k, -1)  # [k, k, W' * C]
        for image, result in zip(images, results, strict=True):
            _one_image(image, places, stride, result)
    return out.reshape(*x.shape[:2], rows, columns, channels)


def _one_image(image: Floats, places: Floats, stride: int, out: Floats) -> None:
    """`[H, W, C] * [k, k, W' * C] -> out [H', W' * C]`."""
    channels, k, length = image.shape[2], len(places), places.shape[2]
    # Pixels that meet the same column of the kernel lie side by side: [H, W / stride * C] each.
    planes = [image[:, first::stride].reshape(len(image), -1) for first in range(min(stride, k))]
    step = max(1, BLOCK_NUMBERS // length)
    product = np.empty((step, length), image.dtype)
    for start in range(0, len(out), step):
        total = out[start : start + step]
        part = product[: len(total)]
        for i in range(k):
            first = start * stride + i
            taken = slice(first, first + stride * (len(total) - 1) + 1, stride)
            for j in range(k):
                begin = j // stride * channels
                window = planes[j % stride][taken, begin : begin + length]
                if i == j == 0:
                    np.multiply(window, places[0, 0], out=total)
                else:
                    np.multiply(window, places[i, j], out=part)
                    total += part
