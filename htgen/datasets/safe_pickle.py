"""Reading pickles that strangers made: arrays of numbers and plain containers, and nothing else.

A pickle is a program for a small stack machine. Python's own machine can load any name of any module and
call it. This one has only the instructions that data need; the few names that NumPy and Python 2 write for
an array stand for operations of `htgen.datasets.pickled_values`, so nothing else is ever loaded or called.

Read are: None, truth values, numbers, text, byte strings, tuples, lists, dictionaries (also `OrderedDict`),
and arrays and scalars of truth values, integers and floating-point numbers, in pickle protocols 0 to 5 as
Python 2 and 3 write them. The file is memory-mapped, and so is an array in it, unless Python 3 wrote it in
protocol 0, 1 or 2, which hold arrays as encoded text. Memory stays proportional to the size of the file.
"""

import codecs
import mmap
import os
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from htgen.datasets.pickled_values import NAMES, Name, Refused, Unbuilt, build, call, set_items
from htgen.errors import DataError
from htgen.files import open_regular, unreadable

_LONG = 1 << 16
"""Byte strings of this length and more are not copied out of the file: they become memory views."""


def load_pickle(path: str | Path) -> Any:
    """Read a pickle without trusting it.

    Byte strings that are keys of a dictionary become text, so that Python 2's keys are like Python 3's;
    other byte strings stay as they are, and those of 64 KiB and more are memory views.

    Args:
        path: the file.

    Returns:
        What it holds; arrays may be memory-mapped, and then they are read-only.

    Raises:
        DataError: no such file, damaged or truncated, or it holds anything else than data.
    """
    path = Path(path)
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
    except FileNotFoundError:
        raise DataError(f"there is no file {path}", "check the path") from None
    except OSError as error:
        raise unreadable(path, error) from error
    try:
        return _Machine(content).run()
    except Refused as error:
        raise DataError(
            f"{path} was not read: it {error}",
            "a data set needs numbers, text and arrays of numbers only; this file may be made to do harm: "
            "get it from a source that you trust",
        ) from None
    except EOFError:
        raise DataError(f"{path} is truncated: its pickle has no end", "download it again") from None
    # What a damaged program does to a stack machine: an empty stack, a wrong type, a malformed number, ...
    except (LookupError, TypeError, ValueError, ArithmeticError, struct.error, MemoryError) as error:
        raise DataError(
            f"{path} is damaged, or no pickle ({type(error).__name__}: {str(error)[:200]})",
            "download it again",
        ) from error


class _Machine:
    """Runs one pickle."""

    def __init__(self, content: bytes | mmap.mmap) -> None:
        self._content = content
        self._view = memoryview(content)
        self._position = 0
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._encoded = 0

    def run(self) -> Any:
        while (code := self._read(1)[0]) != ord("."):
            step = _STEPS.get(code)
            if step is None:
                raise Refused(f"uses the pickle instruction 0x{code:02x}, which is not for plain data")
            step(self)
        result = self._stack.pop()
        if self._stack or self._marks or isinstance(result, (Unbuilt, Name)):
            raise ValueError("it ends before it is complete")
        return result

    # ------------------------------------------------------------------------------------------ reading

    def _read(self, count: int) -> memoryview:
        start = self._position
        if count < 0:
            raise ValueError("a negative length")
        if start + count > len(self._view):
            raise EOFError
        self._position = start + count
        return self._view[start : start + count]

    def _line(self) -> bytes:
        end = self._content.find(b"\n", self._position)
        if end < 0:
            raise EOFError
        line = bytes(self._read(end - self._position))
        self._position = end + 1
        return line

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._read(struct.calcsize(form)))[0]

    # ------------------------------------------------------------------------------------- instructions

    def push_bytes(self, length: str) -> None:
        data = self._read(self._number(length))
        self._stack.append(data if len(data) >= _LONG else bytes(data))

    def push_text(self, length: str) -> None:
        self._stack.append(str(self._read(self._number(length)), "utf-8", "surrogatepass"))

    def push_number(self, form: str) -> None:
        self._stack.append(self._number(form))

    def push_long(self, length: str) -> None:
        data = self._read(self._number(length))
        self._stack.append(int.from_bytes(data, "little", signed=True))

    def push_quoted(self) -> None:
        """Python 2's `str`, as it is written in source text."""
        line = self._line().strip()
        if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
            raise ValueError("a string without its quotes")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an unknown escape, which stays as it is
            self._stack.append(codecs.escape_decode(line[1:-1])[0])

    def push_unicode_line(self) -> None:
        self._stack.append(self._line().decode("raw-unicode-escape"))

    def push_int_line(self) -> None:
        line = self._line()
        booleans = {b"00": False, b"01": True}
        self._stack.append(booleans[line] if line in booleans else int(line.strip().removesuffix(b"L")))

    def push_float_line(self) -> None:
        self._stack.append(float(self._line()))

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def mark(self) -> None:
        self._marks.append(len(self._stack))

    def _popped_to_mark(self) -> list[Any]:
        start = self._marks.pop()
        items = self._stack[start:]
        del self._stack[start:]
        return items

    def _popped(self, count: int) -> list[Any]:
        start = len(self._stack) - count
        if start < (self._marks[-1] if self._marks else 0):
            raise IndexError("not enough on the stack")
        items = self._stack[start:]
        del self._stack[start:]
        return items

    def push_list(self) -> None:
        self._stack.append(self._popped_to_mark())

    def push_tuple(self) -> None:
        self._stack.append(tuple(self._popped_to_mark()))

    def push_short_tuple(self, count: int) -> None:
        self._stack.append(tuple(self._popped(count)))

    def push_dict(self) -> None:
        self._stack.append(set_items({}, self._popped_to_mark()))

    def append(self) -> None:
        self._extend(self._popped(1))

    def appends(self) -> None:
        self._extend(self._popped_to_mark())

    def _extend(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, list):
            raise TypeError("elements for what is no list")
        target.extend(items)

    def set_item(self) -> None:
        set_items(self._stack[-3], self._popped(2))

    def set_items(self) -> None:
        items = self._popped_to_mark()
        set_items(self._stack[-1], items)

    def get(self, form: str) -> None:
        self._stack.append(self._memo[self._number(form) if form else int(self._line())])

    def put(self, form: str) -> None:
        self._remember(self._number(form) if form else int(self._line()))

    def memoize(self) -> None:
        self._remember(len(self._memo))

    def _remember(self, key: int) -> None:
        value = self._memo[key] = self._stack[-1]
        if isinstance(value, Unbuilt):
            value.keys.append(key)

    def protocol(self) -> None:
        version = self._number("<B")
        if version > 5:
            raise ValueError(f"protocol {version}")

    def frame(self) -> None:
        self._read(8)  # a length, for readers that fetch the file piece by piece

    def name_lines(self) -> None:
        self._push_name(self._line().decode(), self._line().decode())

    def name_from_stack(self) -> None:
        self._push_name(*self._popped(2))

    def _push_name(self, module: Any, name: Any) -> None:
        known = NAMES.get((module, name)) if isinstance(module, str) and isinstance(name, str) else None
        if known is None:
            raise Refused(f"asks to load {f'{module}.{name}'[:100]!r}")
        self._stack.append(known)

    def call(self) -> None:
        function, arguments = self._popped(2)
        if not isinstance(function, Name) or not isinstance(arguments, tuple):
            raise Refused("calls something that is no function of plain data")
        result = call(function, arguments)
        if function is Name.ENCODE:
            self._encoded += len(result)
            if self._encoded > len(self._view):
                raise Refused("repeats one text to fill the memory")
        self._stack.append(result)

    def build(self) -> None:
        target, state = self._popped(2)
        if not isinstance(target, Unbuilt) or not isinstance(state, tuple):
            raise Refused("changes an object that is no array")
        built = build(target, state)
        for key in target.keys:
            self._memo[key] = built
        self._stack.append(built)


_Step = Callable[[_Machine], None]


def _with(step: Callable[[_Machine, Any], None], argument: Any) -> _Step:
    return lambda machine: step(machine, argument)


_M = _Machine
_STEPS: dict[int, _Step] = {
    code[0]: step
    for code, step in (
        (b"\x80", _M.protocol),
        (b"\x95", _M.frame),
        (b"(", _M.mark),
        (b"N", _with(_M.push, None)),
        (b"\x88", _with(_M.push, True)),
        (b"\x89", _with(_M.push, False)),
        (b"I", _M.push_int_line),
        (b"L", _M.push_int_line),
        (b"J", _with(_M.push_number, "<i")),
        (b"K", _with(_M.push_number, "<B")),
        (b"M", _with(_M.push_number, "<H")),
        (b"\x8a", _with(_M.push_long, "<B")),
        (b"\x8b", _with(_M.push_long, "<i")),
        (b"F", _M.push_float_line),
        (b"G", _with(_M.push_number, ">d")),
        (b"S", _M.push_quoted),
        (b"U", _with(_M.push_bytes, "<B")),
        (b"T", _with(_M.push_bytes, "<i")),
        (b"C", _with(_M.push_bytes, "<B")),
        (b"B", _with(_M.push_bytes, "<I")),
        (b"\x8e", _with(_M.push_bytes, "<Q")),
        (b"\x96", _with(_M.push_bytes, "<Q")),
        (b"V", _M.push_unicode_line),
        (b"\x8c", _with(_M.push_text, "<B")),
        (b"X", _with(_M.push_text, "<I")),
        (b"\x8d", _with(_M.push_text, "<Q")),
        (b"]", lambda machine: machine.push([])),
        (b"}", lambda machine: machine.push({})),
        (b")", _with(_M.push, ())),
        (b"l", _M.push_list),
        (b"t", _M.push_tuple),
        (b"\x85", _with(_M.push_short_tuple, 1)),
        (b"\x86", _with(_M.push_short_tuple, 2)),
        (b"\x87", _with(_M.push_short_tuple, 3)),
        (b"d", _M.push_dict),
        (b"a", _M.append),
        (b"e", _M.appends),
        (b"s", _M.set_item),
        (b"u", _M.set_items),
        (b"g", _with(_M.get, "")),
        (b"h", _with(_M.get, "<B")),
        (b"j", _with(_M.get, "<I")),
        (b"p", _with(_M.put, "")),
        (b"q", _with(_M.put, "<B")),
        (b"r", _with(_M.put, "<I")),
        (b"\x94", _M.memoize),
        (b"c", _M.name_lines),
        (b"\x93", _M.name_from_stack),
        (b"R", _M.call),
        (b"b", _M.build),
    )
}
