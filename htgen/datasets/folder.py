"""Any folder with one sub-folder of images per class -> store.

Split scheme: `default` (see `htgen.datasets.splits.default_schemes`).
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from htgen.arrays import Pixels
from htgen.datasets.splits import default_schemes
from htgen.datasets.store import Progress, StoreWriter, check_target, store_name
from htgen.errors import DataError
from htgen.images.folders import class_folders
from htgen.images.inputs import read_images
from htgen.images.preprocessing import Fit, Ink, Preprocessing


@dataclass(frozen=True)
class Unreadable:
    """An image that was left out, and why."""

    path: Path
    reason: str


def prepare_folder(
    source: str | Path,
    out: str | Path,
    image_size: int = 28,
    color: bool = False,
    ink: Ink = "none",
    fit: Fit = "crop",
    overwrite: bool = False,
    progress: Progress | None = None,
    as_drawings: bool = False,
) -> list[Unreadable]:
    """Make a store of a folder with one sub-folder per class; the classes are sorted by name.

    The store is named after the folder.

    Args:
        source: the folder.
        out: the store to write; not inside `source`.
        image_size: side of the images, 1 to 4096.
        color: RGB instead of grey.
        ink: for drawings, the values that ink shall have (see `htgen.images.preprocessing.Preprocessing`).
        fit: how images that are not square become so.
        overwrite: replace a store at `out`.
        progress: see `htgen.datasets.store.Progress`.
        as_drawings: bring every drawing to one form, as `htgen generate` does
        (`htgen.images.drawings.DRAWING_STEPS`);
            for grey images whose `ink` is bright or dark.

    Returns:
        The images that could not be read, which were left out.

    Raises:
        DataError: no such folder, no classes in it, a class without one readable image, or `out` is taken.
        OutputError: no space left, or no permission.
    """
    source, out = Path(source), Path(out)
    check_target(out, overwrite)
    classes = class_folders(source, minimum=1)
    if out.resolve().is_relative_to(source.resolve()):
        raise DataError(f"{out} lies inside the source {source}", "name a folder elsewhere with --out")
    preprocessing = Preprocessing(image_size, 3 if color else 1, ink, fit)
    if as_drawings:
        preprocessing = preprocessing.for_real_images()
    unreadable: list[Unreadable] = []
    done, total = 0, sum(map(len, classes.values()))

    def read(paths: list[Path]) -> Iterator[Pixels]:
        nonlocal done
        for path, image in read_images(paths, preprocessing, judge=False):
            if isinstance(image, DataError):
                unreadable.append(Unreadable(path, image.message))
            else:
                yield image.pixels
            done += 1
            if progress is not None:
                progress("images", done, total)

    name = store_name(source.resolve().name)
    with StoreWriter(out, name, preprocessing, default_schemes(len(classes)), overwrite) as writer:
        for class_name, paths in classes.items():
            skipped = len(unreadable)
            images = read(paths)
            first = next(images, None)
            if first is None:
                reason = unreadable[skipped].reason
                raise DataError(
                    f"class {class_name!r} has no readable image; the first fault: {reason}",
                    f"replace the images in {source / class_name}, or remove the folder",
                )
            writer.add_class(class_name, class_name, itertools.chain([first], images))
    return unreadable
