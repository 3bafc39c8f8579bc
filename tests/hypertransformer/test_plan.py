"""The plan against the module of torch, against widths by hand, and against the config's lists."""

from typing import get_args

import pytest
import torch
from helpers.model_settings import CASES, describe, model_config

from htgen.config.files import load_config, preset_names
from htgen.config.model import ModelConfig, TransformerConfig, WeightsConfig
from htgen.hypertransformer.decoder import ALLOCATIONS
from htgen.hypertransformer.hypertransformer import HyperTransformer
from htgen.hypertransformer.layer_writers import LogitsWriter
from htgen.hypertransformer.plan import ConvWriterPlan, LearnedConvPlan, generator_plan, logits_plan
from htgen.hypertransformer.transformer_plan import TOPOLOGIES, resolve_width, transformer_plan


def shapes_of(module: torch.nn.Module) -> list[tuple[str, tuple[int, ...]]]:
    return [(name, tuple(tensor.shape)) for name, tensor in module.state_dict().items()]


@pytest.mark.parametrize("settings", CASES, ids=describe)
def test_shapes_are_those_of_the_module_in_its_order(settings):
    config = model_config(settings)
    assert list(generator_plan(config).shapes.items()) == shapes_of(HyperTransformer(config))


@pytest.mark.parametrize("preset", preset_names())
def test_shapes_of_presets(preset):
    config = load_config(preset).model
    assert list(generator_plan(config).shapes.items()) == shapes_of(HyperTransformer(config))


@pytest.mark.parametrize("settings", CASES[::4], ids=describe)
def test_shapes_of_a_logits_layer_after_any_block(settings):
    config = model_config(settings)
    for conv in generator_plan(config).spec.convs:
        plan = logits_plan(config, conv, conv.out_channels)
        expected = {f"head.{name}": shape for name, shape in shapes_of(LogitsWriter(plan))}
        assert plan.shapes("head") == expected


@pytest.mark.parametrize("settings", CASES, ids=describe)
def test_slices_become_the_weights_of_the_cnn(settings):
    plan = generator_plan(model_config(settings))
    for writer in plan.convs:
        if isinstance(writer, ConvWriterPlan):
            conv = writer.conv
            slices = torch.zeros(2, writer.slices.placeholders, writer.slices.slice_size)
            parts = writer.allocation.decode(slices)
            assert parts.pop("kernel").shape == (
                2,
                conv.out_channels,
                conv.in_channels,
                conv.kernel,
                conv.kernel,
            )
            assert {*parts, *writer.norm} >= {"gamma", "beta"}
            assert not {*parts} & {*writer.norm}
            assert all(part.shape == (2, conv.out_channels) for part in parts.values())
    parts = plan.logits.allocation.decode(torch.zeros(2, 3, plan.logits.slices.slice_size))
    assert parts["weight"].shape == (2, 3, plan.spec.feature_count)
    assert parts["bias"].shape == (2, 3)


def test_widths_by_hand():
    config = ModelConfig.model_validate(
        {
            "image_size": 8,
            "max_way": 4,
            "embedding_dim": 2,
            "cnn": {"channels": 2, "pools": [1, 2, 3]},
            "shared": {"layers": 2, "width": 3},
            "transformer": {
                "layers": 2,
                "heads": 2,
                "key_width": 0.5,
                "value_width": 5,
                "topology": "separate",
            },
            "weights": {"generate_bias": True},
        }
    )
    plan = generator_plan(config)
    assert plan.shared is not None
    # 8 pixels, `same` convs of stride 2 and 1.
    assert [(conv.stride, conv.size) for conv in plan.shared.convs] == [(2, 4), (1, 4)]
    first, second = plan.convs[:2]
    assert isinstance(first, ConvWriterPlan)
    assert isinstance(second, ConvWriterPlan)
    assert first.local is not None
    assert second.local is not None
    # As wide as the larger of 1 and 2 channels; on 4 pixels only the first conv fits.
    assert (first.local.width, second.local.width) == (2 * 2, 2)
    transformer = second.slices.transformer
    assert transformer.sample_width == 2 + 3 + 2  # embedding, shared, local
    assert transformer.weight_width == 2 + 9 * 2 + 1  # embedding, kernel of a channel, bias
    own, cross = transformer.decoder[0].attention, transformer.decoder[0].cross
    assert cross is not None
    assert (own.width, own.source_width, own.key_width, own.value_width) == (21, 21, 12, 6)
    assert (cross.width, cross.source_width) == (21, 7)
    assert (plan.logits.slices.labels, plan.logits.slices.placeholders) == (5, 4)
    assert plan.logits.feature_count == 2  # one pixel
    assert plan.logits.slices.slice_size == 2 + 1


@pytest.mark.parametrize(
    ("width", "tokens", "heads", "expected"),
    [
        (1.0, 10, 3, 12),
        (0.5, 10, 1, 5),
        (3.0, 4, 2, 12),
        (3.1, 100, 2, 4),
        (7, 100, 2, 8),
        (1.1, 50, 1, 55),
        (0, 9, 2, 0),
    ],
)
def test_resolved_widths(width, tokens, heads, expected):
    assert resolve_width(width, tokens, heads) == expected


@pytest.mark.parametrize(
    ("learned", "expected"), [(0, "wwww"), (1, "lwww"), (4, "llll"), (-2, "wwll"), (-4, "llll")]
)
def test_which_blocks_are_learned(learned, expected):
    config = ModelConfig.model_validate({"weights": {"learned_layers": learned}})
    convs = generator_plan(config).convs
    assert "".join("l" if isinstance(conv, LearnedConvPlan) else "w" for conv in convs) == expected


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_only_the_very_last_layer_leaves_samples_out(topology):
    plan = transformer_plan(TransformerConfig(topology=topology, layers=3), 5, 8)
    layers = [*plan.encoder, *plan.decoder]
    assert [layer.placeholders_only for layer in layers] == [False] * (len(layers) - 1) + [True]
    assert [layer.cross is not None for layer in layers] == [False] * 3 + [True] * (len(layers) - 3)
    joined = topology != "separate"
    assert (plan.sample_width, plan.weight_width) == ((8, 8) if joined else (5, 8))


def test_the_tables_have_what_the_config_can_name():
    assert set(TOPOLOGIES) == set(get_args(TransformerConfig.model_fields["topology"].annotation))
    assert set(ALLOCATIONS) == set(get_args(WeightsConfig.model_fields["allocation"].annotation))
