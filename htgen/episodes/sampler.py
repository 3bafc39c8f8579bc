"""Episodes: n-way k-shot tasks drawn from the classes of one split, many at a time.

An episode is a function of (seed, split, index) and of the sampler's settings alone: it does not
depend on the batch it is drawn in, on the number of workers, or on what was drawn before. All
drawing is vectorised integer arithmetic on the device that holds the images (`htgen.episodes.randomness`).
"""

import mmap
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from htgen.datasets.splits import resolve_split, without_blanks
from htgen.datasets.store import Store
from htgen.episodes import randomness
from htgen.episodes.augmentation import Augmentation
from htgen.episodes.batch import EpisodeBatch
from htgen.episodes.shape import (
    UNLABELED,
    Counts,
    EpisodeShape,
    draw_count,
    images_per_class,
    largest,
    largest_episode,
)
from htgen.errors import DataError
from htgen.images.inputs import scale_pixels

# Purposes of random numbers, so that no two draws of one episode share a key.
_SHAPE, _CLASSES, _IMAGES, _SHUFFLE, _AUGMENT, _SLOTS, _REMOVE, _OTHERS, _RELATED, _GROUPS = range(10)

IN_MEMORY_LIMIT = 2 << 30
"""Stores up to this many bytes are copied to the device; of larger ones only drawn rows are read."""


def open_store(path: str | Path) -> Store:
    """Open a store for episodes. One that is read whole anyway has its checksum compared too.

    Raises:
        DataError: no store, or an incomplete or changed one.
    """
    store = Store.open(path)
    if store.images.nbytes <= IN_MEMORY_LIMIT:
        store.verify()
    return store


def load_images(store: Store, device: torch.device | str = "cpu") -> Tensor | np.ndarray:
    """The images of a store as a sampler takes them: on the device, or the memory map if they are many."""
    if store.images.nbytes > IN_MEMORY_LIMIT:
        return store.images
    return torch.from_numpy(np.array(store.images)).to(device)


class EpisodeSampler:
    """Draws batches of episodes from some classes of a data set.

    Args:
        images: `[N, H, W, C]` uint8; a tensor on the device to work on, or a memory map, from which
            only the drawn rows are read.
        offsets: class `c` owns the rows `offsets[c]..offsets[c + 1] - 1`.
        class_ids: the classes to draw from.
        shape: way, shot and query counts.
        slot_count: number of label slots to assign classes to; the generator's maximal way. Random
            slots train every label embedding, also with fewer classes.
        seed: any integer.
        split: the split's name; other splits get other episodes from the same seed.
        stream: separates episodes of the same split for different uses (training, evaluation).
        period: episodes `i` with the same `i // period` share one shape when counts are ranges;
            usually the number of episodes per training step.
        augmentation: applied to support and query images, or None.
        class_names: of all classes of the data set; for groups (see `EpisodeShape.related`) and messages.
        device: where episodes are made when `images` is a memory map.

    Raises:
        DataError: an episode of the largest shape cannot be drawn from these classes.
    """

    def __init__(
        self,
        images: Tensor | np.ndarray,
        offsets: Sequence[int] | np.ndarray,
        class_ids: Sequence[int],
        shape: EpisodeShape,
        *,
        slot_count: int,
        seed: int,
        split: str,
        stream: str = "",
        period: int = 1,
        augmentation: Augmentation | None = None,
        class_names: Sequence[str] | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.images = images
        self.shape = shape
        self.augmentation = augmentation
        self._slot_count = slot_count
        self._period = period
        self.device = images.device if isinstance(images, Tensor) else torch.device(device)
        self.class_ids = list(class_ids)
        self._class_ids = torch.as_tensor(np.asarray(class_ids, dtype=np.int64), device=self.device)
        bounds = torch.as_tensor(np.asarray(offsets, dtype=np.int64), device=self.device)
        self._first_rows = bounds[self._class_ids]
        self._sizes = bounds[self._class_ids + 1] - self._first_rows
        self._key = randomness.fold(
            torch.zeros((), dtype=torch.int64, device=self.device),
            seed,
            zlib.crc32(f"{without_blanks(split)}/{stream}".encode()),
        )
        self._key_on_cpu = self._key.cpu()
        self._check(split, class_names)
        self._widest = int(self._sizes.max())
        if shape.related:
            groups = _groups([class_names[index] if class_names else "" for index in self.class_ids])
            self._groups = torch.as_tensor(groups, device=self.device)
            self._group_sizes = torch.bincount(self._groups)

    @classmethod
    def from_store(
        cls,
        store: Store,
        split: str,
        shape: EpisodeShape,
        *,
        images: Tensor | np.ndarray,
        slot_count: int,
        seed: int,
        stream: str = "",
        period: int = 1,
        augmentation: Augmentation | None = None,
        device: torch.device | str = "cpu",
    ) -> "EpisodeSampler":
        """A sampler over a split of a store; `images` as `load_images` gives them, the rest as above.

        Raises:
            DataError: there is no such split, or it is too small for the episodes.
        """
        return cls(
            images,
            store.offsets,
            resolve_split(store, split),
            shape,
            slot_count=slot_count,
            seed=seed,
            split=split,
            stream=stream,
            period=period,
            augmentation=augmentation,
            class_names=store.class_names,
            device=device,
        )

    def _check(self, split: str, class_names: Sequence[str] | None) -> None:
        shape = self.shape
        way = largest(shape.way)
        # The smallest way makes the largest classes when sizes are given in all.
        shot = images_per_class(shape.support_size, shape.way, largest(shape.shot))
        query = images_per_class(shape.query_size, shape.way, largest(shape.query))
        unlabeled = largest(shape.unlabeled)
        if len(self._class_ids) < way:
            raise DataError(
                f"split '{split}' has {len(self._class_ids)} classes; {way}-way episodes need at least {way}",
                "a smaller way (--way, or episodes.way and validation.way), or a split with more classes",
            )
        needed = shot + query + unlabeled
        smallest = int(self._sizes.min())
        if smallest < needed:
            class_id = int(self._class_ids[int(self._sizes.argmin())])
            name = f"class '{class_names[class_id]}'" if class_names is not None else f"class {class_id}"
            parts = f"{shot} support + {query} query" + (f" + {unlabeled} unlabelled" if unlabeled else "")
            raise DataError(
                f"{name} of split '{split}' has {smallest} images; an episode needs {needed} ({parts})",
                "fewer shots or queries (--shot, --query; in a config episodes, validation), or more images",
            )
        if shape.support_size is not None and shape.support_size < way:
            raise DataError(f"{shape.support_size} support images cannot show {way} classes", "more of them")

    @property
    def most_images(self) -> int:
        """Images of the largest episode, support and query."""
        size = largest_episode(self.shape)
        return size.support + size.query

    def batch(self, start: int, count: int, query_round: int = 0) -> EpisodeBatch:
        """Episodes `start .. start + count - 1`, which must share one period when counts are ranges.

        Args:
            query_round: another number gives the same support set with freshly drawn query images.
        """
        if start // self._period != (start + count - 1) // self._period and self._has_ranges():
            raise ValueError(
                f"episodes {start}..{start + count - 1} cross a period of {self._period}: shapes may differ"
            )
        episodes = torch.arange(start, start + count, device=self.device)
        return self.draw(episodes, self.counts(start), query_round)

    def draw(self, episodes: Tensor, counts: Counts, query_round: int = 0) -> EpisodeBatch:
        """Episodes by number, `[E]` int64 on the sampler's device; `counts` as they are for all of them.

        Nothing here waits for the device, so that the work can be recorded and repeated with other numbers.
        """
        if query_round and not self.shape.balanced:
            raise ValueError("unbalanced episodes cut support and query from one batch: no further queries")
        way, shot, query, unlabeled = counts
        count = len(episodes)
        labeled = way * shot if self.shape.support_size is None else self.shape.support_size
        queries = way * query if self.shape.query_size is None else self.shape.query_size
        support = labeled + way * unlabeled
        keys = randomness.fold(self._key, episodes)  # [E]

        # The classes with the largest random values are drawn, in random order: labels carry no meaning.
        class_draw = randomness.bits(randomness.fold(keys, _CLASSES), len(self._class_ids))
        if self.shape.related:
            class_draw = class_draw.masked_fill(self._draw_unrelated(keys, way), -1)
        picked = class_draw.topk(way, dim=1).indices  # [E, n]
        classes = self._class_ids[picked]
        rows = [self._draw_rows(picked, randomness.fold(keys, _IMAGES), shot + unlabeled, query, query_round)]
        if self.augmentation is not None and self.augmentation.chimeras:
            others = randomness.fold(keys, _OTHERS)
            count_of_others = len(self._class_ids) - 1  # at least one, as a way is at least two
            partners = (picked + 1 + randomness.bits(others, way) % count_of_others) % (count_of_others + 1)
            rows.append(self._draw_rows(partners, others, shot + unlabeled, query, query_round))

        # Sample-major order: every class's first image, then every class's second, and so on.
        # Sizes that are no multiple of the way cut the last round short.
        rounds = shot + unlabeled + query
        labels = torch.arange(way, device=self.device).repeat(rounds).expand(count, -1)
        parts = way * shot, way * unlabeled, way * query
        kept = labeled, way * unlabeled, queries
        labels, *rows = (
            torch.cat([part[:, :n] for part, n in zip(x.split(parts, dim=1), kept, strict=True)], dim=1)
            for x in (labels, *(drawn.transpose(1, 2).reshape(count, -1) for drawn in rows))
        )
        if not self.shape.balanced:
            order = randomness.bits(randomness.fold(keys, _SHUFFLE), labels.shape[1])
            order[:, :way] = torch.iinfo(torch.int64).max  # one labelled image of each class stays in front
            order = order.argsort(dim=1, descending=True, stable=True)
            labels, *rows = (x.gather(1, order) for x in (labels, *rows))

        support_labels = labels[:, :support].clone()
        support_labels[:, labeled:] = UNLABELED

        images, *other_images = (self._read(drawn) for drawn in rows)
        if self.augmentation is not None:
            images = self.augmentation.apply(images, labels, randomness.fold(keys, _AUGMENT), *other_images)
        images = scale_pixels(images)
        return EpisodeBatch(
            support_images=images[:, :support],
            support_labels=support_labels,
            query_images=images[:, support:],
            query_labels=labels[:, support:],
            classes=classes,
            slots=randomness.bits(randomness.fold(keys, _SLOTS), self._slot_count).topk(way, dim=1).indices,
            support_rows=rows[0][:, :support],
            query_rows=rows[0][:, support:],
            support_classes=classes.gather(1, labels[:, :support]),
            ignore=self._draw_removal(keys, support_labels),
        )

    def _draw_rows(self, picked: Tensor, keys: Tensor, support: int, query: int, query_round: int) -> Tensor:
        """Rows `[E, n, support + query]` of different images; `picked` `[E, n]`: positions in `class_ids`."""
        # The images with the largest random values are drawn; positions past the class's end never win,
        # and what is in the support set never wins a place among the queries.
        keys_of_class = randomness.fold(keys[:, None], self._class_ids[picked])  # [E, n]
        absent = torch.arange(self._widest, device=self.device) >= self._sizes[picked][..., None]
        draw = randomness.bits(keys_of_class, self._widest).masked_fill(absent, -1)
        in_support = draw.topk(support, dim=2).indices
        draw = randomness.bits(randomness.fold(keys_of_class, query_round), self._widest)
        draw = draw.masked_fill(absent, -1).scatter(2, in_support, -1)
        in_query = draw.topk(query, dim=2).indices
        return self._first_rows[picked][..., None] + torch.cat([in_support, in_query], dim=2)

    def _draw_unrelated(self, keys: Tensor, way: int) -> Tensor:
        """Which classes `[E, classes]` are left out of an episode for being of another group."""
        (coin,) = randomness.uniform(randomness.fold(keys, _RELATED), 1).unbind(1)
        # Groups in the order of their random values, until there are classes enough.
        order = randomness.bits(randomness.fold(keys, _GROUPS), len(self._group_sizes)).argsort(
            descending=True
        )
        sizes = self._group_sizes[order]  # [E, groups]
        surplus = sizes.cumsum(dim=1) - sizes >= way
        left_out = torch.empty_like(surplus).scatter(1, order, surplus)
        return left_out[:, self._groups] & (coin < self.shape.related)[:, None]

    def _draw_removal(self, keys: Tensor, support_labels: Tensor) -> Tensor | None:
        """Which support images are hidden `[E, S]`, or None when none can be."""
        limits = self.shape.remove_labeled, self.shape.remove_unlabeled
        if not any(limits):
            return None
        keys = randomness.fold(keys, _REMOVE)
        of_labeled, of_unlabeled = (
            draw * limit for draw, limit in zip(randomness.uniform(keys, 2).unbind(1), limits, strict=True)
        )
        probability = torch.where(support_labels < 0, of_unlabeled[:, None], of_labeled[:, None])
        return randomness.uniform(randomness.fold(keys, 0), support_labels.shape[1]) < probability

    def _read(self, rows: Tensor) -> Tensor:
        """Images at `rows` `[E, M]` as float32 `[E, M, C, H, W]`, 0..255."""
        if isinstance(self.images, Tensor):
            images = self.images[rows]
        else:
            images = torch.from_numpy(_read_rows(self.images, rows.cpu().numpy())).to(self.device)
        return images.movedim(-1, 2).to(torch.float32)

    def _has_ranges(self) -> bool:
        shape = self.shape
        return any(isinstance(c, tuple) for c in (shape.way, shape.shot, shape.query, shape.unlabeled))

    def counts(self, episode: int) -> Counts:
        """Way, and images of each kind per class, of an episode."""
        draws = randomness.uniform(
            randomness.fold(self._key_on_cpu, episode // self._period, -1 - _SHAPE), 4
        ).tolist()
        shape = self.shape
        way = draw_count(shape.way, draws[0])
        return Counts(
            way,
            images_per_class(shape.support_size, way, draw_count(shape.shot, draws[1], log_uniform=True)),
            images_per_class(shape.query_size, way, draw_count(shape.query, draws[2])),
            draw_count(shape.unlabeled, draws[3]),
        )


def _read_rows(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """`images[rows]`. Pages of a memory map are given back: else the process grows to the file's size."""
    read: np.ndarray = images[rows]
    if isinstance(images.base, mmap.mmap):
        images.base.madvise(mmap.MADV_DONTNEED)
    return read


def _groups(class_names: Sequence[str]) -> list[int]:
    """The number of each class's group."""
    names = [name.rpartition("/")[0] for name in class_names]
    numbers = {name: index for index, name in enumerate(dict.fromkeys(names))}
    return [numbers[name] for name in names]
