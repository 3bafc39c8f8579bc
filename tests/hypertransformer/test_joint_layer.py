"""A layer as one step of autograd against its operations one by one."""

import pytest
import torch

from htgen.hypertransformer import fused_layer, joint_layer
from htgen.hypertransformer.transformer import Layer
from htgen.hypertransformer.transformer_plan import AttentionPlan, LayerPlan, MlpPlan


def layer(nonlinearity: str | None = "relu", only: bool = False, width: int = 22, **attention) -> Layer:
    torch.manual_seed(0)
    plan = AttentionPlan(
        **{
            "width": width,
            "source_width": width,
            "key_width": 12,
            "value_width": 12,
            "heads": 2,
            "activation": "softmax",
            **attention,
        }
    )
    return Layer(LayerPlan(width, plan, None, MlpPlan(width, 30, nonlinearity), 0.0, only))


def gradients(model: Layer, x: torch.Tensor) -> list[torch.Tensor]:
    """Output, and gradients of the input and all parameters."""
    y = model(x, 5, None)
    weights = torch.arange(y.numel()).view(y.shape).sin()
    return [y, *torch.autograd.grad((y * weights).sum(), [x, *model.parameters()])]


@pytest.mark.parametrize("nonlinearity", ["relu", "gelu", "lrelu", None])
@pytest.mark.parametrize("only", [False, True])
@pytest.mark.parametrize("large", [False, True])
def test_values_and_gradients(monkeypatch, nonlinearity, only, large):
    """Small products by torch, large ones by oneDNN."""
    monkeypatch.setattr(fused_layer, "serves", lambda *_: False)
    monkeypatch.setattr(joint_layer, "LARGE", 0 if large else 1 << 60)
    model = layer(nonlinearity, only)
    x = torch.randn(3, 11, 22).requires_grad_()
    assert joint_layer.serves(model.plan, x, drops=True)
    found = gradients(model, x)
    monkeypatch.setattr(joint_layer, "serves", lambda *_: False)
    expected = gradients(model, x)
    assert found[0].shape == (3, 5 if only else 11, 22)
    for name, a, b in zip(
        ["y", "x", *(n for n, _ in model.named_parameters())], found, expected, strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5, msg=name)


def test_who_is_served():
    x = torch.zeros(2, 6, 22)
    assert joint_layer.serves(layer().plan, x, drops=False)
    assert not joint_layer.serves(layer().plan, x.double(), drops=False)
    assert not joint_layer.serves(layer(activation="sigmoid").plan, x, drops=False)
    assert not joint_layer.serves(layer(value_width=14).plan, x, drops=False)
    dropping = layer().plan._replace(dropout=0.1)
    assert joint_layer.serves(dropping, x, drops=False)
    assert not joint_layer.serves(dropping, x, drops=True)
    with torch.autocast("cpu", torch.bfloat16):
        assert not joint_layer.serves(layer().plan, x, drops=False)
