import re
from pathlib import Path

import pytest
from helpers.augmenting import KEYS, LABELS, images

from htgen.config.data import (
    AlikeConfig,
    AugmentConfig,
    NewClassesConfig,
    PhotoConfig,
    ValidationAugmentConfig,
)
from htgen.config.faults import validate
from htgen.config.files import dump_config, load_config, parse_yaml
from htgen.config.run import Config
from htgen.episodes.augmentation import augment
from htgen.errors import ConfigError
from htgen.training.run_folder import RunFolder
from htgen.training.trainer import Trainer

# What each field is changed to, and what must be set beside it.
FIELDS = {
    "rotate90": ("episode", {"rotate90": True}),
    "rotation": (20.0, {}),
    "scale": (0.2, {}),
    "shear": (0.2, {}),
    "shift": (0.2, {}),
    "elastic": (0.05, {}),
    "new_classes.mirror": (True, {}),
    "new_classes.rotation": (20.0, {}),
    "new_classes.scale": (0.2, {}),
    "new_classes.shear": (0.2, {}),
    "new_classes.elastic": (0.05, {}),
    "chimeras": (0.9, {}),
    "alike.per_class": (True, {"alike": {"contrast": 1.0}}),
    "alike.rotate": (0.9, {}),
    "alike.angle": (20.0, {"alike": {"rotate": 1.0}}),
    "alike.resize": (0.9, {}),
    "alike.roll": (0.9, {}),
    "alike.smooth": (0.9, {}),
    "alike.contrast": (0.9, {}),
    "alike.negate": (0.9, {}),
    "photo.per_image": (True, {"photo": {"hue": 0.2}}),
    "photo.flip": (0.9, {}),
    "photo.crop": (0.4, {}),
    "photo.hue": (0.2, {}),
    "photo.brightness": (0.3, {}),
    "photo.contrast": (0.2, {}),
}


def test_every_field_is_listed():
    sections = {"new_classes": NewClassesConfig, "alike": AlikeConfig, "photo": PhotoConfig}
    known = {name for name in AugmentConfig.model_fields if name not in sections}
    known |= {f"{name}.{field}" for name, section in sections.items() for field in section.model_fields}
    assert set(FIELDS) == known


@pytest.mark.parametrize("path", FIELDS)
def test_every_field_changes_the_images(path):
    value, beside = FIELDS[path]
    section, _, name = path.rpartition(".")
    changed = {**beside, section: {**beside.get(section, {}), name: value}} if section else {name: value}
    before = images(12, 3)
    outcomes = []
    for values in (beside, changed):
        made = AugmentConfig.model_validate(values)
        outcomes.append(augment(made, before, LABELS, KEYS, before.flip(1)))
    assert (outcomes[0] - outcomes[1]).abs().mean() > 1


def test_the_default_is_no_change_in_training_or_validation():
    config = Config()
    assert config.augment == AugmentConfig()
    assert config.augment_validation.resolve(config.augment) == AugmentConfig()


@pytest.mark.parametrize("name", ["omniglot_1shot", "glyph-8"])
def test_presets_keep_their_meaning(name):
    config = load_config(name)
    assert config.augment.rotate90 in (True, "class")  # two names of one thing
    assert (config.augment.alike, config.augment.photo) == (AlikeConfig(), PhotoConfig())
    assert config.augment_validation == ValidationAugmentConfig()


REFUSED = [
    ("augment: {photo: {hue: 0.1}}", "augment.photo.hue: grey images have no hue"),
    ("augment_validation: {photo: {hue: 0.1}}", "augment_validation.photo.hue: grey images have no hue"),
    ("augment: {alike: {angle: 10}}", "augment.alike.angle: changes nothing while rotate is 0"),
    ("augment: {alike: {per_class: true}}", "augment.alike.per_class: changes nothing"),
    ("augment: {photo: {per_image: true}}", "augment.photo.per_image: changes nothing"),
    ("augment: {alike: {smooth: 1.5}}", "augment.alike.smooth: input should be less than or equal to 1"),
    ("augment: {photo: {crop: 1.0}}", "augment.photo.crop: input should be less than 1"),
    ("augment: {rotate90: 90}", "augment.rotate90: input should be False, True, 'class' or 'episode'"),
    (
        "augment_validation: {as_training: true, rotate90: true}",
        "augment_validation.as_training: the section's other",
    ),
    ("augment: {as_training: true}", "augment.as_training: unknown key"),
]


@pytest.mark.parametrize(("text", "reason"), REFUSED)
def test_impossible_augmentations_are_refused_with_the_reason(text, reason, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert reason in caught.value.message


def test_an_augmenting_config_is_dumped_and_read_back_the_same():
    values = {
        "model": {"image_channels": 3},
        "augment": {"rotate90": "episode", "alike": {"per_class": True, "roll": 0.5}, "photo": {"hue": 0.2}},
        "augment_validation": {"as_training": True},
    }
    config = Config.model_validate(values)
    assert validate(Config, parse_yaml(dump_config(config), "dump")[0], "dump") == config


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({}, AugmentConfig()),
        ({"as_training": True}, AugmentConfig(rotate90=True, shift=0.1)),
        ({"alike": {"smooth": 0.5}}, AugmentConfig(alike=AlikeConfig(smooth=0.5))),
    ],
)
def test_validation_episodes_have_their_own_augmentation(section, expected, config, tmp_path):
    values = config.model_dump() | {
        "augment": {"rotate90": True, "shift": 0.1},
        "augment_validation": section,
    }
    trainer = Trainer(Config.model_validate(values), RunFolder(tmp_path / "run"))
    assert trainer.tasks.training.augmentation == AugmentConfig(rotate90=True, shift=0.1)
    assert trainer.tasks.validation.augmentation == expected


DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "explanation" / "augmentation.md"


def test_the_page_names_every_field_and_shows_every_picture():
    page = PAGE.read_text(encoding="utf-8")
    for path in [*FIELDS, "augment_validation", "as_training"]:
        assert f"`{path}`" in page or f"{path}:" in page, path
    shown = set(re.findall(r"\]\(\.\./(images/[^)]+)\)", page))
    assert shown == {f"images/{path.name}" for path in (DOCS / "images").glob("augmentation-*.png")}
    assert len(shown) == 17
    assert all((DOCS / name).stat().st_size < 30_000 for name in shown)


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", PAGE.read_text("utf-8"), re.S))
def test_the_pages_examples_are_valid(block):
    values = parse_yaml(block, "example")[0] | {"model": {"image_channels": 3}}
    config = validate(Config, values, "example")
    assert (config.augment, config.augment_validation) != (AugmentConfig(), ValidationAugmentConfig())
