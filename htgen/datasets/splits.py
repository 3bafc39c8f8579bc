"""Class-disjoint splits by name: `lake:test`, `omniglot:0-99,200`, `omniglot@7:0-99`, `all`.

A split is written `scheme:part`.

* scheme: one of the store's schemes; or the store's own name or `all`, which mean its classes in their
  natural order, or, as `name@seed`, in the order of `random.Random(seed).shuffle`.
* part: a named part of the scheme (`train`, `val`, `test`, ...), or inclusive ranges over the scheme's class
  order. `all` alone means every class.
"""

import difflib
import random
import re
from collections.abc import Iterable, Sequence

from htgen.datasets.store import Store
from htgen.datasets.store_format import Scheme
from htgen.errors import DataError

_RANGE = r"\s*\d{1,12}\s*(-\s*\d{1,12}\s*)?"
_RANGES = re.compile(f"{_RANGE}(,{_RANGE})*", re.ASCII)
_SHUFFLED = re.compile(r"(.*)@(\d{1,12})", re.ASCII)


def resolve_split(store: Store, text: str) -> list[int]:
    """Class ids of a split, in the order of its scheme.

    Args:
        store: the store whose classes are meant.
        text: `scheme:part`, see above.

    Returns:
        Distinct ids from 0 to `store.class_count - 1`, at least one.

    Raises:
        DataError: an unknown scheme or part, or ranges that are malformed, overlap or exceed the classes.
    """
    name, _, part = (piece.strip() for piece in text.partition(":"))
    natural = {"all": Scheme(parts={}), store.name: Scheme(parts={})}
    schemes = {**natural, **store.schemes}
    shuffled = _SHUFFLED.fullmatch(name)
    if shuffled and shuffled[1] in natural:
        schemes[name] = Scheme(parts={}, shuffle_seed=int(shuffled[2]))
    if name not in schemes:
        raise DataError(
            f"split {text!r}: store {store.name!r} has no scheme {name!r}{_similar(name, schemes)}",
            f"one of {describe_splits(store)}",
        )
    scheme = schemes[name]
    order = list(range(store.class_count))
    if scheme.shuffle_seed is not None:
        random.Random(scheme.shuffle_seed).shuffle(order)
    if part in scheme.parts:
        ranges = scheme.parts[part]
    elif name == "all" and not part and ":" not in text:
        return order
    elif _RANGES.fullmatch(part):
        ranges = part
    else:
        what = (
            f"scheme {name!r} has no part {part!r}{_similar(part, scheme.parts)}" if part else "no part named"
        )
        named = f"{', '.join(f'{name}:{key}' for key in scheme.parts)}, or " if scheme.parts else ""
        raise DataError(f"split {text!r}: {what}", f"{named}ranges such as {name}:0-9,15")
    return [order[position] for position in _positions(ranges, len(order), text)]


def without_blanks(text: str) -> str:
    """A split as it is mostly written, without the blanks that `resolve_split` overlooks."""
    name, colon, part = text.partition(":")
    return f"{name.strip()}{colon}{''.join(part.split())}"


def unseen_part(store: Store, text: str) -> str | None:
    """The split `scheme:test` of the scheme of another split, if the store has one."""
    name = text.partition(":")[0].strip()
    scheme = store.schemes.get(name)
    return f"{name}:test" if scheme is not None and "test" in scheme.parts else None


def named_splits(store: Store) -> list[str]:
    """The splits `scheme:part` of a store."""
    return [f"{name}:{part}" for name, scheme in store.schemes.items() for part in scheme.parts]


def describe_splits(store: Store) -> str:
    """All splits of a store in one line, for messages."""
    return ", ".join([*named_splits(store), "all", f"{store.name}:0-{store.class_count - 1} (any ranges)"])


def format_ranges(ids: Iterable[int]) -> str:
    """Write ids as ranges: `[0, 1, 2, 7]` -> `0-2,7`; order and repetition do not matter, `[]` -> ``."""
    runs: list[list[int]] = []
    for number in sorted(set(ids)):
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def default_schemes(count: int) -> dict[str, Scheme]:
    """The scheme `default` of a data set that has none of its own, for `count` classes.

    train / val / test with 64 / 16 / 20 % of the classes, at least one each, after shuffling with seed 0; no
    scheme for fewer than three classes.
    """
    if count < 3:
        return {}
    test = max(1, round(0.20 * count))
    val = max(1, round(0.16 * count))
    train = count - val - test
    spans = {"train": (0, train), "val": (train, train + val), "test": (train + val, count)}
    parts = {part: f"{start}-{end - 1}" for part, (start, end) in spans.items()}
    return {"default": Scheme(parts=parts, shuffle_seed=0)}


def _positions(ranges: str, count: int, text: str) -> Sequence[int]:
    """Positions of a range string, checked against the number of classes."""
    if not _RANGES.fullmatch(ranges):
        raise DataError(
            f"split {text!r}: {ranges!r} is not a list of ranges", "ranges look like 0-9,15,20-29"
        )
    chosen: dict[int, None] = {}
    for piece in ranges.split(","):
        first, _, last = piece.partition("-")
        start, end = int(first), int(last or first)
        if start > end:
            raise DataError(f"split {text!r}: the range {piece.strip()!r} is empty", f"write {end}-{start}")
        if end >= count:
            raise DataError(
                f"split {text!r}: {end} is out of range; there are {count} classes",
                f"the last one is {count - 1}",
            )
        for position in range(start, end + 1):
            if position in chosen:
                raise DataError(f"split {text!r}: {position} appears twice", "name each class once")
            chosen[position] = None
    return list(chosen)


def _similar(name: str, known: Iterable[str]) -> str:
    match = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {match[0]!r}?)" if match else ""
