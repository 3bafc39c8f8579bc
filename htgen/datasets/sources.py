"""What the recipes of data sets share: finding raw files, checking what is in them, resizing, splits."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from htgen.arrays import Pixels
from htgen.datasets.store_format import Scheme
from htgen.errors import DataError
from htgen.files import kind_at
from htgen.images.preprocessing import Preprocessing


@dataclass(frozen=True)
class Piece:
    """The images of one class in one part of raw files.

    Attributes:
        part: where they lie, such as `train`; may be empty.
        name: of the class.
        where: for people.
        keys: file names of the images, in ascending order; all empty where images have no names.
        read: the images, uint8 `[size, size, channels]` each, in the order of `keys`.
    """

    part: str
    name: str
    where: str
    keys: tuple[str, ...]
    read: Callable[[], Iterator[Pixels]]


def check_folder(source: str | Path, holds: str) -> Path:
    """The folder of the raw files.

    Args:
        source: what a user named.
        holds: what it must hold, for the hint.

    Raises:
        DataError: there is no such folder.
    """
    source = Path(source)
    if (kind := kind_at(source)) != "folder":
        found = f"{source} is not a folder" if kind else f"there is no folder {source}"
        raise DataError(found, f"name the folder that holds {holds}")
    return source


def find_file(source: str | Path, name: str, where_from: str, endings: tuple[str, ...] = ("",)) -> Path:
    """The raw file `name` in the folder `source`, with the first of the endings that is there.

    Args:
        source: the folder.
        name: of the file, without ending.
        where_from: where people get the files, for the hint.
        endings: what may follow the name, such as `.gz`.

    Raises:
        DataError: no such folder, or no such file in it.
    """
    source = check_folder(source, f"{name}; {where_from}")
    for ending in endings:
        path = source / f"{name}{ending}"
        if kind_at(path) == "file":
            return path
    names = " or ".join(f"{name}{ending}" for ending in endings)
    raise DataError(f"{source} has no file {names}", where_from)


def resized(image: Pixels, size: int) -> Pixels:
    """Bring uint8 `[H, W, channels]` to `[size, size, channels]`; untouched where it has that size.

    The values are not turned, whatever the ink of the store: the makers of these files saw to that.
    """
    height, width, channels = image.shape
    if height == width == size:
        return image
    squeezed = np.ascontiguousarray(image[..., 0] if channels == 1 else image)
    return Preprocessing(size, channels, "none", "stretch").apply(Image.fromarray(squeezed))


def entries(record: Any, names: tuple[str, ...], path: Path, hint: str) -> tuple[Any, ...]:
    """The values of a dictionary that was read from `path`, by their names.

    Raises:
        DataError: it is no dictionary, or has not all of them.
    """
    if isinstance(record, Mapping) and all(name in record for name in names):
        return tuple(record[name] for name in names)
    wanted = " and ".join(f"`{name}`" for name in names)
    found = "it is no dictionary"
    if isinstance(record, Mapping):
        found = f"its keys are {', '.join(_shown(key) for key in list(record)[:8]) or 'none'}"
    raise DataError(f"{path} has no {wanted}: {found}", hint)


def _shown(key: Any) -> str:
    # Python writes no number of thousands of digits.
    is_huge = isinstance(key, int) and abs(key) >= 2**64
    return "a huge number" if is_huge else repr(key)[:40]


def whole_numbers(value: Any) -> npt.NDArray[np.int64] | None:
    """A list, tuple or one-dimensional array of whole numbers as int64; anything else gives None."""
    if isinstance(value, np.ndarray):
        return value.astype(np.int64) if value.ndim == 1 and value.dtype.kind in "iu" else None
    if isinstance(value, (list, tuple)) and all(type(n) is int and abs(n) < 2**62 for n in value):
        return np.array(value, dtype=np.int64)
    return None


def consecutive(counts: Mapping[str, int]) -> Scheme:
    """Part name -> number of classes, in the order of the class ids: `{"a": 2, "b": 3}` -> a 0-1, b 2-4."""
    parts, start = {}, 0
    for part, count in counts.items():
        parts[part] = f"{start}-{start + count - 1}"
        start += count
    return Scheme(parts=parts)
