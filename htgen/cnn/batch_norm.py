"""Batch norm of many episodes at once, with the statistics of some of their images.

The statistics and the result are those of `moments` and `normalise`. Autograd would take a dozen passes over
the images on the way back; where that is possible, torch's own gradient of batch norm does it in two (on the
CPU), or a few sums do (elsewhere).

Axis legend: E episodes, N images per episode, C channels, H x W pixels.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from htgen.cnn.fused import norm
from htgen.cnn.layout import IMAGES_LAST, layout_of
from htgen.cnn.spec import NORM_EPSILON
from htgen.cnn.weights import Moments


def batch_norm(
    x: Tensor, counted: int, gamma: Tensor, beta: Tensor, ignore: Tensor | None = None
) -> tuple[Tensor, Moments[Tensor]]:
    """Normalise images by the mean and variance of each channel over positions and the first images.

    Args:
        x: `[N, E, C, H, W]`; fastest with channels last (see `htgen.cnn.layout`).
        counted: how many images, from the first, make the statistics.
        gamma, beta: `[E, C]` or `[C]`.
        ignore: `[E, counted]` bool, True for images that do not count.

    Returns:
        The images, and the statistics, which have no gradient.
    """
    if ignore is not None or x.dtype != gamma.dtype:
        stats = moments(x[:counted], ignore)
        return normalise(x, stats, gamma, beta), Moments(stats.mean.detach(), stats.variance.detach())
    layout = layout_of(x)
    if layout is IMAGES_LAST:
        return norm_of_parts(x, gamma, beta, ((0, counted, len(x)),))
    # Not torch's own statistics, which are plain float32 sums over tens of thousands of values: a CNN that is
    # exported should answer as the one that was trained.
    with torch.no_grad():
        stats = moments(x[:counted])
    apply: Any  # torch has no type for it
    if not layout.episodes_are_channels:
        apply = _BatchNormBySums.apply
        return apply(x, counted, gamma, beta, stats.mean, stats.variance), stats
    channels = x.shape[1:3]  # a channel of each episode is a channel of its own
    # Contiguous: torch's gradient is wrong for scales that are a column of something larger.
    flat = (t.expand(channels).reshape(-1).contiguous() for t in (gamma, beta, stats.mean, stats.variance))
    apply = _BatchNorm.apply
    return apply(x.flatten(1, 2), counted, *flat).unflatten(1, channels), stats


def norm_of_parts(
    x: Tensor, gamma: Tensor, beta: Tensor, parts: tuple[tuple[int, int, int], ...]
) -> tuple[Tensor, Moments[Tensor]]:
    """Batch norm by kernels, of activations with images last; see `htgen.cnn.fused.norm`."""
    channels = x.shape[1:3]
    y, mean, variance = norm(x, gamma.expand(channels), beta.expand(channels), parts)
    return y, Moments(mean, variance)


def moments(x: Tensor, ignore: Tensor | None = None) -> Moments[Tensor]:
    """Per-channel mean and (biased) variance over images and positions: `[N, E, C, H, W] -> [E, C]`.

    Args:
        ignore: `[E, N]` bool, True for images that do not count.
    """
    x = x.float() if x.element_size() < 4 else x  # sums of half as many bits are not exact
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


def normalise(x: Tensor, stats: Moments[Tensor], gamma: Tensor, beta: Tensor) -> Tensor:
    """Batch normalisation with given statistics; gamma and beta are `[E, C]` or `[C]`."""
    scale = gamma * torch.rsqrt(stats.variance + NORM_EPSILON)
    shift = beta - stats.mean * scale
    return torch.addcmul(shift[:, :, None, None], x, scale[:, :, None, None])


class _BatchNorm(torch.autograd.Function):
    """`(x [N, C, H, W], counted, gamma, beta, mean, variance [C]) -> y`, the statistics being those of the
    counted images.

    The gradient is made of two that torch has: of the counted images, as if they were alone, and of the
    others, as if the statistics were constants. What the others' gradient does to the statistics comes
    to the counted images on top.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, counted: int, gamma: Tensor, beta: Tensor, mean: Tensor, variance: Tensor
    ) -> Tensor:
        scale = torch.rsqrt(variance + NORM_EPSILON)
        ctx.counted = counted
        ctx.save_for_backward(x, gamma, mean, variance, scale)
        factor = gamma * scale
        return torch.addcmul((beta - mean * factor)[:, None, None], x, factor[:, None, None])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, Tensor, Tensor, None, None]:
        x, gamma, mean, variance, scale = ctx.saved_tensors
        first, others = slice(None, ctx.counted), slice(ctx.counted, None)

        def differentiate(part: slice, alone: bool) -> tuple[Tensor, Tensor, Tensor]:
            return torch.ops.aten.native_batch_norm_backward(
                gradient[part], x[part], gamma, mean, variance, mean, scale, alone, NORM_EPSILON, [True] * 3
            )

        dx, dgamma, dbeta = differentiate(first, alone=True)
        if ctx.counted < len(x):
            dx_others, dgamma_others, dbeta_others = differentiate(others, alone=False)
            # y = gamma (x - mean) scale + beta, so the others' sums over y's gradient, which are their part
            # of beta's and gamma's, give the mean's and the variance's.
            values = ctx.counted * x.shape[2] * x.shape[3]
            dmean = -gamma * scale * dbeta_others
            slope = -gamma * scale.square() * dgamma_others / values  # times (x - mean)
            offset = dmean / values - slope * mean
            dx += torch.addcmul(offset[:, None, None], x[first], slope[:, None, None])
            dx, dgamma, dbeta = torch.cat([dx, dx_others]), dgamma + dgamma_others, dbeta + dbeta_others
        return dx, None, dgamma, dbeta, None, None


class _BatchNormBySums(torch.autograd.Function):
    """`(x [N, E, C, H, W], counted, gamma, beta [E, C] or [C], mean, variance [E, C]) -> y`, for any layout.

    The same gradient as `_BatchNorm`'s, of sums over y's gradient; torch's own wants channels of all episodes
    side by side.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, counted: int, gamma: Tensor, beta: Tensor, mean: Tensor, variance: Tensor
    ) -> Tensor:
        scale = torch.rsqrt(variance + NORM_EPSILON)
        ctx.counted = counted
        ctx.save_for_backward(x, gamma, mean, scale)
        return normalise(x, Moments(mean, variance), gamma, beta)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, Tensor, Tensor, None, None]:
        x, gamma, mean, scale = ctx.saved_tensors
        counted: int = ctx.counted
        values = counted * x.shape[3] * x.shape[4]
        dbeta = gradient.sum(dim=(0, 3, 4))
        dgamma = ((gradient * x).sum(dim=(0, 3, 4)) - mean * dbeta) * scale
        factor = gamma * scale
        dx = gradient * factor[:, :, None, None]
        # The images that made the statistics move them: by (dbeta + normed x * dgamma) / values each.
        slope = -factor * scale * dgamma / values
        offset = -factor * dbeta / values - slope * mean
        dx[:counted] += torch.addcmul(offset[:, :, None, None], x[:counted], slope[:, :, None, None])
        if gamma.ndim == 1:
            dgamma, dbeta = dgamma.sum(dim=0), dbeta.sum(dim=0)
        return dx, None, dgamma, dbeta, None, None
