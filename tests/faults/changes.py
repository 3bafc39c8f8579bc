"""Changed copies of good inputs: bytes as they are, and JSON value by value.

What is hostile in a value reaches beyond the parser.
"""

import json
import math
import random
import struct
from typing import Any

NUMBERS = (
    0,
    -1,
    1,
    2,
    7,
    2**31,
    2**53,
    2**63,
    2**64,
    10**30,
    -(2**62),
    0.5,
    -0.0,
    1e-300,
    1e300,
    math.inf,
    math.nan,
)
TEXTS = ("", "x", "\0", "\ud800", "../x", "1e400", "x" * 3000, "=1+1", "conv1", "support", "\x1b[2J", "relu")
VALUES = (*NUMBERS, *TEXTS, None, True, False, [], {}, [[]], [1, 2], {"x": {}}, [None] * 40)


def changed_bytes(data: bytes, chance: random.Random) -> bytes:
    """Some bytes of it others, moved, left out or repeated."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        place = chance.randrange(len(changed) + 1)
        match chance.randrange(7):
            case 0 if place < len(changed):
                changed[place] ^= 1 << chance.randrange(8)
            case 1:
                changed[place : place + chance.choice((1, 2, 4, 8))] = chance.randbytes(
                    chance.choice((1, 2, 4, 8))
                )
            case 2:
                del changed[place : place + chance.choice((1, 2, 8, 64))]
            case 3:
                start = chance.randrange(len(changed) + 1)
                changed[place:place] = changed[start : start + chance.choice((1, 4, 32))]
            case 4 if chance.random() < 0.2:
                del changed[place:]
            case 5:
                number = chance.choice((0, 1, 127, 255, 2**16 - 1, 2**31 - 1, 2**32 - 1, 2**63))
                packed = struct.pack(chance.choice("<>") + "Q", number)
                changed[place : place + 4] = packed[:4] if chance.random() < 0.5 else packed[4:]
            case _:
                changed[place:place] = chance.choice(
                    (b"\0", b"\xff", b"[", b"{", b'"', b"9", b"-", b"e", b"\n")
                )
    return bytes(changed)


def changed_values(values: Any, chance: random.Random) -> Any:
    """Some value in plain containers another one, left out, or put elsewhere."""
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        values = _changed_value(values, chance)
    return values


def _changed_value(values: Any, chance: random.Random) -> Any:
    if isinstance(values, dict) and values and chance.random() < 0.95:
        changed = dict(values)
        key = chance.choice(list(changed))
        match chance.randrange(12):
            case 0:
                del changed[key]
            case 1:
                changed[str(chance.choice(TEXTS))] = changed[key]
            case _:
                changed[key] = _changed_value(changed[key], chance)
        return changed
    if isinstance(values, list) and values and chance.random() < 0.9:
        changed_list = list(values)
        place = chance.randrange(len(values))
        match chance.randrange(8):
            case 0:
                del changed_list[place]
            case 1:
                changed_list.insert(place, chance.choice(VALUES))
            case _:
                changed_list[place] = _changed_value(changed_list[place], chance)
        return changed_list
    if isinstance(values, str) and len(values) > 1 and chance.random() < 0.3:
        place = chance.randrange(len(values))
        return values[:place] + chance.choice(TEXTS) + values[place + 1 :]
    if isinstance(values, int) and not isinstance(values, bool) and chance.random() < 0.4:
        return values + chance.choice((-1, 1, 2, 1000))
    return chance.choice(VALUES)


def changed_json(data: bytes, chance: random.Random) -> bytes:
    """JSON with some of its values others."""
    return json.dumps(changed_values(json.loads(data), chance)).encode()


def changed_json_or_bytes(data: bytes, chance: random.Random) -> bytes:
    """Either."""
    return (changed_json if chance.random() < 0.5 else changed_bytes)(data, chance)
