"""Depthwise convolutions with NumPy, with few channels and with many, against loops over pixels."""

import numpy as np
import pytest

from htgen.cnn.depthwise_numpy import MANY_CHANNELS, convolve_depthwise


def slowly(x, kernel, stride):
    """`[E, N, H, W, C] * [E, k, k, 1, C]`, in float64."""
    k = kernel.shape[1]
    rows, columns = ((side - k) // stride + 1 for side in x.shape[2:4])
    out = np.zeros((*x.shape[:2], rows, columns, x.shape[4]))
    for episode, image, row, column in np.ndindex(*out.shape[:4]):
        top, left = stride * row, stride * column
        part = x[episode, image, top : top + k, left : left + k].astype(np.float64)
        out[episode, image, row, column] = (part * kernel[episode, :, :, 0]).sum(axis=(0, 1))
    return out


@pytest.mark.parametrize("channels", [1, 2, MANY_CHANNELS - 1, MANY_CHANNELS, MANY_CHANNELS + 3])
@pytest.mark.parametrize(("k", "stride"), [(1, 1), (3, 1), (3, 2), (5, 2), (3, 4)])
def test_every_number_of_channels(channels, k, stride):
    hand = np.random.default_rng(0)
    x = hand.normal(size=(2, 3, 9, 8, channels)).astype(np.float32)
    as_kept = hand.normal(size=(2, channels, 1, k, k)).astype(np.float32)
    kernel = as_kept.transpose(0, 3, 4, 2, 1)  # as executors give it
    found = convolve_depthwise(x, kernel, stride)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, slowly(x, kernel, stride), rtol=1e-4, atol=1e-5)
    alone = convolve_depthwise(x[:, 1:2], kernel, stride)
    assert alone.tobytes() == found[:, 1:2].tobytes()
