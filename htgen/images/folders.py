"""Image files in folders, and folders with one sub-folder of images per class."""

from pathlib import Path

from PIL import Image

from htgen.errors import DataError
from htgen.files import kind_at
from htgen.images import heic

_COMMON_ENDINGS = (".png", ".jpg", ".webp", ".bmp", ".gif", ".tif")

_OF_THE_SYSTEM = {"Thumbs.db", "desktop.ini"}


# ---------------------------------------------------------------------------------------------------- folders


def find_images(folder: str | Path) -> list[Path]:
    """The image files directly in a folder, by extension, sorted by name; hidden files are left out.

    Raises:
        DataError: there is no such folder, or it cannot be read.
    """
    return [path for path in _visible_files(folder) if _is_readable(path)]


def find_other_files(folder: str | Path) -> list[Path]:
    """The other files directly in a folder, sorted by name; people may take them for images, as HEIC files
    where these cannot be read.

    Raises:
        DataError: there is no such folder, or it cannot be read.
    """
    return [path for path in _visible_files(folder) if not _is_readable(path)]


def find_folders(folder: str | Path) -> list[Path]:
    """The folders directly in a folder, sorted by name; hidden ones and `__MACOSX` are left out.

    Raises:
        DataError: there is no such folder, or it cannot be read.
    """
    entries = _visible_entries(Path(folder))
    return [path for path in entries if kind_at(path) == "folder" and path.name != "__MACOSX"]


def _is_readable(path: Path) -> bool:
    """Whether there is a format of this ending that can be read."""
    ending = path.suffix.lower()
    if ending in heic.ENDINGS and not heic.teach_pillow():
        return False
    return Image.registered_extensions().get(ending) in Image.OPEN


def _visible_files(folder: str | Path) -> list[Path]:
    # A link that leads nowhere is a file that cannot be read, and is told as such.
    return [
        path
        for path in _visible_entries(Path(folder))
        if (kind_at(path) == "file" or path.is_symlink()) and path.name not in _OF_THE_SYSTEM
    ]


def class_folders(folder: str | Path, minimum: int = 2) -> dict[str, list[Path]]:
    """The images of a folder that has one sub-folder per class: class name -> image files, sorted by name.

    Args:
        folder: hidden sub-folders, `__MACOSX`, and files beside the sub-folders are left out.
        minimum: how many classes there must be.

    Raises:
        DataError: no such folder, fewer classes than `minimum`, or a class without image files.
    """
    folder = Path(folder)
    classes = find_folders(folder)
    remedy = f"make one sub-folder per class in {folder}, with the images of the class in it"
    if not classes:
        loose = len(find_images(folder))
        found = f"{loose} images but no sub-folders" if loose else "no sub-folders"
        raise DataError(f"{folder} has {found}: no classes", remedy)
    if len(classes) < minimum:
        names = ", ".join(repr(path.name) for path in classes)
        count = "one class" if len(classes) == 1 else f"{len(classes)} classes"
        raise DataError(f"{folder} has only {count} ({names}); at least {minimum} are needed", remedy)
    result = {path.name: find_images(path) for path in classes}
    empty = [name for name, images in result.items() if not images]
    if empty:
        others = f"; {len(empty) - 1} of the other classes also" if len(empty) > 1 else ""
        unknown = [path.name for path in find_other_files(folder / empty[0])]
        found = f"no image files, only files such as {unknown[0]!r}" if unknown else "no image files"
        endings = f"{', '.join(_COMMON_ENDINGS)}, ..."
        raise DataError(
            f"class {empty[0]!r} has no images: {folder / empty[0]} holds {found}{others}",
            f"convert them to PNG or JPEG ({endings}); for HEIC: {heic.INSTALL}"
            if unknown
            else f"put images in it ({endings})",
        )
    return result


def _visible_entries(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except FileNotFoundError:
        raise DataError(f"there is no folder {folder}", "check the path") from None
    except NotADirectoryError:
        raise DataError(f"{folder} is not a folder", "name the folder that it is in") from None
    except OSError as error:
        raise DataError(f"cannot read folder {folder}: {error.strerror}", "check its permissions") from error
