"""The packaged presets: their names, and the values of the published system in those that are its."""

import pytest

from htgen.config.files import load_config, preset_names
from htgen.config.run import Config


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_loads_is_named_after_its_file_and_describes_itself(name):
    config = load_config(name)
    assert config.name == name
    assert config.description


def test_the_presets_are_these():
    reference = set(REFERENCE)
    ours = {f"{name}-fast" for name in REFERENCE} | {"omniglot_1shot-10min", "omniglot_semi"}
    shipped = {"glyph-8", "glyph-16", "glyph-64", "icon-8", "icon-64", "photo-40"}
    assert set(preset_names()) == reference | ours | shipped
    assert len(preset_names()) == 18


# The published presets: way, support images, query images, channels, features, heads, shared features
# (layers, width, padding), augmentation, learning rate.
REFERENCE = {
    "omniglot_1shot": (20, 20, 60, 8, 8, 2, (4, 32, "same"), "per class, by 90 degrees", 0.02),
    "omniglot_5shot": (20, 100, 100, 8, 8, 2, (4, 32, "same"), "per class, by 90 degrees", 0.02),
    "miniimagenet_1shot": (5, 5, 100, 16, 16, 8, (4, 16, "same"), "image", 0.01),
    "miniimagenet_5shot": (5, 25, 100, 16, 16, 8, (4, 16, "same"), "image", 0.01),
    "tieredimagenet_1shot": (5, 5, 100, 8, 8, 8, (4, 16, "same"), "image", 0.01),
}
REFERENCE_AUGMENTATION = {
    "per class, by 90 degrees": {"rotate90": "class"},
    "image": {
        "photo": {
            "per_image": "moves",
            "flip": 0.5,
            "crop": 0.4,
            "hue": 0.2,
            "brightness": 0.3,
            "contrast": 0.2,
        }
    },
}


@pytest.mark.parametrize("name", REFERENCE)
def test_the_references_presets_have_the_references_values(name):
    way, support, query, channels, features, heads, shared, augmentation, lr = REFERENCE[name]
    data_set = name.partition("_")[0]
    drawings = data_set == "omniglot"
    nonlinearity, width = ("relu", 1.0) if drawings else ("lrelu", 0.5)
    assert load_config(name) == Config.model_validate(
        {
            "name": name,
            "description": load_config(name).description,
            "seed": 0,
            "data": {"store": f"data/{data_set}", "train": "reference:train", "val": "reference:val"},
            "episodes": {"way": way, "shot": support // way, "query": query // way, "disjoint": False},
            "validation": {"way": way, "shot": support // way, "query": 100 // way},
            "augment": REFERENCE_AUGMENTATION[augmentation],
            "augment_validation": {},
            "model": {
                "max_way": way,
                "image_size": 28 if drawings else 84,
                "image_channels": 1 if drawings else 3,
                "conventions": "reference",
                "embedding_dim": 32,
                "cnn": {
                    "shape": "maxpool-4-layer",
                    "channels": channels,
                    "pools": [1, 2, 3, 4],
                    "kernel": 3,
                    "stride": None,  # of maxpool-4-layer it is always 1
                    "activation": nonlinearity,
                    "norm": "batch",
                    "norm_first": False,
                    "separate_query_norm": False,
                    "dropout": 0.0,
                },
                "shared": {
                    "layers": shared[0],
                    "width": shared[1],
                    "padding": shared[2],
                    "norm": False,
                    "dropout": 0.0,
                },
                "local": {"width": features, "nonlinear": False, "logits": "default", "dropout": 0.0},
                "transformer": {
                    "topology": "joint",
                    "layers": 3,
                    "heads": heads,
                    "key_width": width,
                    "value_width": width,
                    "inner_width": width,
                    "dropout": 0.0,
                    "activation": "softmax",
                    "nonlinearity": nonlinearity,
                    "skip_last_nonlinearity": False,
                },
                "weights": {
                    "allocation": "output",
                    "generate_bias": False,
                    "generate_norm": False,
                    "base": False,
                    "prototypes": False,
                    "learned_layers": 0,
                },
            },
            "optimizer": {
                "name": "sgd",
                "lr": lr,
                "schedule": "exponential",
                "decay_rate": 0.95,
                "decay_steps": 100_000,
                "warmup": 0,
                "weight_decay": 0.0,
                "clip": 0.0,
            },
            "train": {
                "steps": 4_000_000,
                "episodes_per_step": 1,
                "log_every": 100,
                "val_every": 50_000,
                "save_every": 50_000,
                "label_smoothing": 0.0,
                "l2": 0.0,
                "head_steps": 0,
                "shared_head": 0.0,
                "ema": 0.0,
            },
        }
    )


@pytest.mark.parametrize("name", REFERENCE)
def test_our_recipes_are_for_the_tasks_of_the_references_presets(name):
    reference, ours = load_config(name), load_config(f"{name}-fast")
    assert ours.data == reference.data
    assert (ours.episodes.way, ours.episodes.shot) == (reference.episodes.way, reference.episodes.shot)
    assert ours.model.cnn.channels == reference.model.cnn.channels
    assert (ours.model.cnn.norm, ours.optimizer.name, ours.optimizer.schedule) == (
        "support",
        "adamw",
        "cosine",
    )
    assert ours.train.episodes_per_step > 1
    assert ours.train.ema > 0
    assert ours.model.weights.base
    assert ours.model.weights.prototypes
