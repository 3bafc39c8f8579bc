"""Trainers, generators and images made of noise, to measure with."""

import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from htgen.bench.machine import Effort
from htgen.config.data import EpisodeConfig
from htgen.config.files import dump_config
from htgen.config.run import Config
from htgen.datasets.store import StoreWriter
from htgen.episodes.shape import EpisodeSize, largest_episode
from htgen.generator.file import GeneratorFile
from htgen.generator.generator import Generator
from htgen.generator.network import to_arrays
from htgen.generator.support import Support
from htgen.hypertransformer.hypertransformer import HyperTransformer
from htgen.images.preprocessing import Preprocessing
from htgen.training.run_folder import RunFolder
from htgen.training.trainer import Trainer

NEVER = 10**9

_STORE_BYTES = 64 << 20


# ---------------------------------------------------------------------------------------------- training


def trainer_on_noise(config: Config, device: torch.device, effort: Effort, folder: Path) -> Trainer:
    """A trainer of the config's shapes on a store of noise in `folder`."""
    size = largest_episode(config.episodes)
    per_class = max(20, math.ceil(size.support / size.way) + math.ceil(size.query / size.way))
    side, channels = config.model.image_size, config.model.image_channels
    class_bytes = per_class * side * side * channels
    classes = max(size.way, min(effort.classes, _STORE_BYTES // class_bytes))
    random = np.random.default_rng(0)
    store = folder / "store"
    with StoreWriter(store, "noise", preprocessing_of(config), {}) as writer:
        for index in range(classes):
            images = random.integers(0, 256, (per_class, side, side, channels), dtype=np.uint8)
            writer.add_class(f"class{index:04}", "noise", images)
    noise = _on_noise(config, store, classes, effort)
    with RunFolder(folder / "run") as run:
        run.start(dump_config(noise), overwrite=False)
        return Trainer(noise, run, device)


def _on_noise(config: Config, store: Path, classes: int, effort: Effort) -> Config:
    """The config with shapes that do not vary, without saving, validating or learning anything."""
    values = config.model_dump()
    episodes = values["episodes"]
    for name in ("way", "shot", "query", "unlabeled"):
        if isinstance(episodes[name], tuple):
            episodes[name] = episodes[name][1]
    episodes["related"] = 0.0  # noise has no groups
    values["validation"] = EpisodeConfig(**episodes).model_dump()
    every_class = f"noise:0-{classes - 1}"
    values["data"] = {"store": str(store), "train": every_class, "val": every_class}
    values["train"] |= {
        "steps": NEVER,
        "minutes": None,
        "log_every": effort.train_steps,
        "val_every": NEVER,
        "save_every": NEVER,
        "head_steps": 0,
        "shared_head": 0.0,
        "pretrain_shared": False,
        "restore": None,
        "restore_shared": None,
    }
    values["optimizer"]["lr"] = 1e-9
    return Config.model_validate(values)


# ----------------------------------------------------------------------------- generation and prediction


def preprocessing_of(config: Config) -> Preprocessing:
    channels = config.model.image_channels
    return Preprocessing(config.model.image_size, channels, "bright" if channels == 1 else "none", "pad")


def shot_of(size: EpisodeSize) -> int:
    return max(1, size.support // size.way)


def generator_on_noise(config: Config) -> Generator:
    """A generator of random weights."""
    torch.manual_seed(0)
    model = HyperTransformer(config.model)
    file = GeneratorFile("random", config.model, to_arrays(model.state_dict()), preprocessing_of(config))
    return Generator(file, "")


def support_of_noise(config: Config, size: EpisodeSize) -> Support:
    shot, model = shot_of(size), config.model
    shape = (size.way * shot, model.image_channels, model.image_size, model.image_size)
    images = np.random.default_rng(0).random(shape, np.float32) * 2 - 1
    classes = tuple(f"class{i:03}" for i in range(size.way))
    return Support(images, np.tile(np.arange(size.way), shot), classes)


def write_images_of_noise(folder: Path, classes: tuple[str, ...], shot: int, config: Config) -> list[Path]:
    """`shot` PNG files of noise for each class, in a folder each."""
    random, model, paths = np.random.default_rng(0), config.model, []
    shape = (model.image_size, model.image_size, 3)[: 2 if model.image_channels == 1 else 3]
    for name in classes:
        (folder / name).mkdir(parents=True)
        for index in range(shot):
            paths.append(folder / name / f"{index}.png")
            Image.fromarray(random.integers(0, 256, shape, dtype=np.uint8)).save(paths[-1])
    return paths
