"""The classes that episodes are drawn from, and their images."""

import mmap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from htgen.datasets.splits import resolve_split
from htgen.datasets.store import Store
from htgen.errors import DataError

IN_MEMORY_LIMIT = 2 << 30
"""Stores up to this many bytes are copied to the device; of larger ones only drawn rows are read."""

Images = Tensor | npt.NDArray[np.uint8]
"""`[N, H, W, C]` uint8: a tensor on the device to work on, or a memory map."""


def open_store(path: str | Path) -> Store:
    """Open a store for episodes. One that is read whole anyway has its checksum compared too.

    Raises:
        DataError: no store, or an incomplete or changed one.
    """
    return Store.open(path, verify=True, up_to=IN_MEMORY_LIMIT)


def load_images(store: Store, device: torch.device | str = "cpu") -> Images:
    """The images of a store as a pool takes them: on the device, or the memory map if they are many."""
    if store.images.nbytes > IN_MEMORY_LIMIT:
        return store.images
    return torch.from_numpy(np.array(store.images)).to(device)


@dataclass(frozen=True)
class ClassPool:
    """Some classes of a data set: what a sampler draws from.

    Attributes:
        images: of the whole data set, `[N, H, W, C]` uint8; of a memory map only drawn rows are read.
        offsets: class `c` owns the rows `offsets[c]..offsets[c + 1] - 1`.
        class_ids: the classes to draw from.
        split: their name; other splits get other episodes from the same seed.
        class_names: of all classes of the data set; for groups (see `EpisodeConfig.related`) and messages.
        map_device: where episodes are made when `images` is a memory map.
        is_prepared: whether the images are what a generator reads, float32 `[N, H, W, C]`; nothing changes
            them, nor scales them.
        domains: for each of `class_ids` the number of its domain, ascending from 0; an episode is of one
            domain. None: all are of one.
        shares: of episodes that are of each domain; they add up to 1.
    """

    images: Images
    offsets: Sequence[int] | npt.NDArray[np.int64]
    class_ids: Sequence[int]
    split: str
    class_names: Sequence[str] | None = None
    map_device: torch.device | str = "cpu"
    is_prepared: bool = False
    domains: Sequence[int] | None = None
    shares: tuple[float, ...] = (1.0,)

    @classmethod
    def of_split(
        cls, store: Store, split: str, images: Images | None = None, device: torch.device | str = "cpu"
    ) -> "ClassPool":
        """The classes of a split of a store.

        Args:
            split: as scheme:part or ranges of class ids.
            images: what `load_images` gave for the store and the device; None = load them now.
            device: where episodes are made.

        Raises:
            DataError: there is no such split.
        """
        class_ids = resolve_split(store, split)
        if images is None:
            images = load_images(store, device)
        return cls(images, store.offsets, class_ids, split, store.class_names, device)

    def joined(self, other: "ClassPool", share: float) -> "ClassPool":
        """Both pools' classes as two domains, `share` of the episodes from the other one.

        Class ids and rows of the other pool follow those of this one.

        Raises:
            DataError: the stores are so large that their images are not in memory.
        """
        if not (isinstance(self.images, Tensor) and isinstance(other.images, Tensor)):
            raise DataError(
                f"two stores to train on can have {IN_MEMORY_LIMIT >> 30} GiB of images each, not more",
                "one store (data.second.share: 0), or smaller ones",
            )
        count, rows = len(self.offsets) - 1, len(self.images)
        return replace(
            self,
            images=torch.cat([self.images, other.images]),
            offsets=np.concatenate([self.offsets, np.asarray(other.offsets)[1:] + rows]),
            class_ids=[*self.class_ids, *(count + number for number in other.class_ids)],
            class_names=[*(self.class_names or ()), *(other.class_names or ())],
            domains=[0] * len(self.class_ids) + [1] * len(other.class_ids),
            shares=(1 - share, share),
        )

    @property
    def device(self) -> torch.device:
        """Where episodes are made: where the images are."""
        return self.images.device if isinstance(self.images, Tensor) else torch.device(self.map_device)

    def read(self, rows: Tensor) -> Tensor:
        """Images at `rows` `[E, M]` as float32 `[E, M, C, H, W]`, 0..255."""
        if isinstance(self.images, Tensor):
            images = self.images[rows]  # [E, M, H, W, C]
        else:
            images = torch.from_numpy(_read_rows(self.images, rows.cpu().numpy())).to(self.device)
        return images.movedim(-1, 2).to(torch.float32)

    def name_of(self, class_id: int) -> str:
        """What to call a class in messages."""
        return f"class {class_id}" if self.class_names is None else f"class '{self.class_names[class_id]}'"

    def groups(self) -> list[int]:
        """The number of each class's group, which is its domain and what its name has before the last `/`."""
        names = [self.class_names[index] if self.class_names else "" for index in self.class_ids]
        domains = self.domains or [0] * len(names)
        groups = [(domain, name.rpartition("/")[0]) for domain, name in zip(domains, names, strict=True)]
        numbers = {group: index for index, group in enumerate(dict.fromkeys(groups))}
        return [numbers[group] for group in groups]


def _read_rows(images: npt.NDArray[np.uint8], rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """`images[rows]`. Pages of a memory map are given back: else the process grows to the file's size."""
    read: npt.NDArray[np.uint8] = images[rows]
    if isinstance(images.base, mmap.mmap):
        images.base.madvise(mmap.MADV_DONTNEED)
    return read
