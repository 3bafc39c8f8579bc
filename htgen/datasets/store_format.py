"""The files of a store: their names, what is in the manifest, and the checks on opening them.

    images.npy      uint8 [N, size, size, channels]; the images of one class are contiguous
    manifest.json   format and version, name, preprocessing, classes, split schemes, sha256 of images.npy, and
                    the sha256 of all this

`images.npy` is a standard NumPy file that is memory-mapped, so classes may be of any sizes and the data
larger than memory.
"""

import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from htgen.arrays import Pixels
from htgen.datasets.hints import MAKE_AGAIN, MAKE_OF_FOLDER, how_to_make
from htgen.datasets.replacing import restore, retired
from htgen.errors import DataError
from htgen.files import kind_at, open_regular, read_regular, unreadable

FORMAT = "htgen-store"
FORMAT_VERSION = 2
"""Version 1 has no checksum of the manifest itself."""

IMAGES = "images.npy"
MANIFEST = "manifest.json"

MOST_IMAGES = 2**40

MOST_MANIFEST_BYTES = 1 << 28

HEADER_BYTES = 128
"""Length of the header of `images.npy`."""


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


class ClassRecord(_Record):
    """One class, in the order in which the classes lie in `images.npy`."""

    name: str
    source: str
    count: int = Field(ge=1, le=2**40)


class Manifest(_Record):
    """What `manifest.json` holds.

    Args:
        sha256: of `images.npy`.
        checksum: of the rest of the manifest (`checksum_of`); None in stores of version 1.
    """

    format: str
    format_version: int = Field(ge=1)
    htgen_version: str
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    preprocessing: dict[str, Any]
    sha256: str
    schemes: dict[str, Scheme]
    classes: list[ClassRecord] = Field(min_length=1)
    checksum: str | None = None

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        if len({entry.name for entry in self.classes}) != len(self.classes):
            raise ValueError("two classes have the same name")
        if sum(entry.count for entry in self.classes) > MOST_IMAGES:
            raise ValueError(f"more than {MOST_IMAGES} images")
        return self


def checksum_of(record: Mapping[str, Any]) -> str:
    """Hash of a manifest without its own checksum, in hexadecimal digits.

    Args:
        record: its plain JSON values.
    """
    rest = {key: value for key, value in record.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def manifest_text(manifest: Manifest) -> str:
    """The content of `manifest.json`, with the checksum."""
    record = manifest.model_dump()
    record["checksum"] = checksum_of(record)
    return json.dumps(record, indent=1, ensure_ascii=False) + "\n"


def read_manifest(path: Path) -> Manifest:
    """The manifest of a store.

    Raises:
        DataError: no store, an incomplete or damaged one, or one of a newer format.
    """
    if kind_at(path) is None:
        _restore(path)
    if (kind := kind_at(path)) != "folder":
        found = "is not a folder" if kind else "does not exist"
        raise DataError(f"store {path} {found}", f"make it, as with `{how_to_make(path)}`")
    missing = [name for name in (MANIFEST, IMAGES) if kind_at(path / name) != "file"]
    if len(missing) == 2:
        raise DataError(
            f"{path} is no htgen store (no {MANIFEST})",
            MAKE_OF_FOLDER,
        )
    if missing:
        raise DataError(f"store {path} is incomplete: {missing[0]} is missing", MAKE_AGAIN)
    try:
        record = json.loads(read_regular(path / MANIFEST, MOST_MANIFEST_BYTES).decode("utf-8"))
    except OSError as error:
        raise unreadable(path / MANIFEST, error) from error
    except (ValueError, RecursionError):
        raise DataError(f"store {path} is damaged: {MANIFEST} is not JSON", MAKE_AGAIN) from None
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise DataError(f"{path} is no htgen store: {MANIFEST} does not say format {FORMAT!r}", MAKE_AGAIN)
    version = record.get("format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise DataError(
            f"store {path} has format version {version}; this htgen reads {FORMAT_VERSION}",
            f"upgrade htgen, or {MAKE_AGAIN}",
        )
    _compare_checksum(path, record)
    try:
        return Manifest.model_validate(record)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "content"
        raise DataError(
            f"store {path} is damaged: {MANIFEST}, {where}: {first['msg']}", MAKE_AGAIN
        ) from error


def _compare_checksum(path: Path, record: dict[str, Any]) -> None:
    """Compare the manifest's own checksum, where there must be one.

    Raises:
        DataError: it is missing, or another one.
    """
    if record.get("format_version") == 1 and "checksum" not in record:
        return
    if record.get("checksum") != checksum_of(record):
        raise DataError(
            f"store {path} is damaged: {MANIFEST} was changed after it was written (checksum)", MAKE_AGAIN
        )


def _restore(path: Path) -> None:
    """Give a store its name back that was to be replaced when `prepare-data` was killed.

    Raises:
        DataError: it cannot be renamed.
    """
    try:
        restore(path)
    except OSError as error:
        raise DataError(
            f"store {path} was being replaced when that was cut off; it is {retired(path)} now, and cannot "
            f"be given its name back: {error.strerror or error}",
            f"mv {retired(path)} {path}",
        ) from error


def map_images(path: Path, shape: tuple[int, ...]) -> Pixels:
    """The images of a store, memory-mapped and read-only.

    Args:
        path: its folder.
        shape: `(N, size, size, channels)`, what its manifest says.

    Raises:
        DataError: `images.npy` is damaged, or of another shape.
    """
    file = path / IMAGES
    try:
        with open_regular(file) as opened:
            found = os.fstat(opened.fileno()).st_size
        images = np.lib.format.open_memmap(file, mode="r")
    except OSError as error:
        raise unreadable(file, error) from error
    # NumPy parses the header as Python text: a damaged one may raise anything that text can.
    except Exception as error:
        raise DataError(f"store {path} is incomplete or damaged: {IMAGES}: {error}", MAKE_AGAIN) from error
    if images.dtype != np.uint8 or images.shape != shape or not images.flags.c_contiguous:
        raise DataError(
            f"store {path} was changed: {IMAGES} holds {images.dtype} {list(images.shape)}, "
            f"{MANIFEST} says uint8 {list(shape)}",
            MAKE_AGAIN,
        )
    expected = images.offset + math.prod(shape)
    if found != expected:
        raise DataError(f"store {path} was changed: {IMAGES} has {found} bytes, not {expected}", MAKE_AGAIN)
    return images


def npy_header(shape: tuple[int, ...]) -> bytes:
    """A version 1.0 .npy header of fixed length: it is written last, when the number of images is known."""
    start = b"\x93NUMPY\x01\x00" + (HEADER_BYTES - 10).to_bytes(2, "little")
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}"
    return start + text.ljust(HEADER_BYTES - 11).encode("latin1") + b"\n"


def sha256_of(path: Path) -> str:
    """Hash of a file, in hexadecimal digits.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with open_regular(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from error
