"""Lines that tell people what of their images was left out, or looks wrong. Nothing is printed here."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from htgen.errors import HtgenError
from htgen.images import heic
from htgen.images.folders import find_folders, find_other_files

FOR_PHOTOGRAPHS = "photo-40"
"""The generator that ships for them."""

UNDRAWN_SHARE = 0.25
"""From this share on, images that do not look drawn are told."""


def warning(what: str, cases: Sequence[str], limit: int = 10) -> list[str]:
    """One line that names its cases, the first `limit` of them; no line without any."""
    if not cases:
        return []
    more = f"; and {len(cases) - limit} more" if len(cases) > limit else ""
    return [f"warning: {what} {'; '.join(cases[:limit])}{more}"]


def left_out_of(folder: Path) -> list[str]:
    """What `find_images` leaves out of a folder: files for their names, and sub-folders.

    Raises:
        DataError: there is no such folder, or it cannot be read.
    """
    others = find_other_files(folder)
    needed = f" ({heic.INSTALL} for HEIC)" if any(p.suffix.lower() in heic.ENDINGS for p in others) else ""
    return [
        *warning(f"not of a known image format{needed}, in {folder}:", [path.name for path in others], 3),
        *warning(
            f"sub-folders are not looked into, in {folder}:", [path.name for path in find_folders(folder)], 3
        ),
    ]


def blank(paths: Sequence[Path]) -> list[str]:
    """That there is nothing to be seen in some images."""
    return warning("nothing is to be seen in", list(map(str, paths)))


def undrawn(count: int, images: int) -> list[str]:
    """That many images of a task for drawings are none.

    Args:
        count: how many do not look drawn.
        images: of how many.
    """
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
