"""A layer of self-attention and MLP by kernels for few tokens, on the CPU with the extra `fast` (numba).

It gives what `htgen.hypertransformer.joint_layer` gives by operations of torch, up to the rounding of
float32, in two calls, one forward and one backward. A kernel keeps to the thread that calls it.

Axis legend: E episodes, T tokens, P placeholders, D token width.
"""

import importlib
from array import array
from collections.abc import Sequence
from functools import cache
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from htgen.cnn.fused import used
from htgen.hypertransformer.transformer_plan import LAYER_NORM_EPSILON, MLP_LEAKY_SLOPE, LayerPlan

MOST_TOKENS = 256
"""Beyond it the weights of the attention leave the cache, and operations of torch are as fast."""

SLOPES = {"relu": 0.0, "lrelu": MLP_LEAKY_SLOPE, None: 1.0}
"""Below zero, of the nonlinearities that kernels have."""


@cache
def _kernels() -> Any:
    names = ("layer_kernels", "layer_gradients")
    forward, backward = (importlib.import_module(f"htgen.hypertransformer.{name}") for name in names)
    return SimpleNamespace(
        layer=forward.layer,
        places=cache(forward.places),
        layer_backward=backward.layer_backward,
        work_places=cache(backward.work_places),
        row_of=forward.row_of,
    )


def serves(plan: LayerPlan, x: Tensor) -> bool:
    """Whether kernels can do what `htgen.hypertransformer.joint_layer` serves."""
    is_known = plan.mlp is not None and plan.mlp.nonlinearity in SLOPES
    return is_known and x.shape[1] <= MOST_TOKENS and used() is not None


def run(plan: LayerPlan, x: Tensor, placeholders: int, parts: Sequence[Any]) -> Tensor:
    """As `htgen.hypertransformer.joint_layer.run`."""
    assert plan.mlp is not None
    parameters = [parameter for part in parts for parameter in (part.weight, part.bias)]
    tokens, width = x.shape[1:]
    wanted = placeholders if plan.placeholders_only else tokens
    attention, mlp = plan.attention, plan.mlp
    sizes = tokens, wanted, width, attention.value_width, mlp.inner_width, attention.heads
    apply: Any = _FusedLayer.apply
    return apply(x, sizes, SLOPES[mlp.nonlinearity], *parameters)


def _addresses(tensors: Sequence[Tensor]) -> Any:
    """A table of where tensors lie, int64: faster made than a tensor."""
    return array("q", [tensor.data_ptr() for tensor in tensors])


class _FusedLayer(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, sizes: tuple[int, int, int, int, int, int], slope: float, *parameters: Tensor
    ) -> Tensor:
        kernels, episodes = _kernels(), len(x)
        _, wanted, width, *_ = sizes
        assert all(parameter.dtype == torch.float32 for parameter in parameters)  # they are read as such
        x = x.contiguous()
        parameters = tuple(parameter.contiguous() for parameter in parameters)
        y = x.new_empty(episodes, wanted, width)
        saved = torch.empty(episodes * kernels.places(*sizes)[-1], dtype=torch.int8)
        work = torch.empty(2 * width * kernels.row_of(wanted), dtype=torch.int8)
        table = _addresses(parameters)
        kernels.layer(
            x.data_ptr(), y.data_ptr(), episodes, *sizes, slope, LAYER_NORM_EPSILON,
            table.buffer_info()[0], saved.data_ptr(), work.data_ptr(),
        )  # fmt: skip
        ctx.save_for_backward(saved, *parameters)
        ctx.episodes, ctx.sizes, ctx.slope = episodes, sizes, slope
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        kernels, (saved, *parameters) = _kernels(), ctx.saved_tensors
        tokens, wanted, width, values, inner, _ = ctx.sizes
        gradient = gradient.contiguous()
        dx = gradient.new_empty(ctx.episodes, tokens, width)
        found = [torch.empty_like(parameter) for parameter in parameters]
        work = torch.empty(kernels.work_places(tokens, wanted, width, values, inner)[-1], dtype=torch.int8)
        table, table_of_found = _addresses(parameters), _addresses(found)
        kernels.layer_backward(
            gradient.data_ptr(), dx.data_ptr(), ctx.episodes, *ctx.sizes, ctx.slope,
            table.buffer_info()[0], table_of_found.buffer_info()[0], saved.data_ptr(), work.data_ptr(),
        )  # fmt: skip
        return dx, None, None, *found
