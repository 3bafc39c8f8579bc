"""`model.dropout_as`: where dropout applies, in htgen's way and in the reference's."""

import pytest
import torch
from helpers.model_settings import SMALL, WAY, Batch, make_batch, make_model, model_config

from htgen.cnn.executor import head_features, last_activations
from htgen.cnn.layout import layout_for
from htgen.hypertransformer.hypertransformer import HyperTransformer

RATE = 0.5


def made(**settings) -> tuple[HyperTransformer, Batch]:
    settings = SMALL | settings
    config = model_config(settings)
    return make_model(config, 0), make_batch(config, settings, 0)


@torch.no_grad()
def logits(model: HyperTransformer, batch: Batch) -> torch.Tensor:
    """As training and validation compute them: in one pass."""
    return model(batch.support, batch.labels, batch.query, batch.slots)


@torch.no_grad()
def measured(model: HyperTransformer, batch: Batch) -> torch.Tensor:
    """As accuracy is measured: the CNN first, then its answers."""
    weights = model.generate(batch.support, batch.labels, batch.slots)
    return model.execute(weights, batch.query)


@pytest.mark.parametrize(
    ("part", "way", "in_training", "in_measuring"),
    [
        ("cnn", "htgen", True, False),
        ("cnn", "reference", False, True),
        ("transformer", "htgen", True, False),
        ("transformer", "reference", True, True),
        ("shared", "reference", True, False),
        ("local", "reference", True, False),
    ],
)
def test_where_chance_decides(part, way, in_training, in_measuring):
    model, batch = made(**{f"{part}.dropout": RATE, "dropout_as": way})
    without, _ = made()
    expected = logits(without, batch)
    # A generator in use has none.
    torch.testing.assert_close(logits(model.eval(), batch), expected)
    torch.testing.assert_close(measured(model.eval(), batch), expected)
    model.train()
    assert torch.allclose(logits(model, batch), expected) != in_training
    model.measure()
    assert torch.allclose(measured(model, batch), expected) != in_measuring
    torch.testing.assert_close(logits(model.eval(), batch), expected)


@torch.no_grad()
def test_what_a_measured_cnn_drops_are_inputs_of_its_logits_layer():
    model, batch = made(**{"cnn.dropout": RATE, "dropout_as": "reference"})
    model.measure()
    weights = model.generate(batch.support, batch.labels, batch.slots)
    x = layout_for(batch.query.device).channels_last(batch.query)
    features = head_features(last_activations(model.spec, weights.blocks, x), model.spec)  # [E, Q, F]
    torch.manual_seed(3)
    found = model.execute(weights, batch.query)
    torch.manual_seed(3)
    kept = torch.nn.functional.dropout(torch.ones_like(features), RATE) * (1 - RATE)  # 0 or 1
    assert 0 < kept.mean() < 1
    for e in range(len(batch)):
        for q in range(features.shape[1]):
            for c in range(WAY):
                weight, bias = weights.logits_weight[e, c], weights.logits_bias[e, c]
                expected = (features[e, q] * kept[e, q] / (1 - RATE) * weight).sum() + bias
                assert found[e, q, c].item() == pytest.approx(expected.item())
