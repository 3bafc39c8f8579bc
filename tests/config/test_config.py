import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from htgen.cnn.shapes import SHAPES
from htgen.config.faults import validate
from htgen.config.files import dump_config, load_config, parse_yaml, preset_names
from htgen.config.run import Config
from htgen.errors import ConfigError


def write(tmp_path, text: str):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    return path


def faults(path, *overrides) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    return caught.value.message


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
        ("model: {weights: {refine_prototypes: 1}}", "weights.refine_prototypes: there are no class means"),
        ("model: {local: {width: 0}, shared: {layers: 0}}", "local.width: 0 without shared features"),
        ("model: {weights: {allocation: spatial, generate_norm: true}}", "weights.allocation: spatial"),
        (
            "model: {cnn: {separate_query_norm: true}, weights: {generate_norm: true}}",
            "cnn.separate_query_norm: norm parameters are either learned or generated",
        ),
        (
            "model: {shared: {layers: 3, padding: valid}, image_size: 14, cnn: {shape: 3-layer, stride: 1}}",
            "shared.padding: 3 layers of valid convs need images of 15 pixels",
        ),
        (
            "{model: {transformer: {topology: separate}}, episodes: {remove_labeled: 0.1}}",
            "episodes.remove_labeled: samples cannot be removed with model.transformer.topology: separate",
        ),
        (
            "{model: {transformer: {topology: separate}}, validation: {unlabeled: 1, remove_unlabeled: 0.1}}",
            "validation.remove_unlabeled: samples cannot be removed",
        ),
        ("episodes: {remove_unlabeled: 0.1}", "episodes.remove_unlabeled: changes nothing while"),
        ("data: {second: {store: s}}", "data.second.store: changes nothing while share is 0"),
        ("data: {second: {train: all}}", "data.second.train: changes nothing while share is 0"),
        ("data: {second: {share: 1}}", "data.second.share: input should be less than 1"),
        ("episodes: {support_size: 19}", "support_size: every class needs a labelled image"),
        ("augment: {photo: {hue: 0.1}}", "augment.photo.hue: grey images have no hue"),
        ("augment_validation: {photo: {hue: 0.1}}", "augment_validation.photo.hue: grey images have no hue"),
        ("train: {variation_penalty: 1}", "train.variation_penalty: there is no variation without"),
        (
            "{train: {variation_penalty: 1}, model: {weights: {base: true, learned_layers: -4}}}",
            "train.variation_penalty: model.weights.learned_layers leaves nothing to generate",
        ),
        *(
            (
                f"{{train: {{{name}: {value}}}, model: {{shared: {{layers: 0}}}}}}",
                f"train.{name}: there are no shared features with model.shared.layers: 0",
            )
            for name, value in (("shared_head", 1), ("pretrain_shared", "true"), ("restore_shared", "runs/x"))
        ),
        *(
            (f"train: {{pretrain_shared: true, {name}: 1}}", f"train.{name}: pretrain_shared trains no CNN")
            for name in ("head_steps", "l2")
        ),
        (
            "{model: {weights: {base: true}}, train: {pretrain_shared: true, variation_penalty: 1.0}}",
            "train.variation_penalty: pretrain_shared trains no CNN",
        ),
        ("model: {cnn: {shape: 3-layer, pools: [1]}}", "cnn.pools: only maxpool-4-layer"),
        ("model: {cnn: {pools: [1, 5]}}", "model.cnn.pools"),
        (
            "model: {cnn: {pools: [2, 1]}}",
            "model.cnn.pools: input should be each number at most once, in ascending order, got",
        ),
        ("model: {cnn: {stride: 2}}", "cnn.stride: maxpool-4-layer has stride 1"),
        ("model: {image_size: 8}", "image_size: 8 pixels do not survive"),
        ("model: {image_size: 15, cnn: {shape: 4-layer}}", "image_size: 15 pixels do not survive"),
        ("model: {max_way: 5}", "episodes.way: 20 classes, but model.max_way is 5"),
        ("episodes: {way: 1}", "way: an episode needs at least 2 classes"),
        ("model: {cnn: {norm: layer}}", "model.cnn.norm: input should be 'support' or 'batch', got 'layer'"),
        ("seed: 1.5", "seed: input should be a valid integer, got 1.5"),
        ("train: {steps: true}", "train.steps: input should be a valid integer, got True"),
        ("optimizer: 3", "optimizer: input should be keys and values, got 3"),
        ("train: {val_tasks: 1}", "train.val_tasks: input should be greater than or equal to 2, got 1"),
        ("optimizer: {lr: .inf}", "optimizer.lr: input should be a finite number, got inf"),
        ("optimizer: {weight_decay: .nan}", "optimizer.weight_decay: input should be a finite number"),
        ("optimizer: {clip: .inf}", "optimizer.clip: input should be a finite number"),
        ("model: {weights: {base_scale: .inf}}", "model.weights.base_scale: input should be a finite number"),
        ("train: {l2: .nan}", "train.l2: input should be a finite number"),
        ("seed: 9223372036854775808", "seed: input should be less than 9223372036854775808"),
        ("seed: -9223372036854775809", "seed: input should be greater than or equal to -9223372036854775808"),
        (f"seed: 0x{'f' * 5000}", "seed: input should be less than 9223372036854775808, got a huge number"),
        ("model: {transformer: {key_width: 1e-9}}", "model.transformer.key_width: 1e-09 is too small"),
        ("model: {transformer: {value_width: 1e-9}}", "model.transformer.value_width: 1e-09 is too small"),
        ("model: {transformer: {inner_width: 1e-9}}", "model.transformer.inner_width: 1e-09 is too small"),
        *(
            (f"name: '{name}'", "name: input should be letters, digits, '.', '_' and '-'")
            for name in ("../x", "a/b", "..", ".x", "-x", "", "a b", "[/x]", "a\\b", "é")
        ),
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


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("Train.steps=5", "override: Train: unknown key; did you mean 'train'? known: name"),
        ("way-x=3", "override: way-x: unknown key; known: name"),
        ("train.Steps=5", "override: train.Steps: unknown key; did you mean 'steps'? known: steps"),
        ("model.cnn.STRIDE2=5", "override: model.cnn.STRIDE2: unknown key; did you mean 'stride'?"),
        ("model.int=5", "override: model.int: unknown key"),
        ("episodes={5: 3}", "override: episodes.5: unknown key"),
        ("a.b.c=3", "override: a: unknown key"),
    ],
)
def test_any_unknown_key_is_named_as_it_was_given(tmp_path, override, reason):
    message = faults(write(tmp_path, ""), override)
    assert "has 1 fault:" in message
    assert reason in message


@pytest.mark.parametrize(
    "value", ["[2, 3, 4]", "[2]", "[]", "x", "2.5", "true", "[2, x]", "0", "[0, 2]", "null"]
)
def test_what_is_no_number_and_no_range_is_one_fault(tmp_path, value):
    message = faults(write(tmp_path, ""), f"episodes.shot={value}")
    assert "has 1 fault:" in message
    assert "episodes.shot: input should be a whole number from 1 to 10000, or a range [low, high]" in message


def test_faults_of_values_do_not_hide_faults_of_combinations(tmp_path):
    message = faults(
        write(tmp_path, ""),
        *("optimizer.lr=-1", "episodes.way=50", "train.variation_penalty=1", "model.weights.base=false"),
        *("foo=1", "model.weights.learned_layers=9", "validation.shot=[3, 1]", "validation.support_size=1"),
        *("episodes.unlabeled=-1", "validation.remove_unlabeled=0.5"),
    )
    assert "has 9 faults:" in message
    for path in ("optimizer.lr", "episodes.way", "train.variation_penalty", "foo"):
        assert message.count(f"override: {path}: ") == 1
    paths = "model.weights.learned_layers", "validation.shot", "validation.support_size"
    for path in (*paths, "validation.remove_unlabeled"):
        assert message.count(f"override: {path}: ") == 1


@pytest.mark.parametrize(
    "overrides",
    [
        ("model.weights.base=maybe", "train.variation_penalty=1"),
        ("model.cnn.shape=other", "model.cnn.stride=2"),
        ("model.max_way=many", "episodes.way=50"),
        ("episodes=x", "model.max_way=5", "validation.way=5"),
        ("model.transformer.topology=other", "episodes.remove_labeled=0.5"),
        ("model.image_size=8", "model.shared.padding=valid", "model.shared.layers=2"),
        ("data.second.share=1", "data.second.train=x:0-3", "data.second.store=y"),
        ("data.second.share=.nan", "data.second.train=x:0-3"),
        ("episodes.unlabeled=-1", "episodes.remove_unlabeled=0.5"),
        ("augment.alike.rotate=2", "augment.alike.angle=30", "augment.alike.per_class=true"),
        ("augment.photo.contrast=x", "augment.photo.per_image=true"),
    ],
)
def test_what_only_a_default_in_place_of_a_wrong_value_makes_wrong_is_not_told(tmp_path, overrides):
    assert "has 1 fault:" in faults(write(tmp_path, ""), *overrides)


def test_an_empty_section_is_its_defaults(tmp_path):
    path = write(tmp_path, "train:\nvalidation:\nmodel:\n  cnn:\n")
    assert load_config(path) == Config()
    assert load_config(path, ["train=", "model.cnn="]) == Config()
    assert load_config(path, ["train.steps=3"]).train.steps == 3


@pytest.mark.parametrize(
    "text", ["a: &a\n  b: *a\n", "a: &a [*a]\n", "? &a [*a]\n: 1\n", "a: &a {<<: *a}\n", "&a {train: *a}\n"]
)
def test_an_alias_of_what_contains_it_is_refused(tmp_path, text):
    assert "an alias of a value that contains the alias" in faults(write(tmp_path, text))


@pytest.mark.parametrize(
    ("first", "more"),
    [("[1, 1]", "[*{0}, *{0}]"), ("{x: 1}", "{{p: *{0}, q: *{0}}}"), ("{x: 1}", "{{<<: [*{0}, *{0}]}}")],
)
def test_aliases_that_grow_without_end_are_refused_at_once(tmp_path, first, more):
    lines = [f"a0: &a0 {first}", *(f"a{i}: &a{i} {more.format(f'a{i - 1}')}" for i in range(1, 60))]
    # 2 to the 60th values: a test that ends has not made them.
    assert "more than 10000 values" in faults(write(tmp_path, "\n".join(lines)))


def test_deep_nesting_is_refused(tmp_path):
    assert "nested too deeply" in faults(write(tmp_path, "a: " + "[" * 3000 + "]" * 3000))


def test_sections_that_share_an_alias_are_overridden_one_by_one(tmp_path):
    path = write(tmp_path, "episodes: &e {way: 5}\nvalidation: *e\n")
    config = load_config(path, ["episodes.way=7"])
    assert (config.episodes.way, config.validation.way) == (7, 5)


@pytest.mark.parametrize("value", ["2001-99-99", "!!bool x", "!!int x", "!!timestamp x", "9" * 5000])
def test_a_value_that_does_not_fit_its_tag_is_a_config_error(tmp_path, value):
    assert "has a value that cannot be read" in faults(write(tmp_path, f"name: {value}"))


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
        path, ["optimizer.lr=3e-4", "episodes.shot=[1, 5]", "name=other", "model.cnn.pools=[1, 2, 4]"]
    )
    assert config.optimizer.lr == 3e-4
    assert config.episodes.shot == (1, 5)
    assert config.name == "other"
    assert config.model.cnn.pools == (1, 2, 4)
    assert "optimizer.lrr: unknown key" in faults(path, "optimizer.lrr=1")
    for override in ("lr", "=1", ".=1", "optimizer..lr=1"):
        assert f"cannot read the override '{override}'" in faults(path, override)
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


@pytest.mark.parametrize(("old", "pools"), [(True, (1, 2, 3, 4)), (False, (1, 2, 3))])
def test_a_config_of_the_first_release_is_read(old, pools):
    config = validate(Config, {"model": {"cnn": {"last_pool": old}}}, "an old file")
    assert config.model.cnn.pools == pools
    assert parse_yaml(dump_config(config), "dump")[0]["model"]["cnn"]["pools"] == list(pools)


@pytest.mark.parametrize("error", [ValueError("stride is too small"), AssertionError("stride is too small")])
def test_a_shape_that_raises_a_plain_error_is_one_fault(error, tmp_path, monkeypatch):
    def shape(cnn, image_size, image_channels):
        raise error

    monkeypatch.setitem(SHAPES, "mine", shape)
    said = faults(write(tmp_path, "model: {cnn: {shape: mine}}"))
    assert "has 1 fault:" in said
    assert "model: stride is too small" in said


@pytest.mark.parametrize("text", [None, "a: [", "train:\n  stepz: 1\n"])
@pytest.mark.parametrize("ending", ["", ".yaml"])
def test_a_path_breaks_no_line_of_an_error(text, ending, tmp_path):
    path = tmp_path / f"x\n  try: rm{ending}"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert "x\\n  try: rm" in str(caught.value)
    assert "\n  try: rm" not in str(caught.value)
