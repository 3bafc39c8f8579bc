"""Kuzushiji-MNIST: 10 cursive hiragana, 7000 images each of 28 x 28 (Clanuwat et al., 2018).

The raw files are `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and the same for `t10k`, plain or
gzipped. The classes are named by their labels 0 to 9, which stand for o, ki, su, tsu, na, ha, ma, ya, re, wo.
Split scheme: `default`.
"""

import string
from pathlib import Path

from htgen.datasets.idx import SIZE, IdxDataset, prepare_idx
from htgen.datasets.store import Progress

WHERE_FROM = "get train-images-idx3-ubyte.gz and three more by the links in github.com/rois-codh/kmnist"

KMNIST = IdxDataset(
    name="kmnist",
    counts={"train": 60_000, "t10k": 10_000},
    class_names=tuple(string.digits),
    where_from=WHERE_FROM,
)


def prepare_kmnist(
    source: str | Path,
    out: str | Path,
    image_size: int = SIZE,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> None:
    """Make the Kuzushiji-MNIST store: grey, ink bright; see `htgen.datasets.idx.prepare_idx`."""
    prepare_idx(KMNIST, source, out, image_size, overwrite, progress)
