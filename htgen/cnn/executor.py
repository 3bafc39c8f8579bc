"""The layers of generated CNNs, executed for many episodes at once.

Blocks do the steps of `CnnSpec.steps`, in that order or in one that gives the same with less work.

Axis legend: E episodes (each with its own weights), N images per episode, C channels, H x W pixels.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from htgen.cnn.batch_norm import batch_norm, normalise
from htgen.cnn.fused import convolve
from htgen.cnn.layout import IMAGES_LAST, layout_for, layout_of
from htgen.cnn.spec import CNN_LEAKY_SLOPE, LEAST_LENGTH, Activation, CnnSpec, ConvSpec
from htgen.cnn.weights import BlockWeights, CnnWeights

SLOPES: dict[Activation, float] = {"none": 1.0, "relu": 0.0, "lrelu": CNN_LEAKY_SLOPE}
"""Of activations below zero, where they are straight above."""


def run(
    spec: CnnSpec,
    weights: CnnWeights[Tensor],
    images: Tensor,
    dropout: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Run each episode's CNN on its images, `[E, N, C, H, W]`, -1..1.

    Args:
        dropout: of the inputs of the logits layer `[E, N, F]`, if any.

    Returns:
        Logits `[E, N, n]`.
    """
    x = last_activations(spec, weights.blocks, layout_for(images.device).channels_last(images))
    features = head_features(x, spec)
    if dropout is not None:
        features = dropout(features)
    return linear(features, weights.logits_weight, weights.logits_bias)


def last_activations(spec: CnnSpec, blocks: Sequence[BlockWeights[Tensor]], x: Tensor) -> Tensor:
    """All blocks one after the other, `[N, E, C, H, W] -> [N, E, O, H', W']`."""
    added = spec.added
    outputs: dict[str, Tensor] = {}  # of the blocks that are added to later ones
    for conv, block in zip(spec.convs, blocks, strict=True):
        x = run_block(spec, conv, block, x, outputs.get(conv.add))
        if conv.name in added:
            outputs[conv.name] = x
    return x


def run_block(
    spec: CnnSpec, conv: ConvSpec, weights: BlockWeights[Tensor], x: Tensor, addend: Tensor | None = None
) -> Tensor:
    """One block: `[N, E, C, H, W] -> [N, E, O, H', W']`.

    Args:
        addend: the output of the earlier block that is added, if there is one.
    """
    x = before_norm(spec, conv, weights.kernel, weights.bias, x, addend)
    norm = weights.norm
    if norm is not None and spec.norm == "batch":
        x, _ = batch_norm(x, len(x), norm.gamma, norm.beta)
    elif norm is not None:
        x = normalise(x, norm.moments, norm.gamma, norm.beta)
    return after_norm(spec, conv, x, addend)


def before_norm(
    spec: CnnSpec,
    conv: ConvSpec,
    kernel: Tensor,
    bias: Tensor | None,
    x: Tensor,
    addend: Tensor | None = None,
) -> Tensor:
    """What a block does up to its norm: `[N, E, C, H, W] -> [N, E, O, H', W']`."""
    layout = layout_of(x)
    if layout is IMAGES_LAST and conv.groups == 1 and addend is None:
        return _fused_before_norm(spec, conv, kernel, bias, x)
    x = layout.convolve(x, kernel, conv)
    if spec.norm_first:
        pools_before_norm = conv.pool and spec.norm_first == "after-pool"
        return _add_bias(layout.pool(x, conv.pooling) if pools_before_norm else x, bias)
    # A max-pool comes before bias and activation: both are monotone and the same for all positions, so the
    # result is that of conv -> bias -> activation -> pool with a quarter of the work. A sum is not the same
    # for all positions, and an average is of what is active.
    pools_early = conv.pool and conv.pooling == "max" and addend is None
    if pools_early:
        x = layout.pool(x, "max")
    x = activate(_add(_add_bias(x, bias), addend), spec.activation_of(conv))
    return layout.pool(x, conv.pooling) if conv.pool and not pools_early else x


def _fused_before_norm(
    spec: CnnSpec, conv: ConvSpec, kernel: Tensor, bias: Tensor | None, x: Tensor
) -> Tensor:
    """The same by one kernel, but for average pools and ReLU6."""
    activation = spec.activation_of(conv)
    slope = 1.0 if spec.norm_first else SLOPES.get(activation, 1.0)
    pools = conv.pool and spec.norm_first is not True
    has_max_pool = pools and conv.pooling == "max"
    x = convolve(
        x,
        kernel[0] if kernel.stride(0) == 0 else kernel,  # one learned kernel, expanded
        bias,
        stride=conv.stride,
        padding=(conv.padding_before, conv.padding),
        pool=has_max_pool,
        slope=slope,
    )
    if not spec.norm_first and activation not in SLOPES:
        x = activate(x, activation)
    return IMAGES_LAST.pool(x, conv.pooling) if pools and not has_max_pool else x


def after_norm(spec: CnnSpec, conv: ConvSpec, x: Tensor, addend: Tensor | None = None) -> Tensor:
    """What a block does after its norm: `[N, E, O, H, W] -> [N, E, O, H', W']`."""
    if not spec.norm_first:
        return x
    x = activate(_add(x, addend), spec.activation_of(conv))
    pools_last = conv.pool and spec.norm_first is True
    return layout_of(x).pool(x, conv.pooling) if pools_last else x


def _add_bias(x: Tensor, bias: Tensor | None) -> Tensor:
    return x if bias is None else x + bias[:, :, None, None]


def _add(x: Tensor, addend: Tensor | None) -> Tensor:
    return x if addend is None else x + addend


def activate(x: Tensor, activation: Activation) -> Tensor:
    """The CNN's nonlinearity."""
    if activation == "none":
        return x
    if activation == "relu":
        return F.relu(x)
    return F.relu6(x) if activation == "relu6" else F.leaky_relu(x, CNN_LEAKY_SLOPE)


def head_features(x: Tensor, spec: CnnSpec) -> Tensor:
    """Inputs of the logits layer: `[N, E, C, H, W] -> [E, N, F]`."""
    x = x.flatten(2) if spec.head == "flatten" else x.mean(dim=(3, 4))
    if spec.unit_features:
        x = F.normalize(x, dim=2, eps=LEAST_LENGTH)
    return x.transpose(0, 1)


def linear(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The logits layer: `[E, N, F] x [E, n, F] + [E, n] -> [E, N, n]`."""
    return torch.baddbmm(bias[:, None, :], features, weight.transpose(1, 2))
