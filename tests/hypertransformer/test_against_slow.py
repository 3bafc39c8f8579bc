"""The batched model against `slow_reference`: logits and gradients, over a covering set of settings."""

import itertools
from dataclasses import replace
from typing import Any, Literal, get_args, get_origin

import pytest
import torch
import torch.nn.functional as F
from helpers.model_settings import (
    AXES,
    CASES,
    SHAPES,
    SMALL,
    Batch,
    Settings,
    describe,
    difference,
    make_batch,
    make_model,
    model_config,
    parts_of,
    parts_to_cover,
)
from helpers.slow_reference import slow_cross_entropy, slow_logits
from helpers.trunks import TRUNKS
from torch import Tensor

from htgen.cnn.shapes import SHAPES as CNN_SHAPES
from htgen.config.model import ModelConfig
from htgen.hypertransformer.hypertransformer import HyperTransformer


def run_model(model: HyperTransformer, batches: list[Batch]) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits of every episode, and gradients of the mean query cross-entropy."""
    dtype = next(model.parameters()).dtype
    logits = torch.cat(
        [model(b.support.to(dtype), b.labels, b.query.to(dtype), b.slots, b.ignore) for b in batches]
    )
    targets = torch.cat([b.query_labels for b in batches])
    F.cross_entropy(logits.flatten(0, 1), targets.flatten()).backward()
    gradients = {
        name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in model.named_parameters()
    }
    model.zero_grad()
    return logits.detach(), gradients


@torch.enable_grad()
def run_slow(model: HyperTransformer, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    """The same, from the slow reference."""
    tensors = {k: v.detach().double().requires_grad_() for k, v in model.state_dict().items()}
    logits = []
    for e in range(len(batch)):
        logits.append(
            slow_logits(
                model.config,
                tensors,
                batch.support[e],
                batch.labels[e].tolist(),
                batch.query[e],
                batch.slots[e].tolist(),
                None if batch.ignore is None else batch.ignore[e].tolist(),
            )
        )
    losses = [
        slow_cross_entropy(rows, labels.tolist())
        for rows, labels in zip(logits, batch.query_labels, strict=True)
    ]
    gradients = torch.autograd.grad(
        sum(losses) / len(losses), list(tensors.values()), allow_unused=True, materialize_grads=True
    )
    trained = {name for name, _ in model.named_parameters()}
    found = {name: one for name, one in zip(tensors, gradients, strict=True) if name in trained}
    return torch.stack(logits).detach(), found


def assert_same(
    found: tuple[Tensor, dict[str, Tensor]],
    expected: tuple[Tensor, dict[str, Tensor]],
    logits_tolerance: float = 1e-10,
    gradient_tolerance: float = 1e-9,
) -> None:
    """Tolerances are absolute; tensors that exceed one are measured relative to their largest entry."""
    error = difference(found[0], expected[0])
    assert error < logits_tolerance, f"logits differ by {error}"
    assert found[1].keys() == expected[1].keys()
    errors = {name: difference(found[1][name], gradient) for name, gradient in expected[1].items()}
    wrong = {name: error for name, error in errors.items() if not error < gradient_tolerance}
    assert not wrong, f"gradients differ: {wrong}"


# --------------------------------------------------------------------------------------------- tests


@pytest.mark.parametrize("index", range(len(CASES)), ids=[f"{i}-{describe(s)}" for i, s in enumerate(CASES)])
def test_logits_and_gradients(index: int) -> None:
    settings = CASES[index]
    config = model_config(settings)
    model, batch = make_model(config, index), make_batch(config, settings, index)
    assert_same(run_model(model, [batch]), run_slow(model, batch))


def test_float32() -> None:
    settings = SMALL | {"weights.base": True, "weights.prototypes": True, "transformer.layers": 2}
    settings |= {"episode.unlabeled": True, "episode.ignore": True}
    config = model_config(settings)
    model, batch = make_model(config, 0, torch.float32), make_batch(config, settings, 0)
    assert_same(run_model(model, [batch]), run_slow(model, batch), 1e-5, 1e-4)


ROBUST: list[Any] = [
    {"episode.unlabeled": True},
    {"transformer.topology": "encoder-decoder", "transformer.activation": "sigmoid", "cnn": "3-layer"},
    {"transformer.topology": "separate", "weights.allocation": "spatial", "cnn.channels": 5},
    {"weights.prototypes": True, "local.logits": "mix", "cnn.norm": "batch", "weights.learned_layers": 1},
    {"shared.norm": True},
]


@pytest.mark.parametrize("changes", ROBUST)
def test_each_episode_of_a_batch_equals_itself_alone(changes: Settings) -> None:
    settings = SMALL | changes | {"episode.counts": "unequal", "episode.ignore": True}
    config = model_config(settings)
    model, batch = make_model(config, 1), make_batch(config, settings, 1)
    assert_same(run_model(model, [batch]), run_model(model, [batch.one(0), batch.one(1)]))


@pytest.mark.parametrize("changes", ROBUST)
def test_ignoring_support_images_equals_leaving_them_out(changes: Settings) -> None:
    settings = SMALL | changes
    config = model_config(settings)
    model, whole = make_model(config, 2), make_batch(config, settings, 2)
    out = torch.zeros_like(whole.labels, dtype=torch.bool)
    out[:, [0, 3]] = True
    kept = [1, 2, *range(4, out.shape[1])]
    part = replace(whole, support=whole.support[:, kept], labels=whole.labels[:, kept])
    # A batch of one each, so that nothing but `ignore` is tested.
    found = run_model(model, [replace(whole, ignore=out).one(e) for e in range(2)])
    assert_same(found, run_slow(model, part))


@pytest.mark.parametrize("norm", ["support", "batch"])
@torch.no_grad()
def test_a_generated_cnn_answers_as_the_slow_one(norm: str) -> None:
    settings = SMALL | {"cnn.norm": norm, "weights.generate_bias": True, "weights.generate_norm": True}
    config = model_config(settings)
    model, batch = make_model(config, 3), make_batch(config, settings, 3)
    cnns = model.generate(batch.support, batch.labels, batch.slots)
    found = model.execute(cnns, batch.query)
    assert_same((found, {}), (run_slow(model, batch)[0], {}))


def test_the_settings_cover_every_value_every_pair_and_the_main_triples() -> None:
    parts = parts_to_cover()
    assert len(parts) > 2500
    assert set().union(*map(parts_of, CASES)) >= parts
    used = {item for settings in CASES for item in settings.items()}
    assert used >= {(axis, value) for axis, values in AXES.items() for value in values}


def test_every_option_of_the_model_is_set_somewhere() -> None:
    used = {axis for settings in CASES for axis in settings} | {
        f"cnn.{key}" for shape in SHAPES.values() for key in shape
    }
    options = set()
    for name, field in ModelConfig.model_fields.items():
        inner = getattr(field.annotation, "model_fields", None)
        options |= {name} if inner is None else {f"{name}.{key}" for key in inner}
    always = {"max_way", "embedding_dim", "shared.width"}
    initial_only = {"weights.base_scale"}
    elsewhere = {"weights.plda_floor"}  # for measuring
    assert options - used == always | initial_only | elsewhere


def choices() -> dict[str, tuple[Any, ...]]:
    """Key path -> the values that the config can name, for every such field of the model."""
    found = {"cnn.shape": tuple(CNN_SHAPES), "local.width": (None, 0, 4), "local.kernel": (None, 3)}
    for section, field in ModelConfig.model_fields.items():
        inner = getattr(field.annotation, "model_fields", {section: field})
        for key, leaf in inner.items():
            path = key if key == section else f"{section}.{key}"
            if leaf.annotation is bool:
                found[path] = (False, True)
            elif get_origin(leaf.annotation) is Literal:
                found[path] = get_args(leaf.annotation)
    return found


def value_at(config: ModelConfig, path: str) -> Any:
    value: Any = config
    for name in path.split("."):
        value = getattr(value, name)
    return value


def test_every_choice_is_made_and_every_topology_and_allocation_meets_every_feature() -> None:
    """Counted again from the config's own lists, so that a choice without a case is found."""
    configs = [model_config(settings) for settings in CASES]
    made = choices()
    # Trunks are learned, and nothing reads the support set but class means: tests/generator/test_trunk.py.
    trunks = {*TRUNKS, "alone"}
    for path, values in made.items():
        assert {value_at(config, path) for config in configs} == set(values) - trunks, path
    features = [path for path in made if path.startswith(("shared.", "local."))]
    assert len(features) == 7
    for path in features:
        axes = ("transformer.topology", "weights.allocation", path)
        met = {tuple(value_at(config, axis) for axis in axes) for config in configs}
        assert met == set(itertools.product(*(made[axis] for axis in axes))), path
