"""A preprocessed support set."""

from dataclasses import dataclass

from htgen.arrays import Floats, Integers
from htgen.episodes.shape import UNLABELED


@dataclass(frozen=True)
class Support:
    """A preprocessed support set.

    Attributes:
        images: `[S, C, H, W]`, -1..1.
        labels: `[S]`, index into `classes`, or -1 for an image without a label.
        classes: class names, sorted.
    """

    images: Floats
    labels: Integers
    classes: tuple[str, ...]

    @property
    def shot(self) -> float:
        """Labelled images per class, in the mean."""
        return float((self.labels != UNLABELED).sum()) / len(self.classes)
