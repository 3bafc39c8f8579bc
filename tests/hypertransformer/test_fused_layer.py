"""A layer by kernels against its operations one by one in float64."""

from copy import deepcopy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from htgen.cnn import fused
from htgen.hypertransformer import fused_layer, joint_layer
from htgen.hypertransformer.transformer import Layer
from htgen.hypertransformer.transformer_plan import AttentionPlan, LayerPlan, MlpPlan

NEAR = 1e-5
"""Largest difference, relative to the largest value of a tensor, or to that of all its gradients."""

numbers = st.integers


@st.composite
def layers(draw) -> dict:
    """Sizes of a layer, and of its tokens."""
    tokens, heads = draw(st.sampled_from([1, 2, 15, 16, 17, 28, 40])), draw(st.sampled_from([1, 2, 3]))
    return {
        "episodes": draw(numbers(1, 3)),
        "tokens": tokens,
        "placeholders": draw(numbers(1, tokens)),
        "only": draw(st.booleans()),
        "width": draw(st.sampled_from([1, 7, 8, 16, 23, 40])),
        "values": heads * draw(st.sampled_from([1, 5, 8, 20])),
        "inner": draw(st.sampled_from([1, 9, 16, 37])),
        "heads": heads,
        "nonlinearity": draw(st.sampled_from(["relu", "lrelu", None])),
        "scale": draw(st.sampled_from([0.1, 1.0, 30.0])),
        "seed": draw(numbers(0, 99)),
    }


def layer_of(case: dict) -> Layer:
    """In float64, with weights for norms too."""
    width, values = case["width"], case["values"]
    attention = AttentionPlan(width, width, values, values, case["heads"], "softmax")
    mlp = MlpPlan(width, case["inner"], case["nonlinearity"])
    torch.manual_seed(case["seed"])
    model = Layer(LayerPlan(width, attention, None, mlp, 0.0, case["only"])).double()
    for norm in (model.attention_norm, model.mlp_norm):
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
        torch.nn.init.uniform_(norm.bias, -1, 1)
    return model


def outcome(model: Layer, x: Tensor, placeholders: int) -> list[Tensor]:
    """Output, and gradients of the input and all parameters."""
    y = model(x, placeholders, None)
    weights = torch.arange(y.numel(), dtype=x.dtype).view(y.shape).sin()
    return [y.detach(), *torch.autograd.grad((y * weights).sum(), [x, *model.parameters()])]


@settings(max_examples=40, deadline=None)
@given(case=layers())
def test_values_and_gradients(case):
    model = layer_of(case)
    made = torch.Generator().manual_seed(case["seed"])
    x = torch.randn(case["episodes"], case["tokens"], case["width"], dtype=torch.float64, generator=made)
    x = (case["scale"] * x).requires_grad_()
    assert not joint_layer.serves(model.plan, x, drops=False)  # plain operations
    expected = outcome(model, x, case["placeholders"])
    small, x = deepcopy(model).float(), x.detach().float().requires_grad_()
    assert joint_layer.serves(small.plan, x, drops=False)
    assert fused_layer.serves(small.plan, x)
    found = outcome(small, x, case["placeholders"])
    with fused.plain_operations():
        rounded = outcome(small, x, case["placeholders"])
    largest = max(float(value.abs().max()) for value in expected)
    names = ["y", "x", *(name for name, _ in model.named_parameters())]
    for name, a, b, c in zip(names, expected, found, rounded, strict=True):
        assert a.shape == b.shape
        # Norms of hardly varying tokens multiply what float32 loses, by whatever operations.
        by_rounding = 2 * float((a - c).abs().max())
        assert float((a - b).abs().max()) <= by_rounding + NEAR * largest, name


def layer(**changes) -> Layer:
    case = {
        "width": 22, "values": 12, "inner": 30, "heads": 2, "nonlinearity": "relu", "only": False, "seed": 0,
    }  # fmt: skip
    return layer_of({**case, **changes}).float()


def test_large_logits():
    """Softmax of logits in the thousands is that of one source."""
    model = layer()
    with torch.no_grad():
        model.attention.query.weight *= 1e4
    x = torch.randn(2, 11, 22)
    found = model(x, 5, None)
    with fused.plain_operations():
        torch.testing.assert_close(found, model(x, 5, None), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_stays_none(value):
    """In its own episode; a training skips such steps."""
    model = layer()
    x = torch.randn(2, 11, 22)
    x[1, 3, 4] = value
    x.requires_grad_()
    y = model(x, 5, None)
    assert y[0].isfinite().all()
    assert y[1].isnan().all()
    of_bias = torch.autograd.grad(y.sum(), model.attention.value.bias)[0]
    assert of_bias.isnan().all()


def test_inputs_that_are_no_rows_in_memory():
    model = layer()
    x = torch.randn(22, 11, 3)
    y = model(x.permute(2, 1, 0), 5, None)
    torch.testing.assert_close(y, model(x.permute(2, 1, 0).contiguous(), 5, None), rtol=0, atol=0)


def test_tokens_that_are_not_to_be_seen_are_left_to_plain_operations():
    model, x, ignore = layer(), torch.randn(2, 11, 22), torch.zeros(2, 11)
    ignore[:, 7] = 1
    y = model(x, 5, ignore)
    x[:, 7] += 1
    torch.testing.assert_close(model(x, 5, ignore)[:, :7], y[:, :7])
    torch.testing.assert_close(model(x[:, :7], 5, None), layer()(x[:, :7], 5, torch.zeros(2, 7)))


def test_who_is_served(monkeypatch):
    x = torch.zeros(2, 6, 22)
    assert fused_layer.serves(layer().plan, x)
    assert not fused_layer.serves(layer(nonlinearity="gelu").plan, x)
    assert not fused_layer.serves(layer().plan, torch.zeros(1, fused_layer.MOST_TOKENS + 1, 22))
    monkeypatch.setattr(fused_layer, "used", lambda: None)
    assert not fused_layer.serves(layer().plan, x)
