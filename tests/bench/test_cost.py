"""The counted multiply-adds: against a count by hand, and against what torch sees the model do."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from htgen.bench.cost import Part, generation_cost, prediction_cost, training_cost
from htgen.cnn.fused import plain_operations
from htgen.config.data import EpisodeConfig
from htgen.config.files import load_config
from htgen.config.model import ModelConfig
from htgen.episodes.shape import EpisodeSize, largest_episode
from htgen.hypertransformer.hypertransformer import HyperTransformer

HAND = {
    "image_size": 8,
    "max_way": 4,
    "embedding_dim": 2,
    "cnn": {"channels": 2, "pools": [1, 2, 3]},
    "shared": {"layers": 2, "width": 3},
    "local": {"width": 2},
    "transformer": {"layers": 1, "heads": 1},
}


def test_a_small_episode_counted_by_hand():
    # 2 ways, 2 support + 4 query images of 8x8; each convolution reads 8x8, 4x4, 2x2, 1x1.
    cost = training_cost(ModelConfig.model_validate(HAND), EpisodeSize(2, 2, 4))

    # Tokens: 2 samples and 2 placeholders, T = 4; of the last, here only, layer the P = 2 placeholders
    # are wanted. A layer of width D: key and value 2 T D D, query and output 2 P D D, scores and
    # weighting 2 P T D, MLP 2 P D D.
    def layer(width: int) -> int:
        return 2 * 4 * width * width + 2 * 2 * width * width + 2 * 2 * 4 * width + 2 * 2 * width * width

    expected = [
        # 3x3 `same` convs of stride 2 and 1, 1 -> 3 -> 3 channels: 4x4 positions both; no image gradient.
        ("images shared features", 2 * (16 * 9 * 3 + 16 * 27 * 3), 2 * (16 * 9 * 3 + 2 * 16 * 27 * 3)),
        # 3x3 `valid` of stride 2 and 1 on 8x8, 1 -> 2 -> 2 channels: 3x3 positions, then 1.
        ("conv1 local features", 2 * (9 * 9 * 2 + 18 * 2), 2 * (9 * 9 * 2 + 2 * 18 * 2)),
        # samples: embedding 2 + shared 3 + local 2 * 2 = 9; slices: embedding 2 + 9 weights = 11.
        ("conv1 transformer encoder 1", layer(11), 2 * layer(11)),
        ("conv1 cnn", 6 * 64 * 9 * 2, 6 * 64 * 9 * 2),
        # On 4x4 the first local conv leaves 1 position, so the second does not fit.
        ("conv2 local features", 2 * 18 * 2, 2 * 2 * 18 * 2),
        ("conv2 transformer encoder 1", layer(20), 2 * layer(20)),  # slices: 2 + 9 * 2
        ("conv2 cnn", 6 * 16 * 18 * 2, 2 * 6 * 16 * 18 * 2),
        ("conv3 local features", 2 * 8 * 2, 2 * 2 * 8 * 2),  # the kernel shrinks to 2x2
        ("conv3 transformer encoder 1", layer(20), 2 * layer(20)),
        ("conv3 cnn", 6 * 4 * 18 * 2, 2 * 6 * 4 * 18 * 2),
        ("conv4 local features", 2 * 2 * 2, 2 * 2 * 2 * 2),  # and to 1x1
        ("conv4 transformer encoder 1", layer(20), 2 * layer(20)),
        ("conv4 cnn", 6 * 1 * 18 * 2, 2 * 6 * 1 * 18 * 2),
        ("logits local features", 2 * 2 * 2, 2 * 2 * 2 * 2),
        # samples: 2 + 3 + 2 = 7; slices: 2 + 2 weights + 1 bias = 5.
        ("logits transformer encoder 1", layer(7), 2 * layer(7)),
        ("logits cnn", 4 * 2 * 2, 2 * 4 * 2 * 2),
    ]
    assert [(part.name, part.forward, part.backward) for part in cost.parts] == expected
    assert cost.forward == sum(forward for _, forward, _ in expected)
    assert cost.backward == sum(backward for _, _, backward in expected)
    assert cost.total == cost.forward + cost.backward == sum(cost.by_kind().values())
    assert cost.by_kind()["logits layer"] == 3 * 16


def test_generation_is_an_episode_without_queries_and_without_backward():
    config = ModelConfig.model_validate(HAND)
    cost = generation_cost(config, way=2, shot=3)
    assert cost.backward == 0
    assert cost.forward == training_cost(config, EpisodeSize(2, 6, 0)).forward
    assert Part("conv1", "cnn", "", 6 * 64 * 9 * 2, 0) in cost.parts
    assert "logits cnn" not in [part.name for part in cost.parts]


def test_classifying_one_image_is_the_cnn_alone():
    cost = prediction_cost(ModelConfig.model_validate(HAND), way=3)
    assert [part.forward for part in cost.parts] == [64 * 18, 16 * 36, 4 * 36, 36, 3 * 2]
    assert cost.backward == 0


def test_episode_sizes_are_the_largest_that_a_config_draws():
    ranges = EpisodeConfig(way=(2, 5), shot=(1, 3), query=(1, 4), unlabeled=2)
    assert largest_episode(ranges) == EpisodeSize(5, 25, 20)
    totals = EpisodeConfig(way=5, support_size=7, query_size=9)
    assert largest_episode(totals) == EpisodeSize(5, 7, 9)


# ------------------------------------------------------------------------------ against the model itself

SMALL = {
    "image_size": 16,
    "max_way": 5,
    "embedding_dim": 4,
    "cnn": {"channels": 6},
    "shared": {"layers": 3, "width": 4},
    "transformer": {"layers": 2},
}
VARIANTS = {
    "default": {},
    "few channels": {"cnn": {"channels": 3}},  # the product over gathered patches
    "no last pool": {"cnn": {"channels": 6, "pools": [1, 2, 3]}},
    "norm first, batch": {"cnn": {"channels": 6, "norm": "batch", "norm_first": True}},
    "5x5": {"cnn": {"channels": 6, "kernel": 5}},
    "3-layer": {"cnn": {"channels": 6, "shape": "3-layer"}},
    "4-layer": {"cnn": {"channels": 6, "shape": "4-layer", "stride": 1}, "image_channels": 3},
    "photographs": {"image_channels": 3, "image_size": 20},
    "encoder-decoder": {"transformer": {"topology": "encoder-decoder", "layers": 2}},
    "separate": {"transformer": {"topology": "separate", "layers": 2}},
    "widths": {
        "transformer": {
            "topology": "separate",
            "heads": 4,
            "key_width": 0.5,
            "value_width": 1.1,
            "inner_width": 30,
        }
    },
    "sigmoid": {"transformer": {"activation": "sigmoid", "layers": 1, "skip_last_nonlinearity": True}},
    "no MLP": {"transformer": {"inner_width": 0, "layers": 1}},
    "spatial": {"weights": {"allocation": "spatial"}},
    "bias and norm": {"weights": {"generate_bias": True, "generate_norm": True}},
    "head starts": {"weights": {"base": True, "prototypes": True}},
    "views": {"views": 5, "weights": {"prototypes": True, "plda": True}},
    "refined means": {"weights": {"prototypes": True, "refine_prototypes": 2}},
    "plda": {"weights": {"prototypes": True, "plda": True, "refine_prototypes": 2}},
    "query norm": {"cnn": {"channels": 6, "separate_query_norm": True}},
    "first learned": {"weights": {"learned_layers": 2}},
    "last learned": {"weights": {"learned_layers": -1}},
    "no shared features": {"shared": {"layers": 0}},
    "valid shared features": {"shared": {"layers": 2, "width": 5, "padding": "valid", "norm": True}},
    "no local features": {"local": {"width": 0}},
    "nonlinear local features": {"local": {"nonlinear": True, "width": 7}},
    "passthrough": {"local": {"logits": "passthrough"}},
    "mix": {"local": {"logits": "mix"}},
}
SIZE = EpisodeSize(way=3, support=7, query=5)


def counted(config: ModelConfig, episodes: int = 1) -> tuple[int, int]:
    """Multiply-adds of forward and of backward, as torch's counter sees them."""
    model = HyperTransformer(config)
    images = (episodes, SIZE.support, config.image_channels, config.image_size, config.image_size)
    support, query = torch.randn(images), torch.randn(images)[:, : SIZE.query]
    labels = torch.arange(SIZE.support).expand(episodes, -1) % SIZE.way
    slots = torch.arange(SIZE.way).expand(episodes, -1)
    counter = FlopCounterMode(display=False)
    # The counter knows no formula for the CPU's fused attention; the plain one is products that it sees.
    with plain_operations(), counter, sdpa_kernel(SDPBackend.MATH):
        logits = model(support, labels, query, slots)
        forward = counter.get_total_flops()
        logits.sum().backward()
    return forward // 2, (counter.get_total_flops() - forward) // 2


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_count_is_what_the_model_does(variant):
    config = ModelConfig.model_validate(SMALL | VARIANTS[variant])
    cost = training_cost(config, SIZE)
    assert counted(config) == (cost.forward, cost.backward)


def test_several_episodes_cost_a_multiple():
    # Forward only: for the kernels' gradient of a grouped convolution (one group per episode) torch's
    # counter pairs the channels of every group with those of every other.
    config = ModelConfig.model_validate(SMALL)
    assert counted(config, episodes=3)[0] == 3 * training_cost(config, SIZE).forward


@torch.no_grad()
@pytest.mark.parametrize("variant", ["default", "few channels", "3-layer", "head starts", "plda", "views"])
def test_generating_and_classifying_count_what_the_model_does(variant):
    config = ModelConfig.model_validate(SMALL | VARIANTS[variant])
    model = HyperTransformer(config).eval()
    image = torch.randn(1, 6, config.image_channels, config.image_size, config.image_size)
    with plain_operations(), FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        weights = model.generate(image, torch.arange(6)[None] % 3, torch.arange(3)[None])
    assert counter.get_total_flops() == 2 * generation_cost(config, way=3, shot=2).total
    with plain_operations(), FlopCounterMode(display=False) as counter:
        model.execute(weights, image[:, :1])
    assert counter.get_total_flops() == 2 * prediction_cost(config, way=3).total


def test_presets_can_be_counted_without_torch():
    code = (
        "import sys\n"
        "from htgen.config.files import load_config, preset_names\n"
        "from htgen.bench.cost import training_cost\n"
        "from htgen.episodes.shape import largest_episode\n"
        "for name in preset_names():\n"
        "    config = load_config(name)\n"
        "    assert training_cost(config.model, largest_episode(config.episodes)).total > 10**6\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_reference_preset_has_20_support_and_60_query_images():
    assert largest_episode(load_config("omniglot_1shot").episodes) == EpisodeSize(20, 20, 60)


def test_the_document_has_the_counts():
    columns: list[dict[str, int]] = []
    for channels in (8, 16, 32, 64):
        overrides = [f"model.cnn.channels={channels}", f"model.local.width={channels}"]
        config = load_config("omniglot_1shot", overrides)
        size = largest_episode(config.episodes)
        cost = training_cost(config.model, size)
        columns.append(
            {"forward": cost.forward, "backward": cost.backward}
            | {f"of both: {kind}": products for kind, products in cost.by_kind().items()}
            | {
                "together": cost.total,
                "generating one CNN": generation_cost(config.model, size.way).total,
                "classifying one image": prediction_cost(config.model, size.way).total,
            }
        )
    rows = [
        f"| {name} | " + " | ".join(f"{column[name]:,}" for column in columns) + " |" for name in columns[0]
    ]
    document = Path(__file__).parents[2] / "docs" / "lab" / "performance.md"
    assert "\n".join(rows) in document.read_text(encoding="utf-8")
