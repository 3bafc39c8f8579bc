"""Files of named arrays: generators, CNNs, training states. No torch here.

All are safetensors with one metadata entry, `htgen`, that holds sorted JSON (several entries would be
written in varying order).
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from htgen.errors import ModelError

FORMAT_VERSION = 1

Arrays = Mapping[str, npt.NDArray[Any]]


def file_hash(data: bytes) -> str:
    """Hexadecimal SHA-256, by which files of generators and CNNs name each other."""
    return hashlib.sha256(data).hexdigest()


def encode(format_name: str, header: Mapping[str, Any], tensors: Arrays) -> bytes:
    """The content of a file; the same header and tensors give the same bytes."""
    metadata = {"format": format_name, "version": FORMAT_VERSION, **header}
    return save(
        {name: np.asarray(tensor, order="C") for name, tensor in sorted(tensors.items())},
        metadata={"htgen": json.dumps(metadata, sort_keys=True)},
    )


def decode(path: str | Path, format_name: str, wanted: str, remedy: str) -> tuple[dict[str, Any], Arrays]:
    """Header and tensors of a file.

    Args:
        wanted: what the file should be, and `remedy` what to name instead, for errors.

    Raises:
        ModelError: it is missing, damaged, or not of this format.
    """
    with _opened(path, wanted, remedy) as (header, file):
        if header["format"] != format_name:
            raise ModelError(f"{path} is not {wanted} but a file of format '{header['format']}'", remedy)
        return header, {name: file.get_tensor(name) for name in _names(file)}


def describe(path: str | Path) -> tuple[dict[str, Any], dict[str, tuple[int, ...]]]:
    """Header and shapes of the tensors of a file of any format of htgen.

    Raises:
        ModelError: it is missing, damaged, or of none.
    """
    with _opened(path, "a file of htgen", "a file that htgen wrote") as (header, file):
        return header, {name: tuple(file.get_slice(name).get_shape()) for name in _names(file)}


@contextmanager
def _opened(path: str | Path, wanted: str, remedy: str) -> Iterator[tuple[dict[str, Any], Any]]:
    """Yield header and handle of a file of this version or an older one; what cannot be read is told."""
    try:
        with safe_open(path, framework="np") as file:
            header = json.loads((file.metadata() or {})["htgen"])
            if header["version"] > FORMAT_VERSION:
                raise ModelError(
                    f"{path} has format version {header['version']}, this htgen reads {FORMAT_VERSION}",
                    "a newer htgen",
                )
            yield header, file
    except FileNotFoundError:
        raise ModelError(f"there is no file {path}", remedy) from None
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not {wanted}, or it is damaged ({error})", remedy) from error


def _names(file: Any) -> list[str]:
    return list(file.keys())
