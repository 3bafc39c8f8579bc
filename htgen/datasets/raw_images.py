"""Raw images of classes, in a folder or in a zip archive, read one after another."""

import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from htgen.errors import DataError
from htgen.files import open_regular, read_regular, unreadable

MOST_BYTES = 1 << 24
"""Of the file of one raw image; the largest of the data sets that are read so has 500 kB."""

ReadImages = Callable[[], Iterator[tuple[str, bytes]]]
"""Yields (name for errors, content) of the images of one class, in their order."""


def open_archive(path: Path, stack: ExitStack) -> zipfile.ZipFile:
    """Open a zip archive, which stays open with the stack.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return stack.enter_context(zipfile.ZipFile(stack.enter_context(open_regular(path))))
    # A damaged directory raises BadZipFile, NotImplementedError, UnicodeDecodeError, struct.error, ...
    except Exception as error:
        raise DataError(f"cannot read {path}: {error}", "download it again") from error


def zip_reader(archive: zipfile.ZipFile, path: Path, members: Sequence[str]) -> ReadImages:
    """A reader of some members of an archive that is open.

    Raises:
        DataError: while it reads: a damaged member, or one of more than `MOST_BYTES`.
    """

    def read() -> Iterator[tuple[str, bytes]]:
        for member in members:
            try:
                with archive.open(member) as file:
                    content = file.read(MOST_BYTES + 1)
                if len(content) > MOST_BYTES:
                    raise ValueError(f"it has more than {MOST_BYTES} bytes")
            # A damaged zip makes zipfile and zlib raise BadZipFile, zlib.error, EOFError, RuntimeError, ...
            except Exception as error:
                raise DataError(f"{path} is damaged at {member}: {error}", "download it again") from error
            yield f"{path}/{member}", content

    return read


def folder_reader(folder: Path, members: Sequence[str]) -> ReadImages:
    """A reader of some files of a folder.

    Raises:
        DataError: while it reads: a file that cannot be read, or one of more than `MOST_BYTES`.
    """

    def read() -> Iterator[tuple[str, bytes]]:
        for member in members:
            try:
                content = read_regular(folder / member, MOST_BYTES)
            except OSError as error:
                raise unreadable(folder / member, error) from error
            yield str(folder / member), content

    return read
