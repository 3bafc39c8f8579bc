"""A folder of labelled images -> a CNN, with all that people should know of the images. No torch here."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np

from htgen.arrays import Integers
from htgen.cnn.bundle import Bundle
from htgen.errors import DataError
from htgen.files import kind_at
from htgen.generator.file import unlabeled_are_new_to
from htgen.generator.generator import Generator
from htgen.generator.self_check import LeaveOneOut, LookAlike
from htgen.generator.support import Support
from htgen.generator.support_files import SupportFiles, find_support
from htgen.hypertransformer.many_classes import check_way
from htgen.images.gaps import Gaps, widest
from htgen.images.inputs import ReadImage, as_input, photographs_alone, read_in_processes
from htgen.images.notices import NOTHING_SEEN, WarningCounts, told_with_errors, warning

Progress = Callable[[str, int, int], None]
"""Called as `progress(what, done, total)` while something long runs."""


@dataclass(frozen=True)
class FolderImages:
    """The images of a support folder.

    Attributes:
        labeled: the labelled images that could be read, class by class, by path.
        labels: their class names.
        unlabeled: the images without labels that could be read and are of the classes, by path.
        left_out: the other image files, and why they could not be read.
        ignored: images without labels that do not count, and why: empty, or of none of the classes.
        notices: lines for people, on what was left out and on what looks wrong.
        folder: that they are in, which is left out where an image is named.
    """

    labeled: dict[Path, ReadImage]
    labels: list[str]
    unlabeled: dict[Path, ReadImage]
    left_out: dict[Path, str]
    ignored: dict[Path, str]
    notices: tuple[str, ...]
    folder: Path | None = None

    def name_of(self, path: Path) -> str:
        """What people call an image: its path in the folder."""
        if self.folder is None or not path.is_relative_to(self.folder):
            return str(path)
        return str(path.relative_to(self.folder))

    @property
    def gaps(self) -> dict[str, Gaps]:
        """How far apart the parts of the labelled drawings of each class lie at most."""
        found: dict[str, list[Gaps]] = {}
        for image, label in zip(self.labeled.values(), self.labels, strict=True):
            if image.gaps is not None:
                found.setdefault(label, []).append(image.gaps)
        return {label: widest(gaps) for label, gaps in found.items()}

    @property
    def photographs(self) -> tuple[str, ...]:
        """Classes of which no labelled image is plainly a drawing; none unless photographs are expected."""
        return photographs_alone(zip(self.labels, self.labeled.values(), strict=True))

    @property
    def warnings(self) -> dict[Path, tuple[str, ...]]:
        """What people should know of single images; those without anything are not here."""
        read = {path: image.warnings for path, image in {**self.labeled, **self.unlabeled}.items()}
        told = {path: texts for path, texts in read.items() if texts}
        return told | {path: (f"{reason}; it does not count",) for path, reason in self.ignored.items()}


@dataclass(frozen=True, eq=False)
class GeneratedFromFolder:
    """A CNN, and what was found out while it was made; the estimate is made when it is first asked for.

    Attributes:
        bundle: the CNN, to be saved; without an estimate, see `bundle_with_estimate`.
        images: what it was made of.
        support: the same, as the generator sees it.
        generator: what wrote it.
        seconds: how long the writing took, without the reading of images.
        progress: called while the estimate is made.
        estimates: whether there is to be an estimate.
        estimate_seconds: that the estimate may take; after that, what was left out so far is taken. None: no
            bound.
        processes: that make it; None: as many as pay.
    """

    bundle: Bundle
    images: FolderImages
    support: Support
    generator: Generator
    seconds: float
    progress: Progress | None = None
    estimates: bool = True
    estimate_seconds: float | None = None
    processes: int | None = 1

    @cached_property
    def check(self) -> LeaveOneOut | None:
        """The labelled images, each classified without it (see `Generator.leave_one_out`); None where it
        cannot be done, or is not wanted.
        """
        if not self.estimates:
            return None
        report = self.progress
        told = None if report is None else lambda done, total: report("estimate", done, total)
        return self.generator.leave_one_out(
            self.support, self._copies, told, self.estimate_seconds, self.processes
        )

    @cached_property
    def _copies(self) -> Integers:
        seen = (*self.images.labeled.values(), *self.images.unlabeled.values())
        strokes = np.array([image.stroke or 0 for image in seen], np.float32)
        return self.generator.find_copies(self.support, strokes)

    @property
    def bundle_with_estimate(self) -> Bundle:
        """The CNN, and in its file how many of its support images were found to be right."""
        return replace(self.bundle, estimate=None if self.check is None else self.check.score)

    @property
    def copies(self) -> list[list[Path]]:
        """Groups of images that are copies of each other, turned a little or compressed."""
        paths = [*self.images.labeled, *self.images.unlabeled]
        groups: dict[int, list[Path]] = {}
        for path, group in zip(paths, self._copies.tolist(), strict=True):
            groups.setdefault(group, []).append(path)
        return [group for group in groups.values() if len(group) > 1]

    @property
    def missed(self) -> list[str]:
        """The images that `check` finds to be of another class, as `NAME looks like CLASS`; a name is a path
        in the folder. Copies that are found to be of the same one are named once.
        """
        if self.check is None:
            return []
        return self._look_like((self.check.labels != self.check.predictions).nonzero()[0].tolist())

    @property
    def doubts(self) -> list[str]:
        """Lines on copies, on images that look like another class, and on classes that look alike."""
        strangers = [] if self.check is None else self.check.strangers()
        label_of = dict(zip(self.images.labeled, self.images.labels, strict=True))
        split = [paths for paths in self.copies if len({*map(label_of.get, paths)} - {None}) > 1]
        return [
            *warning(
                "these images are copies of each other, and count as one in the estimate:",
                [", ".join(map(self.images.name_of, group)) for group in self.copies],
                5,
            ),
            *warning(
                "copies of one image are in several classes, and only one of these can be right:",
                [", ".join(map(self.images.name_of, group)) for group in split],
                5,
            ),
            *warning(
                "images look like another class than their own; is one mislabelled?",
                self._look_like(strangers),
            ),
            *warning(
                "classes look alike to the generator; more images of them help, or one class for both"
                + (", or --no-crop where size or place tells them" if self._cuts_to_ink else "")
                + ("; colours do not count:" if self.bundle.preprocessing.is_for_drawings else ":"),
                [f"{pair.first} and {pair.second} ({100 * pair.confusion:.0f} %)" for pair in self.alike],
            ),
        ]

    @property
    def alike(self) -> list[LookAlike]:
        """Pairs of classes that the generator can hardly tell apart."""
        return self.generator.look_alikes(self.support, self.check)

    @property
    def _cuts_to_ink(self) -> bool:
        return self.bundle.preprocessing.steps.crop > 0

    def _look_like(self, places: list[int]) -> list[str]:
        """A line for each of some tested images, and one for those that are copies of each other."""
        if self.check is None:
            return []
        paths, groups = list(self.images.labeled), self.check.copies
        told: dict[tuple[int, ...], list[int]] = {}
        for place in places:
            group = -1 - place if groups is None else int(groups[place])
            classes = int(self.check.labels[place]), int(self.check.predictions[place])
            told.setdefault((group, *classes), []).append(place)
        lines = []
        for (_, _, seen), same in told.items():
            name = self.images.name_of(paths[self.check.positions[same[0]]])
            more = f", of which there are {len(same)} copies," if len(same) > 1 else ""
            lines.append(f"{name}{more} looks like {self.check.classes[seen]}")
        return lines


def generate_from_folder(
    folder: str | Path,
    generator: Generator,
    unlabeled: str | Path | None = None,
    labels: str | Path | None = None,
) -> GeneratedFromFolder:
    """Read a folder of labelled images and write a CNN for its classes.

    Args:
        folder: one sub-folder of images per class; with `labels`, the images.
        generator: see `htgen.load_generator`.
        unlabeled: a folder of further images of these classes, without labels.
        labels: a CSV file that says which image is of which class (`htgen.images.labels.labels_from_csv`).

    Raises:
        DataError: fewer than two classes, a class without an image that can be read, or no image in
            `unlabeled`. Its notes are lines on what was left out.
        ModelError: there are more classes than the generator knows, and it has no class means.
    """
    return generate_from_files(find_support(folder, unlabeled, labels), generator)


def generate_from_files(
    files: SupportFiles,
    generator: Generator,
    progress: Progress | None = None,
    processes: int | None = 1,
) -> GeneratedFromFolder:
    """Read what `find_support` found and write a CNN.

    Args:
        progress: called as `progress(what, done, total)` while images are read and the estimate is made.
        processes: that read images; None: as many as pay (`htgen.workers`).

    Raises:
        DataError: a class without an image that can be read. Its notes are lines on what was left out.
        ModelError: there are more classes than the generator knows, and it has no class means.
    """
    with told_with_errors(files.notices):
        check_way(generator.file.model, len(files.classes), f"'{generator.name}'")
    images = read_files(files, generator, progress, processes)
    with told_with_errors(images.notices):
        seen = [*images.labeled.values(), *images.unlabeled.values()]
        pixels = as_input([image.pixels for image in seen], generator.preprocessing)
        support = generator.support(pixels, images.labels)
        started = time.perf_counter()
        is_foreign = generator.find_foreign(support)
        support = support.without(is_foreign)
        bundle = replace(generator.generate_bundle(support), gaps=images.gaps, photographs=images.photographs)
        seconds = time.perf_counter() - started
    images = _without_foreign(images, is_foreign[len(images.labeled) :].tolist())
    return GeneratedFromFolder(bundle, images, support, generator, seconds, progress, processes=processes)


def read_files(
    files: SupportFiles, generator: Generator, progress: Progress | None, processes: int | None
) -> FolderImages:
    """Read what `find_support` found, as a generator is shown it; see `generate_from_files`."""
    notices = [*files.notices]
    labeled: dict[Path, ReadImage] = {}
    labels: list[str] = []
    left_out: dict[Path, str] = {}
    places = [path for paths in (*files.classes.values(), files.unlabeled) for path in paths]
    reads = read_in_processes(places, generator.preprocessing, processes)
    read = _Reader(reads, len(places), progress)
    with told_with_errors(notices):
        for name, paths in files.classes.items():
            found, faults = read.next(len(paths))
            notices += _lines_of(faults)
            if not found:
                raise _none_readable(files.folder, name, len(paths))
            labeled |= found
            labels += [name] * len(found)
            left_out |= faults
    further, faults = read.next(len(files.unlabeled))
    notices += _lines_of(faults)
    counts = WarningCounts()
    for path, image in labeled.items():
        counts.add(path, image.warnings)
    notices += counts.lines()
    if further and not generator.knows_unlabeled:
        notices.append(unlabeled_are_new_to(generator.name))
    ignored = {path: NOTHING_SEEN for path, image in further.items() if image.is_blank}
    if ignored:
        notices.append(_do_not_count("empty", [*ignored], len(further)))
    used = {path: image for path, image in further.items() if path not in ignored}
    return FolderImages(labeled, labels, used, left_out | faults, ignored, tuple(notices), files.folder)


def _none_readable(folder: Path, name: str, count: int) -> DataError:
    """The error for a class of so many images of which none can be read."""
    own = folder / name
    place, helps = (own, "remove the folder") if kind_at(own) == "folder" else (folder, "leave the class out")
    return DataError(
        f"class '{name}' has no image that can be read (of {count} in {place})", f"replace them, or {helps}"
    )


def _without_foreign(images: FolderImages, is_foreign: list[bool]) -> FolderImages:
    """The same without some of the unlabelled images, which are of none of the classes."""
    foreign = [path for path, is_out in zip(images.unlabeled, is_foreign, strict=True) if is_out]
    if not foreign:
        return images
    line = _do_not_count("of none of the classes", foreign, len(images.unlabeled) + len(images.ignored))
    return replace(
        images,
        unlabeled={path: image for path, image in images.unlabeled.items() if path not in foreign},
        ignored=images.ignored | dict.fromkeys(foreign, "it is of none of the classes"),
        notices=(*images.notices, line),
    )


def _do_not_count(what: str, paths: list[Path], total: int) -> str:
    are = "is" if len(paths) == 1 else "are"
    one = "does" if len(paths) == 1 else "do"
    return (
        f"note: {len(paths)} of {total} unlabelled images {are} {what} and {one} not count; "
        f"the first is {paths[0]}"
    )


@dataclass
class _Reader:
    """Reads images, and tells how far it is in all of them."""

    reads: Iterator[tuple[Path, ReadImage | DataError]]
    total: int
    progress: Progress | None
    done: int = 0

    def next(self, count: int) -> tuple[dict[Path, ReadImage], dict[Path, str]]:
        """What can be read of the next images, and why the rest cannot."""
        found: dict[Path, ReadImage] = {}
        faults: dict[Path, str] = {}
        for path, read in islice(self.reads, count):
            if isinstance(read, DataError):
                faults[path] = read.message
            else:
                found[path] = read
            self.done += 1
            if self.progress is not None:
                self.progress("images", self.done, self.total)
        return found, faults


def _lines_of(faults: dict[Path, str]) -> list[str]:
    return [f"left out: {message}" for message in faults.values()]
