"""A folder with one of each kind of file that htgen reads, all of them small, and the commands that write."""

import importlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml
from helpers.ranks import PRELOADED
from helpers.toy import CLASSES, GROUPS, IMAGES_PER_CLASS, SIZE, drawing, toy_values
from PIL import Image

from faults.child import fork, load_all, run

Check = Callable[[Path], str | None]
"""Looks at a folder and says what is wrong in it."""


@dataclass(frozen=True)
class Command:
    """A command that writes.

    Attributes:
        arguments: of `htgen`.
        results: the files that it writes, or the folder.
        start: for what there must be before: from the workshop's folder to that of the command.
        go_on: the commands that a user gives after it was cut off, until one ends well.
        in_part: whether it goes on where it was, and so what lies there in between has no fixed content.
        stage: what is there for a while, beside the old and the new, and is whole: what it says of a file.
    """

    name: str
    arguments: tuple[str, ...]
    results: tuple[str, ...]
    start: Callable[[Path], None] = lambda folder: None
    go_on: tuple[tuple[str, ...], ...] = ()
    in_part: bool = False
    stage: Callable[[Path], bool] = lambda path: False


TRAIN = ("train", "--config", "toy.yaml", "--run", "run", "--device", "cpu")
RESUME = ("train", "--run", "run", "--resume", "--device", "cpu")
PREPARE = ("prepare-data", "folder", "--source", "classes", "--out", "made", "--image-size", "8")
GENERATE = ("generate", "--support", "support", "--generator", "toy.safetensors", "-o", "made.safetensors")
CALIBRATE = "calibrate run-whole --data toy --split toy:0-12 --way 2 --shot 1 --tasks 2 -o made.safetensors"
RUN_FILES = ("run/latest.safetensors", "run/best.safetensors", "run/config.yaml")


def _old_file(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text("what was there before") and None


def _is_cnn_without_estimate(path: Path) -> bool:
    from htgen.cnn.bundle import Bundle
    from htgen.errors import ModelError

    try:
        return Bundle.load(path).estimate is None
    except ModelError:
        return False


def _old_store(folder: Path) -> None:
    shutil.copytree(folder / "store-before", folder / "made")


def _stopped_run(folder: Path) -> None:
    shutil.copytree(folder / "run-stopped", folder / "run")


def _whole_run(folder: Path) -> None:
    shutil.copytree(folder / "run-whole", folder / "run")


COMMANDS = (
    Command("generate", GENERATE, ("made.safetensors",), stage=_is_cnn_without_estimate),
    Command(
        "generate, over a CNN",
        GENERATE,
        ("made.safetensors",),
        _old_file("made.safetensors"),
        stage=_is_cnn_without_estimate,
    ),
    Command("export", ("export", "cnn.safetensors", "-o", "made.h"), ("made.h",), _old_file("made.h")),
    Command("configs copy", ("configs", "copy", "glyph-8", "made.yaml"), ("made.yaml",)),
    Command("plot", ("plot", "run-whole", "-o", "made.png"), ("made.png",), _old_file("made.png")),
    Command("calibrate", tuple(CALIBRATE.split()), ("made.safetensors",)),
    Command("prepare-data", PREPARE, ("made",)),
    Command("prepare-data --overwrite", (*PREPARE, "--overwrite"), ("made",), _old_store),
    Command("train", TRAIN, RUN_FILES, go_on=(RESUME, (*TRAIN, "--overwrite")), in_part=True),
    Command("train --resume", RESUME, RUN_FILES, _stopped_run, (RESUME,), in_part=True),
    Command(
        "train --overwrite",
        (*TRAIN, "--overwrite"),
        RUN_FILES,
        _whole_run,
        (RESUME, (*TRAIN, "--overwrite")),
        in_part=True,
    ),
)


def build(folder: Path) -> None:
    """Make the workshop; every file of it is the same each time but for paths."""
    for name in PRELOADED:  # once, and not in each copy of this process
        importlib.import_module(name)
    folder.mkdir()
    for kind in range(3):
        for place, count in (("support", 3), ("classes", 2)):
            (folder / place / f"kind{kind}").mkdir(parents=True)
            for i in range(count):
                pixels = 255 - drawing(5 * kind, i)[..., 0]
                Image.fromarray(pixels).save(folder / place / f"kind{kind}" / f"{i}.png")
    values = toy_values(Path("toy"))
    values["train"] |= {"steps": 4, "val_every": 2, "save_every": 2, "val_tasks": 2}
    (folder / "toy.yaml").write_text(yaml.safe_dump(values))

    def store() -> int:
        from htgen.datasets.store import StoreWriter
        from htgen.datasets.store_format import Scheme
        from htgen.images.preprocessing import Preprocessing

        schemes = {"toy": Scheme(parts={"train": "0-9", "val": "10-12", "test": "13-15"})}
        with StoreWriter("toy", "toy", Preprocessing(SIZE, 1, "bright", "pad"), schemes) as writer:
            for kind in range(CLASSES):
                images = [drawing(kind, i, 90) for i in range(IMAGES_PER_CLASS)]
                writer.add_class(f"{GROUPS[kind % 2]}/kind{kind:02}", "drawn", images)
        return 0

    made = [
        fork(folder, store),
        run(folder, [*TRAIN[:4], "run-whole"]),
        run(folder, [*TRAIN[:4], "run-stopped", "--set", "train.steps=2"]),
        run(folder, [*PREPARE[:5], "store-before", "--image-size", "6"]),
    ]
    assert all(ended.code == 0 for ended in made), made
    stopped = folder / "run-stopped" / "config.yaml"
    stopped.write_text(stopped.read_text().replace("  steps: 2\n", "  steps: 4\n"))
    shutil.copy(folder / "run-whole" / "best.safetensors", folder / "toy.safetensors")
    made.append(run(folder, [*GENERATE[:-1], "cnn.safetensors"]))
    assert made[-1].code == 0, made[-1]


def use(folder: Path) -> None:
    """Do in this process what its copies will do, and leave the workshop as it was."""
    shutil.copytree(folder / "run-stopped", folder / "run")
    load_all(folder, [list(RESUME), ["plot", "run-whole"], CALIBRATE.split(), list(PREPARE), list(GENERATE)])
    shutil.rmtree(folder / "made")
    shutil.rmtree(folder / "run")
    (folder / "run-whole" / "curve.png").unlink()
    (folder / "made.safetensors").unlink()
