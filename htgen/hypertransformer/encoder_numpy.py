"""The sample encoder with NumPy: `htgen.hypertransformer.encoder` without torch."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from htgen.arrays import Floats, Integers
from htgen.cnn.executor_numpy import add, by_images, convolve, global_average, moments, normalise
from htgen.config.model import ModelConfig
from htgen.hypertransformer.parameters import Parameters
from htgen.hypertransformer.plan import ConvSize, shared_convs, shared_padding


class Conv:
    """A learned convolution of `[E, S, H, W, C]`."""

    def __init__(self, parameters: Parameters, size: ConvSize, width: int, padding: int = 0) -> None:
        kernel = parameters("weight", width, size.in_channels, size.kernel, size.kernel)
        self.kernel = np.ascontiguousarray(kernel.transpose(2, 3, 1, 0))[None]
        self.bias = parameters("bias", width)[None]
        self.size, self.padding = size, padding

    def __call__(self, x: Floats) -> Floats:
        """With ReLU, `[E, S, H', W', width]`."""

        def convolve_with_relu(part: Floats) -> Floats:
            out = add(convolve(part, self.kernel, self.size.stride, self.padding), self.bias)
            return np.maximum(out, 0, out=out)

        samples, patch = x.shape[:2], self.size.kernel**2 * self.size.in_channels
        x = by_images(convolve_with_relu, x.reshape(1, -1, *x.shape[2:]), self.size.size**2 * patch)
        return x.reshape(*samples, *x.shape[2:])

    def averaged(self, x: Floats) -> Floats:
        """Without ReLU and averaged over positions, `[E, S, width]`: the product of the averaged patches."""
        shares = _patch_shares(x.shape[2], self.size.kernel, self.size.stride, self.size.size)
        patches: Floats = shares.astype(x.dtype) @ x.reshape(*x.shape[:2], -1, x.shape[4])
        patches = patches.reshape(*x.shape[:2], -1)
        return patches @ self.kernel.reshape(patches.shape[2], -1) + self.bias


@lru_cache(maxsize=32)
def _patch_shares(side: int, kernel: int, stride: int, size: int) -> npt.NDArray[np.float64]:
    """The share of each pixel in the average patch, `[k * k, H * W]`."""
    reach = stride * (size - 1) + 1
    shares = np.zeros((kernel, kernel, side, side))
    for row in range(kernel):
        for column in range(kernel):
            shares[row, column, row : row + reach : stride, column : column + reach : stride] = size**-2
    return shares.reshape(kernel**2, side**2)


class SharedFeatures:
    """`[E, S, H, W, C] -> [E, S, width]`."""

    def __init__(self, parameters: Parameters, config: ModelConfig) -> None:
        width, padding = config.shared.width, shared_padding(config)
        sizes = list(shared_convs(config))
        self.convs = [Conv(parameters.below(f"convs.{i}"), s, width, padding) for i, s in enumerate(sizes)]
        norms = [parameters.below(f"norms.{i}") for i in range(len(sizes) if config.shared.norm else 0)]
        self.norms = [(norm("weight", width), norm("bias", width)) for norm in norms]

    def __call__(self, x: Floats) -> Floats:
        for index, conv in enumerate(self.convs):
            x = conv(x)
            if self.norms:
                gamma, beta = (p[None].repeat(len(x), axis=0) for p in self.norms[index])
                x = normalise(x, moments(x), gamma, beta)
        return global_average(x)


class LocalFeatures:
    """`[E, S, H, W, C] -> [E, S, width]` of each conv."""

    def __init__(
        self, parameters: Parameters, sizes: Iterable[ConvSize], width: int, nonlinear: bool
    ) -> None:
        self.nonlinear = nonlinear
        self.convs = [Conv(parameters.below(f"convs.{i}"), size, width) for i, size in enumerate(sizes)]
        self.width = width * len(self.convs)

    def __call__(self, x: Floats) -> list[Floats]:
        pooled = []
        for conv in self.convs:
            if not self.nonlinear:
                pooled.append(conv.averaged(x))
            if self.nonlinear or conv is not self.convs[-1]:
                x = conv(x)
            if self.nonlinear:
                pooled.append(global_average(x))
        return pooled


@dataclass(frozen=True)
class SupportView:
    """What every layer's generator sees: labels `[E, S]`, slots `[E, n]`, label ids `[E, S]`, the shared
    features `[E, S, F]` as a list of none or one, and how often each image is there."""

    labels: Integers
    slots: Integers
    label_ids: Integers
    shared: list[Floats]
    copies: int
