"""The reference's five presets are the reference: as many parameters, of the same shapes, drawn alike."""

import math

import pytest
import torch
from helpers import parity
from torch import nn

from htgen.config.files import load_config
from htgen.hypertransformer.hypertransformer import HyperTransformer
from htgen.hypertransformer.plan import generator_plan

# Counted by TensorFlow: trainable variables of the published structure, without loss terms.
PARAMETERS = {
    "omniglot_1shot": 843_304,
    "omniglot_5shot": 843_304,
    "miniimagenet_1shot": 2_632_146,
    "miniimagenet_5shot": 2_632_146,
    "tieredimagenet_1shot": 883_954,
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters(name):
    plan = generator_plan(load_config(name).model)
    assert sum(math.prod(shape) for shape in plan.shapes.values()) == PARAMETERS[name]


@pytest.mark.parametrize("name", PARAMETERS)
def test_no_meaning_is_htgens_own(name):
    config = load_config(name)
    assert config.model.conventions == "reference"
    assert config.model.cnn.norm == "batch"
    # Options whose meaning differs are off, in the reference's presets too.
    model = config.model
    assert (model.shared.norm, model.local.nonlinear, model.local.logits) == (False, False, "default")
    assert (model.weights.base, model.cnn.norm_first, model.transformer.topology) == (False, False, "joint")
    assert model.local.kernel == model.cnn.kernel
    train = config.train
    assert (train.l2, train.variation_penalty, train.head_steps, train.shared_head) == (0, 0, 0, 0)
    dropouts = (model.cnn.dropout, model.shared.dropout, model.local.dropout, model.transformer.dropout)
    assert dropouts == (0, 0, 0, 0)
    assert config.episodes.remove_labeled == config.episodes.remove_unlabeled == 0


@pytest.mark.skipif(not parity.SHARED_FOLDER.exists(), reason="the file is in the project's workplace only")
def test_names_and_shapes_are_those_that_tensorflow_had():
    run = parity.load(parity.SHARED_FOLDER / "1a.safetensors")
    found = {parity.parameter_name(n): array.shape for n, array in run.part("weight/").items()}
    assert found == generator_plan(load_config("omniglot_1shot").model).shapes


def test_initial_weights_are_drawn_as_there():
    torch.manual_seed(0)
    model = HyperTransformer(load_config("omniglot_1shot").model)
    layers = [m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    assert len(layers) > 100
    for layer in layers:
        outputs, inputs = layer.weight.shape[:2]
        area = layer.weight[0, 0].numel()
        limit = math.sqrt(6 / (area * (inputs + outputs)))
        assert layer.weight.abs().max() <= limit
        assert not layer.bias.any()
    together = torch.cat([(m.weight / m.weight.abs().max()).flatten() for m in layers])
    assert together.square().mean().item() == pytest.approx(1 / 3, rel=0.02)  # uniform
    labels = torch.cat([w.slices.labels.flatten() for w in [*model.convs, model.logits]])
    assert labels.std().item() == pytest.approx(1, rel=0.05)
