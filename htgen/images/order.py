"""The order of names, which is also the order of a CNN's outputs."""

import re
import unicodedata


def natural_order(name: str) -> tuple[tuple[tuple[int, int, str], ...], str, str]:
    """The key by which names are sorted, on every system alike.

    Digits count as the number that they are, so that `2` is before `10`, and come before letters; letters
    count by their code points once composed (NFC), so that `Z` is before `a`.
    """
    composed = unicodedata.normalize("NFC", name)
    parts = re.findall(r"[0-9]+|[^0-9]", composed)
    numbered = ((0, int(part), "") if part[0] in "0123456789" else (1, 0, part) for part in parts)
    return tuple(numbered), composed, name
