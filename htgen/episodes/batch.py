"""A batch of episodes."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from htgen.episodes.shape import UNLABELED


@dataclass(frozen=True)
class EpisodeBatch:
    """A batch of episodes of one shape. E episodes, n ways, S support and Q query images per episode.

    Attributes:
        support_images: `[E, S, C, H, W]` float32, -1..1.
        support_labels: `[E, S]` int64, 0..n-1, or `UNLABELED`.
        query_images: `[E, Q, C, H, W]` float32, -1..1.
        query_labels: `[E, Q]` int64, 0..n-1.
        classes: `[E, n]` int64, class id in the store behind each label.
        slots: `[E, n]` int64, different random ones of the sampler's slots: which of a generator's label
            slots stands for each class.
        support_rows: `[E, S]` int64, row of each support image in the store.
        query_rows: `[E, Q]` int64, row of each query image in the store.
        support_classes: `[E, S]` int64, class id in the store of each support image, labelled or not.
        ignore: `[E, S]` bool, True for support images that were removed at random; None when none are.
    """

    support_images: Tensor
    support_labels: Tensor
    query_images: Tensor
    query_labels: Tensor
    classes: Tensor
    slots: Tensor
    support_rows: Tensor
    query_rows: Tensor
    support_classes: Tensor
    ignore: Tensor | None

    @property
    def way(self) -> int:
        """Classes per episode."""
        return self.classes.shape[1]

    def showing_queries(self) -> "EpisodeBatch":
        """The same episodes with the query images among the support images too, unlabelled: what is known
        when all images that are to be classified are there before the CNN is generated (transductive)."""
        queries = self.query_images.shape[:2]
        ignore = self.ignore
        if ignore is not None:
            ignore = torch.cat([ignore, ignore.new_zeros(queries)], dim=1)
        unlabeled = self.support_labels.new_full(queries, UNLABELED)
        return replace(
            self,
            support_images=torch.cat([self.support_images, self.query_images], dim=1),
            support_labels=torch.cat([self.support_labels, unlabeled], dim=1),
            support_rows=torch.cat([self.support_rows, self.query_rows], dim=1),
            support_classes=torch.cat(
                [self.support_classes, self.classes.gather(1, self.query_labels)], dim=1
            ),
            ignore=ignore,
        )
