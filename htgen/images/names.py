"""The label in the name of an image's file."""

import re

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
