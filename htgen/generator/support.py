"""A preprocessed support set."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from htgen.arrays import Floats, Integers
from htgen.episodes.shape import UNLABELED


@dataclass(frozen=True)
class Support:
    """A preprocessed support set.

    Attributes:
        images: `[S, C, H, W]`, -1..1.
        labels: `[S]`, index into `classes`, or -1 for an image without a label.
        classes: class names, in natural order.
        features: what the trunk of a generator finds in the images, `[S, F, 1, 1]`; None where it has none.
    """

    images: Floats
    labels: Integers
    classes: tuple[str, ...]
    features: Floats | None = None

    @property
    def inputs(self) -> Floats:
        """What the layers that depend on the support set read: the features, or the images."""
        return self.images if self.features is None else self.features

    @property
    def shot(self) -> float:
        """Labelled images per class, in the mean."""
        return float((self.labels != UNLABELED).sum()) / len(self.classes)

    def without(self, left_out: npt.NDArray[np.bool_]) -> "Support":
        """The same without some images.

        Args:
            left_out: `[S]`; every class keeps a labelled image.
        """
        features = None if self.features is None else self.features[~left_out]
        return Support(self.images[~left_out], self.labels[~left_out], self.classes, features)
