"""Batch norm of many episodes at once, with the statistics of some of their images.

Two ways to the same result: in steps that autograd follows (`moments`, `normalise`), and, where that is
possible, in torch's own batch norm, whose gradient takes two passes over the images instead of a dozen.

Axis legend: E episodes, N images per episode, C channels, H x W pixels.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from htgen.cnn_spec import NORM_EPSILON


@dataclass(frozen=True)
class Moments:
    """Mean and variance `[E, C]` of a block's output, before normalisation."""

    mean: Tensor
    variance: Tensor


def batch_norm(
    x: Tensor, counted: int, gamma: Tensor, beta: Tensor, ignore: Tensor | None = None
) -> tuple[Tensor, Moments]:
    """Normalise images by the mean and variance of each channel over positions and the first images.

    Args:
        x: `[N, E, C, H, W]`; fastest with channels last (see `htgen.cnn.channels_last`).
        counted: how many images, from the first, make the statistics.
        gamma, beta: `[E, C]` or `[C]`.
        ignore: `[E, counted]` bool, True for images that do not count.

    Returns:
        The images, and the statistics, which have no gradient.
    """
    if ignore is not None or x.device.type != "cpu" or x.dtype != gamma.dtype:
        stats = moments(x[:counted], ignore)
        return normalise(x, stats, gamma, beta), Moments(stats.mean.detach(), stats.variance.detach())
    channels = x.shape[1:3]  # a channel of each episode is a channel of its own
    # Contiguous: torch's gradient is wrong for scales that are a column of something larger.
    flat_gamma, flat_beta = (t.expand(channels).reshape(-1).contiguous() for t in (gamma, beta))
    if counted == len(x):
        y, mean, scale = torch.native_batch_norm(
            x.flatten(1, 2), flat_gamma, flat_beta, None, None, True, 0.0, NORM_EPSILON
        )
    else:
        by_first: Any = _BatchNormByFirst.apply  # torch has no type for it
        y, mean, scale = by_first(x.flatten(1, 2), counted, flat_gamma, flat_beta)
    stats = Moments(mean.view(channels), _variance(scale).view(channels))
    return y.unflatten(1, channels), stats


def moments(x: Tensor, ignore: Tensor | None = None) -> Moments:
    """Per-channel mean and (biased) variance over images and positions: `[N, E, C, H, W] -> [E, C]`.

    Args:
        ignore: `[E, N]` bool, True for images that do not count.
    """
    if ignore is None:
        # Plain sums: over channels-last images they are ten times as fast as torch.var_mean.
        mean = x.mean(dim=(0, 3, 4))
        return Moments(mean, (x - mean[:, :, None, None]).square().mean(dim=(0, 3, 4)))
    keep = (~ignore).to(x.dtype).T[:, :, None, None, None]  # [N, E, 1, 1, 1]
    # At least one: of a support set that is ignored altogether nothing can be learned, but no NaN comes.
    total = keep.sum(dim=(0, 3, 4)).clamp(min=1) * (x.shape[3] * x.shape[4])
    mean = (x * keep).sum(dim=(0, 3, 4)) / total
    centred = (x - mean[:, :, None, None]) * keep
    return Moments(mean, centred.square().sum(dim=(0, 3, 4)) / total)


def normalise(x: Tensor, stats: Moments, gamma: Tensor, beta: Tensor) -> Tensor:
    """Batch normalisation with given statistics; gamma and beta are `[E, C]` or `[C]`."""
    scale = gamma * torch.rsqrt(stats.variance + NORM_EPSILON)
    shift = beta - stats.mean * scale
    return torch.addcmul(shift[:, :, None, None], x, scale[:, :, None, None])


def _variance(scale: Tensor) -> Tensor:
    """Variances from what torch keeps of them: `1 / sqrt(variance + epsilon)`."""
    return (scale.square().reciprocal() - NORM_EPSILON).clamp(min=0)


class _BatchNormByFirst(torch.autograd.Function):
    """`(x [N, C, H, W], counted, gamma [C], beta [C]) -> (y, mean [C], scale [C])`.

    The gradient is made of two that torch has: of the counted images, as if they were alone, and of the
    others, as if the statistics were constants. What the others' gradient does to the statistics comes
    to the counted images on top.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, counted: int, gamma: Tensor, beta: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        _, mean, scale = torch.native_batch_norm(
            x[:counted], gamma, beta, None, None, True, 0.0, NORM_EPSILON
        )
        ctx.counted = counted
        ctx.save_for_backward(x, gamma, mean, scale)
        ctx.mark_non_differentiable(mean, scale)
        factor = gamma * scale
        y = torch.addcmul((beta - mean * factor)[:, None, None], x, factor[:, None, None])
        return y, mean, scale

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> tuple[Tensor, None, Tensor, Tensor]:
        x, gamma, mean, scale = ctx.saved_tensors
        first, others = slice(None, ctx.counted), slice(ctx.counted, None)
        variance = _variance(scale)

        def differentiate(part: slice, alone: bool) -> tuple[Tensor, Tensor, Tensor]:
            return torch.ops.aten.native_batch_norm_backward(
                gradient[part], x[part], gamma, mean, variance, mean, scale, alone, NORM_EPSILON, [True] * 3
            )

        dx_first, dgamma_first, dbeta_first = differentiate(first, alone=True)
        dx_others, dgamma_others, dbeta_others = differentiate(others, alone=False)
        # y = gamma (x - mean) scale + beta, so the others' sums over y's gradient, which are their part of
        # beta's and gamma's, give the mean's and the variance's.
        values = ctx.counted * x.shape[2] * x.shape[3]
        dmean = -gamma * scale * dbeta_others
        slope = -gamma * scale.square() * dgamma_others / values  # times (x - mean)
        offset = dmean / values - slope * mean
        dx_first += torch.addcmul(offset[:, None, None], x[first], slope[:, None, None])
        dx = torch.cat([dx_first, dx_others])
        return dx, None, dgamma_first + dgamma_others, dbeta_first + dbeta_others
