"""tieredImageNet: 608 classes of ImageNet, 732 to 1300 images each, 84 x 84 (Ren et al., 2018).

The raw files are, for each of train, val and test, `<part>_images.npz` with the array `images` (uint8
`[N, 84, 84, 3]`) and `<part>_labels.pkl`, a pickled dictionary with `labels`, one whole number per image.
The classes of a part are sorted by label; class `train/5` is label 5 of train.

Split scheme `reference`: train, val, test = classes 0-350, 351-447, 448-607.

The data, 16 GB as uint8, never stand in memory: a part is unpacked image by image, straight into the store
when its labels are in ascending order, else into a temporary file on the disk of the store (9.5 GB for
train), out of which the classes are picked.
"""

import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from htgen.arrays import Pixels
from htgen.datasets.safe_pickle import load_pickle
from htgen.datasets.sources import consecutive, entries, find_file, resized, whole_numbers
from htgen.datasets.store import Progress, StoreWriter, check_target
from htgen.errors import DataError, OutputError
from htgen.files import open_regular, real_path
from htgen.images.preprocessing import Preprocessing

CLASSES = {"train": 351, "val": 97, "test": 160}
SIZE = 84
WHERE_FROM = (
    "get the tieredImageNet archive by the link in github.com/kjunelee/MetaOptNet, and unpack it: "
    "train_images.npz, train_labels.pkl, and so for val and test"
)

_SHAPE = (SIZE, SIZE, 3)
_IMAGE_BYTES = SIZE * SIZE * 3
_BLOCK_IMAGES = 64
_AGAIN = "download it again"


@dataclass(frozen=True)
class _Part:
    """One of train, val, test. `order`: row numbers sorted by label; class k has `counts[k]` of them."""

    name: str
    path: Path
    labels: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    order: npt.NDArray[np.int64]

    @property
    def size(self) -> int:
        return len(self.order)

    @property
    def is_sorted(self) -> bool:
        return bool((np.diff(self.order) == 1).all())


def prepare_tieredimagenet(
    source: str | Path,
    out: str | Path,
    image_size: int = SIZE,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> None:
    """Make the tieredImageNet store: RGB.

    It takes little memory, and disk space for the store and one unpacked part: 26 GB in all.

    Args:
        source: the folder that holds the six files.
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
    # All that can be checked without unpacking is checked first: the rest takes many minutes.
    parts = [_open_part(source, name, count) for name, count in CLASSES.items()]
    preprocessing = Preprocessing(image_size, 3, "none", "crop")
    schemes = {"reference": consecutive(CLASSES)}
    done, total = 0, sum(part.size for part in parts)

    def report(images: Iterable[Pixels]) -> Iterator[Pixels]:
        nonlocal done
        for image in images:
            yield resized(image, image_size)
            done += 1
            if progress is not None:
                progress("images", done, total)

    with StoreWriter(out, "tieredimagenet", preprocessing, schemes, overwrite) as writer:
        for part in parts:
            with _sorted_images(part, real_path(out).parent, progress) as images:
                for label, count in zip(part.labels, part.counts, strict=True):
                    name = f"{part.name}/{label}"
                    writer.add_class(name, f"{part.path.name}: {label}", report(islice(images, count)))
                next(images, None)  # reads to the end, where the archive's checksum is compared


def _open_part(source: str | Path, name: str, class_count: int) -> _Part:
    path = find_file(source, f"{name}_images.npz", WHERE_FROM)
    labels_path = find_file(source, f"{name}_labels.pkl", WHERE_FROM)
    labels = _read_labels(labels_path)
    distinct, counts = np.unique(labels, return_counts=True)
    if len(distinct) != class_count:
        raise DataError(f"{labels_path} has {len(distinct)} classes, not {class_count}", _AGAIN)
    with ExitStack() as stack:
        shape = _open_images(path, stack)[1]
    if shape[0] != len(labels):
        raise DataError(
            f"{path} has {shape[0]} images, but {labels_path.name} {len(labels)} labels",
            "take both files from the same archive",
        )
    return _Part(name, path, distinct, counts, np.argsort(labels, kind="stable"))


def _read_labels(path: Path) -> npt.NDArray[np.int64]:
    hint = f"this is another edition of the data; {WHERE_FROM}"
    (value,) = entries(load_pickle(path), ("labels",), path, hint)
    labels = whole_numbers(value)
    if labels is None:
        raise DataError(f"{path}: `labels` is no list of whole numbers", _AGAIN)
    return labels


# ---------------------------------------------------------------------------------------- reading the archive


def _open_images(path: Path, stack: ExitStack) -> tuple[IO[bytes], tuple[int, ...]]:
    """Open the array `images` of an .npz, which is a zip of .npy files: (file after the header, shape)."""
    try:
        archive = stack.enter_context(zipfile.ZipFile(stack.enter_context(open_regular(path))))
        if "images.npy" not in archive.namelist():
            names = ", ".join(repr(name)[:40] for name in archive.namelist()[:8]) or "nothing"
            raise DataError(f"{path} has no array `images`; it holds {names}", WHERE_FROM)
        file = stack.enter_context(archive.open("images.npy"))
        version = np.lib.format.read_magic(file)
        read_header: Callable[..., tuple[tuple[int, ...], bool, np.dtype[Any]]] = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy remarks on a header of Python 2
            shape, is_fortran, dtype = read_header(file)
    except DataError:
        raise
    # A damaged zip raises BadZipFile, zlib.error, EOFError, RuntimeError, ...; NumPy parses the header as
    # Python text, which may raise anything that text can.
    except Exception as error:
        raise DataError(f"cannot read {path}: {error}", _AGAIN) from error
    if dtype != np.uint8 or shape[1:] != _SHAPE or is_fortran:
        layout = " in column order" if is_fortran else ""
        raise DataError(
            f"{path}: `images` is {dtype} {list(shape)}{layout}, not uint8 {['N', *_SHAPE]}", WHERE_FROM
        )
    return file, shape


def _blocks(part: _Part) -> Iterator[bytes]:
    """The images of a part in the order of its file, `_BLOCK_IMAGES` at a time."""
    with ExitStack() as stack:
        file, _ = _open_images(part.path, stack)
        left = part.size * _IMAGE_BYTES
        while left:
            block = _read(part.path, file, min(left, _BLOCK_IMAGES * _IMAGE_BYTES))
            left -= len(block)
            yield block
        if _read(part.path, file, 1, is_rest=True):
            raise DataError(f"{part.path}: `images` is longer than its header says", _AGAIN)


def _read(path: Path, file: IO[bytes], count: int, is_rest: bool = False) -> bytes:
    try:
        data = file.read(count)
    except Exception as error:  # as in `_open_images`
        raise DataError(f"{path} is damaged: {error}", _AGAIN) from error
    if len(data) != count and not is_rest:
        raise DataError(f"{path} is truncated: `images` is shorter than its header says", _AGAIN)
    return data


# -------------------------------------------------------------------------------------------- class by class


@contextmanager
def _sorted_images(part: _Part, folder: Path, progress: Progress | None) -> Iterator[Iterator[Pixels]]:
    """Yields the images of a part, sorted by label; `folder` holds the temporary file that may take."""
    if part.is_sorted:
        yield (image for block in _blocks(part) for image in _images(block))
        return
    with _temporary_file(part, folder, progress) as file:
        yield _picked(part, file)


def _images(block: bytes) -> Pixels:
    return np.frombuffer(block, np.uint8).reshape(-1, *_SHAPE)


@contextmanager
def _temporary_file(part: _Part, folder: Path, progress: Progress | None) -> Iterator[IO[bytes]]:
    """Yields the unpacked images. The file has no name on most systems: nothing can leave it behind."""
    what, done = f"unpacking {part.path.name}", 0
    with ExitStack() as stack:
        try:
            file = stack.enter_context(tempfile.TemporaryFile(dir=folder))
        except OSError as error:
            raise _cannot_write(part, folder, error) from error
        for block in _blocks(part):
            try:
                file.write(block)
                file.flush()
            except OSError as error:
                raise _cannot_write(part, folder, error) from error
            done += len(block) // _IMAGE_BYTES
            if progress is not None:
                progress(what, done, part.size)
        yield file


def _picked(part: _Part, file: IO[bytes]) -> Iterator[Pixels]:
    # Read, not memory-mapped: mapped pages would count as memory of this process.
    for row in part.order.tolist():
        file.seek(row * _IMAGE_BYTES)
        yield _images(file.read(_IMAGE_BYTES))[0]


def _cannot_write(part: _Part, folder: Path, error: OSError) -> OutputError:
    return OutputError(
        f"cannot write a temporary file in {folder}: {error.strerror or error}",
        f"unpacking {part.path.name} takes {part.size * _IMAGE_BYTES / 1e9:.1f} GB there beside the store; "
        "make space, or name another place with --out",
    )
