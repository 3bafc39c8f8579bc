"""miniImageNet: 100 classes of ImageNet, 600 images each, 84 x 84 (Vinyals et al., 2016).

The raw files are `mini-imagenet-cache-train.pkl`, `-val.pkl` and `-test.pkl`, each a pickled dictionary with
`image_data` (uint8 `[N, 84, 84, 3]`) and `class_dict` (class name -> rows of `image_data`), as Python 2 or 3
writes them. The classes of a file are sorted by name.

Split scheme `reference`: train, val, test = classes 0-63, 64-79, 80-99, one file each (Ravi and Larochelle,
2017).
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from htgen.arrays import Pixels
from htgen.datasets.safe_pickle import load_pickle
from htgen.datasets.sources import consecutive, entries, find_file, resized, whole_numbers
from htgen.datasets.store import Progress, StoreWriter, check_target
from htgen.errors import DataError
from htgen.images.preprocessing import Preprocessing

CLASSES = {"train": 64, "val": 16, "test": 20}
IMAGES = 600
SIZE = 84
WHERE_FROM = (
    "get mini-imagenet.tar.gz by the link in github.com/renmengye/few-shot-ssl-public, and unpack it: "
    "mini-imagenet-cache-train.pkl, -val.pkl, -test.pkl"
)

_AGAIN = "download it again"


def prepare_miniimagenet(
    source: str | Path,
    out: str | Path,
    image_size: int = SIZE,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> None:
    """Make the miniImageNet store: RGB.

    The images are memory-mapped, except in files that Python 3 wrote in pickle protocol 2 or lower; those
    take up to 3 GB of memory.

    Args:
        source: the folder that holds the three files.
        out: the store to write.
        image_size: side of the images, 1 to 4096; the originals have 84 pixels.
        overwrite: replace a store at `out`.
        progress: see `htgen.datasets.store.Progress`.

    Raises:
        DataError: a file is missing, incomplete, damaged or not to be trusted, or `out` is taken.
        OutputError: no space left, or no permission.
    """
    out = Path(out)
    check_target(out, overwrite)
    paths = {part: find_file(source, f"mini-imagenet-cache-{part}.pkl", WHERE_FROM) for part in CLASSES}
    preprocessing = Preprocessing(image_size, 3, "none", "crop")
    schemes = {"reference": consecutive(CLASSES)}
    done, total = 0, sum(CLASSES.values()) * IMAGES
    with StoreWriter(out, "miniimagenet", preprocessing, schemes, overwrite) as writer:
        for part, path in paths.items():
            images, classes = _read(path, CLASSES[part])
            for name, rows in sorted(classes.items()):
                resized_images = (resized(images[row], image_size) for row in rows)
                writer.add_class(name, f"{path.name}: {name}", resized_images)
                done += len(rows)
                if progress is not None:
                    progress("images", done, total)
            del images, resized_images  # before the next file is read


def _read(path: Path, class_count: int) -> tuple[Pixels, dict[str, npt.NDArray[np.int64]]]:
    """The images and the rows of each class; every row belongs to one class."""
    images, classes = entries(load_pickle(path), ("image_data", "class_dict"), path, WHERE_FROM)
    shape = (class_count * IMAGES, SIZE, SIZE, 3)
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape != shape:
        found = f"{images.dtype} {list(images.shape)}" if isinstance(images, np.ndarray) else "no array"
        raise DataError(f"{path}: `image_data` is {found}, not uint8 {list(shape)}", _AGAIN)
    if not isinstance(classes, dict) or not all(isinstance(name, str) for name in classes):
        raise DataError(f"{path}: `class_dict` is no dictionary from names to rows", _AGAIN)
    if len(classes) != class_count:
        raise DataError(f"{path} has {len(classes)} classes, not {class_count}", _AGAIN)
    rows = {name: _rows(path, name, value, len(images)) for name, value in classes.items()}
    uses = np.bincount(np.concatenate(list(rows.values())), minlength=len(images))
    if (uses != 1).any():
        row = int(np.argmax(uses != 1))
        raise DataError(f"{path}: row {row} is named {uses[row]} times in `class_dict`, not once", _AGAIN)
    return images, rows


def _rows(path: Path, name: str, value: Any, count: int) -> npt.NDArray[np.int64]:
    rows = whole_numbers(value)
    if rows is None:
        raise DataError(f"{path}: class {name!r} is no list of rows", _AGAIN)
    outside = rows[(rows < 0) | (rows >= count)]
    if len(outside):
        raise DataError(f"{path}: class {name!r} has row {outside[0]}; there are {count} rows", _AGAIN)
    if len(rows) != IMAGES:
        raise DataError(f"{path}: class {name!r} has {len(rows)} images, not {IMAGES}", _AGAIN)
    return rows
