"""The layers of the generated CNN, executed for many episodes at once.

Axis legend: E episodes (each with its own weights), N images per episode, C channels, H x W pixels.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from htgen.cnn.layout import episodes_side_by_side
from htgen.cnn.spec import LEAKY_SLOPE, Activation, CnnSpec, ConvSpec
from htgen.cnn.weights import ConvWeights


def conv_block(
    x: Tensor, weights: ConvWeights, conv: ConvSpec, cnn: CnnSpec, norm: Callable[[Tensor], Tensor]
) -> Tensor:
    """One block: `[N, E, C, H, W] -> [N, E, O, H', W']`.

    Args:
        norm: normalises `[N, E, O, H, W]`; the caller knows with which statistics.
    """
    x = convolve(x, weights.kernel, conv)
    if cnn.norm_first:
        x = activate(norm(_add_bias(x, weights.bias)), cnn.activation)
        return _pool(x) if conv.pool else x
    # Pooling comes before bias and activation: both are monotone and the same for all positions, so the
    # result is that of conv -> bias -> activation -> pool with a quarter of the work.
    if conv.pool:
        x = _pool(x)
    return norm(activate(_add_bias(x, weights.bias), cnn.activation))


def _pool(x: Tensor) -> Tensor:
    if episodes_side_by_side(x.device):
        return F.max_pool2d(x.flatten(1, 2), 2).unflatten(1, x.shape[1:3])
    samples = x.transpose(0, 1)
    return F.max_pool2d(samples.flatten(0, 1), 2).unflatten(0, samples.shape[:2]).transpose(0, 1)


def _add_bias(x: Tensor, bias: Tensor | None) -> Tensor:
    return x if bias is None else x + bias[:, :, None, None]


def convolve(x: Tensor, kernel: Tensor, spec: ConvSpec) -> Tensor:
    """Convolve each episode's images with its own kernel: `[N, E, C, H, W] * [E, O, C, k, k]`."""
    if episodes_side_by_side(x.device):
        return convolve_in_groups(x, kernel, spec)
    if kernel.stride(0) == 0:  # one learned kernel, which all episodes share
        return convolve_alike(x, kernel[0], spec)
    return convolve_by_products(x, kernel, spec)


def convolve_in_groups(x: Tensor, kernel: Tensor, spec: ConvSpec) -> Tensor:
    """Groups = episodes: one convolution call runs all episodes. The fastest way on a CPU."""
    out = F.conv2d(
        x.flatten(1, 2), kernel.flatten(0, 1), padding=spec.padding, stride=spec.stride, groups=x.shape[1]
    )
    # Of a single channel no one can tell whether it is last, and what comes out of it may not be.
    return out.contiguous(memory_format=torch.channels_last).unflatten(1, kernel.shape[:2])


def convolve_alike(x: Tensor, kernel: Tensor, spec: ConvSpec) -> Tensor:
    """All images by the same kernel `[O, C, k, k]`, in the layout of `by_episode`."""
    samples = x.transpose(0, 1)
    out = F.conv2d(samples.flatten(0, 1), kernel, padding=spec.padding, stride=spec.stride)
    out = out.contiguous(memory_format=torch.channels_last)
    return out.unflatten(0, samples.shape[:2]).transpose(0, 1)


def convolve_by_products(x: Tensor, kernel: Tensor, spec: ConvSpec) -> Tensor:
    """Patches gathered, and one matrix product per episode, in the layout of `by_episode`.

    With hundreds of episodes a GPU does this faster than a convolution in as many small groups.
    """
    images = x.permute(1, 0, 3, 4, 2)  # [E, N, H, W, C]
    if spec.padding:
        images = F.pad(images, (0, 0, *[spec.padding] * 4))
    patches = images.unfold(2, spec.kernel, spec.stride).unfold(3, spec.kernel, spec.stride)
    patches = patches.permute(0, 1, 2, 3, 5, 6, 4)  # [E, N, H', W', k, k, C]
    rows = patches.reshape(len(patches), -1, patches[0, 0, 0, 0].numel())
    columns = kernel.permute(0, 3, 4, 2, 1).flatten(1, 3)  # [E, k * k * C, O]
    out = torch.bmm(rows, columns).view(*patches.shape[:4], -1)
    return out.permute(1, 0, 4, 2, 3)


def activate(x: Tensor, activation: Activation) -> Tensor:
    """The CNN's nonlinearity."""
    return F.relu(x) if activation == "relu" else F.leaky_relu(x, LEAKY_SLOPE)


def head_features(x: Tensor, spec: CnnSpec) -> Tensor:
    """Inputs of the logits layer: `[N, E, C, H, W] -> [E, N, F]`."""
    x = x.flatten(2) if spec.head == "flatten" else x.mean(dim=(3, 4))
    return x.transpose(0, 1)


def linear(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The logits layer: `[E, N, F] x [E, n, F] + [E, n] -> [E, N, n]`."""
    return torch.baddbmm(bias[:, None, :], features, weight.transpose(1, 2))
