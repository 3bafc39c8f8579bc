"""miniImageNet in three pickles, one for each part, in the two forms that are in circulation.

* `mini-imagenet-cache-<part>.pkl`: `image_data` (uint8 `[N, S, S, 3]`) and `class_dict` (class name -> rows).
* `miniImageNet_category_split_<part>.pickle`, the part `train` as `train_phase_train`: `data`, `labels` (a
  whole number for each image) and `catname2label` (class name -> label).

Either content is read under either name. Python 2 or 3 wrote them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from htgen.arrays import Pixels
from htgen.datasets.safe_pickle import load_pickle
from htgen.datasets.sources import Piece, entries, find_file, resized, whole_numbers
from htgen.errors import DataError
from htgen.files import kind_at

_NAMES = {
    "train": ("mini-imagenet-cache-train.pkl", "miniImageNet_category_split_train_phase_train.pickle"),
    "val": ("mini-imagenet-cache-val.pkl", "miniImageNet_category_split_val.pickle"),
    "test": ("mini-imagenet-cache-test.pkl", "miniImageNet_category_split_test.pickle"),
}

_AGAIN = "download it again"


def find_pickles(source: Path, where_from: str) -> dict[str, Path] | None:
    """The file of each part; None if there is none at all.

    Raises:
        DataError: some are there and some are missing.
    """
    form = next((k for k in (0, 1) if any(kind_at(source / names[k]) for names in _NAMES.values())), None)
    if form is None:
        return None
    return {part: find_file(source, names[form], where_from) for part, names in _NAMES.items()}


def pickle_pieces(paths: Mapping[str, Path], image_size: int, where_from: str) -> list[Piece]:
    """The classes in the files; images are read later, and one file is in memory at a time.

    The images are memory-mapped, except in files that Python 3 wrote in pickle protocol 2 or lower; those
    take up to 3 GB of memory.

    Args:
        paths: part -> file.
        image_size: side of the images that are read, in pixels.
        where_from: where people get the files, for hints.

    Raises:
        DataError: a file is incomplete, damaged or not to be trusted.
    """
    pieces = []
    reader = _Reader(where_from)
    for part, path in paths.items():
        for name, rows in sorted(reader.read(path).classes.items()):
            read = partial(reader.images, path, rows, image_size)
            pieces.append(Piece(part, name, f"{path.name}: {name}", ("",) * len(rows), read))
    return pieces


@dataclass
class _File:
    images: Pixels
    classes: dict[str, npt.NDArray[np.int64]]


class _Reader:
    """Reads files, and keeps the one that was read last."""

    def __init__(self, where_from: str) -> None:
        self._where_from = where_from
        self._path: Path | None = None
        self._file: _File | None = None

    def read(self, path: Path) -> _File:
        if self._file is None or path != self._path:
            self._file = None  # before the next one is read
            self._path, self._file = path, _read(path, self._where_from)
        return self._file

    def images(self, path: Path, rows: npt.NDArray[np.int64], size: int) -> Iterator[Pixels]:
        images = self.read(path).images
        return (resized(images[row], size) for row in rows)


def _read(path: Path, where_from: str) -> _File:
    """The images and the rows of each class; every row belongs to one class."""
    record = load_pickle(path)
    if isinstance(record, Mapping) and "catname2label" in record:
        images, labels, names = entries(record, ("data", "labels", "catname2label"), path, where_from)
        classes = _rows_by_label(path, labels, names)
        listed = "catname2label"
    else:
        images, classes = entries(record, ("image_data", "class_dict"), path, where_from)
        listed = "class_dict"
    is_array = isinstance(images, np.ndarray)
    is_square = is_array and images.ndim == 4 and images.shape[1] == images.shape[2] > 0
    if not is_square or images.shape[3] != 3 or images.dtype != np.uint8:
        found = f"{images.dtype} {list(images.shape)}" if is_array else "no array"
        raise DataError(f"{path}: the images are {found}, not uint8 [N, 84, 84, 3]", _AGAIN)
    if not isinstance(classes, dict) or not all(isinstance(name, str) for name in classes):
        raise DataError(f"{path}: `{listed}` is no dictionary from names to rows", _AGAIN)
    rows = {name: _rows(path, name, value, len(images)) for name, value in classes.items()}
    uses = np.bincount(np.concatenate([[], *rows.values()]).astype(np.int64), minlength=len(images))
    if (uses != 1).any():
        row = int(np.argmax(uses != 1))
        raise DataError(f"{path}: row {row} is in {uses[row]} classes of `{listed}`, not in one", _AGAIN)
    return _File(images, rows)


def _rows_by_label(path: Path, labels: Any, names: Any) -> Any:
    """Class name -> rows; what is no dictionary of whole numbers is returned as it is, to be refused."""
    if not isinstance(names, dict):
        return names
    numbers = whole_numbers(labels)
    if numbers is None:
        raise DataError(f"{path}: `labels` is no list of whole numbers", _AGAIN)
    values = whole_numbers(list(names.values()))
    if values is None or len(set(values.tolist())) < len(values):
        raise DataError(f"{path}: `catname2label` does not give each class a number of its own", _AGAIN)
    return {name: np.flatnonzero(numbers == value) for name, value in zip(names, values, strict=True)}


def _rows(path: Path, name: str, value: Any, count: int) -> npt.NDArray[np.int64]:
    rows = whole_numbers(value)
    if rows is None:
        raise DataError(f"{path}: class {name!r} is no list of rows", _AGAIN)
    outside = rows[(rows < 0) | (rows >= count)]
    if len(outside):
        raise DataError(f"{path}: class {name!r} has row {outside[0]}; there are {count} rows", _AGAIN)
    if not len(rows):
        raise DataError(f"{path}: class {name!r} has no images", _AGAIN)
    return rows
