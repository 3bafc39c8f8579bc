"""docs/reference/reference-options.md names every option of the published system, and nothing htgen lacks."""

import re
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
import yaml
from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

from htgen.cli import app
from htgen.config.run import Config

DOCUMENT = Path(__file__).parents[2] / "docs" / "reference" / "reference-options.md"

# Option and default, as the reference system declares them.
OPTIONS = """
samples_transformer 32, samples_cnn 128, use_labels 8, learning_rate 0.001, learning_rate_decay_steps 10000,
learning_rate_decay_rate 1.0, train_steps 10000, data_numpy_dir "", data_dir None, num_labels 4,
kernel_size 3, stride 2, image_size 28, num_sample_repeats 1, steps_between_saves 50000,
cnn_model_name "3-layer", embedding_dim 8, query_key_dim 256, value_dim 256, internal_dim 512, num_layers 4,
heads 4, number_of_trained_cnn_layers 0, dropout_rate 0.0, cnn_dropout_rate 0.0, label_smoothing 0.0,
rotation_probability 0.0, boundary_probability 0.0, smooth_probability 0.5, contrast_probability 0.5,
resize_probability 0.0, negate_probability 0.0, roll_probability 0.0, angle_range 180.0,
random_rotate_by_90 False, layerwise_generator "joint", num_layerwise_features "", lw_key_query_dim 1.0,
lw_value_dim 1.0, lw_inner_dim 1.0, lw_use_nonlinear_feature False, train_dataset "emnist",
lw_weight_allocation "spatial", lw_generate_bias False, lw_generate_bn False, per_label_augmentation False,
use_decoder False, add_trainable_weights False, balanced_batches False, weight_variation_regularization 0.0,
shuffle_labels_seed 0, test_dataset "emnist:8-61", test_rotation_probability -1, test_smooth_probability -1,
test_contrast_probability -1, test_resize_probability -1, test_negate_probability -1,
test_roll_probability -1, test_angle_range -1, test_random_rotate_by_90 False,
test_per_label_augmentation False, test_split "train", transformer_activation "softmax",
transformer_nonlinearity "relu", cnn_activation "relu", transformer_skip_last_nonlinearity False,
shared_feature_extractor "none", shared_features_dim 32, separate_evaluation_bn_vars False,
shared_feature_extractor_padding "valid", apply_image_augmentations False, default_num_channels 16,
unlabeled_samples_per_class 0, warmup_steps 0, max_prob_remove_unlabeled 0.0, max_prob_remove_labeled 0.0,
shared_fe_dropout 0.0, fe_dropout 0.0, augment_images_individually False, l2_reg_weight 0.0,
logits_feature_extractor "default", pretrain_shared_feature False, shared_head_weight 0.0,
restore_shared_features_from "", train_log_dir "/tmp/experiment", eval_batch_size 200, num_eval_batches 16,
num_task_evals 512, eval_datasets ""
"""
DEFAULTS = dict(entry.split() for entry in OPTIONS.split(","))


def table() -> dict[str, list[str]]:
    """Option -> default there, in htgen, default here, remarks."""
    rows = [line for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert all(len(row) == 5 for row in cells), [row for row in cells if len(row) != 5]
    names = [row[0].strip("`") for row in cells]
    assert len(set(names)) == len(names), "an option has two rows"
    return {name: row[1:] for name, row in zip(names, cells, strict=True)}


TABLE = table()


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def field(path: str) -> FieldInfo:
    """The config field of a key path."""
    schema: Any = Config
    *sections, name = path.split(".")
    for section in sections:
        assert section in schema.model_fields, f"the config has no section '{section}' of '{path}'"
        schema = schema.model_fields[section].annotation
        assert issubclass(schema, BaseModel), f"'{section}' of '{path}' is no section"
    assert name in schema.model_fields, f"the config has no key '{path}'"
    return schema.model_fields[name]


def check_key(text: str) -> str:
    """Check `key.path` or `key.path: value`, and return the path."""
    path, colon, value = text.partition(":")
    if colon:
        found = field(path)
        TypeAdapter(Annotated[found.annotation, found]).validate_python(yaml.safe_load(value), strict=True)
    field(path)
    return path


def check_command(text: str) -> None:
    """Check `htgen COMMAND --option`."""
    command: Any = typer.main.get_command(app)
    for word in text.split()[1:]:
        if word.startswith("--"):
            options = [name for p in command.params for name in [*p.opts, *p.secondary_opts]]
            assert word in options, f"`{text}`: the command has no option {word}"
        elif commands := getattr(command, "commands", {}):
            assert word in commands, f"`{text}`: there is no such command"
            command = commands[word]


def test_every_option_has_its_row():
    assert len(DEFAULTS) == 89
    assert set(DEFAULTS) - set(TABLE) == set(), "options without a row"
    assert set(TABLE) - set(DEFAULTS) == set(), "rows without an option"
    assert len(TABLE) == 89


@pytest.mark.parametrize("option", DEFAULTS)
def test_a_row_says_what_is_true(option):
    default_there, here, default_here, remarks = TABLE[option]
    assert default_there == DEFAULTS[option]
    if here == "none":
        assert remarks, "a row without equivalent says why"
        assert default_here == ""
        return
    named = code(here)
    assert named, "code says where it is"
    paths = []
    for text in named:
        if text.startswith("htgen "):
            check_command(text)
        else:
            paths.append(check_key(text))
    assert yaml.safe_load(f"[{default_here}]") == [field(path).default for path in paths]


def test_remarks_and_text_name_what_exists():
    for text in code(DOCUMENT.read_text(encoding="utf-8")):
        if text.startswith("htgen "):
            check_command(text)
        elif re.match(r"[a-z_]+\.[a-z_.]+[a-z0-9_]*(:|$)", text) and not text.endswith((".json", ".md")):
            check_key(text)


@pytest.mark.parametrize(
    "text", ["model.cnn.colour", "model.paint.channels", "model.cnn.channels.x", "augment.rotate90: often"]
)
def test_a_wrong_key_or_value_is_found(text):
    with pytest.raises((AssertionError, ValueError)):
        check_key(text)


@pytest.mark.parametrize("text", ["htgen paint", "htgen train --paint"])
def test_a_wrong_command_is_found(text):
    with pytest.raises(AssertionError):
        check_command(text)
