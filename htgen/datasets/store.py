"""The store: one on-disk format for every data set, written and opened.

A store is a folder of two files, `images.npy` and `manifest.json` (see `htgen.datasets.store_format`). The
same input gives the same bytes.
"""

import contextlib
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np
import numpy.typing as npt

from htgen.arrays import Pixels
from htgen.datasets.hints import MAKE_AGAIN
from htgen.datasets.replacing import (
    LONGEST_WAIT,
    folder_beside,
    identity,
    is_being_replaced,
    restore,
    take_name,
    wait_while_replaced,
)
from htgen.datasets.store_format import (
    FORMAT,
    FORMAT_VERSION,
    HEADER_BYTES,
    IMAGES,
    MANIFEST,
    ClassRecord,
    Manifest,
    Scheme,
    manifest_text,
    map_images,
    npy_header,
    read_manifest,
    sha256_of,
)
from htgen.errors import DataError, ModelError, OutputError
from htgen.files import real_path, sync_folder
from htgen.images.preprocessing import Ink, Preprocessing
from htgen.version import __version__

Progress = Callable[[str, int, int], None]
"""Called as `progress(what, done, total)` while something long runs; `total` is 0 where it is not known.
Nothing done of such a total only tells `what`."""

_BLOCK_BYTES = 1 << 20


def store_name(text: str) -> str:
    """Make a valid store name (letters, digits, `.`, `_`, `-`) of any text, such as a folder's name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip(".-_") or "store"


def check_target(path: str | Path, overwrite: bool) -> None:
    """Refuse a place where a store must not be written; made to be called before long work starts.

    Raises:
        DataError: `path` is a file, a store that may not be overwritten, or a folder that holds anything but
            a store.
    """
    path = Path(path)
    if not path.exists():
        return
    elsewhere = "name another folder with --out"
    if not path.is_dir():
        raise DataError(f"{path} is a file; a store is a folder", elsewhere)
    names = {entry.name for entry in path.iterdir()}
    if names - {IMAGES, MANIFEST}:
        raise DataError(f"{path} exists and holds other files than a store's; it is left alone", elsewhere)
    if names and not overwrite:
        raise DataError(f"there is a store at {path} already", f"--overwrite, or {elsewhere}")


class StoreWriter:
    """Writes a store class by class in constant memory; a context manager.

        with StoreWriter(path, "omniglot", Preprocessing(28, 1, "bright", "pad"), schemes) as writer:
            writer.add_class("Greek/character01", "images_background/Greek/character01", images)

    Everything goes into a temporary folder beside `path` that takes its name only when the body has ended
    without an error, so there is never half a store at `path`; with `overwrite` the old store stays until
    then.

    Args:
        path: the folder to write.
        name: letters, digits, `.`, `_`, `-` (see `store_name`).
        preprocessing: how the images were made; it fixes their size and channels.
        schemes: split schemes by name.
        overwrite: replace a store that exists.

    Raises:
        DataError: `path` is taken (see `check_target`), or the store would have no classes.
        OutputError: no space left, or no permission.
    """

    def __init__(
        self,
        path: str | Path,
        name: str,
        preprocessing: Preprocessing,
        schemes: Mapping[str, Scheme],
        overwrite: bool = False,
    ) -> None:
        self._path = real_path(path)
        self._name = name
        self._preprocessing = preprocessing
        self._schemes = dict(schemes)
        self._overwrite = overwrite
        self._shape = (preprocessing.size, preprocessing.size, preprocessing.channels)
        self._classes: dict[str, ClassRecord] = {}

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            with self._writing():
                restore(self._path)
            check_target(self._path, self._overwrite)
            with self._writing():
                self._temporary = stack.enter_context(folder_beside(self._path))
                self._file: BinaryIO = (self._temporary / IMAGES).open("wb", buffering=_BLOCK_BYTES)
                self._file.write(bytes(HEADER_BYTES))  # the header is known at the end
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            try:
                if error is None:
                    self._finish()
            finally:
                with contextlib.suppress(OSError):  # the flush of a full disk, already reported
                    self._file.close()

    def add_class(self, name: str, source: str, images: Iterable[Pixels] | Pixels) -> None:
        """Append one class.

        Args:
            name: unlike that of every other class.
            source: where the class came from, for people.
            images: uint8 `[N, size, size, channels]`, or any iterable of `[size, size, channels]`; N >= 1.

        Raises:
            DataError: the name is taken or no UTF-8, or there are no images.
            ValueError: an image of another shape or type.
            OutputError: no space left.
        """
        if name in self._classes:
            raise DataError(f"two classes have the name {name!r}", "rename one of them")
        if re.search("[\ud800-\udfff]", name + source):  # stand-ins for the bytes of a file name
            raise DataError(f"the name of class {name!r} is no UTF-8", "rename its folder")
        count = 0
        for image in images:
            if image.shape != self._shape or image.dtype != np.uint8:
                raise ValueError(
                    f"class {name!r}: expected uint8 {self._shape}, got {image.dtype} {image.shape}"
                )
            with self._writing():
                self._file.write(np.ascontiguousarray(image).data)
            count += 1
        if count == 0:
            raise DataError(f"class {name!r} has no images", "add images, or leave the class out")
        self._classes[name] = ClassRecord(name=name, source=source, count=count)

    def _finish(self) -> None:
        if not self._classes:
            raise DataError(f"there are no classes to write to {self._path}", "check the source")
        images = self._temporary / IMAGES
        with self._writing():
            self._file.seek(0)
            self._file.write(npy_header((sum(c.count for c in self._classes.values()), *self._shape)))
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            manifest = Manifest(
                format=FORMAT,
                format_version=FORMAT_VERSION,
                htgen_version=__version__,
                name=self._name,
                preprocessing=self._preprocessing.to_dict(),
                sha256=sha256_of(images),
                schemes=self._schemes,
                classes=list(self._classes.values()),
            )
            with (self._temporary / MANIFEST).open("w", encoding="utf-8", newline="\n") as file:
                file.write(manifest_text(manifest))
                file.flush()
                os.fsync(file.fileno())
            check_target(self._path, self._overwrite)
            sync_folder(self._temporary)
            take_name(self._temporary, self._path)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"cannot write {self._path}: {error.strerror or error}",
                "check the free space and the permissions of the folder, or name another place",
            ) from error


@dataclass(frozen=True, eq=False)
class Store:
    """An opened store.

    Attributes:
        path: its folder.
        name: its name, also a split scheme (see `htgen.datasets.splits`).
        images: uint8 `[N, size, size, channels]`, memory-mapped, read-only.
        offsets: int64 `[classes + 1]`; class k has the images `offsets[k]` to `offsets[k + 1] - 1`.
        class_names: unique names.
        class_sources: where each class came from.
        schemes: split schemes by name.
        preprocessing: how the images were made, and how others must be made to go with them.
        checksum: sha256 of `images.npy`.
    """

    path: Path
    name: str
    images: Pixels
    offsets: npt.NDArray[np.int64]
    class_names: tuple[str, ...]
    class_sources: tuple[str, ...]
    schemes: Mapping[str, Scheme]
    preprocessing: Preprocessing
    checksum: str

    @property
    def fingerprint(self) -> str:
        """Hash of all that makes episodes what they are: images, classes, splits, preprocessing."""
        record = {
            "images": self.checksum,
            "classes": list(zip(self.class_names, self.class_sizes.tolist(), strict=True)),
            "schemes": {name: scheme.model_dump() for name, scheme in self.schemes.items()},
            "preprocessing": self.preprocessing.to_dict(),
        }
        return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()

    @property
    def class_count(self) -> int:
        """How many classes there are."""
        return len(self.class_names)

    @property
    def class_sizes(self) -> npt.NDArray[np.int64]:
        """Images per class, int64 `[classes]`."""
        return np.diff(self.offsets)

    @property
    def size(self) -> int:
        """Side of the square images."""
        return self.preprocessing.size

    @property
    def channels(self) -> int:
        """1 (grey) or 3 (RGB)."""
        return self.preprocessing.channels

    @property
    def ink(self) -> Ink:
        """`bright` or `dark`: line drawings whose ink has high or low values; `none`: no line drawings."""
        return self.preprocessing.ink

    @classmethod
    def open(cls, path: str | Path, verify: bool = False, up_to: int | None = None) -> "Store":
        """Open a store.

        Args:
            path: the folder that `htgen prepare-data` wrote.
            verify: also read all of `images.npy` and compare its checksum.
            up_to: `verify` images of so many bytes at most; None: of any number.

        Raises:
            DataError: no store, an incomplete or changed one, or one of a newer format.
        """
        path = Path(path)
        end = time.monotonic() + LONGEST_WAIT
        while True:
            wait_while_replaced(path, end)
            before = identity(path)
            try:
                store = cls._open(path, verify, up_to)
            except DataError:
                is_still = identity(path) == before and not is_being_replaced(path)
                if is_still or time.monotonic() > end:
                    raise
            else:
                if identity(path) == before:
                    return store

    @classmethod
    def _open(cls, path: Path, verify: bool, up_to: int | None) -> "Store":
        manifest = read_manifest(path)
        try:
            preprocessing = Preprocessing.from_dict(manifest.preprocessing)
        except ModelError as error:
            raise DataError(f"store {path}: {error.message}", MAKE_AGAIN) from error
        offsets = np.cumsum([0, *(entry.count for entry in manifest.classes)], dtype=np.int64)
        shape = (int(offsets[-1]), preprocessing.size, preprocessing.size, preprocessing.channels)
        images = map_images(path, shape)
        store = cls(
            path=path,
            name=manifest.name,
            images=images,
            offsets=offsets,
            class_names=tuple(entry.name for entry in manifest.classes),
            class_sources=tuple(entry.source for entry in manifest.classes),
            schemes=manifest.schemes,
            preprocessing=preprocessing,
            checksum=manifest.sha256,
        )
        if verify and (up_to is None or images.nbytes <= up_to):
            store.verify()
        return store

    def verify(self) -> None:
        """Read all of `images.npy` and compare its checksum.

        Raises:
            DataError: the file was changed.
        """
        if sha256_of(self.path / IMAGES) != self.checksum:
            raise DataError(
                f"store {self.path}: {IMAGES} was changed after it was written (checksum)", MAKE_AGAIN
            )
