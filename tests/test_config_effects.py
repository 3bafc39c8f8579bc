"""Every config field changes the result that it should change; no option is dead."""

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import toy_values
from pydantic import BaseModel
from safetensors.torch import load_file

from htgen.checkpoint import RunFolder
from htgen.config import Config, dump_config
from htgen.datasets.store import StoreWriter
from htgen.images import Preprocessing
from htgen.train import Trainer

# Another value for each field, and what else must be set for the field to matter (also in the run
# that it is compared with).
CHANGES: dict[str, tuple[Any, dict[str, Any]]] = {
    "seed": (1, {}),
    "data.train": ("toy:0-8", {}),
    "data.val": ("toy:11-13", {}),
    "episodes.way": (3, {}),
    "episodes.shot": ([1, 3], {}),
    "episodes.query": (3, {}),
    "episodes.unlabeled": (1, {}),
    "episodes.support_size": (6, {}),
    "episodes.query_size": (5, {}),
    "episodes.balanced": (False, {}),
    "episodes.remove_labeled": (0.9, {"episodes.shot": 3}),
    "episodes.remove_unlabeled": (0.9, {"episodes.unlabeled": 2}),
    "augment.rotate90": (False, {}),
    "augment.rotation": (20.0, {}),
    "augment.scale": (0.2, {}),
    "augment.shear": (0.2, {}),
    "augment.shift": (0.1, {}),
    "augment.elastic": (0.05, {}),
    "model.max_way": (5, {}),
    "model.views": (5, {}),
    "model.embedding_dim": (5, {}),
    "model.cnn.shape": ("3-layer", {"model.cnn.last_pool": True}),
    "model.cnn.channels": (5, {}),
    "model.cnn.last_pool": (True, {}),
    "model.cnn.kernel": (5, {}),
    "model.cnn.stride": (1, {"model.cnn.last_pool": True, "model.cnn.shape": "3-layer"}),
    "model.cnn.activation": ("lrelu", {}),
    "model.cnn.norm": ("batch", {}),
    "model.cnn.norm_first": (True, {}),
    "model.cnn.separate_query_norm": (True, {}),
    "model.cnn.dropout": (0.5, {}),
    "model.shared.layers": (0, {}),
    "model.shared.width": (5, {}),
    "model.shared.padding": ("valid", {}),
    "model.shared.norm": (True, {}),
    "model.shared.dropout": (0.5, {}),
    "model.local.width": (2, {}),
    "model.local.nonlinear": (True, {}),
    "model.local.logits": ("mix", {}),
    "model.local.dropout": (0.5, {}),
    "model.transformer.topology": ("separate", {}),
    "model.transformer.layers": (2, {}),
    "model.transformer.heads": (4, {}),
    "model.transformer.key_width": (0.5, {}),
    "model.transformer.value_width": (0.5, {}),
    "model.transformer.inner_width": (0.0, {}),
    "model.transformer.dropout": (0.5, {}),
    "model.transformer.activation": ("sigmoid", {}),
    "model.transformer.nonlinearity": ("gelu", {}),
    "model.transformer.skip_last_nonlinearity": (True, {}),
    "model.weights.allocation": ("spatial", {}),
    "model.weights.generate_bias": (True, {}),
    "model.weights.generate_norm": (True, {}),
    "model.weights.base": (False, {}),
    "model.weights.base_scale": (0.5, {}),
    "model.weights.prototypes": (False, {}),
    "model.weights.refine_prototypes": (2, {"episodes.unlabeled": 2}),
    "model.weights.learned_layers": (-1, {}),
    "optimizer.name": ("sgd", {}),
    "optimizer.lr": (0.1, {}),
    "optimizer.schedule": ("constant", {"optimizer.warmup": 0}),
    "optimizer.warmup": (0, {}),
    "optimizer.final": (0.9, {"optimizer.warmup": 0}),
    "optimizer.decay_rate": (0.1, {"optimizer.schedule": "exponential", "optimizer.decay_steps": 2}),
    "optimizer.decay_steps": (1, {"optimizer.schedule": "exponential", "optimizer.decay_rate": 0.5}),
    "optimizer.weight_decay": (0.9, {}),
    "optimizer.clip": (0.001, {"optimizer.name": "sgd"}),
    "train.steps": (4, {}),
    "train.episodes_per_step": (3, {}),
    "train.label_smoothing": (0.3, {}),
    "train.l2": (1.0, {}),
    "train.variation_penalty": (1.0, {}),
    "train.head_steps": (4, {}),
    "train.shared_head": (1.0, {}),
    "train.pretrain_shared": (True, {}),
    "train.ema": (0.0, {}),
    "train.log_every": (1, {}),
    "train.val_every": (1, {}),
    "train.val_tasks": (16, {}),
    "train.precision": ("bfloat16", {}),
}

# What is shown elsewhere, and where.
ELSEWHERE = {
    "name": "test_commands (name of the generator)",
    "description": "test_config (presets describe themselves)",
    "data.store": "the whole suite",
    "model.image_size": "test_a_store_of_other_images_needs_another_model, below",
    "model.image_channels": "test_a_store_of_other_images_needs_another_model, below",
    "train.save_every": "test_saving_leaves_the_run_as_it_is, below",
    "train.restore_shared": "test_restoring_starts_from_the_other_runs_shared_features, below",
}

# Sections of which test_augment shows every field.
IN_TEST_AUGMENT = ("augment.alike.", "augment.photo.", "augment_validation.")
# The same type as `episodes`, handed to the same sampler; one field stands for all.
LIKE_EPISODES = "validation."


def leaves(schema: type[BaseModel] = Config, prefix: str = "") -> list[str]:
    found = []
    for name, field in schema.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            found += leaves(inner, f"{prefix}{name}.")
        else:
            found.append(prefix + name)
    return found


def run(store_path: Path, folder: Path, changes: dict[str, Any]) -> tuple[dict[str, torch.Tensor], list[str]]:
    """The trained weights after three steps, and the lines of the metrics."""
    values = toy_values(store_path)
    values["train"] |= {"steps": 3, "log_every": 3, "val_every": 3, "save_every": 3}
    for path, value in changes.items():
        target = values
        *sections, key = path.split(".")
        for section in sections:
            target = target.setdefault(section, {})
        target[key] = value
    config = Config.model_validate(values)
    with RunFolder(folder) as run_folder:
        run_folder.start(dump_config(config), overwrite=False)
        list(Trainer(config, run_folder).events())
    lines = [
        line.split('"episodes_per_second"')[0] for line in (folder / "metrics.jsonl").read_text().splitlines()
    ]
    return load_file(folder / "latest.safetensors"), lines


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_every_field_is_accounted_for():
    covered = set(CHANGES) | set(ELSEWHERE)
    missing = [
        path
        for path in leaves()
        if path not in covered and not path.startswith((*IN_TEST_AUGMENT, LIKE_EPISODES))
    ]
    assert missing == []
    assert covered <= set(leaves())


@pytest.mark.parametrize("path", CHANGES)
def test_changing_a_field_changes_the_run(path, store_path, tmp_path):
    value, needed = CHANGES[path]
    before = run(store_path, tmp_path / "before", needed)
    after = run(store_path, tmp_path / "after", {**needed, path: value})
    if path in ("data.val", "train.log_every", "train.val_every", "train.val_tasks", "model.views"):
        assert same(before[0], after[0])  # looking does not change what is trained
        assert before[1] != after[1]
    else:
        assert not same(before[0], after[0])


def test_validation_episodes_have_their_own_shape(store_path, tmp_path):
    before = run(store_path, tmp_path / "before", {})
    after = run(store_path, tmp_path / "after", {"validation.way": 2})
    assert same(before[0], after[0])
    assert before[1] != after[1]


def test_saving_leaves_the_run_as_it_is(store_path, tmp_path):
    before = run(store_path, tmp_path / "before", {})
    after = run(store_path, tmp_path / "after", {"train.save_every": 1})
    assert same(before[0], after[0])
    assert before[1] == after[1]


def test_restoring_starts_from_the_other_runs_shared_features(store_path, tmp_path):
    run(store_path, tmp_path / "first", {"train.pretrain_shared": True})
    frozen = {"optimizer.lr": 1e-12, "optimizer.weight_decay": 0.0}
    restored, _ = run(
        store_path, tmp_path / "second", {"train.restore_shared": str(tmp_path / "first"), **frozen}
    )
    first = load_file(tmp_path / "first" / "latest.safetensors")
    plain, _ = run(store_path, tmp_path / "third", frozen)
    for name in (n for n in first if n.startswith("model.shared.")):
        assert torch.allclose(restored[name], first[name], atol=1e-6)
    assert not torch.allclose(
        restored["model.shared.convs.0.weight"], plain["model.shared.convs.0.weight"], atol=1e-6
    )


def test_a_store_of_other_images_needs_another_model(tmp_path):
    noise = torch.Generator().manual_seed(0)
    path = tmp_path / "colour"
    with StoreWriter(path, "toy", Preprocessing(20, 3, "none", "pad"), {}) as writer:
        for kind in range(8):
            images = torch.randint(256, (6, 20, 20, 3), generator=noise, dtype=torch.uint8).numpy()
            writer.add_class(f"k{kind}", "noise", images)
    changes = {"model.image_size": 20, "model.image_channels": 3, "data.train": "all", "data.val": "all"}
    state, _ = run(path, tmp_path / "run", changes)
    assert state["model.convs.0.base_kernel"].shape[1] == 3
