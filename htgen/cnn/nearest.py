"""Which of some images a CNN finds nearest to others: by the inputs of its logits layer."""

import numpy as np

from htgen.arrays import Floats, Integers
from htgen.cnn.bundle import Bundle
from htgen.cnn.executor_numpy import last_features


def features(cnn: Bundle, images: Floats) -> Floats:
    """The inputs of the logits layer for prepared images `[N, C, H, W]`: `[N, F]`."""
    return last_features(cnn.spec, cnn.weights.map(lambda tensor: tensor[None]).blocks, images[None])[0]


def nearest(found: Floats, known: Floats, most: int) -> Integers:
    """For each of some features `[N, F]` the places of the nearest of others `[S, F]`: `[N, most or S]`."""
    squares = (known * known).sum(axis=1) - 2 * found @ known.T  # [N, S], without what is the same in a row
    order: Integers = np.argsort(squares, axis=1, kind="stable")[:, :most]
    return order
