"""The runs of Omniglot's within-alphabet one-shot challenge (Lake et al., Science 2015) as they are archived.

`all_runs.zip`, or the folder that it unpacks to: each of `run01`, `run02`, ... holds one image of each class
(`training/class01.png`, ...), images to classify (`test/item01.png`, ...), and `class_labels.txt`. Its lines
name a test image and the training image of its class: `run01/test/item01.png run01/training/class07.png`.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

from htgen.datasets.raw_images import folder_reader, open_archive, zip_reader
from htgen.errors import DataError
from htgen.files import kind_at
from htgen.images.reading import decode_image

WHERE_FROM = "python/one-shot-classification/all_runs.zip of github.com/brendenlake/omniglot"

LABELS = "class_labels.txt"

MOST_RUNS, MOST_ITEMS = 1000, 1000
"""The challenge has 20 runs of 20 images."""

_LABELS_OF_RUN = re.compile(r"(?P<folder>(?:[^/]+/)*)(?P<run>run\d+)/class_labels\.txt")

_IMAGE = re.compile(r"run\d+/(?:training|test)/[\w-]+\.\w+")


@dataclass(frozen=True)
class OmniglotRun:
    """One run: some characters of one alphabet.

    Attributes:
        name: of its folder.
        training: one image of each class, by the name of its file.
        test: images to classify.
        labels: the class of each of these.
    """

    name: str
    training: dict[str, Image.Image]
    test: list[Image.Image]
    labels: list[str]


def read_runs(source: str | Path) -> Iterator[OmniglotRun]:
    """Read the runs, in the order of their names.

    Args:
        source: the archive, or the folder that it unpacks to.

    Raises:
        DataError: it is missing, damaged, or holds no such runs.
    """
    path = Path(source)
    kind = kind_at(path)
    if kind is None:
        raise DataError(f"there is no {path}", f"{WHERE_FROM}, or the folder that it unpacks to")
    with ExitStack() as stack:
        if kind == "folder":
            members = [
                str(file.relative_to(path).as_posix())
                for file in path.glob(f"**/run*/{LABELS}")
                if file.is_file()
            ]
            archive = None
        else:
            archive = open_archive(path, stack)
            members = archive.namelist()
        found = sorted(match[0] for name in members if (match := _LABELS_OF_RUN.fullmatch(name)))
        found = [name for name in found if not name.startswith("__MACOSX/")]
        if not 2 <= len(found) <= MOST_RUNS:
            raise DataError(
                f"{path} holds {len(found)} folders run01, run02, ... with {LABELS}; 2 to {MOST_RUNS} can be",
                WHERE_FROM,
            )

        def read(member: str) -> bytes:
            # Names are those of the labels' lines, which are checked: no path leads out of a folder.
            one = folder_reader(path, [member]) if archive is None else zip_reader(archive, path, [member])
            return next(one())[1]

        for member in found:
            match = _LABELS_OF_RUN.fullmatch(member)
            assert match is not None
            yield _read_run(f"{path}/{member}", match["run"], match["folder"], read)


def _read_run(where: str, run: str, folder: str, read: Callable[[str], bytes]) -> OmniglotRun:
    """One run, whose labels stand at `where`."""
    pairs = _pairs(read(f"{folder}{run}/{LABELS}"), where)
    for name in (name for pair in pairs for name in pair):
        if not _IMAGE.fullmatch(name) or not name.startswith(f"{run}/"):
            raise DataError(f"{where} names '{name}', which is no image of {run}", WHERE_FROM)
    names = sorted({training for _, training in pairs})
    if len(names) < 2:
        raise DataError(f"{where} names {len(names)} classes; a task has at least 2", WHERE_FROM)

    def decode(name: str) -> Image.Image:
        return decode_image(BytesIO(read(folder + name)), f"{where.removesuffix(f'{run}/{LABELS}')}{name}")

    training = {name: decode(name) for name in names}
    return OmniglotRun(run, training, [decode(test) for test, _ in pairs], [own for _, own in pairs])


def _pairs(content: bytes, where: str) -> list[tuple[str, str]]:
    """The lines of `class_labels.txt`."""
    try:
        lines = [line.split() for line in content.decode("ascii").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise DataError(f"{where} is no list of images: {error}", WHERE_FROM) from error
    if not 1 <= len(lines) <= MOST_ITEMS:
        raise DataError(f"{where} has {len(lines)} lines; 1 to {MOST_ITEMS} can be", WHERE_FROM)
    for number, line in enumerate(lines, 1):
        if len(line) != 2:
            raise DataError(f"line {number} of {where} names {len(line)} images instead of two", WHERE_FROM)
    return [(line[0], line[1]) for line in lines]
