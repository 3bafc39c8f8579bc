"""What to try where a store is missing or damaged: the names of the data sets that commands can make.

`htgen.datasets.recipes` has a recipe for each; it imports this, as the store's errors do.
"""

from pathlib import Path

DOWNLOADED = ("omniglot",)
"""Data sets that need no raw files: they are downloaded."""
RAW_FILES = ("miniimagenet", "tieredimagenet", "emnist", "fashion_mnist", "kmnist", "icons", "fonts")
"""Data sets that are made from files that others published."""

DRAWINGS, ICONS = "-drawings", "-icons"
"""Endings of the names of stores of one form: that of handwriting, and that of icons."""

MAKE_AGAIN = "run `htgen prepare-data` again (with --overwrite)"
MAKE_OF_FOLDER = "make one from a folder of class folders with `htgen prepare-data folder --source DIR`"


def how_to_make(path: Path) -> str:
    """A command that makes a store at a path; which data set that is, its name tells."""
    dataset = path.name.removesuffix(DRAWINGS).removesuffix(ICONS)
    form = next((f" --as{ending}" for ending in (DRAWINGS, ICONS) if path.name.endswith(ending)), "")
    if dataset not in (*DOWNLOADED, *RAW_FILES):
        dataset, form = "folder", f" --ink bright{form}" if form else ""
    source = "" if dataset in DOWNLOADED else " --source DIR"
    return f"htgen prepare-data {dataset}{source}{form} --out {path}"
