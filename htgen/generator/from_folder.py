"""A folder of labelled images -> a CNN, with all that people should know of the images. No torch here."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from htgen.cnn.bundle import Bundle
from htgen.errors import DataError
from htgen.generator.file import unlabeled_are_new_to
from htgen.generator.generator import Generator
from htgen.generator.self_check import LeaveOneOut
from htgen.generator.support import Support
from htgen.images.folders import class_folders, find_images
from htgen.images.inputs import ReadImage, as_input, images_in, read_images
from htgen.images.notices import blank, left_out_of, told_with_errors, undrawn, warning
from htgen.images.preprocessing import Preprocessing


@dataclass(frozen=True)
class SupportFiles:
    """The image files that a CNN is to be made of; nothing of them is read yet.

    Attributes:
        folder: of the classes.
        classes: class name -> its files.
        unlabeled: further files, without labels.
        notices: lines on what else is in the folders.
    """

    folder: Path
    classes: dict[str, list[Path]]
    unlabeled: list[Path]
    notices: tuple[str, ...]


@dataclass(frozen=True)
class FolderImages:
    """The images of a support folder.

    Attributes:
        labeled: the labelled images that could be read, class by class, by path.
        labels: their class names.
        unlabeled: the images without labels that could be read, by path.
        left_out: the other image files, and why they could not be read.
        notices: lines for people, on what was left out and on what looks wrong.
    """

    labeled: dict[Path, ReadImage]
    labels: list[str]
    unlabeled: dict[Path, ReadImage]
    left_out: dict[Path, str]
    notices: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class GeneratedFromFolder:
    """A CNN, and what was found out while it was made; the estimate is made when it is first asked for.

    Attributes:
        bundle: the CNN, to be saved.
        images: what it was made of.
        support: the same, as the generator sees it.
        generator: what wrote it.
        seconds: how long the writing took, without the reading of images.
    """

    bundle: Bundle
    images: FolderImages
    support: Support
    generator: Generator
    seconds: float

    @cached_property
    def check(self) -> LeaveOneOut | None:
        """The labelled images, each classified without it (see `Generator.leave_one_out`); None where it
        cannot be done.
        """
        return self.generator.leave_one_out(self.support)

    @property
    def missed(self) -> list[str]:
        """The images that `check` finds to be of another class, as `PATH looks like CLASS`."""
        if self.check is None:
            return []
        wrong = (self.check.labels != self.check.predictions).nonzero()[0]
        return [self._looks_like(position) for position in wrong.tolist()]

    @property
    def doubts(self) -> list[str]:
        """Lines on images that disagree with their class, and on classes that look alike."""
        strangers = [] if self.check is None else self.check.strangers()
        pairs = self.generator.look_alikes(self.support, self.check)
        return [
            *warning(
                "images disagree with their class; is one mislabelled?", [*map(self._looks_like, strangers)]
            ),
            *warning(
                "classes look alike to the generator; more images of them help, or one class for both:",
                [f"{pair.first} and {pair.second} ({100 * pair.confusion:.0f} %)" for pair in pairs],
            ),
        ]

    def _looks_like(self, position: int) -> str:
        assert self.check is not None
        paths = list(self.images.labeled)
        return f"{paths[position]} looks like {self.check.classes[self.check.predictions[position]]}"


def generate_from_folder(
    folder: str | Path, generator: Generator, unlabeled: str | Path | None = None
) -> GeneratedFromFolder:
    """Read a folder of labelled images and write a CNN for its classes.

    Args:
        folder: one sub-folder of images per class.
        generator: see `htgen.load_generator`.
        unlabeled: a folder of further images of these classes, without labels.

    Raises:
        DataError: fewer than two classes, a class without an image that can be read, or no image in
            `unlabeled`. Its notes are lines on what was left out.
        ModelError: there are more classes than the generator knows.
    """
    return generate_from_files(find_support(folder, unlabeled), generator)


def find_support(folder: str | Path, unlabeled: str | Path | None = None) -> SupportFiles:
    """The files of `generate_from_folder`, before there is a generator.

    Raises:
        DataError: fewer than two classes, a class without image files, or none in `unlabeled`.
    """
    folder = Path(folder)
    classes = class_folders(folder)
    notices = [line for name in classes for line in left_out_of(folder / name)]
    loose = [path.name for path in find_images(folder)]
    notices += warning(f"images beside the folders of classes, in {folder}:", loose, 3)
    with told_with_errors(notices):
        further, lines = ([], []) if unlabeled is None else images_in(Path(unlabeled))
    return SupportFiles(folder, classes, further, (*notices, *lines))


def generate_from_files(files: SupportFiles, generator: Generator) -> GeneratedFromFolder:
    """Read what `find_support` found and write a CNN.

    Raises:
        DataError: a class without an image that can be read. Its notes are lines on what was left out.
        ModelError: there are more classes than the generator knows.
    """
    images = _read_files(files, generator)
    with told_with_errors(images.notices):
        seen = [*images.labeled.values(), *images.unlabeled.values()]
        pixels = as_input([image.pixels for image in seen], generator.preprocessing)
        support = generator.support(pixels, images.labels)
        started = time.perf_counter()
        bundle = generator.generate_bundle(support)
        seconds = time.perf_counter() - started
    return GeneratedFromFolder(bundle, images, support, generator, seconds)


def _read_files(files: SupportFiles, generator: Generator) -> FolderImages:
    notices = [*files.notices]
    labeled: dict[Path, ReadImage] = {}
    labels: list[str] = []
    left_out: dict[Path, str] = {}
    with told_with_errors(notices):
        for name, paths in files.classes.items():
            found, faults = _read_all(paths, generator.preprocessing)
            notices += _lines_of(faults)
            if not found:
                place = files.folder / name
                raise DataError(
                    f"class '{name}' has no image that can be read (of {len(paths)} in {place})",
                    "replace them, or remove the folder",
                )
            labeled |= found
            labels += [name] * len(found)
            left_out |= faults
    notices += undrawn(sum(image.looks_drawn is False for image in labeled.values()), len(labeled))
    further, faults = _read_all(files.unlabeled, generator.preprocessing)
    notices += _lines_of(faults)
    notices += blank([path for path, image in [*labeled.items(), *further.items()] if image.is_blank])
    if further and not generator.knows_unlabeled:
        notices.append(unlabeled_are_new_to(generator.name))
    return FolderImages(labeled, labels, further, left_out | faults, tuple(notices))


def _read_all(
    paths: Sequence[Path], preprocessing: Preprocessing
) -> tuple[dict[Path, ReadImage], dict[Path, str]]:
    """What can be read, and why the rest cannot."""
    found: dict[Path, ReadImage] = {}
    faults: dict[Path, str] = {}
    for path, read in read_images(paths, preprocessing):
        if isinstance(read, DataError):
            faults[path] = read.message
        else:
            found[path] = read
    return found, faults


def _lines_of(faults: dict[Path, str]) -> list[str]:
    return [f"left out: {message}" for message in faults.values()]
