"""Files of named arrays: generators, CNNs, training states. No torch here.

All are safetensors with one metadata entry, `htgen`, that holds sorted JSON (several entries would be
written in varying order).
"""

import hashlib
import json
from collections.abc import Mapping
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
    try:
        with safe_open(path, framework="np") as file:
            header = json.loads((file.metadata() or {})["htgen"])
            if header["format"] != format_name:
                raise ModelError(f"{path} is not {wanted} but a file of format '{header['format']}'", remedy)
            if header["version"] > FORMAT_VERSION:
                raise ModelError(
                    f"{path} has format version {header['version']}, this htgen reads {FORMAT_VERSION}",
                    "a newer htgen",
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except FileNotFoundError:
        raise ModelError(f"there is no file {path}", remedy) from None
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path} is not {wanted}, or it is damaged ({error})", remedy) from error
    return header, tensors
