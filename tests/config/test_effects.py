"""Every config field changes the result that it should change; no option is dead."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.toy import SIZE, toy_values
from pydantic import BaseModel
from safetensors.torch import load_file

from htgen.cli import main
from htgen.config.files import dump_config, load_config
from htgen.config.run import Config
from htgen.datasets.store import StoreWriter
from htgen.datasets.store_format import Scheme
from htgen.errors import DataError
from htgen.generator.file import GeneratorFile
from htgen.images.preprocessing import Preprocessing
from htgen.training.run_folder import RunFolder
from htgen.training.trainer import Trainer

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
    "episodes.disjoint": (False, {}),
    "episodes.balanced": (False, {}),
    "episodes.remove_labeled": (0.9, {"episodes.shot": 3}),
    "episodes.remove_unlabeled": (0.9, {"episodes.unlabeled": 2}),
    "episodes.related": (1.0, {}),
    "validation.way": (2, {}),
    "validation.shot": (2, {}),
    "validation.query": (3, {}),
    "validation.unlabeled": (2, {}),
    "validation.support_size": (4, {}),
    "validation.query_size": (5, {}),
    "validation.disjoint": (False, {"validation.query": 3}),
    "validation.balanced": (False, {"validation.shot": 2}),
    "validation.remove_labeled": (0.9, {"validation.shot": 3}),
    "validation.remove_unlabeled": (0.9, {"validation.unlabeled": 2}),
    "validation.related": (1.0, {"validation.way": 2}),
    "model.max_way": (5, {}),
    "model.labels": ("codes", {}),
    "model.views": (5, {}),
    "model.conventions": ("reference", {}),
    "model.dropout_as": ("reference", {"model.cnn.dropout": 0.5}),
    "model.embedding_dim": (5, {}),
    "model.cnn.shape": ("3-layer", {"model.cnn.pools": [1, 2, 3, 4]}),
    "model.cnn.channels": (5, {}),
    "model.cnn.pools": ([1, 2, 4], {}),
    "model.cnn.kernel": (5, {}),
    "model.cnn.stride": (1, {"model.cnn.pools": [1, 2, 3, 4], "model.cnn.shape": "3-layer"}),
    "model.cnn.activation": ("lrelu", {}),
    "model.cnn.norm": ("batch", {}),
    "model.cnn.norm_first": (True, {}),
    "model.cnn.count_ignored": (True, {"episodes.remove_labeled": 1.0}),
    "model.cnn.separate_query_norm": (True, {}),
    "model.cnn.dropout": (0.5, {}),
    "model.shared.layers": (0, {}),
    "model.shared.width": (5, {}),
    "model.shared.padding": ("valid", {}),
    "model.shared.norm": (True, {}),
    "model.shared.dropout": (0.5, {}),
    "model.local.width": (2, {}),
    "model.local.kernel": (None, {"model.cnn.kernel": 5}),
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
    "model.transformer.decoder_nonlinearity": (
        "relu",
        {"model.transformer.topology": "encoder-decoder", "model.transformer.nonlinearity": "gelu"},
    ),
    "model.weights.allocation": ("spatial", {}),
    "model.weights.generate_bias": (True, {}),
    "model.weights.generate_norm": (True, {}),
    "model.weights.base": (False, {}),
    "model.weights.base_scale": (0.5, {}),
    "model.weights.prototypes": (False, {}),
    "model.weights.refine_prototypes": (2, {"episodes.unlabeled": 2}),
    "model.weights.plda": (True, {}),
    "model.weights.plda_floor": (3.0, {"model.weights.plda": True}),
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

# The same for the section of augmentation, without its name; hue needs a store of colour images.
AUGMENT: dict[str, tuple[Any, dict[str, Any]]] = {
    "rotate90": ("episode", {}),
    "rotation": (20.0, {}),
    "scale": (0.2, {}),
    "shear": (0.2, {}),
    "shift": (0.1, {}),
    "elastic": (0.05, {}),
    "new_classes.mirror": (True, {}),
    "new_classes.rotation": (20.0, {}),
    "new_classes.scale": (0.2, {}),
    "new_classes.shear": (0.2, {}),
    "new_classes.elastic": (0.05, {}),
    "chimeras": (0.9, {}),
    "alike.per_class": (True, {"alike.roll": 1.0}),
    "alike.rotate": (0.9, {}),
    "alike.angle": (20.0, {"alike.rotate": 1.0}),
    "alike.resize": (0.9, {}),
    "alike.roll": (0.9, {}),
    "alike.smooth": (0.9, {}),
    "alike.contrast": (0.9, {}),
    "alike.negate": (0.9, {}),
    "photo.per_image": (True, {"photo.crop": 0.4}),
    "photo.flip": (0.9, {}),
    "photo.crop": (0.4, {}),
    "photo.hue": (0.2, {}),
    "photo.brightness": (0.3, {}),
    "photo.contrast": (0.9, {}),
}
for section in ("augment", "augment_validation"):
    for name, (value, beside) in AUGMENT.items():
        needed = {f"{section}.{key}": setting for key, setting in beside.items()}
        if name == "photo.hue":
            needed["model.image_channels"] = 3
        CHANGES[f"{section}.{name}"] = value, needed
CHANGES["augment_validation.as_training"] = True, {}

# Looking does not change what is trained.
LOOKING = {
    "data.val",
    "train.log_every",
    "train.val_every",
    "train.val_tasks",
    "model.views",
    *(path for path in CHANGES if path.startswith(("validation.", "augment_validation."))),
}

# Fields whose effect is another one, and the test below that shows it.
OTHER_EFFECTS = {
    "name": "test_the_name_is_the_generators",
    "description": "test_the_description_is_listed",
    "data.store": "test_another_store_gives_another_run",
    "data.second.store": "test_a_second_store_is_trained_on_too",
    "data.second.train": "test_a_second_store_is_trained_on_too",
    "data.second.share": "test_a_second_store_is_trained_on_too",
    "model.image_size": "test_a_store_of_other_images_needs_another_model",
    "model.image_channels": "test_a_store_of_other_images_needs_another_model",
    "train.minutes": "test_minutes_end_a_run_before_its_steps",
    "train.save_every": "test_saving_leaves_the_run_as_it_is",
    "train.restore": "test_restoring_starts_from_the_other_runs_weights",
    "train.restore_shared": "test_restoring_starts_from_the_other_runs_shared_features",
}

Result = tuple[dict[str, torch.Tensor], list[str]]


def leaves(schema: type[BaseModel] = Config, prefix: str = "") -> list[str]:
    found = []
    for name, field in schema.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            found += leaves(inner, f"{prefix}{name}.")
        else:
            found.append(prefix + name)
    return found


def run(store_path: Path, folder: Path, changes: dict[str, Any]) -> Result:
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


def write_store(path: Path, size: int, channels: int, seed: int = 0) -> Path:
    """Noise, with the splits of the toy store."""
    noise = torch.Generator().manual_seed(seed)
    schemes = {"toy": Scheme(parts={"train": "0-9", "val": "10-12", "test": "13-15"})}
    with StoreWriter(path, "toy", Preprocessing(size, channels, "none", "pad"), schemes) as writer:
        for kind in range(16):
            images = torch.randint(256, (8, size, size, channels), generator=noise, dtype=torch.uint8)
            writer.add_class(f"k{kind}", "noise", images.numpy())
    return path


@pytest.fixture(scope="module")
def baseline(store_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Result]:
    """Runs with settings in which one field is then changed; each of them once."""
    known: dict[str, Result] = {}

    def find(changes: dict[str, Any], store: Path = store_path) -> Result:
        key = repr((store, sorted(changes.items())))
        if key not in known:
            known[key] = run(store, tmp_path_factory.mktemp("runs") / "before", changes)
        return known[key]

    return find


@pytest.fixture(scope="module")
def colour_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("colour") / "toy", SIZE, 3)


def test_every_field_has_a_case():
    assert set(CHANGES) | set(OTHER_EFFECTS) == set(leaves())
    assert not set(CHANGES) & set(OTHER_EFFECTS)
    assert set(OTHER_EFFECTS.values()) <= set(globals())


def test_minutes_end_a_run_before_its_steps(store_path, tmp_path):
    run(store_path, tmp_path / "run", {"train.minutes": 1e-6, "train.steps": 1000})
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [(json.loads(line)["event"], json.loads(line)["step"]) for line in lines] == [
        ("train", 1),
        ("validation", 1),
    ]


@pytest.mark.parametrize("path", CHANGES)
def test_changing_a_field_changes_the_run(path, baseline, store_path, colour_path, tmp_path):
    value, needed = CHANGES[path]
    store = colour_path if "model.image_channels" in needed else store_path
    before = baseline(needed, store)
    after = run(store, tmp_path / "after", {**needed, path: value})
    if path in LOOKING:
        assert same(before[0], after[0])
        assert before[1] != after[1]
    else:
        assert not same(before[0], after[0])


def test_the_name_is_the_generators(store_path, tmp_path):
    run(store_path, tmp_path / "r", {"name": "other"})
    assert GeneratorFile.read(tmp_path / "r" / "best.safetensors").name == "other"


def test_the_description_is_listed(capsys):
    assert main(["configs"]) == 0
    assert load_config("glyph-8").description in " ".join(capsys.readouterr().out.split())


def test_another_store_gives_another_run(baseline, tmp_path):
    first = baseline({})
    after = run(write_store(tmp_path / "toy", SIZE, 1, seed=1), tmp_path / "after", {})
    assert not same(first[0], after[0])


def test_a_second_store_is_trained_on_too(baseline, tmp_path):
    def second(name: str, share: float, **classes: str) -> dict[str, torch.Tensor]:
        values = {"store": str(tmp_path / name), "train": "toy:train", "share": share} | classes
        changes = {f"data.second.{key}": value for key, value in values.items()}
        return run(first, tmp_path / f"run-{len(found)}", changes)[0]

    first = write_store(tmp_path / "first", SIZE, 1)
    for seed in (1, 2):
        write_store(tmp_path / f"seed-{seed}", SIZE, 1, seed)
    found = [baseline({}, first)[0]]
    found.append(second("seed-1", 0.5))
    found.append(second("seed-2", 0.5))
    found.append(second("seed-1", 0.9))
    found.append(second("seed-1", 0.5, train="toy:0-6"))
    assert all(not same(a, b) for a, b in itertools.combinations(found, 2))


def test_saving_leaves_the_run_as_it_is(baseline, store_path, tmp_path):
    before = baseline({})
    after = run(store_path, tmp_path / "after", {"train.save_every": 1})
    assert same(before[0], after[0])
    assert before[1] == after[1]


@pytest.mark.parametrize(("decay", "kind"), [(0.9, "average"), (0.0, "model")])
def test_restoring_starts_from_the_other_runs_shared_features(decay, kind, store_path, tmp_path):
    """Those that would ship: averaged, where the other run averages."""
    run(store_path, tmp_path / "first", {"train.pretrain_shared": True, "train.ema": decay})
    frozen = {"optimizer.lr": 1e-12, "optimizer.weight_decay": 0.0}
    restored, _ = run(
        store_path, tmp_path / "second", {"train.restore_shared": str(tmp_path / "first"), **frozen}
    )
    first = load_file(tmp_path / "first" / "latest.safetensors")
    plain, _ = run(store_path, tmp_path / "third", frozen)
    names = [name.removeprefix("model.") for name in first if name.startswith("model.shared.")]
    for name in names:
        assert torch.allclose(restored[f"model.{name}"], first[f"{kind}.{name}"], atol=1e-6)
    assert ("average.shared.convs.0.weight" in first) == (decay > 0)
    if decay:
        assert any(not torch.allclose(first[f"model.{n}"], first[f"average.{n}"]) for n in names)
    assert not torch.allclose(
        restored["model.shared.convs.0.weight"], plain["model.shared.convs.0.weight"], atol=1e-6
    )


@pytest.mark.parametrize(("decay", "kind"), [(0.9, "average"), (0.0, "model")])
def test_restoring_starts_from_the_other_runs_weights(decay, kind, store_path, tmp_path):
    """Those that would ship; a table of labels becomes a map of codes where these are wanted."""
    run(store_path, tmp_path / "first", {"train.ema": decay})
    first = load_file(tmp_path / "first" / "latest.safetensors")
    frozen = {"optimizer.lr": 1e-12, "optimizer.weight_decay": 0.0, "train.restore": str(tmp_path / "first")}
    same_kind, _ = run(store_path, tmp_path / "second", frozen)
    names = [name.removeprefix("model.") for name in first if name.startswith("model.")]
    for name in names:
        assert torch.allclose(same_kind[f"model.{name}"], first[f"{kind}.{name}"], atol=1e-6)
    coded, _ = run(store_path, tmp_path / "third", {**frozen, "model.labels": "codes"})
    for name in names:
        table, found = first[f"{kind}.{name}"], coded[f"model.{name}"]
        if name.endswith(".labels"):
            table = torch.cat([table[:-1] - table[:-1].mean(0), table[-1:], table[:-1].mean(0)[None]])
        elif name == "logits.slices.placeholders":
            table = torch.cat([table - table.mean(0), table.mean(0)[None]])
        assert torch.allclose(found, table, atol=1e-6)


def test_a_store_of_other_images_needs_another_model(tmp_path):
    path = write_store(tmp_path / "colour", 20, 3)
    state, _ = run(path, tmp_path / "run", {"model.image_size": 20, "model.image_channels": 3})
    assert state["model.convs.0.base_kernel"].shape[1] == 3
    for wrong in ({"model.image_channels": 3}, {"model.image_size": 20}):
        with pytest.raises(DataError, match=r"store .* has images of 20x20 pixels, 3 channels"):
            run(path, tmp_path / next(iter(wrong)), wrong)
