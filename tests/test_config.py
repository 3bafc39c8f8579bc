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


def test_presets_are_found():
    assert {"omniglot_1shot", "omniglot_5shot", "glyph-8"} <= set(preset_names())


def test_the_references_preset_has_the_references_values():
    config = load_config("omniglot_1shot")
    assert (config.episodes.way, config.episodes.shot, config.episodes.query) == (20, 1, 3)
    assert config.model.cnn.channels == config.model.local.width == 8
    assert (config.model.shared.layers, config.model.shared.width, config.model.shared.padding) == (
        4,
        32,
        "same",
    )
    assert (config.model.transformer.layers, config.model.transformer.heads) == (3, 2)
    assert config.model.cnn.norm == "batch"
    assert not config.model.weights.base
    assert not config.model.weights.prototypes
    assert (config.optimizer.name, config.optimizer.lr, config.train.steps) == ("sgd", 0.02, 4_000_000)
    assert (config.optimizer.decay_rate, config.optimizer.decay_steps) == (0.95, 100_000)


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
