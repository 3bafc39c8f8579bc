"""The store: one on-disk format for every data set.

A store is a folder of two files:

    images.npy      uint8 [N, size, size, channels]; the images of one class are contiguous
    manifest.json   format and version, name, preprocessing, classes, split schemes, sha256 of images.npy

`images.npy` is a standard NumPy file that is memory-mapped, so classes may be of any sizes and the data
larger than memory. The same input gives the same bytes.
"""

import contextlib
import hashlib
import json
import math
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from htgen.arrays import Pixels
from htgen.errors import DataError, ModelError, OutputError
from htgen.files import kind_at
from htgen.images.preprocessing import Ink, Preprocessing
from htgen.version import __version__

FORMAT = "htgen-store"
FORMAT_VERSION = 1
IMAGES = "images.npy"
MANIFEST = "manifest.json"

Progress = Callable[[str, int, int], None]
"""Called as `progress(what, done, total)` while something long runs; `total` is 0 where it is not known."""

_HEADER_BYTES = 128
_BLOCK_BYTES = 1 << 20
DATA_SETS = ("omniglot", "miniimagenet", "tieredimagenet", "emnist", "fashion_mnist", "kmnist")
"""What `htgen prepare-data` knows by name; anything else is a folder."""
_REMEDY = "run `htgen prepare-data` again (with --overwrite)"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Scheme(_Record):
    """A named way to divide the classes of a store (see `htgen.datasets.splits`).

    Args:
        parts: part name -> inclusive ranges such as `0-1149,1200` over the scheme's class order.
        shuffle_seed: the class order is that of the store (None), or `random.Random(seed).shuffle` of it.
    """

    parts: dict[str, str]
    shuffle_seed: int | None = None


class _Class(_Record):
    name: str
    source: str
    count: int = Field(ge=1, le=2**40)


class _Manifest(_Record):
    format: str
    format_version: int = Field(ge=1)
    htgen_version: str
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    preprocessing: dict[str, Any]
    sha256: str
    schemes: dict[str, Scheme]
    classes: list[_Class] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        if len({entry.name for entry in self.classes}) != len(self.classes):
            raise ValueError("two classes have the same name")
        return self


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
        self._path = Path(path).resolve()
        self._name = name
        self._preprocessing = preprocessing
        self._schemes = dict(schemes)
        self._overwrite = overwrite
        self._shape = (preprocessing.size, preprocessing.size, preprocessing.channels)
        self._classes: dict[str, _Class] = {}

    def __enter__(self) -> Self:
        check_target(self._path, self._overwrite)
        self._temporary = self._path.parent / f".{self._path.name}.{uuid.uuid4().hex[:8]}.tmp"
        with self._writing():
            self._temporary.mkdir(parents=True)
            self._file: BinaryIO = (self._temporary / IMAGES).open("wb", buffering=_BLOCK_BYTES)
            self._file.write(bytes(_HEADER_BYTES))  # the header is known at the end
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._finish()
        finally:
            with contextlib.suppress(OSError):  # the flush of a full disk, already reported
                self._file.close()
            shutil.rmtree(self._temporary, ignore_errors=True)

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
        self._classes[name] = _Class(name=name, source=source, count=count)

    def _finish(self) -> None:
        if not self._classes:
            raise DataError(f"there are no classes to write to {self._path}", "check the source")
        images = self._temporary / IMAGES
        with self._writing():
            self._file.seek(0)
            self._file.write(_npy_header((sum(c.count for c in self._classes.values()), *self._shape)))
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            manifest = _Manifest(
                format=FORMAT,
                format_version=FORMAT_VERSION,
                htgen_version=__version__,
                name=self._name,
                preprocessing=self._preprocessing.to_dict(),
                sha256=_sha256(images),
                schemes=self._schemes,
                classes=list(self._classes.values()),
            )
            with (self._temporary / MANIFEST).open("w", encoding="utf-8", newline="\n") as file:
                json.dump(manifest.model_dump(), file, indent=1, ensure_ascii=False)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
            self._move_in_place()

    def _move_in_place(self) -> None:
        check_target(self._path, self._overwrite)
        retired = self._temporary.with_suffix(".old")
        replaces = self._path.exists()
        if replaces:
            self._path.rename(retired)
        try:
            self._temporary.rename(self._path)
        except OSError:
            if replaces:
                retired.rename(self._path)
            raise
        shutil.rmtree(retired, ignore_errors=True)

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
    def open(cls, path: str | Path, verify: bool = False) -> "Store":
        """Open a store.

        Args:
            path: the folder that `htgen prepare-data` wrote.
            verify: also read all of `images.npy` and compare its checksum.

        Raises:
            DataError: no store, an incomplete or changed one, or one of a newer format.
        """
        path = Path(path)
        manifest = _read_manifest(path)
        try:
            preprocessing = Preprocessing.from_dict(manifest.preprocessing)
        except ModelError as error:
            raise DataError(f"store {path}: {error.message}", _REMEDY) from error
        offsets = np.cumsum([0, *(entry.count for entry in manifest.classes)], dtype=np.int64)
        shape = (int(offsets[-1]), preprocessing.size, preprocessing.size, preprocessing.channels)
        images = _map_images(path, shape)
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
        if verify:
            store.verify()
        return store

    def verify(self) -> None:
        """Read all of `images.npy` and compare its checksum.

        Raises:
            DataError: the file was changed.
        """
        if _sha256(self.path / IMAGES) != self.checksum:
            raise DataError(
                f"store {self.path}: {IMAGES} was changed after it was written (checksum)", _REMEDY
            )


def how_to_make(path: Path) -> str:
    """A command that makes a store at a path; which data set that is, its name tells."""
    dataset = path.name.removesuffix("-drawings")
    form = " --as-drawings" if path.name.endswith("-drawings") else ""
    if dataset not in DATA_SETS:
        dataset, form = "folder", f" --ink bright{form}" if form else ""
    source = "" if dataset == "omniglot" else " --source DIR"
    return f"htgen prepare-data {dataset}{source}{form} --out {path}"


def _read_manifest(path: Path) -> _Manifest:
    if (kind := kind_at(path)) != "folder":
        found = "is not a folder" if kind else "does not exist"
        raise DataError(f"store {path} {found}", f"make it, as with `{how_to_make(path)}`")
    missing = [name for name in (MANIFEST, IMAGES) if kind_at(path / name) != "file"]
    if len(missing) == 2:
        raise DataError(
            f"{path} is no htgen store (no {MANIFEST})",
            "make one from a folder of class folders with `htgen prepare-data folder --source DIR`",
        )
    if missing:
        raise DataError(f"store {path} is incomplete: {missing[0]} is missing", _REMEDY)
    try:
        record = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(
            f"cannot read {path / MANIFEST}: {error.strerror}", "check its permissions"
        ) from error
    except (ValueError, RecursionError):
        raise DataError(f"store {path} is damaged: {MANIFEST} is not JSON", _REMEDY) from None
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise DataError(f"{path} is no htgen store: {MANIFEST} does not say format {FORMAT!r}", _REMEDY)
    version = record.get("format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise DataError(
            f"store {path} has format version {version}; this htgen reads {FORMAT_VERSION}",
            f"upgrade htgen, or {_REMEDY}",
        )
    try:
        return _Manifest.model_validate(record)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "content"
        raise DataError(f"store {path} is damaged: {MANIFEST}, {where}: {first['msg']}", _REMEDY) from error


def _map_images(path: Path, shape: tuple[int, ...]) -> Pixels:
    file = path / IMAGES
    try:
        images = np.lib.format.open_memmap(file, mode="r")
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror or error}", "check its permissions") from error
    # NumPy parses the header as Python text: a damaged one may raise anything that text can.
    except Exception as error:
        raise DataError(f"store {path} is incomplete or damaged: {IMAGES}: {error}", _REMEDY) from error
    if images.dtype != np.uint8 or images.shape != shape or not images.flags.c_contiguous:
        raise DataError(
            f"store {path} was changed: {IMAGES} holds {images.dtype} {list(images.shape)}, "
            f"{MANIFEST} says uint8 {list(shape)}",
            _REMEDY,
        )
    expected = images.offset + math.prod(shape)
    found = file.stat().st_size
    if found != expected:
        raise DataError(f"store {path} was changed: {IMAGES} has {found} bytes, not {expected}", _REMEDY)
    return images


def _npy_header(shape: tuple[int, ...]) -> bytes:
    """A version 1.0 .npy header of fixed length: it is written last, when the number of images is known."""
    start = b"\x93NUMPY\x01\x00" + (_HEADER_BYTES - 10).to_bytes(2, "little")
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}"
    return start + text.ljust(_HEADER_BYTES - 11).encode("latin1") + b"\n"


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}", "check the disk and permissions") from error
