import builtins
import os
import pickle
from collections import OrderedDict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from htgen.datasets.pickled_values import NAMES
from htgen.datasets.safe_pickle import load_pickle
from htgen.errors import DataError


def load(folder: Path, content: bytes) -> Any:
    (folder / "x.pkl").write_bytes(content)
    return load_pickle(folder / "x.pkl")


def refusal(folder: Path, content: bytes) -> str:
    with pytest.raises(DataError) as caught:
        load(folder, content)
    assert str(folder / "x.pkl") in caught.value.message
    assert caught.value.hint
    return caught.value.message


# ------------------------------------------------------------------------------------------------------ data

PLAIN = [
    None,
    True,
    [False, 0, -1, 255, 256, 65536, -(2**31), 2**40, -(2**2000), 0.5, float("inf")],
    ("text", "日本\n", b"bytes", b"", "x" * 300, b"\x00\xff" * 40_000),
    {"a": {1: [], 2: ()}, "b": [{}, (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)]},
]


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize("value", PLAIN)
def test_plain_values(tmp_path: Path, value: Any, protocol: int) -> None:
    assert load(tmp_path, pickle.dumps(value, protocol)) == value


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_plain_values_of_old_protocols(tmp_path: Path, protocol: int) -> None:
    for value in (*PLAIN[:3], ("text", "日本\n", b"bytes", "x" * 300), PLAIN[4]):
        assert load(tmp_path, pickle.dumps(value, protocol)) == value


def test_ordered_dict_and_shared_objects(tmp_path: Path) -> None:
    shared = [1]
    for protocol in range(6):
        value = load(tmp_path, pickle.dumps(OrderedDict(b=shared, a=shared), protocol))
        assert list(value.items()) == [("b", [1]), ("a", [1])]
        assert value["a"] is value["b"]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "array",
    [
        np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
        np.asfortranarray(np.arange(6, dtype="<i8").reshape(2, 3)),
        np.array([1.5, -2], ">f4"),
        np.array([True, False]),
        np.array(7, np.int16),
        np.arange(200_000, dtype=np.uint8),
    ],
)
def test_arrays(tmp_path: Path, array: np.ndarray, protocol: int) -> None:
    first, second = load(tmp_path, pickle.dumps([array, array], protocol))
    np.testing.assert_array_equal(first, array)
    assert first.dtype == array.dtype
    assert first is second


@pytest.mark.parametrize("protocol", range(6))
def test_scalars_become_numbers(tmp_path: Path, protocol: int) -> None:
    values = [np.int64(-3), np.float32(0.5), np.uint8(200), np.bool_(True)]
    loaded = load(tmp_path, pickle.dumps(values, protocol))
    assert loaded == [-3, 0.5, 200, True]
    assert [type(value) for value in loaded] == [int, float, int, bool]


def test_names_of_numpy_1_and_2(tmp_path: Path) -> None:
    content = pickle.dumps(np.arange(3), 2)
    for old, new in ((b"numpy._core", b"numpy.core"), (b"numpy.core", b"numpy._core")):
        assert load(tmp_path, content.replace(old, new)).tolist() == [0, 1, 2]


# What Python 2.7 with NumPy 1 writes for
# {"image_data": np.array([[1, 200]], "u1"), "class_dict": {"n01": [0]}}
PYTHON_2_ARRAY = (
    b"cnumpy.core.multiarray\n_reconstruct\nq\x01(cnumpy\nndarray\nq\x02K\x00\x85U\x01btRq\x03"
    b"(K\x01K\x01K\x02\x86cnumpy\ndtype\nq\x04U\x02u1K\x00K\x01\x87Rq\x05"
    b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x02\x01\xc8tb"
)
PYTHON_2 = (
    b"\x80\x02}q\x00(U\nimage_dataq\x06"
    + PYTHON_2_ARRAY
    + b"U\nclass_dictq\x07}q\x08U\x03n01q\t]q\nK\x00asu."
)
PYTHON_2_TEXT = (
    b"(dp0\nS'image_data'\np1\ncnumpy.core.multiarray\n_reconstruct\np2\n(cnumpy\nndarray\np3\n(I0\ntp4\nS'b'\n"
    b"p5\ntp6\nRp7\n(I1\n(I1\nI2\ntp8\ncnumpy\ndtype\np9\n(S'u1'\np10\nI0\nI1\ntp11\nRp12\n(I3\nS'|'\np13\nNNNI-1\n"
    b"I-1\nI0\ntp14\nbI00\nS'\\x01\\xc8'\np15\ntp16\nbsS'class_dict'\np17\n(dp18\nS'n01'\np19\n(lp20\nL0L\nass."
)


@pytest.mark.parametrize("content", [PYTHON_2, PYTHON_2_TEXT])
def test_python_2(tmp_path: Path, content: bytes) -> None:
    reference = pickle.loads(content, encoding="latin1")  # of this file alone: the bytes above are right
    value = load(tmp_path, content)
    assert value["class_dict"] == reference["class_dict"] == {"n01": [0]}
    np.testing.assert_array_equal(value["image_data"], reference["image_data"])
    assert value["image_data"].tolist() == [[1, 200]]


def test_python_2_ordered_dict(tmp_path: Path) -> None:
    content = b"ccollections\nOrderedDict\n((lp0\n(lp1\nS'b'\naI1\naa(lp2\nS'a'\naI2\naatR."
    assert pickle.loads(content) == OrderedDict(b=1, a=2)
    assert load(tmp_path, content) == {"b": 1, "a": 2}


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_large_arrays_stay_in_the_file(tmp_path: Path, protocol: int) -> None:
    array = load(tmp_path, pickle.dumps({"a": np.zeros(1_000_000, np.uint8)}, protocol))["a"]
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    assert type(base.obj if isinstance(base, memoryview) else base).__name__ == "mmap"
    assert not array.flags.writeable


# ---------------------------------------------------------------------------------------------------- attacks


class Attack:
    """Pickles as a call of any function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    ("attack", "name"),
    [
        (lambda mark: Attack(os.system, f"touch {mark}"), "system"),
        (lambda mark: Attack(eval, f"open({str(mark)!r}, 'w')"), "builtins.eval"),
        (lambda mark: Attack(exec, f"open({str(mark)!r}, 'w')"), "builtins.exec"),
        (lambda mark: Attack(open, str(mark), "w"), "io.open"),
        (lambda mark: Attack(getattr, Attack(__import__, "os"), "system"), "builtins.getattr"),
        (lambda mark: Attack(partial(os.system, f"touch {mark}")), "functools.partial"),
        (lambda mark: {"labels": [0, 1, Attack(os.mkdir, str(mark))]}, "mkdir"),
        (lambda mark: Attack(np.load, str(mark)), "load"),
        (lambda mark: Attack(np.fromfile, str(mark)), "fromfile"),
        (lambda mark: np.array([Attack(os.mkdir, str(mark))], object), "array of Python objects"),
    ],
)
def test_nothing_is_called(tmp_path: Path, attack: Any, name: str, protocol: int) -> None:
    mark = tmp_path / "mark"
    content = pickle.dumps(attack(mark), protocol)
    message = refusal(tmp_path, content)
    assert name in message.replace("__builtin__", "builtins")
    assert not mark.exists()


def test_the_attacks_work_on_an_ordinary_unpickler(tmp_path: Path) -> None:
    """So that the test above shows something."""
    pickle.loads(pickle.dumps(Attack(os.mkdir, str(tmp_path / "mark"))))
    assert (tmp_path / "mark").exists()


RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR"
BYTE_TYPE = b"cnumpy\ndtype\n(U\x02u1tR(K\x03U\x01|NNNtb"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"cnumpy\ncore.multiarray._reconstruct\n.", "asks to load"),
        (b"\x8c\x0ccore.builtins\x8c\x04eval\x93.", ""),
        (b"\x8c\x0bcollections\x8c\x15OrderedDict.__class__\x93.", "asks to load"),
        (b"K\x01K\x02\x93.", "asks to load '1.2'"),
        (b"cnumpy\nndarray\n(K\x05tR.", "calls ARRAY"),
        (b"cnumpy\nndarray\n)\x81.", "instruction 0x81"),
        (b"(ios\nsystem\n.", "instruction 0x69"),
        (b"(S'ls'\nios\nsystem\n.", "instruction 0x69"),
        (b"\x82\x01.", "instruction 0x82"),
        (b"Pperson\n.", "instruction 0x50"),
        (b"}}U\x01aK\x01sb.", "changes an object"),
        (b"cnumpy\nndarray\n}U\x01aK\x01sb.", "changes an object"),
        (b"K\x01)R.", "calls something"),
        (b"cnumpy\ndtype\n(U\x01OtR(K\x03U\x01|NNNtb.", "array of Python objects"),
        (b"cnumpy\ndtype\n(U\x03V99tR(K\x03U\x01|NNNtb.", "array of type 'V99'"),
        (b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x05\x00\x00\x00utf16tR.", "calls ENCODE"),
        (RECONSTRUCT + b"(K\x01(J\xff\xff\xff\x7ft" + BYTE_TYPE + b"\x89U\x01atb.", "with 1 bytes"),
        (RECONSTRUCT + b"(K\x01(J\xff\xff\xff\xfft" + BYTE_TYPE + b"\x89U\x01atb.", "malformed shape"),
        (RECONSTRUCT + b"(K\x01(K\x01t" + BYTE_TYPE + b"\x89]tb.", "without its data"),
        (RECONSTRUCT + b"(K\x01(K\x01tU\x02u1\x89U\x01atb.", "without a type"),
        (RECONSTRUCT + b".", "before it is complete"),
        (b"cnumpy\nndarray\n.", "before it is complete"),
    ],
)
def test_misuse_of_what_is_allowed(tmp_path: Path, content: bytes, message: str) -> None:
    assert message in refusal(tmp_path, content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "truncated"),
        (b".", "damaged"),
        (b"\x80\x09N.", "protocol 9"),
        (b"N", "truncated"),
        (b"NN.", "before it is complete"),
        (b"(N.", "before it is complete"),
        (b"h\x05.", "damaged"),
        (b"Ix\n.", "damaged"),
        (b"I" + b"9" * 5000 + b"\n.", "damaged"),
        (b"S'abc\n.", "quotes"),
        (b"T\xff\xff\xff\xff.", "negative"),
        (b"\x8e" + b"\xff" * 8 + b".", "truncated"),
        (b"B\xff\xff\xff\x7fabc.", "truncated"),
        (b"r\xff\xff\xff\xff.", "damaged"),
        (b"X\x01\x00\x00\x00\xff.", "damaged"),
        (b"]K\x01K\x02e.", "damaged"),
        (b"}]K\x01s.", "key of a dictionary"),
        (b"}(K\x01u.", "damaged"),
        (b"K\x01a.", "damaged"),
        (b"(K\x01(\x85.", "damaged"),
        (b"}" + b")" + b"\x85" * 200_000 + b"Ns.", "key of a dictionary"),
        (b"<html>", ""),
        (b"PK\x03\x04", ""),
    ],
)
def test_damaged(tmp_path: Path, content: bytes, message: str) -> None:
    assert message in refusal(tmp_path, content)


def test_memo_of_a_far_place_takes_no_memory(tmp_path: Path) -> None:
    assert load(tmp_path, b"Nr\xff\xff\xff\xff.") is None


def test_repeated_text_is_refused(tmp_path: Path) -> None:
    text = b"X" + (50_000).to_bytes(4, "little") + b"a" * 50_000 + b"q\x00X\x06\x00\x00\x00latin1q\x01"
    call = b"c_codecs\nencode\nh\x00h\x01\x86R"
    assert "fill the memory" in refusal(tmp_path, b"(" + text + call * 100 + b"l.")


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no file"):
        load_pickle(tmp_path / "x")
    with pytest.raises(DataError, match="cannot read"):
        load_pickle(tmp_path)


VALID = [
    PYTHON_2,
    PYTHON_2_TEXT,
    *(pickle.dumps({"a": np.arange(9), "b": [np.int8(1), {"c": ("d", 2.5)}]}, p) for p in range(6)),
]


@settings(max_examples=300, deadline=None)
@given(
    content=st.sampled_from(VALID),
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=4),
    cut=st.integers(0, 500),
)
@example(b"S'\\q\\8'\n.", [(0, ord("S"))], 0)
def test_any_damage_gives_a_value_or_a_data_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, changes: list[tuple[int, int]], cut: int
) -> None:
    damaged = bytearray(content)
    for position, value in changes:
        damaged[position % len(damaged)] = value
    try:
        load(tmp_path_factory.getbasetemp(), bytes(damaged[: cut or None]))
    except DataError:
        return


def test_no_builtin_is_among_the_names() -> None:
    assert not {module for module, _ in NAMES} & {"builtins", "__builtin__", "os", "posix", "sys"}
    assert all(not hasattr(builtins, name) for _, name in NAMES)
