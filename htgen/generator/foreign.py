"""Unlabelled images that are of none of the classes. They would move the class means towards themselves.

In the coordinates of PLDA (`htgen.hypertransformer.plda_coordinates`) two distances of an image can be
compared: from the nearest corrected class mean, and from the centre of all classes that there may be. Each
is in units of how samples vary about it. An image of no class is about as near to the centre as to any
class mean.
"""

import numpy as np
import numpy.typing as npt

from htgen.arrays import Floats
from htgen.cnn.executor_numpy import last_features
from htgen.cnn.spec import CnnSpec
from htgen.cnn.weights import CnnWeights
from htgen.episodes.shape import UNLABELED
from htgen.generator.support import Support
from htgen.hypertransformer.class_means import membership, weighted_means
from htgen.hypertransformer.layer_writers_numpy import Plda
from htgen.hypertransformer.plda_coordinates import corrected_means

FARTHEST = 1.15
"""An unlabelled image counts if it is not so many times as far (squared) from the nearest class mean as from
the centre of all classes. Chosen on the validation characters; see docs/measurements/foreign.py."""


def are_near_a_class(
    spec: CnnSpec, cnn: CnnWeights[Floats], support: Support, plda: Plda, farthest: float = FARTHEST
) -> npt.NDArray[np.bool_]:
    """Which unlabelled images may be of one of the classes.

    Args:
        spec, cnn: one CNN (`E = 1`) that was written without the unlabelled images.
        support: at least one labelled image of every class.
        plda: the coordinates of the generator.
        farthest: see `FARTHEST`.

    Returns:
        `[U]`, of the unlabelled images in their order.
    """
    is_labeled = support.labels != UNLABELED
    # Images are read one by one or in any batch with the same result: the statistics are frozen.
    features = plda.coordinates(last_features(spec, cnn.blocks, support.inputs[None]))  # [1, S, F]
    classes = np.arange(len(support.classes))
    member = membership(support.labels[None], classes, None).astype(features.dtype)  # [1, n, S]
    means, counts = weighted_means(features, member)
    centres = corrected_means(means, counts, plda.prior_counts)[0]  # [n, F]
    spread = 1 + 1 / (counts[0][:, None] + plda.prior_counts)  # [n, F]
    samples = features[0, ~is_labeled]  # [U, F]
    near = np.stack(
        [((samples - mean) ** 2 / width).sum(axis=1) for mean, width in zip(centres, spread, strict=True)]
    ).min(axis=0)
    far = (samples**2 / (1 + 1 / plda.prior_counts)).sum(axis=1)
    found: npt.NDArray[np.bool_] = near <= farthest * far
    return found
