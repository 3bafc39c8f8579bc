import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from htgen.config import Config, dump_config, load_config, parse_yaml, preset_names
from htgen.errors import ConfigError


def write(tmp_path, text: str):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    return path


def faults(path, *overrides) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    return caught.value.message


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_loads_is_named_after_its_file_and_describes_itself(name):
    config = load_config(name)
    assert config.name == name
    assert config.description


def test_the_presets_are_these():
    reference = set(REFERENCE)
    ours = {f"{name}-fast" for name in REFERENCE} | {"glyph-8", "omniglot_semi"}
    assert set(preset_names()) == reference | ours
    assert len(preset_names()) == 12


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
    "image": {"photo": {"flip": 0.5, "crop": 0.4, "hue": 0.2, "brightness": 0.3, "contrast": 0.2}},
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
            "episodes": {"way": way, "shot": support // way, "query": query // way, "balanced": True},
            "validation": {"way": way, "shot": support // way, "query": 100 // way},
            "augment": REFERENCE_AUGMENTATION[augmentation],
            "augment_validation": {},
            "model": {
                "max_way": way,
                "image_size": 28 if drawings else 84,
                "image_channels": 1 if drawings else 3,
                "embedding_dim": 32,
                "cnn": {
                    "shape": "maxpool-4-layer",
                    "channels": channels,
                    "last_pool": True,
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


def test_all_faults_are_told_at_once_with_line_and_path(tmp_path):
    path = write(
        tmp_path,
        "optimizer:\n  lrr: 1\n  lr: fast\nmodel:\n  cnn:\n    channels: 0\n"
        "episodes:\n  way: [5, 3]\nfoo: 1\n",
    )
    message = faults(path)
    assert "5 faults" in message
    assert "line 2: optimizer.lrr: unknown key; did you mean 'lr'?" in message
    assert "line 3: optimizer.lr: input should be a valid number, got 'fast'" in message
    assert "line 6: model.cnn.channels:" in message
    assert "line 8: episodes.way: the range [5, 3] is upside down" in message
    assert "line 9: foo: unknown key; known: name" in message


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "model: {weights: {allocation: spatial, generate_bias: true}}",
            "weights.allocation: spatial slices",
        ),
        ("model: {weights: {learned_layers: 5}}", "weights.learned_layers: the CNN has 4"),
        ("model: {local: {width: 0}, shared: {layers: 0}}", "local.width: 0 without shared features"),
        ("model: {cnn: {shape: 3-layer, last_pool: false}}", "cnn.last_pool: only maxpool-4-layer"),
        ("model: {cnn: {stride: 2}}", "cnn.stride: maxpool-4-layer has stride 1"),
        ("model: {image_size: 8}", "image_size: 8 pixels do not survive"),
        ("model: {image_size: 15, cnn: {shape: 4-layer}}", "image_size: 15 pixels do not survive"),
        ("model: {max_way: 5}", "episodes.way: 20 classes, but model.max_way is 5"),
        ("episodes: {way: 1}", "way: an episode needs at least 2 classes"),
        ("model: {cnn: {norm: layer}}", "model.cnn.norm: input should be 'support' or 'batch', got 'layer'"),
        ("seed: 1.5", "seed: input should be a valid integer, got 1.5"),
        ("train: {steps: true}", "train.steps: input should be a valid integer, got True"),
        ("optimizer: 3", "optimizer: "),
    ],
)
def test_impossible_values_are_refused_with_the_reason(tmp_path, text, reason):
    assert reason in faults(write(tmp_path, text))


def test_a_key_given_twice_is_an_error(tmp_path):
    assert "line 3: key 'train.steps' is given twice" in faults(
        write(tmp_path, "train:\n  steps: 1\n  steps: 2\n")
    )


@pytest.mark.parametrize(
    "text",
    ["a: [", "- 1\n- 2", "just text", "a: b: c", "? {x: 1}\n: 2", "\x00", "!!python/object:os.system {}"],
)
def test_what_is_no_yaml_mapping_is_one_clear_error(tmp_path, text):
    assert faults(write(tmp_path, text))


def test_an_empty_file_is_all_defaults(tmp_path):
    assert load_config(write(tmp_path, "")) == Config()


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "+1e-3", "10.e-4", "0.001", "1.0e-3"])
def test_numbers_are_numbers(text):
    assert parse_yaml(f"x: {text}", "test")[0]["x"] == 0.001


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_is_read_as_python_writes_it(value):
    read = parse_yaml(f"x: {value!r}", "test")[0]["x"]
    assert isinstance(read, float)
    assert math.isclose(read, value, rel_tol=1e-15)


def test_overrides_reach_into_sections(tmp_path):
    path = write(tmp_path, "optimizer: {lr: 1.0}\n")
    config = load_config(
        path, ["optimizer.lr=3e-4", "episodes.shot=[1, 5]", "name=other", "model.cnn.last_pool=false"]
    )
    assert config.optimizer.lr == 3e-4
    assert config.episodes.shot == (1, 5)
    assert config.name == "other"
    assert config.model.cnn.last_pool is False
    assert "optimizer.lrr: unknown key" in faults(path, "optimizer.lrr=1")
    assert "cannot read the override 'lr'" in faults(path, "lr")
    assert "'name' is a value" in faults(write(tmp_path, "name: x"), "name.y=1")


def test_faults_of_overrides_name_no_line_of_the_file(tmp_path):
    path = write(tmp_path, "optimizer: {lr: 1.0}\ntrain: {steps: 3}\nseed: 1\n")
    message = faults(path, "optimizer.lr=-1", "train={ema: 2}", "seed=x", "train.foo=1")
    assert "override: optimizer.lr: " in message
    assert "override: train.ema: " in message
    assert "override: train.foo: " in message
    assert "override: seed: " in message
    assert "line" not in message
    assert "line 1: optimizer.lr: " in faults(write(tmp_path, "optimizer: {lr: -1}\n"), "seed=2")


def test_given_values_are_taken_as_they_are(tmp_path):
    path = write(tmp_path, "data:\n")
    for store in ("a: b #c", "12", "[x]", "null"):
        config = load_config(path, ["data.store=other", "seed=3"], {"data.store": store})
        assert config.data.store == store
        assert config.seed == 3
    with pytest.raises(ConfigError, match="override: seed: input should be a valid integer, got '3'"):
        load_config(path, values={"seed": "3"})


def test_a_dumped_config_is_read_back_the_same(tmp_path):
    for name in preset_names():
        config = load_config(name)
        assert load_config(write(tmp_path, dump_config(config))) == config
        assert yaml.safe_load(dump_config(config))["train"]["steps"] == config.train.steps


def test_an_unknown_preset_suggests_a_known_one():
    with pytest.raises(ConfigError) as caught:
        load_config("omniglot_1shto")
    assert "omniglot_1shot" in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    assert "nothing.yaml" in faults(tmp_path / "nothing.yaml")
