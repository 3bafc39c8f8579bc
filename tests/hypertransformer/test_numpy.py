"""The generator with NumPy against the one with torch, over the settings of `helpers.model_settings`."""

import numpy as np
import pytest
import torch
from helpers.model_settings import (
    CASES,
    SMALL,
    Batch,
    Settings,
    describe,
    difference,
    make_batch,
    make_model,
    model_config,
)

from htgen.cnn.executor_numpy import run
from htgen.generator.network import to_arrays
from htgen.hypertransformer import transformer_numpy
from htgen.hypertransformer.hypertransformer import HyperTransformer
from htgen.hypertransformer.hypertransformer_numpy import HyperTransformer as NumpyHyperTransformer


def with_numpy(model: HyperTransformer) -> NumpyHyperTransformer:
    return NumpyHyperTransformer(model.config, to_arrays(model.state_dict()))


def as_arrays(batch: Batch, dtype: type) -> tuple[np.ndarray, ...]:
    return batch.support.numpy().astype(dtype), batch.labels.numpy(), batch.slots.numpy()


@torch.no_grad()
def both_logits(settings: Settings, seed: int, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Of two episodes, by NumPy and by torch: each writes its own CNNs and runs them."""
    config = model_config(settings)
    model, batch = make_model(config, seed, dtype), make_batch(config, settings, seed)
    writer = with_numpy(model)
    support, labels, slots = as_arrays(batch, np.float32 if dtype is torch.float32 else np.float64)
    written = writer.generate(support, labels, slots)
    assert {tensor.dtype for tensor in written.values()} == {support.dtype}
    found = run(writer.spec, written, batch.query.numpy().astype(support.dtype))
    weights = model.generate(batch.support.to(dtype), batch.labels, batch.slots)
    return torch.from_numpy(found), model.execute(weights, batch.query.to(dtype))


def seen(settings: Settings) -> Settings:
    """Without images that are ignored, which only training has."""
    return {key: value for key, value in settings.items() if key != "episode.ignore"}


@pytest.mark.parametrize("index", range(len(CASES)), ids=[f"{i}-{describe(s)}" for i, s in enumerate(CASES)])
def test_numpy_and_torch_write_the_same_cnns(index):
    found, expected = both_logits(seen(CASES[index]), index, torch.float64)
    assert difference(found, expected) < 1e-9


@pytest.mark.parametrize("index", range(0, len(CASES), 5))
def test_float32(index):
    found, expected = both_logits(seen(CASES[index]), index, torch.float32)
    assert difference(found, expected) < 2e-5


@pytest.mark.parametrize(("cached", "few"), [(1, 1), (1, 32), (60, 1), (60, 32)])
@pytest.mark.parametrize(
    "index", [i for i, case in enumerate(CASES) if case.get("transformer.heads", 1) > 1][:4]
)
def test_few_queries_at_a_time_find_what_all_do(index, cached, few, monkeypatch):
    """All episodes and heads at once, or (`few` of 32) one after the other."""
    settings = seen(CASES[index])
    whole, _ = both_logits(settings, index, torch.float64)
    monkeypatch.setattr(transformer_numpy, "CACHED_WEIGHTS", cached)
    monkeypatch.setattr(transformer_numpy, "FEW_QUERIES", few)
    found, _ = both_logits(settings, index, torch.float64)
    assert difference(found, whole) < 1e-10


class Recorded(dict):
    """Arrays, and the names of those that were read."""

    def __init__(self, arrays):
        super().__init__(arrays)
        self.read = []

    def __getitem__(self, name):
        self.read.append(name)
        return super().__getitem__(name)


@pytest.mark.parametrize("settings", CASES, ids=describe)
def test_every_parameter_is_read_once(settings):
    model = HyperTransformer(model_config(settings))
    arrays = Recorded(to_arrays(model.state_dict()))
    NumpyHyperTransformer(model.config, arrays)
    assert sorted(arrays.read) == sorted(arrays)


def test_parameters_of_16_bits_are_those_widened_to_32():
    config = model_config(SMALL)
    model, batch = make_model(config, 0, torch.float32), make_batch(config, SMALL, 0)
    halves = {name: array.astype(np.float16) for name, array in to_arrays(model.state_dict()).items()}
    widened = {name: array.astype(np.float32) for name, array in halves.items()}
    found, expected = (
        NumpyHyperTransformer(config, arrays).generate(*as_arrays(batch, np.float32))
        for arrays in (halves, widened)
    )
    for one, tensor in zip(found.values(), expected.values(), strict=True):
        assert one.dtype == np.float32
        np.testing.assert_array_equal(one, tensor)


def test_parameters_are_left_as_they_are():
    settings = SMALL | {"weights.base": True, "weights.generate_norm": True, "weights.generate_bias": True}
    config = model_config(settings)
    model, batch = make_model(config, 0, torch.float32), make_batch(config, settings, 0)
    arrays = to_arrays(model.state_dict())
    writer, again = (NumpyHyperTransformer(config, arrays) for _ in range(2))
    first = writer.generate(*as_arrays(batch, np.float32))
    for tensor in first.values():
        tensor += 1
    second, third = (generator.generate(*as_arrays(batch, np.float32)) for generator in (writer, again))
    for changed, again_written, tensor in zip(*(w.values() for w in (first, second, third)), strict=True):
        np.testing.assert_array_equal(again_written, tensor)
        assert not np.array_equal(changed, tensor)
    for name, tensor in model.state_dict().items():
        np.testing.assert_array_equal(arrays[name], tensor)
