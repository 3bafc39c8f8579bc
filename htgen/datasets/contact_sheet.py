"""Some images of a store on one picture: a row for each class."""

import numpy as np

from htgen.arrays import Pixels
from htgen.datasets.store import Store

MOST_CLASSES, MOST_IMAGES = 40, 20

_GAP = 128


def contact_sheet(store: Store) -> Pixels:
    """The first images of classes that are spread over the store, `[H, W, 3]`."""
    chosen = np.unique(np.linspace(0, store.class_count - 1, MOST_CLASSES).astype(int))
    rows = []
    for kind in chosen.tolist():
        first, last = store.offsets[kind], store.offsets[kind + 1]
        images = store.images[first : min(last, first + MOST_IMAGES)]  # [N, H, W, C]
        tiles = np.full((MOST_IMAGES, store.size + 1, store.size + 1, 3), _GAP, np.uint8)
        tiles[: len(images), :-1, :-1] = images  # grey is spread over the three
        rows.append(np.concatenate([*tiles], axis=1))
    return np.concatenate(rows)
