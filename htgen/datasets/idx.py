"""Data sets in the files of MNIST: `...-images-idx3-ubyte` and `...-labels-idx1-ubyte`, plain or gzipped.

An idx file is: two zero bytes, one byte for the type (8: uint8), one for the number of dimensions, the
dimensions as big-endian 32-bit numbers, the values.

Training and test files of these data sets hold the same classes; a store joins them, class by class, because
its splits divide classes. Split scheme: `default` (see `htgen.datasets.splits.default_schemes`).
"""

import gzip
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BufferedIOBase
from pathlib import Path

import numpy as np

from htgen.arrays import Pixels
from htgen.datasets.sources import find_file, resized
from htgen.datasets.splits import default_schemes
from htgen.datasets.store import Progress, StoreWriter, check_target
from htgen.datasets.store_format import Scheme
from htgen.errors import DataError
from htgen.files import open_regular, unreadable
from htgen.images.preprocessing import Ink, Preprocessing

SIZE = 28
_AGAIN = "download it again"


@dataclass(frozen=True)
class IdxDataset:
    """What sets one of these data sets apart.

    Args:
        name: of the store.
        counts: start of the file names -> number of images, in the order in which they are joined.
        class_names: by label.
        where_from: where people get the files, for hints.
        transposed: whether rows and columns of the images are exchanged in the files.
        ink: of the store.
        schemes: split schemes besides `default`.
    """

    name: str
    counts: Mapping[str, int]
    class_names: tuple[str, ...]
    where_from: str
    transposed: bool = False
    ink: Ink = "bright"
    schemes: Mapping[str, Scheme] = field(default_factory=dict)


def prepare_idx(
    dataset: IdxDataset,
    source: str | Path,
    out: str | Path,
    image_size: int = SIZE,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> None:
    """Make a grey store of a data set in idx files. The unpacked images stand in memory, up to 0.7 GB.

    Args:
        dataset: which one.
        source: the folder that holds its files.
        out: the store to write.
        image_size: side of the images, 1 to 4096; the originals have 28 pixels.
        overwrite: replace a store at `out`.
        progress: see `htgen.datasets.store.Progress`.

    Raises:
        DataError: a file is missing, incomplete or damaged, or `out` is taken.
        OutputError: no space left, or no permission.
    """
    out = Path(out)
    check_target(out, overwrite)
    paths = {
        start: tuple(
            find_file(source, f"{start}-{what}-ubyte", dataset.where_from, ("", ".gz"))
            for what in ("images-idx3", "labels-idx1")
        )
        for start in dataset.counts
    }
    labels = {start: _read_labels(files[1], dataset, dataset.counts[start]) for start, files in paths.items()}
    images = {
        start: read_idx(files[0], (dataset.counts[start], SIZE, SIZE)) for start, files in paths.items()
    }
    if dataset.transposed:
        images = {start: values.transpose(0, 2, 1) for start, values in images.items()}
    preprocessing = Preprocessing(image_size, 1, dataset.ink, "pad")
    schemes = {**default_schemes(len(dataset.class_names)), **dataset.schemes}
    done, total = 0, sum(map(len, images.values()))
    with StoreWriter(out, dataset.name, preprocessing, schemes, overwrite) as writer:
        for label, name in enumerate(dataset.class_names):
            of_class = (
                resized(images[start][row, ..., None], image_size)
                for start in paths
                for row in np.flatnonzero(labels[start] == label)
            )
            count = sum(int((values == label).sum()) for values in labels.values())
            if count == 0:
                raise DataError(f"no image of {source} has the label {label} ({name})", _AGAIN)
            writer.add_class(name, f"label {label}", of_class)
            done += count
            if progress is not None:
                progress("images", done, total)


def _read_labels(path: Path, dataset: IdxDataset, count: int) -> Pixels:
    labels = read_idx(path, (count,))
    outside = np.flatnonzero(labels >= len(dataset.class_names))
    if len(outside):
        raise DataError(
            f"{path}: image {outside[0]} has the label {labels[outside[0]]}; "
            f"those of {dataset.name} are 0 to {len(dataset.class_names) - 1}",
            f"check that these are its files; {dataset.where_from}",
        )
    return labels


def read_idx(path: Path, shape: tuple[int, ...]) -> Pixels:
    """Read an idx file, plain or gzipped whatever its name says, that must hold uint8 values of this shape.

    Raises:
        DataError: it is damaged, truncated, too long, or holds something else.
    """
    values = np.empty(shape, np.uint8)
    try:
        with open_regular(path) as raw:
            is_gzipped = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            with gzip.open(raw) if is_gzipped else raw as file:
                _check_header(path, file, shape)
                view = values.reshape(-1).data
                got = 0
                while got < len(view) and (block := file.read(min(1 << 20, len(view) - got))):
                    view[got : got + len(block)] = block
                    got += len(block)
                is_longer = got == len(view) and bool(file.read(1))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is truncated or damaged: {error}", _AGAIN) from error
    except OSError as error:
        raise unreadable(path, error) from error
    if got != len(view):
        raise DataError(f"{path} is truncated: it has {got} of {len(view)} values", _AGAIN)
    if is_longer:
        raise DataError(f"{path} is longer than its header says", _AGAIN)
    return values


def _check_header(path: Path, file: BufferedIOBase, shape: tuple[int, ...]) -> None:
    magic = bytes([0, 0, 8, len(shape)])
    header = file.read(4 + 4 * len(shape))
    if header[:4] != magic:
        raise DataError(
            f"{path} is no idx file of {len(shape)}-dimensional uint8 values: it starts with "
            f"{header[:4].hex(' ') or 'nothing'}, not {magic.hex(' ')}",
            _AGAIN,
        )
    if len(header) != 4 + 4 * len(shape):
        raise DataError(f"{path} is truncated in its header", _AGAIN)
    found = tuple(int.from_bytes(header[k : k + 4], "big") for k in range(4, len(header), 4))
    if found != shape:
        raise DataError(
            f"{path} holds {list(found)} values, not {list(shape)}",
            "check that this is a file of the complete data set",
        )
