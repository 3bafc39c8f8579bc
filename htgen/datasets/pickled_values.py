"""What the pickles of arrays name and call, by operations of this file; see `htgen.datasets.safe_pickle`.

NumPy and Python 2 write a few names of functions for an array. Each stands for an operation here, and no
other name is known.
"""

import math
import re
from enum import Enum, auto
from typing import Any

import numpy as np


class Refused(Exception):
    """The pickle asks for something that data do not need; the text completes "it ..."."""


class Name(Enum):
    """What a pickle may name; each stands for an operation of this file."""

    RECONSTRUCT = auto()
    FROM_BUFFER = auto()
    SCALAR = auto()
    ARRAY = auto()
    DTYPE = auto()
    ENCODE = auto()
    ORDERED_DICT = auto()


NAMES = {
    ("numpy", "ndarray"): Name.ARRAY,
    ("numpy", "dtype"): Name.DTYPE,
    ("_codecs", "encode"): Name.ENCODE,
    ("collections", "OrderedDict"): Name.ORDERED_DICT,
}
for _core in ("numpy.core", "numpy._core"):  # NumPy 1 and 2
    NAMES[f"{_core}.multiarray", "_reconstruct"] = Name.RECONSTRUCT
    NAMES[f"{_core}.multiarray", "scalar"] = Name.SCALAR
    NAMES[f"{_core}.numeric", "_frombuffer"] = Name.FROM_BUFFER


class Unbuilt:
    """An array or dtype before its BUILD instruction; `keys` are its places in the memo."""

    def __init__(self, dtype: str | None) -> None:
        self.dtype = dtype
        self.keys: list[int] = []


def call(function: Name, arguments: tuple[Any, ...]) -> Any:
    """What a name gives for its arguments: an array, a dtype, a scalar, bytes or a dictionary.

    Raises:
        Refused: it is called in another way than for plain data.
    """
    match function, arguments:
        case Name.RECONSTRUCT, (Name.ARRAY, _, _):
            return Unbuilt(None)
        case Name.DTYPE, (str() | bytes() as code, *_):
            return Unbuilt(code if isinstance(code, str) else code.decode("latin1"))
        case Name.FROM_BUFFER, (data, np.dtype() as dtype, shape, order):
            return _array(data, dtype, shape, order == "F")
        case Name.SCALAR, (np.dtype() as dtype, data):
            return _array(data, dtype, (), False).item()
        case Name.ENCODE, (str() as text, "latin1" | "latin-1"):
            return text.encode("latin1")
        case Name.ORDERED_DICT, ():
            return {}
        case Name.ORDERED_DICT, (list() as pairs,):
            return set_items({}, [value for key, item in pairs for value in (key, item)])
    raise Refused(f"calls {function.name} in a way that plain data do not need")


def set_items(target: Any, items: list[Any]) -> dict[Any, Any]:
    """Put keys and values, which take turns in `items`, into a dictionary; keys of bytes become text.

    Raises:
        TypeError: it is no dictionary, a value is missing, or a key is neither text nor a number.
    """
    if not isinstance(target, dict) or len(items) % 2:
        raise TypeError("entries for what is no dictionary")
    for key, value in zip(items[::2], items[1::2], strict=True):
        # Hashing a tuple nested very deeply would end the process.
        if not isinstance(key, (str, bytes, int, float)):
            raise TypeError(f"a {type(key).__name__} is the key of a dictionary")
        target[key.decode("latin1") if isinstance(key, bytes) else key] = value
    return target


def build(target: Unbuilt, state: tuple[Any, ...]) -> Any:
    """The array or dtype that an Unbuilt becomes by its BUILD instruction."""
    if target.dtype is not None:
        return _dtype(target.dtype, state)
    _, shape, dtype, is_fortran, data = state
    if not isinstance(dtype, np.dtype):
        raise TypeError("an array without a type")
    return _array(data, dtype, shape, bool(is_fortran))


def _dtype(code: str, state: tuple[Any, ...]) -> np.dtype[Any]:
    if not re.fullmatch("[biuf][1248]", code):
        what = "Python objects" if code.startswith("O") else f"type {code[:20]!r}"
        raise Refused(f"holds an array of {what}")
    order = state[1].decode("latin1") if isinstance(state[1], bytes) else state[1]
    if order not in ("<", ">", "|") or any(part is not None for part in state[2:5]):
        raise TypeError("a malformed array type")
    return np.dtype(order + code)


def _array(data: Any, dtype: np.dtype[Any], shape: Any, is_fortran: bool) -> np.ndarray[Any, Any]:
    if isinstance(data, str):  # of Python 2, read and written again by Python 3
        data = data.encode("latin1")
    if not isinstance(data, (bytes, memoryview)) or not isinstance(shape, tuple):
        raise TypeError("an array without its data")
    if not all(type(side) is int and side >= 0 for side in shape):
        raise ValueError("an array with a malformed shape")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError(f"an array {list(shape)} of {dtype} with {len(data)} bytes")
    if not data:
        return np.zeros(shape, dtype)
    return np.frombuffer(data, dtype).reshape(shape, order="F" if is_fortran else "C")
