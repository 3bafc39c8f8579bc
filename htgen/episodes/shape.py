"""What an episode looks like: ways, shots, queries, and sizes that follow. No torch here."""

from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

from htgen.config.data import EpisodeConfig


@dataclass(frozen=True)
class EpisodeSize:
    """Classes, support images (labelled or not) and query images of one episode."""

    way: int
    support: int
    query: int


def largest(count: int | tuple[int, int]) -> int:
    """A count, or the end of the range that it is drawn from."""
    return count[1] if isinstance(count, tuple) else count


def largest_episode(shape: "EpisodeConfig | EpisodeShape") -> EpisodeSize:
    """The size of episodes; of counts that are drawn from ranges, the largest."""
    way = largest(shape.way)
    labeled = way * largest(shape.shot) if shape.support_size is None else shape.support_size
    query = way * largest(shape.query) if shape.query_size is None else shape.query_size
    return EpisodeSize(way, labeled + way * largest(shape.unlabeled), query)


UNLABELED = -1
"""The label of a support image whose class is not told."""


@dataclass(frozen=True)
class EpisodeShape:
    """What an episode looks like: numbers, or inclusive ranges `(low, high)` from which they are drawn.

    Attributes:
        way: classes per episode.
        shot: labelled support images per class. Ranges are drawn log-uniformly: cost grows with the
            shot, and the step from 1 to 2 images changes the task more than the step from 9 to 10.
        query: query images per class.
        unlabeled: further support images per class that come without their label.
        balanced: every class has `shot` support and `query` query images. Otherwise the images of an
            episode are shuffled before they are cut into support and query, so that class counts
            vary; every class keeps at least one labelled support image.
        support_size, query_size: images in all, in place of `shot` and `query`. They need not divide by
            the way: the first `size mod way` classes get one more.
        remove_labeled, remove_unlabeled: per episode a probability is drawn uniformly up to this; each
            such support image is then ignored with that probability.
        related: share of the episodes whose classes come from one group, as the alphabet of characters, or
            from a few, drawn until they hold enough classes: such classes are harder to tell apart. The group
            of a class is what its name has before the last `/`; classes without that are of one group.
    """

    way: int | tuple[int, int]
    shot: int | tuple[int, int]
    query: int | tuple[int, int]
    unlabeled: int | tuple[int, int] = 0
    balanced: bool = True
    support_size: int | None = None
    query_size: int | None = None
    remove_labeled: float = 0.0
    remove_unlabeled: float = 0.0
    related: float = 0.0


class Counts(NamedTuple):
    """What one episode has: way, and images per class; of the largest class, where sizes are given in all."""

    way: int
    shot: int
    query: int
    unlabeled: int


def images_per_class(size: int | None, way: int | tuple[int, int], count: int) -> int:
    """Images of the largest class: from a total size over the (smallest) way, or the count itself."""
    if size is None:
        return count
    return ceil(size / (way[0] if isinstance(way, tuple) else way))


def draw_count(count: int | tuple[int, int], draw: float, log_uniform: bool = False) -> int:
    """A number of the inclusive range, from `draw` in [0, 1)."""
    if isinstance(count, int):
        return count
    low, high = count
    if log_uniform:
        return min(high, int(low * (((high + 1) / low) ** draw)))
    return low + int(draw * (high + 1 - low))


def episode_shape(config: EpisodeConfig) -> EpisodeShape:
    """The sampler's settings from a config section."""
    return EpisodeShape(**config.model_dump())
