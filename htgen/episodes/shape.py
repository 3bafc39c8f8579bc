"""What an episode looks like: ways, shots, queries, and sizes that follow. No torch here."""

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # generators need none of the config's episodes
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


def largest_episode(shape: "EpisodeConfig") -> EpisodeSize:
    """The size of episodes; of counts that are drawn from ranges, the largest."""
    way = largest(shape.way)
    labeled = way * largest(shape.shot) if shape.support_size is None else shape.support_size
    query = way * largest(shape.query) if shape.query_size is None else shape.query_size
    return EpisodeSize(way, labeled + way * largest(shape.unlabeled), query)


UNLABELED = -1
"""The label of a support image whose class is not told."""


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
    """A number of the inclusive range, from `draw` in [0, 1).

    Args:
        log_uniform: for shots: cost grows with them, and the step from 1 to 2 images changes the task more
            than the step from 9 to 10.
    """
    if isinstance(count, int):
        return count
    low, high = count
    if log_uniform:
        return min(high, int(low * (((high + 1) / low) ** draw)))
    return low + int(draw * (high + 1 - low))
