"""More classes than a generator is shown at once: by torch, by NumPy and one by one."""

import numpy as np
import pytest
import torch
from helpers.model_settings import SMALL, difference, make_model, model_config
from helpers.slow_reference import slow_logits

from htgen.cnn.executor_numpy import run
from htgen.config.model import ModelConfig
from htgen.errors import ModelError
from htgen.generator.network import to_arrays
from htgen.hypertransformer import many_classes
from htgen.hypertransformer.hypertransformer import HyperTransformer
from htgen.hypertransformer.hypertransformer_numpy import HyperTransformer as NumpyHyperTransformer
from htgen.hypertransformer.many_classes import spread

WAY = 13

SETTINGS = [
    {},
    {"weights.plda": True, "weights.refine_prototypes": 2, "shared.norm": True},
    {"weights.learned_layers": 2, "local.logits": "mix"},
    {"views": 4, "transformer.topology": "separate", "shared.layers": 3},
    {"labels": "codes", "weights.plda": True},
]


def config_of(settings) -> ModelConfig:
    return model_config({**SMALL, "weights.prototypes": True, **settings})


def episodes(config: ModelConfig, way: int = WAY):
    made = torch.Generator().manual_seed(3)
    image = (config.image_channels, config.image_size, config.image_size)
    rows = [[*range(way), *range(5), -1], [*range(way), *[way - 1] * 5, -1]]
    labels = torch.stack([torch.tensor(row)[torch.randperm(len(row), generator=made)] for row in rows])
    support, query = (
        torch.randn(2, count, *image, generator=made, dtype=torch.float64) for count in (labels.shape[1], 4)
    )
    return support, labels, query, torch.arange(way).expand(2, -1)


@pytest.mark.parametrize("settings", SETTINGS)
def test_torch_numpy_and_the_slow_reference_agree(settings, monkeypatch):
    config = config_of(settings)
    model = make_model(config, 1)
    support, labels, query, slots = episodes(config)
    with torch.no_grad():
        found = model(support, labels, query, slots)
        weights = model.generate(support, labels, slots)
    assert difference(model.execute(weights, query), found) < 1e-9
    expected = torch.stack(
        [
            slow_logits(config, model.state_dict(), s, own.tolist(), q, slot.tolist())
            for s, own, q, slot in zip(support, labels, query, slots, strict=True)
        ]
    ).detach()
    assert difference(found, expected) < 1e-9
    written = NumpyHyperTransformer(config, to_arrays(model.state_dict())).generate(
        support.numpy(), labels.numpy(), slots.numpy()
    )
    assert difference(torch.from_numpy(run(model.spec, written, query.numpy())), expected) < 1e-9


def test_images_of_classes_that_are_not_shown_change_no_kernel():
    config = config_of({})
    model = make_model(config, 1)
    support, labels, _, slots = episodes(config)
    shown = spread(WAY, config.max_way)
    hidden = ~torch.isin(labels, torch.tensor([-1, *shown]))
    assert hidden.any()

    def first_kernels(images):
        with torch.no_grad():
            return model.generate(images, labels, slots).blocks[0].kernel

    other = support + hidden[:, :, None, None, None] * 0.5
    assert torch.equal(first_kernels(other), first_kernels(support))
    other = support + ~hidden[:, :, None, None, None] * 0.5
    assert not torch.equal(first_kernels(other), first_kernels(support))


def test_codes_are_shown_many_classes_at_once(monkeypatch):
    config = config_of({"labels": "codes"})
    model = make_model(config, 1)
    support, labels, query, slots = episodes(config)
    assert config.max_way < WAY
    with torch.no_grad():
        at_once = model(support, labels, query, slots)
    monkeypatch.setattr("htgen.config.model.MOST_CODES", 5)
    few = make_model(config, 1)
    with torch.no_grad():
        assert difference(few(support, labels, query, slots), at_once) > 1e-3


def test_classes_are_spread_evenly():
    assert spread(10, 5) == [0, 2, 4, 6, 8]
    assert spread(33, 32)[-1] == 31
    for way, count in ((100, 32), (62, 48), (5, 5)):
        chosen = spread(way, count)
        assert len(set(chosen)) == count
        assert max(np.diff(chosen)) - min(np.diff(chosen)) <= 1


@pytest.mark.parametrize("weights", [{"prototypes": False}, {"prototypes": True, "base": "all"}])
def test_without_a_layer_of_class_means_there_is_a_limit(weights):
    config = ModelConfig.model_validate(
        {"max_way": 4, "image_size": 16, "cnn": {"channels": 2}, "weights": weights}
    )
    model = HyperTransformer(config)
    support, labels, query, slots = (x.float() if x.is_floating_point() else x for x in episodes(config))
    for write in (
        lambda: model(support, labels, query, slots),
        lambda: NumpyHyperTransformer(config, to_arrays(model.state_dict())).generate(
            support.numpy(), labels.numpy(), slots.numpy()
        ),
    ):
        with pytest.raises(ModelError, match=r"13 classes are too many: .* at most 4") as error:
            write()
        assert "prototypes" in str(error.value)
    many_classes.check_way(config, 4)


def test_several_episodes_of_many_classes_do_not_run_at_once():
    config = config_of({})
    model = make_model(config, 1)
    support, labels, query, slots = episodes(config)
    with pytest.raises(ModelError, match="2 episodes of 13 classes at once"):
        model.run(support, labels, query, slots)
