"""Convolutions and norms of CNNs on the CPU by kernels made for them, with the extra `fast` (numba).

`convolve` is convolution, bias, 2x2 max-pool and activation of many episodes, each with its own kernel or
all with one; `norm` is batch norm. Both give what `htgen.cnn.executor` and `htgen.cnn.batch_norm` give by
plain operations, up to the rounding of float32, and have their own gradients. Activations are
`[N, E, C, H, W]` here as there; in memory they are `[E, C, H, W, N]` (see `htgen.cnn.fused_kernels`).

Every thread of a training has episodes of its own, so a kernel keeps to the thread that calls it.
"""

import importlib
import importlib.metadata
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from htgen.cnn.fused_geometry import Geometry, geometry
from htgen.cnn.spec import NORM_EPSILON, CnnSpec

Parts = tuple[tuple[int, int, int], ...]
"""Ranges of images that are normed together: first image, end of those that make the statistics, end."""

MOST_WORK = 16 << 20
"""Bytes that a kernel may work in: beyond it they leave the cache, and plain operations are as fast."""

_plain = False


@contextmanager
def plain_operations() -> Iterator[None]:
    """Within it no kernels are used, whether they are there or not; in all threads of the process."""
    global _plain
    before, _plain = _plain, True
    try:
        yield
    finally:
        _plain = before


def are_plain() -> bool:
    """Whether this is within `plain_operations`."""
    return _plain


def used() -> str | None:
    """What the kernels are compiled by, name and version; None where plain operations do the work."""
    return None if _plain else _compiler()


@cache
def _compiler() -> str | None:
    try:
        _kernels()
    except ImportError:
        return None
    return f"numba {importlib.metadata.version('numba')}"


@cache
def _kernels() -> Any:
    names = ("fused_kernels", "fused_gradients", "fused_norm")
    kernels, gradients, norms = (importlib.import_module(f"htgen.cnn.{name}") for name in names)
    return SimpleNamespace(
        convolve=kernels.convolve,
        convolve_backward=gradients.convolve_backward,
        norm=norms.norm,
        norm_backward=norms.norm_backward,
    )


def serves(images: Tensor) -> bool:
    """Whether kernels can take these images: float32 on the CPU, and no lower precision asked for."""
    on_cpu = images.device.type == "cpu" and images.dtype == torch.float32
    return on_cpu and not torch.is_autocast_enabled("cpu") and used() is not None


def fit(spec: CnnSpec) -> bool:
    """Whether a few images' activations stay in the cache in every block of these CNNs."""
    return all(
        64 * (conv.in_channels * conv.in_size**2 + conv.out_channels * conv.conv_size**2) <= MOST_WORK
        for conv in spec.convs
    )


def is_images_last(x: Tensor) -> bool:
    """Whether activations `[N, E, C, H, W]` have their images as neighbours in memory, and rows in a row."""
    image, _, _, row, pixel = x.stride()
    return image == 1 and row == pixel * x.shape[4] and x.device.type == "cpu"


def images_last(x: Tensor) -> Tensor:
    """`[N, E, C, H, W]` as `[E, C, H, W, N]` in memory, copied if it is not."""
    return x.permute(1, 2, 3, 4, 0).contiguous().permute(4, 0, 1, 2, 3)


def _empty(n: int, e: int, c: int, h: int, w: int) -> Tensor:
    return torch.empty(e, c, h, w, n).permute(4, 0, 1, 2, 3)


def _steps(x: Tensor) -> tuple[int, int, int, int]:
    """Bytes from an episode, channel, row, pixel to the next."""
    _, *strides = x.stride()
    e, c, h, w = (4 * stride for stride in strides)
    return e, c, h, w


def convolve(
    x: Tensor,
    kernel: Tensor,
    bias: Tensor | None = None,
    *,
    stride: int = 1,
    padding: tuple[int, int] = (0, 0),
    pool: bool = False,
    slope: float = 1.0,
) -> Tensor:
    """Convolution, bias, 2x2 max-pool (if `pool`), activation: `[N, E, C, H, W] -> [N, E, O, H', W']`.

    Args:
        kernel: `[E, O, C, k, k]`, or `[O, C, k, k]` for all episodes.
        bias: `[E, O]`, or `[O]`.
        padding: zeros before the first and behind the last row and column.
        slope: of the activation below zero: 0 = ReLU, 1 = none.
    """
    apply: Any = _Convolve.apply
    return apply(x, kernel, bias, stride, *padding, pool, slope)


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        kernel: Tensor,
        bias: Tensor | None,
        stride: int,
        before: int,
        behind: int,
        pool: bool,
        slope: float,
    ) -> Tensor:
        if not is_images_last(x):
            x = images_last(x)
        n, e, c, h, w = x.shape
        kernel = kernel.detach().contiguous()
        out, side = kernel.shape[-4], kernel.shape[-1]
        sizes = geometry(c, h, w, out, side, stride, before, behind, pool)
        groups = e if kernel.ndim == 5 else 1
        images = n * e // groups
        y = _empty(n, e, out, sizes.pooled_high, sizes.pooled_wide)
        codes = torch.empty(sizes.codes(groups, images), dtype=torch.int8)
        work = torch.empty(sizes.work, dtype=torch.int8)
        bias = None if bias is None else bias.detach().contiguous()
        y_steps = _steps(y)
        _kernels().convolve(
            x.data_ptr(), *_steps(x), y.data_ptr(), *y_steps[:2], y_steps[3], codes.data_ptr(),
            kernel.data_ptr(), 0 if bias is None else bias.data_ptr(), groups, images, n, slope,
            sizes.table, work.data_ptr(),
        )  # fmt: skip
        ctx.save_for_backward(x, kernel, y, codes)
        ctx.sizes, ctx.slope, ctx.groups, ctx.has_bias = sizes, slope, groups, bias is not None
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, kernel, y, codes = ctx.saved_tensors
        sizes: Geometry = ctx.sizes
        n, e = x.shape[:2]
        if gradient.stride() != y.stride():
            gradient = images_last(gradient)
        dkernel = torch.zeros_like(kernel)
        dbias = torch.zeros(kernel.shape[:-3])
        dx = _empty(*x.shape) if ctx.needs_input_grad[0] else None
        work = torch.empty(sizes.work, dtype=torch.int8)
        y_steps = _steps(y)
        _kernels().convolve_backward(
            x.data_ptr(), *_steps(x), gradient.data_ptr(), y.data_ptr(), *y_steps[:2], y_steps[3],
            codes.data_ptr(), kernel.data_ptr(), dkernel.data_ptr(), dbias.data_ptr(),
            0 if dx is None else dx.data_ptr(), ctx.groups, n * e // ctx.groups, n, ctx.slope,
            sizes.table, work.data_ptr(),
        )  # fmt: skip
        return dx, dkernel, dbias if ctx.has_bias else None, None, None, None, None, None


def norm(x: Tensor, gamma: Tensor, beta: Tensor, parts: Parts) -> tuple[Tensor, Tensor, Tensor]:
    """Batch norm of `[N, E, C, H, W]`, each range of images with the statistics of its own first ones.

    Args:
        gamma, beta: `[E, C]`.
        parts: which ranges of images; together they are all of them.

    Returns:
        The images, and mean and variance `[E, C]` of the first part, which have no gradient.
    """
    apply: Any = _Norm.apply
    return apply(x, gamma, beta, parts)


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, gamma: Tensor, beta: Tensor, parts: Parts
    ) -> tuple[Tensor, Tensor, Tensor]:
        n, e, c, h, w = x.shape
        y = _empty(n, e, c, h, w)
        if x.stride() != y.stride():
            x = images_last(x)
        gamma, beta = gamma.detach().contiguous(), beta.detach().contiguous()
        stats = torch.empty(len(parts), 2, e, c)
        of_episode, of_channel, _row, of_pixel = _steps(x)
        for part, (mean, variance) in zip(parts, stats, strict=True):
            _kernels().norm(
                x.data_ptr(), y.data_ptr(), of_episode, of_channel, of_pixel, e, c, h * w, *part,
                gamma.data_ptr(), beta.data_ptr(), mean.data_ptr(), variance.data_ptr(), NORM_EPSILON,
            )  # fmt: skip
        ctx.save_for_backward(x, gamma, stats)
        ctx.parts = parts
        mean, variance = stats[0]
        ctx.mark_non_differentiable(mean, variance)
        return y, mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        x, gamma, stats = ctx.saved_tensors
        parts: Parts = ctx.parts
        n, e, c, h, w = x.shape
        if gradient.stride() != x.stride():
            gradient = images_last(gradient)
        dx = _empty(n, e, c, h, w)
        sums = torch.empty(len(parts), 2, e, c)
        of_episode, of_channel, _row, of_pixel = _steps(x)
        for part, (mean, variance), (dgamma, dbeta) in zip(parts, stats, sums, strict=True):
            _kernels().norm_backward(
                gradient.data_ptr(), x.data_ptr(), dx.data_ptr(), of_episode, of_channel, of_pixel,
                e, c, h * w, *part, gamma.data_ptr(), mean.data_ptr(), variance.data_ptr(),
                dgamma.data_ptr(), dbeta.data_ptr(), NORM_EPSILON,
            )  # fmt: skip
        of_gamma, of_beta = sums.sum(0) if len(parts) > 1 else sums[0]
        return dx, of_gamma, of_beta, None


def with_first(x: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Activations `[N, E, C, H, W]`, for one reader alone, and the first `count` images of them for others.

    As `x` and `x[:count]`, but the gradient of the few is added to that of all in place.
    """
    apply: Any = _WithFirst.apply
    return apply(x, count)


class _WithFirst(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, count: int) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        ctx.shape = x.shape
        return x.view_as(x), x[:count]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_all: Tensor | None, of_first: Tensor | None) -> tuple[Tensor | None, None]:
        if of_first is None:
            return of_all, None
        if of_all is None:
            of_all = _empty(*ctx.shape).zero_()
        of_all[: len(of_first)] += of_first
        return of_all, None
