import random
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from htgen.datasets.splits import describe_splits, format_ranges, resolve_split
from htgen.datasets.store import Store
from htgen.datasets.store_format import Scheme
from htgen.errors import DataError
from htgen.images.preprocessing import Preprocessing

SCHEMES = {
    "plain": Scheme(parts={"train": "0-5", "val": "6,7", "test": "8-9"}),
    "mixed": Scheme(parts={"train": "0-5", "test": "6-9"}, shuffle_seed=2022),
    "broken": Scheme(parts={"train": "0-99", "test": "zero", "val": "3-1"}),
}


def store_of(count: int, schemes: Mapping[str, Scheme] = SCHEMES) -> Store:
    return Store(
        path=Path("nowhere"),
        name="toy",
        images=np.zeros((count, 1, 1, 1), np.uint8),
        offsets=np.arange(count + 1),
        class_names=tuple(map(str, range(count))),
        class_sources=tuple(map(str, range(count))),
        schemes=schemes,
        preprocessing=Preprocessing(1, 1, "none", "pad"),
        checksum="",
    )


STORE = store_of(10)
SHUFFLED = list(range(10))
random.Random(2022).shuffle(SHUFFLED)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain:train", [0, 1, 2, 3, 4, 5]),
        ("plain:val", [6, 7]),
        ("plain:7,1-2", [7, 1, 2]),
        ("mixed:train", SHUFFLED[:6]),
        ("mixed:test", SHUFFLED[6:]),
        ("mixed:9,0-1", [SHUFFLED[9], *SHUFFLED[:2]]),
        ("toy:0-2,9", [0, 1, 2, 9]),
        ("all:3", [3]),
        ("toy@2022:0-5", SHUFFLED[:6]),
        ("all@2022:9,0-1", [SHUFFLED[9], *SHUFFLED[:2]]),
        ("all", list(range(10))),
        (" toy : 0 - 2 , 4 ", [0, 1, 2, 4]),
    ],
)
def test_split(text: str, expected: list[int]) -> None:
    assert resolve_split(STORE, text) == expected


def test_shuffle_is_pinned() -> None:
    """Results published for `reference` hold only while this order does."""
    schemes = {"reference": Scheme(parts={}, shuffle_seed=2022)}
    assert resolve_split(store_of(1623, schemes), "reference:0-4") == [265, 521, 1334, 1080, 857]


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("plan:train", "did you mean 'plain'", "plain:train"),
        ("toy", "no part named", "toy:0-9"),
        ("toy:train", "no part 'train'", "ranges"),
        ("plain:trian", "did you mean 'train'", "plain:val"),
        ("plain", "no part named", "plain:train"),
        ("plain:", "no part named", "plain:train"),
        ("all:", "no part named", "ranges"),
        ("toy@2022", "no part named", "toy@2022:0-9"),
        ("toy@x:0", "no scheme 'toy@x' (did you mean 'toy'?)", "toy:0-9"),
        ("mixed@7:train", "no scheme 'mixed@7'", "mixed:train"),
        ("", "no scheme ''", "plain:train"),
        (":", "no scheme ''", "plain:train"),
        ("toy:0-10", "10 is out of range; there are 10 classes", "9"),
        ("toy:99999999999999999999", "no part", "ranges"),
        ("toy:5-3", "empty", "3-5"),
        ("toy:1,1", "1 appears twice", "once"),
        ("toy:0-4,4-6", "4 appears twice", "once"),
        ("toy:1,,2", "no part '1,,2'", "ranges"),
        ("toy:-3", "no part '-3'", "ranges"),
        ("toy:1-2-3", "no part", "ranges"),
        ("toy:²", "no part", "ranges"),
        ("broken:train", "99 is out of range", "9"),
        ("broken:test", "'zero' is not a list of ranges", "ranges"),
        ("broken:val", "empty", "1-3"),
    ],
)
def test_faults(text: str, message: str, hint: str) -> None:
    with pytest.raises(DataError) as caught:
        resolve_split(STORE, text)
    assert f"split {text!r}" in caught.value.message
    assert message in caught.value.message
    assert hint in (caught.value.hint or "")


@given(st.text(alphabet="0123456789-, :alptoyin", max_size=20))
def test_any_text_gives_distinct_classes_or_a_data_error(text: str) -> None:
    try:
        ids = resolve_split(STORE, text)
    except DataError:
        return
    assert ids
    assert len(set(ids)) == len(ids)
    assert set(ids) <= set(range(10))


@given(st.lists(st.integers(0, 99), min_size=1))
def test_ranges_round_trip(ids: list[int]) -> None:
    assert resolve_split(store_of(100), f"all:{format_ranges(ids)}") == sorted(set(ids))


@pytest.mark.parametrize(
    ("ids", "text"), [([], ""), ([3], "3"), ([0, 1, 2, 7], "0-2,7"), ([5, 4, 4, 9, 8], "4-5,8-9")]
)
def test_ranges_are_short(ids: list[int], text: str) -> None:
    assert format_ranges(ids) == text


def test_description_names_every_part() -> None:
    text = describe_splits(STORE)
    for name, scheme in SCHEMES.items():
        for part in scheme.parts:
            assert f"{name}:{part}" in text
