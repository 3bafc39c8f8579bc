"""Lines that tell people what of their images was left out, or looks wrong. Nothing is printed here."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from htgen.errors import HtgenError
from htgen.images import heic
from htgen.images.folders import find_folders, find_irregular, find_other_files

FOR_PHOTOGRAPHS = "photo"
"""The generator that ships for them."""

NOTHING_SEEN = "nothing is to be seen"
"""The warning about a blank image."""

PHOTOGRAPH = "it looks like a photograph of a thing, not like a drawing"
"""The warning about an image that does not look drawn."""

DRAWN = "it looks like a drawing, not like a photograph of a thing"
"""The warning about a drawing where a class has photographs alone."""

MIDDLE_ALONE = "it is far from square, and half of it or more is not looked at: only its middle is"
"""The warning about a photograph that is twice as long as wide, or longer."""

TINY = "it has so few pixels that much of a drawing is lost"
"""The warning about an image whose longer side has less than 16 pixels."""

ENCLOSED = "a line is around it, as around no example of that class; it is taken as part of the drawing"
"""The warning about a drawing within a closed line."""

SEVERAL = "several drawings seem to be in it, apart from each other; they are answered as one"
"""The warning about ink that falls apart as no image of its class does."""

_MOST_LINES = 5

UNDRAWN_SHARE = 0.25
"""From this share on, images that do not look drawn are told."""


def warning(what: str, cases: Sequence[str], limit: int = 10) -> list[str]:
    """One line that names its cases, the first `limit` of them; no line without any."""
    if not cases:
        return []
    more = f"; and {len(cases) - limit} more" if len(cases) > limit else ""
    return [f"warning: {what} {'; '.join(cases[:limit])}{more}"]


def left_out_of(folder: Path) -> list[str]:
    """What `find_images` leaves out of a folder: files for their names, what is no file, and sub-folders.

    Raises:
        DataError: there is no such folder, or it cannot be read.
    """
    others = find_other_files(folder)
    irregular = find_irregular(folder)
    needed = f" ({heic.INSTALL} for HEIC)" if any(p.suffix.lower() in heic.ENDINGS for p in others) else ""
    return [
        *warning(f"not of a known image format{needed}, in {folder}:", [path.name for path in others], 3),
        *warning(f"no regular files, in {folder}:", [path.name for path in irregular], 3),
        *warning(
            f"sub-folders are not looked into, in {folder}:", [path.name for path in find_folders(folder)], 3
        ),
    ]


class WarningCounts:
    """How many images have which warning: what is said in short of many, each of which has its own row."""

    def __init__(self) -> None:
        self._images = 0
        self._counts: dict[str, int] = {}
        self._first: dict[str, Path] = {}

    def add(self, path: Path, warnings: Sequence[str]) -> None:
        """Count an image that could be read, with its warnings."""
        self._images += 1
        for text in warnings:
            self._counts[text] = self._counts.get(text, 0) + 1
            self._first.setdefault(text, path)

    def lines(self) -> list[str]:
        """A line for each warning: the image, or how many there are."""
        lines = [self._line(text) for text in self._counts if text != PHOTOGRAPH]
        more = len(lines) - _MOST_LINES
        further = [f"warning: and {more} other warnings; each stands beside its image"] if more > 0 else []
        return lines[:_MOST_LINES] + further + _undrawn(self._counts.get(PHOTOGRAPH, 0), self._images)

    def _line(self, text: str) -> str:
        count, first = self._counts[text], self._first[text]
        if count == 1:
            return f"warning: {text}: {first}"
        return f"warning: {text}: {count} of {self._images} images, the first is {first}"


def _undrawn(count: int, images: int) -> list[str]:
    """That many images of a task for drawings are none."""
    if not count or count < UNDRAWN_SHARE * images:
        return []
    return [
        f"warning: {count} of {images} images look like photographs of things, and drawings are all "
        f"that this generator knows; for photographs: htgen generate --generator {FOR_PHOTOGRAPHS}"
    ]


@contextmanager
def told_with_errors(notices: Sequence[str]) -> Iterator[None]:
    """Put the lines gathered so far before the notes (`__notes__`) of an error that ends the body.

    They often say why: a folder "holds no image files" because all of them are HEIC.
    """
    try:
        yield
    except HtgenError as error:
        error.__notes__ = [*notices, *getattr(error, "__notes__", [])]
        raise
