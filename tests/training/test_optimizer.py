import math

import pytest
import torch

from htgen.config.files import load_config
from htgen.config.run import OptimizerConfig
from htgen.training.optimizer import (
    learning_rate,
    make_optimizer,
    parameter_groups,
    set_learning_rate,
    update,
)
from htgen.training.run_folder import RunFolder
from htgen.training.trainer import Trainer


def test_learning_rate_schedules():
    cosine = OptimizerConfig(lr=1.0, warmup=10, final=0.1)
    assert [learning_rate(cosine, s, 110) for s in (0, 4, 9)] == [0.1, 0.5, 1.0]
    assert learning_rate(cosine, 10, 110) == 1.0
    assert learning_rate(cosine, 60, 110) == pytest.approx(0.55)
    assert learning_rate(cosine, 110, 110) == pytest.approx(0.1)
    decay = OptimizerConfig(lr=0.02, schedule="exponential", warmup=0, decay_rate=0.95, decay_steps=100)
    assert learning_rate(decay, 250, 1000) == pytest.approx(0.02 * 0.95**2.5)
    assert learning_rate(OptimizerConfig(lr=0.3, schedule="constant", warmup=0), 77, 100) == 0.3
    assert not any(math.isnan(learning_rate(cosine, s, 5)) for s in range(5))
    assert learning_rate(cosine, 4, 110, time_spent=0.5) == 0.5  # the warm-up counts steps
    assert learning_rate(cosine, 60, 110, time_spent=0.25) == pytest.approx(0.1 + 0.9 * (2 + 2**0.5) / 4)
    assert learning_rate(cosine, 60, 110, time_spent=1.0) == pytest.approx(0.1)


PUBLISHED_RATES = {
    "omniglot_1shot": 0.02,
    "omniglot_5shot": 0.02,
    "miniimagenet_1shot": 0.01,
    "miniimagenet_5shot": 0.01,
    "tieredimagenet_1shot": 0.01,
}


@pytest.mark.parametrize(("name", "first"), PUBLISHED_RATES.items())
def test_the_learning_rate_falls_as_published(name, first):
    """By 5 % every 100 000 steps, without stairs, from the first step on; share of the first by step."""
    expected = {
        0: 1.0,
        1: 0.9999994871,
        50_000: 0.9746794345,
        100_000: 0.95,
        1_000_000: 0.5987369392,
        2_000_000: 0.3584859224,
        4_000_000: 0.1285121566,
    }
    config = load_config(name)
    for step, share in expected.items():
        found = learning_rate(config.optimizer, step, config.train.steps)
        assert found == pytest.approx(first * share, rel=1e-8)


def test_a_published_step_is_the_gradient_times_the_learning_rate():
    config = load_config("omniglot_1shot").optimizer
    layer = torch.nn.Linear(3, 2)
    before = [p.detach().clone() for p in layer.parameters()]
    optimizer = make_optimizer(config, layer)
    for p in layer.parameters():
        p.grad = torch.arange(1.0, 1 + p.numel()).view_as(p) * 50  # no clipping, however large
    set_learning_rate(optimizer, 0.01)
    update(optimizer, [*layer.parameters()], config.clip)
    for p, old in zip(layer.parameters(), before, strict=True):
        torch.testing.assert_close(p.detach(), old - 0.01 * p.grad)


def test_weight_decay_spares_embeddings_norms_and_biases(config, tmp_path):
    with RunFolder(tmp_path / "run") as run:
        model = Trainer(config, run).model
    decayed, free = parameter_groups(model, 0.1)
    names = {id(p): name for name, p in model.named_parameters()}
    assert len(decayed["params"]) + len(free["params"]) == len(names)
    for parameter in decayed["params"]:
        assert names[id(parameter)].endswith(("weight", "base_kernel"))
    spared = {names[id(p)].rpartition(".")[2] for p in free["params"]}
    assert {"labels", "placeholders", "bias", "gamma", "beta", "scale", "log_sharpness"} <= spared
