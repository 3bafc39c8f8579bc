"""Files of named arrays: generators, CNNs, training states. No torch here.

All are safetensors with one metadata entry, `htgen`, that holds sorted JSON (several entries would be
written in varying order). Its key `checksum` is the SHA-256 of the rest of that JSON and of all tensors, so a
file that was damaged is refused. Files of htgen before it wrote checksums have none; they are read too, and
who uses one is told.
"""

import hashlib
import json
import struct
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from htgen.errors import ModelError, OlderFileWarning
from htgen.files import read_regular

FORMAT_VERSION = 2
"""The newest one. Version 2 has tensors of 8 bits (`htgen.eight_bits`); files without are of version 1."""

MOST_BYTES = 1 << 33
"""Of a file; nothing of a longer one is read."""

MOST_HEADER_BYTES = 1 << 24
"""Of the description in front of the tensors."""

LARGEST_NUMBER = 1e12
"""Weights beyond it are none: products of a few of them exceed 32 bits."""

_CHECKSUMS_OF_BEFORE = {
    "e15781ed7543fbaa457547628f9a147c53ff5752c9f5572b477475731323ec50": (
        "be902d38b3e32c37945af9412038db9bfaa496a27e7fe10e3d23ffb478c6ad8c"  # glyph-16
    ),
    "240459ea14b105ace1fdb9a425b706fde1000386df5364a3c94a88bc71527374": (
        "5faeaf606729c7d8109cefee9294fce29d15b93f90f539b3bff25f806ef5836e"  # glyph-64
    ),
    "73471d2eca39c93e214ef72e19a1b348f3952f9fc73e5d920c0846bcf025c52a": (
        "165a857ff4f78630dbb2a1ecfe6a97544dc7e584a2700c96da7c03046b46e0e5"  # glyph-8
    ),
    "08678bbc59b4e89666f34e5e929e4a829b042cc89d8c763e0bb3a9b2baea2545": (
        "0d8827617e6e74c184dbba099cd603c030cef365db67fbfde53f7dacc4154dc8"  # photo-40
    ),
}
"""Of generators that ship and were written before files had checksums, by the checksum of their headers
alone: a copy under any name, of any version of htgen, is compared as if it held its own."""

Arrays = Mapping[str, npt.NDArray[Any]]


class TensorFile(NamedTuple):
    """What a file holds.

    Attributes:
        header: the JSON entry, less its checksum.
        tensors: by name.
        sha256: of the whole file, hexadecimal; empty where nobody asked for it.
        has_checksum: whether there is a checksum, which was compared: in the file, or known of one of before.
    """

    header: dict[str, Any]
    tensors: Arrays
    sha256: str
    has_checksum: bool


def file_hash(data: bytes) -> str:
    """Hexadecimal SHA-256, by which files of generators and CNNs name each other."""
    return hashlib.sha256(data).hexdigest()


def encode(format_name: str, header: Mapping[str, Any], tensors: Arrays) -> bytes:
    """The content of a file; the same header and tensors give the same bytes."""
    version = 2 if any(tensor.dtype == np.int8 for tensor in tensors.values()) else 1
    metadata = json.loads(json.dumps({"format": format_name, "version": version, **header}))
    arrays = {name: np.asarray(tensor, order="C") for name, tensor in sorted(tensors.items())}
    metadata["checksum"] = checksum(metadata, arrays)
    return save(arrays, metadata={"htgen": json.dumps(metadata, sort_keys=True)})


def checksum(header: Mapping[str, Any], tensors: Arrays) -> str:
    """Hexadecimal SHA-256 of a header without its checksum, and of names, types, shapes and values."""
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name, array in sorted(tensors.items()):
        digest.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def decode(path: str | Path, format_name: str, wanted: str, remedy: str, hashed: bool = False) -> TensorFile:
    """What a file of one format holds.

    Args:
        wanted: what the file should be, and `remedy` what to name instead, for errors.
        hashed: whether `sha256` is wanted; it takes as long as the checksum.

    Raises:
        ModelError: it is missing, damaged, or not of this format.
    """
    found = _read(path, wanted, remedy, hashed)
    if found.header["format"] != format_name:
        raise ModelError(f"{path} is not {wanted} but a file of format '{found.header['format']}'", remedy)
    return found


def read_any(path: str | Path) -> TensorFile:
    """What a file of any format of htgen holds.

    Raises:
        ModelError: it is missing, damaged, or of none.
    """
    return _read(path, "a file of htgen", "a file that htgen wrote", hashed=True)


def without_checksum(what: str | Path) -> str:
    """What to tell who uses a file that has none."""
    return f"note: {what} has no checksum, as files of htgen 0.1.0: damage may not be noticed"


def warn_without_checksum(path: str | Path) -> None:
    """Tell who uses a file that has no checksum."""
    warnings.warn(without_checksum(path), OlderFileWarning, stacklevel=4)


def unusable(tensor: npt.NDArray[Any]) -> str | None:
    """Why the values of a tensor cannot be weights, or None where they can."""
    largest = float(np.abs(tensor).max(initial=0))  # a value that is no number makes it none
    if largest <= LARGEST_NUMBER:
        return None
    if not np.isfinite(tensor).all():
        return "values that are no numbers"
    return f"values beyond {LARGEST_NUMBER:g}"


def _read(path: str | Path, wanted: str, remedy: str, hashed: bool) -> TensorFile:
    """A file of this version or an older one; what cannot be read is told."""
    try:
        data = read_regular(path, MOST_BYTES)
        header, tensors = _parse(data)
        if header["version"] > FORMAT_VERSION:
            raise ModelError(
                f"{path} has format version {header['version']}, this htgen reads {FORMAT_VERSION}",
                "a newer htgen",
            )
        if (written := header.pop("checksum", None)) is None:
            written = _CHECKSUMS_OF_BEFORE.get(checksum(header, {}))
        intact = written is None or written == checksum(header, tensors)
        if not isinstance(header["format"], str):
            raise TypeError("its format is no text")
    except FileNotFoundError:
        raise ModelError(f"there is no file {path}", remedy) from None
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror or error}", remedy) from error
    except MemoryError:
        raise ModelError(f"cannot read {path}: there is not enough memory", "a machine with more") from None
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{path} is not {wanted}, or it is damaged ({reason})", remedy) from error
    if not intact:
        raise ModelError(
            f"{path} is damaged: its checksum is not that of its content",
            "a copy of the file that is whole, or make it again",
        )
    return TensorFile(header, tensors, file_hash(data) if hashed else "", written is not None)


def _parse(data: bytes) -> tuple[dict[str, Any], Arrays]:
    """Header and tensors of a file's content.

    Raises:
        SafetensorError, KeyError, TypeError, ValueError, RecursionError: it is none.
    """
    if len(data) < 8:
        raise ValueError("it is too short")
    (length,) = struct.unpack("<Q", data[:8])
    if length > min(MOST_HEADER_BYTES, len(data) - 8):
        raise ValueError("it does not begin as such files do")
    try:
        tensors = load(data)  # checks names, types, shapes and places, which the file says as JSON
    except BaseException as error:
        if type(error).__name__ == "PanicException":  # Rust had no memory left
            raise MemoryError from error
        raise
    header = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["htgen"])
    if not isinstance(header, dict):
        raise TypeError("its description is no object")
    return header, tensors
