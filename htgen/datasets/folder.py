"""Any folder with one sub-folder of images per class -> store.

Split scheme: `default` (see `htgen.datasets.splits.default_schemes`).
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from htgen.arrays import Pixels
from htgen.datasets.splits import default_schemes
from htgen.datasets.store import Progress, StoreWriter, check_target, store_name
from htgen.errors import DataError
from htgen.files import real_path
from htgen.images.drawings import DRAWING_STEPS, ICON_STEPS
from htgen.images.folders import class_folders
from htgen.images.inputs import read_pixels
from htgen.images.labels import beside_classes
from htgen.images.preprocessing import Fit, Ink, Preprocessing
from htgen.images.reading import NoMemory


@dataclass(frozen=True)
class Unreadable:
    """An image that was left out, and why."""

    path: Path
    reason: str
    lacks_memory: bool = False


def prepare_folder(
    source: str | Path,
    out: str | Path,
    image_size: int = 28,
    color: bool = False,
    ink: Ink = "none",
    fit: Fit | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    as_drawings: bool = False,
    as_icons: bool = False,
) -> list[Unreadable]:
    """Make a store of a folder with one sub-folder per class; the classes are sorted by name.

    The store is named after the folder.

    Args:
        source: the folder.
        out: the store to write; not inside `source`.
        image_size: side of the images, 1 to 4096.
        color: RGB instead of grey.
        ink: for drawings, the values that ink shall have (see `htgen.images.preprocessing.Preprocessing`).
        fit: how images that are not square become so; None: `pad` with `as_drawings` or `as_icons`, as the
            generators that ship have it, otherwise `crop`.
        overwrite: replace a store at `out`.
        progress: see `htgen.datasets.store.Progress`; it is also told what else is in the folder.
        as_drawings: bring every drawing to one form (`htgen.images.drawings.DRAWING_STEPS`), as `htgen
            generate` does; for grey images whose `ink` is bright or dark.
        as_icons: bring it to the form of icons instead (`ICON_STEPS`); likewise.

    Returns:
        The images that could not be read, which were left out.

    Raises:
        DataError: no such folder, no classes in it, a class without one readable image, or `out` is taken.
        OutputError: no space left, or no permission.
    """
    source, out = Path(source), Path(out)
    check_target(out, overwrite)
    classes = class_folders(source, minimum=1)
    if real_path(out).is_relative_to(real_path(source)):
        raise DataError(f"{out} lies inside the source {source}", "name a folder elsewhere with --out")
    has_form = as_drawings or as_icons
    preprocessing = Preprocessing(image_size, 3 if color else 1, ink, fit or ("pad" if has_form else "crop"))
    if has_form:
        preprocessing = replace(preprocessing, steps=DRAWING_STEPS if as_drawings else ICON_STEPS)
    images = _Images(preprocessing, sum(map(len, classes.values())), progress or (lambda *_: None))
    name = store_name(real_path(source).name)
    with StoreWriter(out, name, preprocessing, default_schemes(len(classes)), overwrite) as writer:
        for class_name, paths in classes.items():
            skipped = len(images.unreadable)
            pixels = images.read(paths)
            first = next(pixels, None)
            if first is None:
                raise _none_readable(source / class_name, images.unreadable[skipped])
            writer.add_class(class_name, class_name, itertools.chain([first], pixels))
    for line in beside_classes(source, classes):
        images.report(line, 0, 0)
    return images.unreadable


def _none_readable(folder: Path, fault: Unreadable) -> DataError:
    """The error for a class without an image that can be read, and the fault of the first one."""
    return DataError(
        f"class {folder.name!r} has no readable image; the first fault: {fault.reason}",
        f"a smaller --image-size, a machine with more memory, or scale the images in {folder} down"
        if fault.lacks_memory
        else f"replace the images in {folder}, or remove the folder",
    )


@dataclass
class _Images:
    """Reads the images of one class after another, and tells how far it is in all of them."""

    preprocessing: Preprocessing
    total: int
    report: Progress
    done: int = 0
    unreadable: list[Unreadable] = field(default_factory=list)

    def read(self, paths: list[Path]) -> Iterator[Pixels]:
        """The pixels of those that can be read, `[size, size, channels]` each."""
        for path, image in read_pixels(paths, self.preprocessing):
            if isinstance(image, DataError):
                self.unreadable.append(Unreadable(path, image.message, isinstance(image, NoMemory)))
            else:
                yield image
            self.done += 1
            self.report("images", self.done, self.total)
