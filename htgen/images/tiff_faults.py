"""What libtiff finds wrong in a file while Pillow decodes it; by itself it prints that to stderr."""

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)

_found = threading.local()


def _note(module: bytes | None, message: bytes | None, values: int | None) -> None:
    """Called by libtiff; the values that belong into the message cannot be read from Python everywhere."""
    if (faults := getattr(_found, "faults", None)) is not None:
        faults.append((module or message or b"libtiff").decode("ascii", "replace"))


_CALLBACK = _HANDLER(_note)


@cache
def _set_handler() -> Any:
    """libtiff's function, of the very library that Pillow decodes with; None where it cannot be found."""
    from PIL import _imaging

    try:
        function = ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler
    except (OSError, AttributeError):
        return None
    function.argtypes, function.restype = (ctypes.c_void_p,), ctypes.c_void_p
    return function


@contextmanager
def noted() -> Iterator[list[str]]:
    """Yield a list of what libtiff finds wrong within: the names of its functions that tell."""
    set_handler = _set_handler()
    faults: list[str] = []
    if set_handler is None:
        yield faults
        return
    before = set_handler(ctypes.cast(_CALLBACK, ctypes.c_void_p))
    outer, _found.faults = getattr(_found, "faults", None), faults
    try:
        yield faults
    finally:
        _found.faults = outer
        set_handler(before)
