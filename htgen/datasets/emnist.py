"""EMNIST by class: 62 handwritten digits and letters, 814 255 images of 28 x 28 (Cohen et al., 2017).

The raw files are `emnist-byclass-train-images-idx3-ubyte`, `...-labels-idx1-ubyte` and the same for `test`,
plain or gzipped; their images are transposed, those of the store upright. Classes 0-9 are the digits, 10-35
the capital letters, 36-61 the small letters; a class is named by its character.

Split schemes: `default`, and `kind` with the parts digits, capital, small.
"""

import string
from pathlib import Path

from htgen.datasets.idx import SIZE, IdxDataset, prepare_idx
from htgen.datasets.sources import consecutive
from htgen.datasets.store import Progress

WHERE_FROM = (
    "get gzip.zip from nist.gov/itl/products-and-services/emnist-dataset, and unpack it: "
    "emnist-byclass-train-images-idx3-ubyte.gz and three more"
)

EMNIST = IdxDataset(
    name="emnist",
    counts={"emnist-byclass-train": 697_932, "emnist-byclass-test": 116_323},
    class_names=(*string.digits, *string.ascii_uppercase, *string.ascii_lowercase),
    where_from=WHERE_FROM,
    transposed=True,
    schemes={"kind": consecutive({"digits": 10, "capital": 26, "small": 26})},
)


def prepare_emnist(
    source: str | Path,
    out: str | Path,
    image_size: int = SIZE,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> None:
    """Make the EMNIST store: grey, ink bright; see `htgen.datasets.idx.prepare_idx`."""
    prepare_idx(EMNIST, source, out, image_size, overwrite, progress)
