"""What to try where a store is missing or damaged: the names of the data sets that commands can make.

`htgen.datasets.recipes` has a recipe for each; it imports this, as the store's errors do.
"""

from pathlib import Path

DOWNLOADED = ("omniglot",)
"""Data sets that need no raw files: they are downloaded."""
RAW_FILES = ("miniimagenet", "tieredimagenet", "emnist", "fashion_mnist", "kmnist", "icons")
"""Data sets that are made from their published files."""

DRAWINGS = "-drawings"
"""Ending of the names of stores whose drawings are brought to one form."""

MAKE_AGAIN = "run `htgen prepare-data` again (with --overwrite)"
MAKE_OF_FOLDER = "make one from a folder of class folders with `htgen prepare-data folder --source DIR`"


def how_to_make(path: Path) -> str:
    """A command that makes a store at a path; which data set that is, its name tells."""
    dataset = path.name.removesuffix(DRAWINGS)
    form = " --as-drawings" if path.name.endswith(DRAWINGS) else ""
    if dataset not in (*DOWNLOADED, *RAW_FILES):
        dataset, form = "folder", f" --ink bright{form}" if form else ""
    source = "" if dataset in DOWNLOADED else " --source DIR"
    return f"htgen prepare-data {dataset}{source}{form} --out {path}"
