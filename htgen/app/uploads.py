"""What comes from the page: images, archives, names. Held in memory; nothing of it becomes a path."""

import csv
import io
import lzma
import re
import unicodedata
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

from PIL import Image

from htgen.errors import DataError
from htgen.files import UNPRINTABLE, as_text
from htgen.generator.choice import Look, look_at
from htgen.images.folders import is_of_system, is_smaller_copy
from htgen.images.names import composed
from htgen.images.notices import warning
from htgen.images.pictures import png_of
from htgen.images.reading import decode_image

LARGEST_IMAGE = 32 << 20
"""Bytes of one image."""

MOST_IMAGES = 3000

MOST_BYTES = 512 << 20
"""Of all images that are held."""

LONGEST_NAME = 80

THUMBNAIL = 160
"""Longer side of the picture of an image that the page shows, in pixels."""


@dataclass(frozen=True)
class Upload:
    """A file that the page sent.

    Attributes:
        name: what it is called, for people.
        data: its content.
    """

    name: str
    data: bytes

    @cached_property
    def look(self) -> Look:
        """What the image looks like."""
        return look_at(decode(self))


_DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, NotImplementedError, RuntimeError),
    *(EOFError, OSError, ValueError),
)
"""What zipfile raises for a damaged archive."""


def clean_name(name: str, otherwise: str) -> str:
    """A name of a class or file: in one Unicode form, without control characters, not too long, not empty."""
    return UNPRINTABLE.sub("", composed(as_text(name))).strip()[:LONGEST_NAME].strip() or otherwise


def decode(upload: Upload) -> Image.Image:
    """The image of a file.

    Raises:
        DataError: it is too large, or no image that can be read.
    """
    if len(upload.data) > LARGEST_IMAGE:
        raise DataError(f"{upload.name} has more than {LARGEST_IMAGE >> 20} MB", "a smaller image")
    return decode_image(io.BytesIO(upload.data), upload.name)


def expect_room(held: Sequence[Upload], more: Sequence[Upload]) -> None:
    """Refuse more than a page holds.

    Raises:
        DataError: there are too many images, or too many bytes.
    """
    size = sum(len(upload.data) for upload in (*held, *more))
    if len(held) + len(more) > MOST_IMAGES or size > MOST_BYTES:
        raise DataError(
            f"the page holds {MOST_IMAGES} images and {MOST_BYTES >> 20} MB at most", "htgen generate"
        )


def thumbnail(image: Image.Image) -> bytes:
    """A small PNG of an image."""
    small = image.copy()
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    return png_of(small)


LABELS = "labels.csv"
"""In an archive, where folders cannot have the names of their classes: `file,label`, as for `--labels`."""

_LARGEST_TABLE = 4 << 20
"""Bytes of it: more than the names of `MOST_IMAGES` images can be."""


def read_archive(data: bytes) -> tuple[dict[str, list[Upload]], list[str]]:
    """The images of a zip with one folder per class: class name -> its files; and lines on what was left out.

    Names inside are only taken apart, never written to. What lies beside the class folders, and what is
    hidden, is left out. A table `LABELS` beside the folders has the names of the classes of all files.

    Raises:
        DataError: it is no zip, holds too much, or has no class folders.
    """
    if data.count(b"PK\1\2") > 2 * MOST_IMAGES:  # before zipfile makes an object of each
        raise DataError(f"the archive has more than {2 * MOST_IMAGES} files", "fewer images")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            outer = _folder_around([_Member(entry) for entry in entries])
            members = [_Member(entry, outer) for entry in entries]
            images = [member for member in members if member.is_in_class]
            labels = _labels(archive, members, images)
            classes = _by_class(archive, images, labels)
    except _DAMAGED as error:
        raise DataError(f"the archive cannot be read: {error}", "a zip with one folder per class") from error
    if not classes:
        raise DataError("the archive has no folders with images", "a zip with one folder per class")
    beside = [m.shown for m in members if m.is_beside and not (labels and m.path.name == LABELS)]
    hidden = [m.shown for m in members if m.is_hidden]
    copies = [m.shown for m in members if m.is_copy]
    return classes, [
        *warning("left out, as it lies in no folder of a class:", beside, 3),
        *warning("left out, as its name or folder begins with a dot:", hidden, 3),
        *warning("left out, as a folder of that name holds thumbnails:", copies, 3),
    ]


class _Member:
    """A file in an archive: an image of a class, or beside such, or hidden, or made by a system."""

    def __init__(self, entry: zipfile.ZipInfo, outer: str | None = None) -> None:
        self.entry = entry
        self.path = PurePosixPath(entry.filename.replace("\\", "/").lstrip("/"))
        if outer is not None and self.path.is_relative_to(outer):
            self.path = self.path.relative_to(outer)
        self.shown = clean_name(str(self.path), "a file")
        parts = self.path.parts
        is_ours = not is_of_system(parts)
        self.is_copy = not is_ours and len(parts) > 1 and is_smaller_copy(parts)
        has_dot = any(part.startswith(".") for part in parts)
        self.is_hidden = is_ours and has_dot
        self.is_in_class = is_ours and not has_dot and len(parts) > 1
        self.is_beside = is_ours and not has_dot and len(parts) < 2


def _folder_around(members: list[_Member]) -> str | None:
    """The folder that was zipped with all that is in it: around the folders of classes, and their table."""
    paths = [member.path for member in members if member.is_in_class or member.is_beside]
    first = {path.parts[:1] for path in paths}
    is_around = len(first) == 1 and all(len(p.parts) > 2 or p.parts[1:] == (LABELS,) for p in paths)
    return first.pop()[0] if is_around else None


def _labels(archive: zipfile.ZipFile, members: list[_Member], images: list[_Member]) -> dict[str, str]:
    """File -> label, by the table beside the folders; nothing where there is none that names all images."""
    for member in members:
        if member.is_beside and member.path.name == LABELS:
            with archive.open(member.entry) as file:
                table = file.read(_LARGEST_TABLE)
            try:
                rows = csv.reader(io.StringIO(table.decode("utf-8-sig"), newline=""))
                head = next(rows, None)
                found = {row[0]: row[1] for row in rows if len(row) == 2}
            except (ValueError, csv.Error):  # no UTF-8, or a quote without end
                return {}
            is_whole = head == ["file", "label"] and all(str(image.path) in found for image in images)
            return found if is_whole else {}
    return {}


def _by_class(
    archive: zipfile.ZipFile, images: list[_Member], labels: dict[str, str]
) -> dict[str, list[Upload]]:
    classes: dict[str, list[Upload]] = {}
    total = 0
    for image in images:
        with archive.open(image.entry) as file:
            content = file.read(LARGEST_IMAGE + 1)
        total += len(content)
        if total > MOST_BYTES:
            raise DataError(f"the archive holds more than {MOST_BYTES >> 20} MB", "fewer images")
        name = clean_name(labels.get(str(image.path), image.path.parts[-2]), "class")
        classes.setdefault(name, []).append(Upload(clean_name(image.path.name, "image"), content))
    return classes


def write_archive(files: dict[str, bytes]) -> bytes:
    """A zip of paths and their contents."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return file.getvalue()


_MOST_BYTES = 180
"""Of a name in an archive, which file systems limit to 255 with its ending."""

_DEVICES = {
    "CON",
    "PRN",
    "AUX",
    "NUL",
    *(f"{port}{number}" for port in ("COM", "LPT") for number in range(10)),
}
"""Names that Windows keeps for devices."""


def file_name(name: str, taken: set[str], ending: str = "") -> str:
    """A name that any file system takes, other than those taken, which it joins."""
    stem = re.sub(r'[<>:"/\\|?*%\x00-\x1f]', "_", name).strip(". ")
    stem = stem.encode()[:_MOST_BYTES].decode(errors="ignore").strip(". ") or "_"
    if stem.upper().partition(".")[0] in _DEVICES or is_of_system((stem, "file")):
        stem = f"_{stem}"
    found, number = f"{stem}{ending}", 2
    while (known := unicodedata.normalize("NFC", found).casefold()) in taken:
        found, number = f"{stem} {number}{ending}", number + 1
    taken.add(known)
    return found
