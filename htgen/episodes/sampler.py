"""Episodes: n-way k-shot tasks drawn from the classes of one split, many at a time.

An episode is a function of (seed, stream, split, index) and of the settings alone: it does not
depend on the batch it is drawn in, on the number of workers, or on what was drawn before. All
drawing is vectorised integer arithmetic on the device that holds the images (`htgen.episodes.randomness`).
"""

import zlib
from dataclasses import dataclass
from math import ceil

import numpy as np
import torch
from torch import Tensor

from htgen.config.data import AugmentConfig, EpisodeConfig
from htgen.datasets.splits import without_blanks
from htgen.episodes import randomness
from htgen.episodes.augmentation import augment
from htgen.episodes.batch import EpisodeBatch
from htgen.episodes.pool import ClassPool
from htgen.episodes.shape import (
    UNLABELED,
    Counts,
    draw_count,
    images_per_class,
    largest,
    largest_episode,
)
from htgen.errors import DataError
from htgen.images.inputs import scale_pixels

# Purposes of random numbers, so that no two draws of one episode share a key.
_SHAPE, _CLASSES, _IMAGES, _SHUFFLE, _AUGMENT, _SLOTS, _REMOVE, _OTHERS, _RELATED, _GROUPS = range(10)
_DOMAIN = 10


@dataclass(frozen=True)
class EpisodeStream:
    """Which episodes of a split are drawn.

    Attributes:
        seed: any integer.
        name: separates episodes of the same split for different uses (training, evaluation).
        period: episodes `i` with the same `i // period` share one shape when counts are ranges;
            usually the number of episodes per training step.
    """

    seed: int
    name: str = ""
    period: int = 1


class _Domains:
    """The domains of a pool's classes, which lie one after the other: an episode is of one."""

    def __init__(self, pool: ClassPool) -> None:
        of_class = np.asarray(pool.domains or [0] * len(pool.class_ids), dtype=np.int64)
        self.of_class = torch.as_tensor(of_class, device=pool.device)  # [classes]
        self.sizes = torch.bincount(self.of_class, minlength=1)  # [domains]
        self._starts = self.sizes.cumsum(0) - self.sizes
        self._limits = torch.tensor(pool.shares[:-1], device=pool.device).cumsum(0)  # [domains - 1]

    def draw(self, keys: Tensor) -> Tensor:
        """The domain `[E, 1]` that all classes of an episode are of."""
        coin = randomness.uniform(randomness.fold(keys, _DOMAIN), 1)  # [E, 1]
        return (coin >= self._limits).sum(dim=1, keepdim=True)

    def partners(self, picked: Tensor, keys: Tensor) -> Tensor:
        """For each class `[E, n]` of an episode another one of its domain, to make a chimera with."""
        domain = self.of_class[picked]  # [E, n]
        start, size = self._starts[domain], self.sizes[domain]
        # There is at least one other, as a way is at least two.
        step = 1 + randomness.bits(keys, picked.shape[1]) % (size - 1)  # [E, n]
        return start + (picked - start + step) % size


class EpisodeSampler:
    """Draws batches of episodes from some classes of a data set.

    Args:
        pool: the classes and their images; `ClassPool.of_split` makes it of a store.
        shape: way, shot and query counts.
        stream: seed, and what else tells these episodes from others of the same classes.
        slot_count: number of label slots to assign classes to; the generator's maximal way. Random
            slots train every label embedding, also with fewer classes.
        augmentation: applied to support and query images alike.
        slot_sets: how many sets of so many slots there are; of several, each episode has some that follow
            each other, as few as there must be.

    Raises:
        DataError: an episode of the largest shape cannot be drawn from these classes.
    """

    def __init__(
        self,
        pool: ClassPool,
        shape: EpisodeConfig,
        stream: EpisodeStream,
        slot_count: int,
        augmentation: AugmentConfig | None = None,
        slot_sets: int = 1,
    ) -> None:
        self.pool, self.shape, self.device = pool, shape, pool.device
        self.augmentation = AugmentConfig() if augmentation is None else augmentation
        self._slot_count, self._slot_sets = slot_count, slot_sets
        self._period = stream.period
        self._class_ids = torch.as_tensor(np.asarray(pool.class_ids, dtype=np.int64), device=self.device)
        bounds = torch.as_tensor(np.asarray(pool.offsets, dtype=np.int64), device=self.device)
        self._first_rows = bounds[self._class_ids]  # [classes]
        self._sizes = bounds[self._class_ids + 1] - self._first_rows  # [classes]
        self._key = randomness.fold(
            torch.zeros((), dtype=torch.int64, device=self.device),
            stream.seed,
            zlib.crc32(f"{without_blanks(pool.split)}/{stream.name}".encode()),
        )
        self._key_on_cpu = self._key.cpu()
        self._domains = _Domains(pool)
        self._check()
        self._widest = int(self._sizes.max())
        if shape.related:
            self._groups = torch.as_tensor(pool.groups(), device=self.device)  # [classes]
            self._group_sizes = torch.bincount(self._groups)
            self._group_domains = torch.zeros_like(self._group_sizes).scatter(
                0, self._groups, self._domains.of_class
            )

    def _check(self) -> None:
        pool, shape = self.pool, self.shape
        way = largest(shape.way)
        # The smallest way makes the largest classes when sizes are given in all.
        shot = images_per_class(shape.support_size, shape.way, largest(shape.shot))
        query = images_per_class(shape.query_size, shape.way, largest(shape.query))
        unlabeled = largest(shape.unlabeled)
        if (fewest := int(self._domains.sizes.min())) < way:
            what = f"split '{pool.split}'" if pool.domains is None else "one of the stores to train on"
            raise DataError(
                f"{what} has {fewest} classes; {way}-way episodes need at least {way}",
                "a smaller way (--way, or episodes.way and validation.way), or a split with more classes",
            )
        needed = shot + query + unlabeled if shape.disjoint else max(shot + unlabeled, query)
        smallest = int(self._sizes.min())
        if smallest < needed:
            name = pool.name_of(int(self._class_ids[int(self._sizes.argmin())]))
            parts = f"{shot} support + {query} query" + (f" + {unlabeled} unlabelled" if unlabeled else "")
            of_split = f" of split '{pool.split}'" if pool.domains is None else ""
            raise DataError(
                f"{name}{of_split} has {smallest} images; an episode needs {needed} ({parts})",
                "fewer shots or queries (--shot, --query; in a config episodes, validation), or more images",
            )

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
        labeled = way * shot if self.shape.support_size is None else self.shape.support_size
        queries = way * query if self.shape.query_size is None else self.shape.query_size
        support = labeled + way * unlabeled  # S
        keys = randomness.fold(self._key, episodes)  # [E]

        picked = self._draw_classes(keys, way)  # [E, n], positions in the pool
        image_keys = randomness.fold(keys, _IMAGES)
        rows = [self._draw_rows(picked, image_keys, shot + unlabeled, query, query_round)]
        if self.augmentation.chimeras:
            others = randomness.fold(keys, _OTHERS)
            partners = self._domains.partners(picked, others)
            rows.append(self._draw_rows(partners, others, shot + unlabeled, query, query_round))

        order = self._arrange(keys, counts, (labeled, way * unlabeled, queries))  # [E, S + Q]
        labels = order % way  # [E, S + Q]
        rows = [drawn.transpose(1, 2).flatten(1).gather(1, order) for drawn in rows]  # [E, S + Q]
        support_labels = labels[:, :support].clone()
        support_labels[:, labeled:] = UNLABELED

        images, *other_images = (self.pool.read(drawn) for drawn in rows)  # [E, S + Q, C, H, W]
        other = other_images[0] if other_images else None
        if not self.pool.is_prepared:
            change_keys = randomness.fold(keys, _AUGMENT)
            images = augment(self.augmentation, images, labels, change_keys, other, support)
            images = scale_pixels(images)
        classes = self._class_ids[picked]  # [E, n]
        return EpisodeBatch(
            support_images=images[:, :support],
            support_labels=support_labels,
            query_images=images[:, support:],
            query_labels=labels[:, support:],
            classes=classes,
            slots=self._draw_slots(randomness.fold(keys, _SLOTS), way),
            support_rows=rows[0][:, :support],
            query_rows=rows[0][:, support:],
            support_classes=classes.gather(1, labels[:, :support]),
            ignore=self._draw_removal(keys, support_labels),
        )

    def _draw_classes(self, keys: Tensor, way: int) -> Tensor:
        """Which classes `[E, n]` are in an episode, as positions in the pool."""
        # The classes with the largest random values are drawn, in random order: labels carry no meaning.
        draw = randomness.bits(randomness.fold(keys, _CLASSES), len(self._class_ids))  # [E, classes]
        domain = self._domains.draw(keys)  # [E, 1]
        draw = draw.masked_fill(self._domains.of_class != domain, -1)
        if self.shape.related:
            draw = draw.masked_fill(self._draw_unrelated(keys, way, domain), -1)
        return draw.topk(way, dim=1).indices

    def _draw_slots(self, keys: Tensor, way: int) -> Tensor:
        """Label slots `[E, n]` of the classes: different ones, of as few sets as there must be."""
        if self._slot_sets == 1 and way > self._slot_count:  # no choice is left
            return torch.arange(way, device=keys.device).expand(len(keys), -1)
        if self._slot_sets == 1:
            return randomness.bits(keys, self._slot_count).topk(way, dim=1).indices
        count = ceil(way / self._slot_count) * self._slot_count
        drawn = randomness.bits(keys, count + 1)  # [E, count + 1]
        first = drawn[:, -1:] % self._slot_sets * self._slot_count
        return first + drawn[:, :-1].topk(way, dim=1).indices

    def _arrange(self, keys: Tensor, counts: Counts, kept: tuple[int, int, int]) -> Tensor:
        """Which images `[E, S + Q]` are labelled support, unlabelled support and queries, in this order.

        Images are counted sample-major: every class's first image, then every class's second, and so on, so
        that image `i` is of class `i % way`.

        Args:
            kept: how many there are of the three kinds; less than whole rounds where sizes are given in all.
        """
        way, shot, query, unlabeled = counts
        drawn = way * shot, way * unlabeled, way * query
        positions = torch.arange(sum(drawn), device=self.device)
        # Sizes that are no multiple of the way cut the last round short.
        chosen = torch.cat(
            [part[:n] for part, n in zip(positions.split(drawn), kept, strict=True)]
        )  # [S + Q]
        if self.shape.balanced:
            return chosen.expand(len(keys), -1)
        rank = randomness.bits(randomness.fold(keys, _SHUFFLE), len(chosen))  # [E, S + Q]
        rank[:, :way] = torch.iinfo(torch.int64).max  # one labelled image of each class stays in front
        return chosen[rank.argsort(dim=1, descending=True, stable=True)]

    def _draw_rows(self, picked: Tensor, keys: Tensor, support: int, query: int, query_round: int) -> Tensor:
        """Rows `[E, n, support + query]` of images, different ones where episodes are disjoint.

        Args:
            picked: `[E, n]`, positions in the pool.
        """
        # The images with the largest random values are drawn; positions past the class's end never win,
        # and what is in the support set never wins a place among disjoint queries.
        keys_of_class = randomness.fold(keys[:, None], self._class_ids[picked])  # [E, n]
        absent = torch.arange(self._widest, device=self.device) >= self._sizes[picked][..., None]
        draw = randomness.bits(keys_of_class, self._widest).masked_fill(absent, -1)  # [E, n, widest]
        in_support = draw.topk(support, dim=2).indices  # [E, n, support]
        draw = randomness.bits(randomness.fold(keys_of_class, query_round), self._widest)
        draw = draw.masked_fill(absent, -1)
        if self.shape.disjoint:
            draw = draw.scatter(2, in_support, -1)
        in_query = draw.topk(query, dim=2).indices  # [E, n, query]
        return self._first_rows[picked][..., None] + torch.cat([in_support, in_query], dim=2)

    def _draw_unrelated(self, keys: Tensor, way: int, domain: Tensor) -> Tensor:
        """Which classes `[E, classes]` are left out of an episode of a domain for being of another group."""
        (coin,) = randomness.uniform(randomness.fold(keys, _RELATED), 1).unbind(1)
        # Groups in the order of their random values, until there are classes enough.
        draw = randomness.bits(randomness.fold(keys, _GROUPS), len(self._group_sizes))
        order = draw.masked_fill(self._group_domains != domain, -1).argsort(descending=True)
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
