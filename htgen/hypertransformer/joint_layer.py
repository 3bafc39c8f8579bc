"""A layer of self-attention and MLP as one step of autograd, for the CPU.

`Layer` of `htgen.hypertransformer.transformer` takes some thirty small operations, and autograd as many more.
Here the same operations are called without autograd, and the gradient is written down. So large products
can be done by oneDNN, which has no gradient in torch, and is twice as fast where MKL uses half of the
processor's vectors.

Axis legend: E episodes, T tokens, P placeholders, D token width, V width of all values together.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from htgen.cnn.fused import are_plain
from htgen.hypertransformer.transformer_plan import LAYER_NORM_EPSILON, MLP_LEAKY_SLOPE, LayerPlan

aten: Any = torch.ops.aten

_product_by_onednn: Any = getattr(torch.ops.mkldnn, "_linear_pointwise", None)

LARGE = 1 << 20
"""Multiply-adds of a product from which oneDNN takes less time than MKL, start-up included."""


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`x [R, D]` times `weight [K, D]`, transposed, and `bias [K]`: `[R, K]`."""
    if (
        len(x) * weight.numel() >= LARGE
        and _product_by_onednn is not None
        and torch.backends.mkldnn.is_available()
    ):
        return _product_by_onednn(x, weight, bias, "none", [], "")
    return x @ weight.t() if bias is None else torch.addmm(bias, x, weight.t())


def serves(plan: LayerPlan, x: Tensor, drops: bool) -> bool:
    """Whether `run` gives what the layer gives: on the CPU in float32, softmax, an MLP, no dropout.

    Args:
        drops: whether its dropout does something.
    """
    attention = plan.attention
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and not are_plain()
        and not torch.is_autocast_enabled("cpu")
        and plan.cross is None
        and plan.mlp is not None
        and attention.activation == "softmax"
        and attention.key_width == attention.value_width
        and not (drops and plan.dropout)
    )


def run(plan: LayerPlan, x: Tensor, placeholders: int, parts: Sequence[Any]) -> Tensor:
    """`[E, T, D] -> [E, T, D]`, or `[E, P, D]` where the plan wants placeholders only.

    Args:
        parts: the modules with its weights and biases: query, key, value and output of the attention, both
            layers of the MLP, the norm after the attention and that after the MLP.
    """
    assert plan.mlp is not None
    parameters = [parameter for part in parts for parameter in (part.weight, part.bias)]
    wanted = placeholders if plan.placeholders_only else x.shape[1]
    apply: Any = _JointLayer.apply
    return apply(x, wanted, plan.attention.heads, plan.mlp.nonlinearity, *parameters)


class _JointLayer(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, wanted: int, heads: int, nonlinearity: str | None, *parameters: Tensor
    ) -> Tensor:
        weights, biases = parameters[::2], parameters[1::2]
        episodes, tokens, width = x.shape
        source = x.reshape(-1, width)  # [E * T, D]
        seen = source if wanted == tokens else x[:, :wanted].reshape(-1, width)  # [E * P, D]

        def linear(index: int, rows: Tensor) -> Tensor:
            return _linear(rows, weights[index], biases[index])

        query, key, value = (
            rows.view(episodes, -1, heads, rows.shape[1] // heads).transpose(1, 2)
            for rows in (linear(0, seen), linear(1, source), linear(2, source))
        )  # [E, heads, P or T, width / heads]
        attended, logs = aten._scaled_dot_product_flash_attention_for_cpu(query, key, value)
        values = attended.transpose(1, 2).reshape(len(seen), -1)  # [E * P, V]
        first = linear(3, values).add_(seen)
        normed, *stats = aten.native_layer_norm(first, [width], weights[6], biases[6], LAYER_NORM_EPSILON)
        inner = linear(4, normed)
        active = _activate(inner, nonlinearity)
        second = linear(5, active).add_(normed)
        out, *stats_of_second = aten.native_layer_norm(
            second, [width], weights[7], biases[7], LAYER_NORM_EPSILON
        )
        ctx.save_for_backward(
            source, seen, query, key, value, attended, logs, values, first, normed, inner, active, second,
            *stats, *stats_of_second, *parameters,
        )  # fmt: skip
        ctx.shape, ctx.wanted, ctx.nonlinearity = x.shape, wanted, nonlinearity
        return out.view(episodes, wanted, width)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (source, seen, query, key, value, attended, logs, values, first, normed, inner, active, second,
         mean, scale, mean_of_second, scale_of_second, *parameters) = ctx.saved_tensors  # fmt: skip
        weights, biases = parameters[::2], parameters[1::2]
        episodes, tokens, width = ctx.shape
        found: list[Tensor | None] = [None] * 16

        def norm(index: int, at: Tensor, rows: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
            dx, found[2 * index], found[2 * index + 1] = aten.native_layer_norm_backward(
                at, rows, [width], mean, scale, weights[index], biases[index], [True] * 3
            )
            return dx

        def linear(index: int, at: Tensor, rows: Tensor) -> None:
            found[2 * index], found[2 * index + 1] = _linear(at.t(), rows.t()), at.sum(0)

        def back(index: int, at: Tensor) -> Tensor:
            return _linear(at, weights[index].t())

        at = norm(7, gradient.reshape(-1, width), second, mean_of_second, scale_of_second)
        linear(5, at, active)
        at_inner = _differentiate(back(5, at), inner, active, ctx.nonlinearity)
        linear(4, at_inner, normed)
        at = norm(6, back(4, at_inner).add_(at), first, mean, scale)
        linear(3, at, values)
        heads = query.shape[1]
        at_attended = back(3, at).view(episodes, ctx.wanted, heads, -1).transpose(1, 2)
        at_query, at_key, at_value = (
            part.transpose(1, 2).reshape(len(rows), -1)
            for part, rows in zip(
                aten._scaled_dot_product_flash_attention_for_cpu_backward(
                    at_attended, query, key, value, attended, logs, 0.0, False
                ),
                (seen, source, source),
                strict=True,
            )
        )
        linear(0, at_query, seen)
        linear(1, at_key, source)
        linear(2, at_value, source)
        of_seen = at.add_(back(0, at_query))
        if ctx.wanted == tokens:
            dx = of_seen.add_(back(1, at_key)).add_(back(2, at_value))
        else:
            dx = back(1, at_key).add_(back(2, at_value))
            dx.view(ctx.shape)[:, : ctx.wanted] += of_seen.view(episodes, -1, width)
        return dx.view(ctx.shape), None, None, None, *found


def _activate(x: Tensor, nonlinearity: str | None) -> Tensor:
    if nonlinearity == "relu":
        return torch.relu(x)
    if nonlinearity == "gelu":
        return torch.nn.functional.gelu(x)
    return x if nonlinearity is None else torch.nn.functional.leaky_relu(x, MLP_LEAKY_SLOPE)


def _differentiate(gradient: Tensor, x: Tensor, y: Tensor, nonlinearity: str | None) -> Tensor:
    """The gradient of `x`, of that of `y = _activate(x)`."""
    if nonlinearity == "relu":
        return aten.threshold_backward(gradient, y, 0)
    if nonlinearity == "gelu":
        return aten.gelu_backward(gradient, x)
    return gradient if nonlinearity is None else aten.leaky_relu_backward(gradient, x, MLP_LEAKY_SLOPE, False)
