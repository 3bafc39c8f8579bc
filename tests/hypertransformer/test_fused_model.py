"""A whole generator by kernels and by plain operations: the same CNNs, logits and gradients."""

import pytest
import torch
from helpers.models import build, episodes

from htgen.cnn import fused
from htgen.config.model import ModelConfig, cnn_spec
from htgen.hypertransformer.hypertransformer import HyperTransformer

GENERATORS = {
    "support": {},
    "batch": {"cnn": {"norm": "batch"}},
    "norm first": {"cnn": {"norm_first": True}},
    "norm after pool": {"cnn": {"norm_first": "after-pool", "activation": "lrelu"}},
    "few pools": {"cnn": {"pools": [1, 3], "activation": "lrelu"}},
    "strided": {"cnn": {"shape": "3-layer"}},
    "biases and norms": {"weights": {"generate_bias": True, "generate_norm": True, "base": "all"}},
    "learned": {"weights": {"learned_layers": 3}},
    "norms of queries": {"cnn": {"separate_query_norm": True}},
    "kernels of queries": {"cnn": {"separate_query_norm": "kernels", "norm": "batch"}},
    "shared norm": {"shared": {"norm": True}},
    "as the reference": {"conventions": "reference", "shared": {"padding": "same", "norm": "scale"}},
    "features after the ReLU": {"local": {"nonlinear": True}},
}


def outcome(model: HyperTransformer, ignore: torch.Tensor | None) -> tuple[torch.Tensor, dict]:
    """Logits, and the gradients of a loss of them and of what blocks put out."""
    support, labels, query, slots = episodes()
    output = model.run(support, labels, query, slots, ignore)
    loss = torch.nn.functional.cross_entropy(output.logits.flatten(0, 1), torch.arange(18) % 4)
    loss = loss + 0.01 * output.activations[1].square().mean()
    names, parameters = zip(*model.named_parameters(), strict=True)
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    gradients = dict(zip(names, found, strict=True))
    return output.logits.detach(), {name: value for name, value in gradients.items() if value is not None}


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("hides", [False, True])
def test_generator(name, hides):
    model = build(**GENERATORS[name]).train()
    ignore = torch.zeros(3, 8, dtype=torch.bool)
    ignore[1, 2] = True
    with fused.plain_operations():
        expected, gradients = outcome(model, ignore if hides else None)
    found, own = outcome(model, ignore if hides else None)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert own.keys() == gradients.keys()
    largest = max(float(value.abs().max()) for value in gradients.values())
    for key, value in gradients.items():
        assert float((own[key] - value).abs().max()) < 1e-4 * largest, key


def test_kernels_are_what_runs(monkeypatch):
    """Otherwise the comparison above would compare nothing."""
    calls = []
    convolve = fused.convolve
    for module in ("htgen.cnn.executor", "htgen.hypertransformer.encoder"):
        monkeypatch.setattr(f"{module}.convolve", lambda *a, **k: calls.append(1) or convolve(*a, **k))
    model = build()
    model(*episodes())
    blocks = len(model.spec.convs)
    local = sum(len(writer.local.convs) for writer in [*model.convs, model.logits] if writer.local)
    assert len(calls) == blocks + local + len(model.shared.convs)
    calls.clear()
    with fused.plain_operations():
        model(*episodes())
    assert not calls


def test_images_too_large_for_the_cache_are_left_to_torch():
    assert fused.fit(build().spec)
    large = ModelConfig.model_validate({"image_size": 512, "cnn": {"channels": 64}})
    assert not fused.fit(cnn_spec(large))
