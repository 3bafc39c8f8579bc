"""Names of classes: the label in the name of an image's file, and one form of what is written alike."""

import re
import unicodedata
from collections.abc import Collection

_NUMBER_AT_END = re.compile(r"[ _.\-(\[#]*[0-9]+[)\]]?$")


def label_in(name: str) -> str | None:
    """The label in a file's name; None where it holds none. See `htgen.images.labels.labels_from_names`."""
    stem, dot, _ = name.rpartition(".")
    stem = stem if dot else name
    label, dot, _ = stem.partition(".")
    if not dot:
        label = _NUMBER_AT_END.sub("", stem)
        if label == stem:  # without a number nothing tells that it is a label
            return None
    return label.strip(" _-") or None


def composed(name: str) -> str:
    """A name in the one Unicode form (NFC) of those that look the same; systems and programs write others."""
    return unicodedata.normalize("NFC", name)


def known_as(name: str, known: Collection[str]) -> str:
    """What is written alike among known names, in whatever Unicode form; the name itself if nothing is."""
    if name in known:
        return name
    return next((other for other in known if composed(other) == composed(name)), name)
