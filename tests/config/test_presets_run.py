"""Every packaged preset does what its first lines say: from raw files, through training, to an accuracy.

The data sets are in their original formats, with fewer classes and made-up images; the commands are those
of the presets, with fewer steps and tasks.
"""

import itertools
import json
import math
import shlex
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from helpers import icon_package, raw_data
from PIL import Image

from htgen.cli import main
from htgen.config.files import load_config, preset_names, preset_text
from htgen.datasets import icons, miniimagenet, omniglot, tieredimagenet
from htgen.datasets.store_format import Scheme
from htgen.evaluation import protocol
from htgen.training import trainer

PHOTO_CLASSES = {"train": 8, "val": 6, "test": 6}
PHOTOS = 26
"""Images per class; a 5-shot task with 20 queries takes 25."""

CHARACTERS = {"images_background": [8, 10, 10, 10, 10, 20], "images_evaluation": [10, 10]}
"""Of each alphabet, the sixth for validation: as many as tasks of 48 and of 20 ways need."""

SMALLER = [
    "train.steps=2",
    "train.minutes=null",
    "train.episodes_per_step=1",
    "train.log_every=1",
    "train.val_every=2",
    "train.val_tasks=2",
    "train.save_every=2",
]


def commands(name: str) -> list[list[str]]:
    """The commands that a preset opens with, without `htgen`."""
    head = [line for line in preset_text(name).splitlines() if line.startswith("#   htgen ")]
    return [shlex.split(line.removeprefix("#   htgen ")) for line in head]


def write_omniglot(folder: Path) -> None:
    """Each character with its 20 drawings."""
    drawings = [raw_data.drawing(seed) for seed in range(7)]
    for half, alphabets in CHARACTERS.items():
        names = raw_data.members(half, alphabets)
        all_names = [name.replace("_01.png", f"_{k:02}.png") for name in names for k in range(1, 21)]
        raw_data.write_zip(folder / f"{half}.zip", all_names, drawings)


def write_miniimagenet(folder: Path) -> None:
    records = {
        part: raw_data.miniimagenet_record(part, count, PHOTOS) for part, count in PHOTO_CLASSES.items()
    }
    raw_data.write_miniimagenet(folder, records)


def write_tieredimagenet(folder: Path) -> None:
    for part, count in PHOTO_CLASSES.items():
        labels = np.random.default_rng(count).permutation(np.repeat(np.arange(count), PHOTOS)).tolist()
        raw_data.write_tieredimagenet_part(folder, part, len(labels), labels)


def write_caltech101(folder: Path) -> None:
    """80 folders of JPEG files, as unpacked."""
    random = np.random.default_rng(0)
    for number in range(80):
        (folder / f"class{number:02}").mkdir()
        for k in range(PHOTOS):
            pixels = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"class{number:02}" / f"image_{k:04}.jpg")


def write_icons(folder: Path) -> None:
    """Concepts enough for the largest tasks in each part, of six icons each."""
    names = (f"thing-{number}x" for number in itertools.count())
    found: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    while min(map(len, found.values())) < 20 or len(found["train"]) < 48:
        name = next(names)
        found[icons.part_of(name)].append(name)
    icon_package.package(folder / "package", [name for part in found.values() for name in part])


WRITERS = {
    "icons": write_icons,
    "omniglot": write_omniglot,
    "miniimagenet": write_miniimagenet,
    "tieredimagenet": write_tieredimagenet,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder in which every data set of a preset has been prepared, by the preset's command."""
    path = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(omniglot, "HALVES", tuple(_smaller(half) for half in omniglot.HALVES))
        parts = {"train": "0-47", "val": "48-67", "test": "68-87"}
        patch.setattr(omniglot, "REFERENCE", Scheme(parts=parts, shuffle_seed=2022))
        patch.setattr(omniglot, "VINYALS", Scheme(parts=parts))
        patch.setattr(miniimagenet, "CLASSES", PHOTO_CLASSES)
        patch.setattr(tieredimagenet, "CLASSES", PHOTO_CLASSES)
        patch.setattr(miniimagenet, "IMAGES", PHOTOS)
        icon_package.render_without_resvg(patch)
        patch.chdir(path)
        for name, write in WRITERS.items():
            raw = path / "raw" / name
            raw.mkdir(parents=True)
            write(raw)
        (path / "caltech101").mkdir()
        write_caltech101(path / "caltech101")
        for command in {tuple(commands(name)[0]) for name in preset_names()}:
            source = [] if "--source" in command else ["--source", "FOLDER"]  # omniglot: not downloaded here
            raw = path / "raw" / command[1]
            assert main([word.replace("FOLDER", str(raw)) for word in [*command, *source]]) == 0
    return path


def _smaller(half: omniglot.Half) -> omniglot.Half:
    return omniglot.Half(half.name, half.md5, sum(CHARACTERS[half.name]))


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_opens_with_the_commands_that_use_it(name: str) -> None:
    prepare, train, measure = commands(name)
    assert prepare[0] == "prepare-data"
    source = prepare[prepare.index("--source") + 1] if prepare[1] == "folder" else prepare[1]
    form = "-drawings" if "--as-drawings" in prepare else ""
    store = prepare[prepare.index("--out") + 1] if "--out" in prepare else f"data/{source}{form}"
    assert load_config(name).data.store == store
    assert train == ["train", "--config", name]
    assert measure[:2] == ["evaluate", f"runs/{name}"]


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_runs(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(protocol, "REFERENCE_TASKS", 2)
    monkeypatch.setattr(protocol, "REFERENCE_ROUNDS", 2)
    monkeypatch.setattr(trainer, "measure_plda", partial(trainer.measure_plda, tasks=2))
    _, train, measure = commands(name)
    assert main([*train, *(word for value in SMALLER for word in ("--set", value)), "--device", "cpu"]) == 0
    lines = [json.loads(line) for line in Path(f"runs/{name}/metrics.jsonl").read_text().splitlines()]
    assert [(line["event"], line["step"]) for line in lines] == [
        ("train", 1),
        ("train", 2),
        ("validation", 2),
    ]
    assert all(math.isfinite(line["loss"]) for line in lines[:2])

    capsys.readouterr()
    tasks = [] if "--protocol" in measure else ["--tasks", "2"]
    assert main([*measure, *tasks, "--json", "--device", "cpu"]) == 0
    document = json.loads(capsys.readouterr().out)
    config = load_config(name)
    assert (document["generator"], document["tasks"]) == (name, 2)
    test = f"{config.data.train.partition(':')[0]}:test"
    assert document["split"] == (measure[measure.index("--split") + 1] if "--split" in measure else test)
    assert (document["way"], document["shot"]) == (
        config.validation.way,
        1 if isinstance(config.validation.shot, tuple) else config.validation.shot,
    )
    assert 0 <= document["accuracy"] <= 1
    assert document["transductive"] == (config.model.cnn.norm == "batch")
    if "--protocol" in measure:
        assert document["way"] * document["query"] == 100
