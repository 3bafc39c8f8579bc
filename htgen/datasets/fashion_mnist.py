"""Fashion-MNIST: 10 kinds of clothing, 7000 images each of 28 x 28, bright on black (Xiao et al., 2017).

The raw files are `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and the same for `t10k`, plain or
gzipped. These are photographs of filled shapes, not line drawings, so the store's ink is `none`: what is
darker than its ground is never inverted. Split scheme: `default`.
"""

from pathlib import Path

from htgen.datasets.idx import SIZE, IdxDataset, prepare_idx
from htgen.datasets.store import Progress

WHERE_FROM = "get train-images-idx3-ubyte.gz and three more from github.com/zalandoresearch/fashion-mnist"

FASHION_MNIST = IdxDataset(
    name="fashion_mnist",
    counts={"train": 60_000, "t10k": 10_000},
    class_names=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    where_from=WHERE_FROM,
    ink="none",
)


def prepare_fashion_mnist(
    source: str | Path,
    out: str | Path,
    image_size: int = SIZE,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> None:
    """Make the Fashion-MNIST store: grey; see `htgen.datasets.idx.prepare_idx`."""
    prepare_idx(FASHION_MNIST, source, out, image_size, overwrite, progress)
