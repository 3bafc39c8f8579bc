"""What a run trains on, validates on, and measures PLDA on: its store and samplers."""

from dataclasses import dataclass

import torch

from htgen.compute.processes import Processes
from htgen.config.data import SecondStoreConfig
from htgen.config.model import ModelConfig
from htgen.config.run import Config
from htgen.datasets.store import Store
from htgen.episodes.pool import ClassPool, Images, load_images, open_store
from htgen.episodes.sampler import EpisodeSampler, EpisodeStream
from htgen.errors import ConfigError, DataError
from htgen.evaluation.accuracy import TASKS_PER_BATCH
from htgen.evaluation.plda import plda_sampler


@dataclass(frozen=True)
class Tasks:
    """The data of a run, and the samplers that draw from it.

    Attributes:
        store: trained on, validated on and measured PLDA on.
        second: trained on too, if there is one.
        training: one period of episodes makes one step.
        validation: its first `train.val_tasks` episodes choose the best checkpoint.
        plda: training classes without augmentation; None when PLDA is not measured.
    """

    store: Store
    second: Store | None
    training: EpisodeSampler
    validation: EpisodeSampler
    plda: EpisodeSampler | None

    @property
    def fingerprint(self) -> str:
        """Hash of what is trained on; that of the store comes first."""
        return self.store.fingerprint + (f"+{self.second.fingerprint}" if self.second else "")


def open_tasks(config: Config, device: torch.device) -> Tasks:
    """Open the stores of a config, and make the samplers.

    Raises:
        DataError: the store is missing or damaged, or does not fit the config.
    """
    store = open_store(config.data.store)
    check_store(store, config.model)
    images = load_images(store, device)
    second = _open_second(config.data.second, store)
    classes = _pool("data.train", store, config.data.train, images, device)
    if second is not None:
        other = load_images(second, device)
        others = _pool("data.second.train", second, config.data.second.train, other, device)
        classes = classes.joined(others, config.data.second.share)
    training = EpisodeSampler(
        classes,
        config.episodes,
        EpisodeStream(config.seed, "train", period=config.train.episodes_per_step),
        config.model.max_way,
        config.augment,
        config.model.slot_sets,
    )
    validation = EpisodeSampler(
        _pool("data.val", store, config.data.val, images, device),
        config.validation,
        EpisodeStream(config.seed, "validation", period=TASKS_PER_BATCH),
        config.model.max_way,
        config.augment_validation.resolve(config.augment),
        config.model.slot_sets,
    )
    plda = plda_sampler(config, store, images, device) if config.model.weights.plda else None
    return Tasks(store, second, training, validation, plda)


def _pool(key: str, store: Store, split: str, images: Images, device: torch.device) -> ClassPool:
    """The classes of a split of a store, with what `load_images` gave for it.

    Args:
        key: of the config, which the split is the value of.

    Raises:
        DataError: there is no such split.
    """
    try:
        return ClassPool.of_split(store, split, images, device)
    except DataError as error:
        message = f"{key}, of store {store.path}: {error.message}"
        raise DataError(message, f"--set {key}=SPLIT: {error.hint}") from None


def _open_second(config: SecondStoreConfig, store: Store) -> Store | None:
    """The second store, if there is one.

    Raises:
        DataError: it is missing or damaged, or its images are prepared otherwise.
    """
    if not config.share:
        return None
    second = open_store(config.store)
    if second.preprocessing != store.preprocessing:
        raise DataError(
            f"the images of store {second.path} are prepared otherwise than those of {store.path}",
            "prepare the data again, so that size, ink and steps are the same",
        )
    return second


def check_store(store: Store, model: ModelConfig) -> None:
    """Raise DataError when a store's images are no input of a model."""
    expected, found = (model.image_size, model.image_channels), (store.size, store.channels)
    if expected != found:
        raise DataError(
            f"store {store.path} has images of {found[0]}x{found[0]} pixels, {found[1]} channels; "
            f"the config wants {expected[0]}x{expected[0]} and {expected[1]}",
            "model.image_size and model.image_channels as in the store, or prepare the data again",
        )


def check_sharing(config: Config, processes: Processes) -> None:
    """Raise ConfigError when the episodes of a step cannot be shared out evenly among processes."""
    episodes, count = config.train.episodes_per_step, processes.count
    if episodes % count:
        raise ConfigError(
            f"train.episodes_per_step: {episodes} episodes cannot be shared out evenly among {count} "
            "processes",
            f"a multiple of {count}, or another number of processes",
        )
