"""A CNN file that grows by a folder of labelled images, or loses classes. No torch here."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from htgen.cnn.bundle import Bundle
from htgen.cnn.executor_numpy import softmax
from htgen.errors import DataError
from htgen.generator import growing
from htgen.generator.from_folder import (
    FolderImages,
    GeneratedFromFolder,
    Progress,
    read_files,
)
from htgen.generator.generator import Generator
from htgen.generator.self_check import LeaveOneOut, LookAlike, look_alikes
from htgen.generator.support import Support
from htgen.generator.support_files import SupportFiles, find_support
from htgen.images.gaps import Gaps, widest
from htgen.images.inputs import as_input
from htgen.images.names import known_as
from htgen.images.notices import told_with_errors

NO_IMAGES = FolderImages({}, [], {}, {}, {}, ())


@dataclass(frozen=True, eq=False)
class GrownFromFolder(GeneratedFromFolder):
    """A CNN with further images, or with fewer classes; `images` and `support` are the further ones.

    Attributes:
        added: new classes; their indices come behind those of the others.
        joined: classes that were there and have further images.
        dropped: classes that are gone.
    """

    added: tuple[str, ...] = ()
    joined: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()

    @property
    def is_exact(self) -> bool:
        """Whether a CNN made of all images at once answers the same."""
        return growing.is_exact(self.generator)

    @cached_property
    def check(self) -> LeaveOneOut | None:
        """The further images, each classified by the class means without it; None where that cannot be."""
        if not self.estimates or not len(self.support.labels):
            return None
        return growing.leave_one_out(self.bundle, self.generator, self.support, self._copies)

    @property
    def bundle_with_estimate(self) -> Bundle:
        """The CNN. It has no estimate: of the images that it was made of first, nothing is known now."""
        return self.bundle

    @property
    def alike(self) -> list[LookAlike]:
        """Pairs of classes that can hardly be told apart, where one of them has further images."""
        if not len(self.support.labels):
            return []
        if self.check is not None:
            return look_alikes(self.check.labels, self.check.probabilities, self.check.classes)
        answers = softmax(self.bundle.logits(self.support.images))
        return look_alikes(self.support.labels, answers, self.support.classes)


def grow_from_folder(
    cnn: str | Path | Bundle,
    folder: str | Path | None = None,
    drop: Sequence[str] = (),
    generator: str | None = None,
    labels: str | Path | None = None,
) -> GrownFromFolder:
    """Add classes to a CNN, or drop some, without the images that it was made of.

    Its convolutions stay as they were written. The last layer is made anew of the class means in its file.
    Images of a class that it has count beside those that it knows.

    Example:
        >>> grown = htgen.grow_from_folder("cnn.safetensors", "more", drop=["old"])
        >>> grown.bundle.save("new.safetensors")

    Args:
        cnn: the file of a CNN, or a loaded one.
        folder: one sub-folder of images per class; with `labels`, the images; None: only drop.
        drop: classes to remove first.
        generator: the name or file of what wrote it; None: the one that ships by its name.
        labels: a CSV file that says which image is of which class.

    Raises:
        DataError: no such class, too few left, or a class without an image that can be read.
        ModelError: the CNN is damaged, holds no class means, or another generator wrote it.
    """
    files = None if folder is None else find_support(folder, None, labels, minimum=1)
    return grow(cnn if isinstance(cnn, Bundle) else Bundle.load(cnn), files, drop, generator)


def grow(
    cnn: Bundle,
    files: SupportFiles | None,
    drop: Sequence[str] = (),
    generator: str | None = None,
    progress: Progress | None = None,
    processes: int | None = 1,
) -> GrownFromFolder:
    """The same of files that `find_support` found; see `generate_from_files` for the last two arguments."""
    if files is None and not drop:
        raise DataError("neither a folder to add nor a class to drop is named")
    writer = growing.generator_of(cnn, generator)
    drop = [known_as(name, cnn.classes) for name in drop]
    if files is not None:
        known = {known_as(name, cnn.classes): paths for name, paths in files.classes.items()}
        files = files._replace(classes=known)
    images = NO_IMAGES if files is None else read_files(files, writer, progress, processes)
    with told_with_errors(images.notices):
        started = time.perf_counter()
        grown = growing.without_classes(cnn, writer, drop) if drop else cnn
        new = tuple(name for name in dict.fromkeys(images.labels) if name not in grown.classes)
        classes = (*grown.classes, *new)
        support = _support(images, classes, writer)
        if images.labels:
            further = growing.with_images(grown, writer, support)
            gaps, photographs = _joined_gaps(grown.gaps, images.gaps), _photographs(grown, images)
            grown = replace(further, gaps=gaps, photographs=photographs)
    joined = tuple(name for name in dict.fromkeys(images.labels) if name not in new)
    return GrownFromFolder(
        grown,
        images,
        support,
        writer,
        time.perf_counter() - started,
        progress,
        added=new,
        joined=joined,
        dropped=tuple(dict.fromkeys(drop)),
    )


def _support(images: FolderImages, classes: tuple[str, ...], generator: Generator) -> Support:
    """The further images, prepared; labels are places among the classes of the grown CNN."""
    place = {name: index for index, name in enumerate(classes)}
    spec = generator.model.spec
    pixels = np.zeros((0, spec.image_channels, spec.image_size, spec.image_size), np.float32)
    if images.labels:
        pixels = as_input([image.pixels for image in images.labeled.values()], generator.preprocessing)
    return Support(pixels, np.array([place[name] for name in images.labels], np.int64), classes)


def _joined_gaps(known: Mapping[str, Gaps], further: Mapping[str, Gaps]) -> dict[str, Gaps]:
    """The widest gaps of each class, of what was known and of further images."""
    joined = dict(known)
    for name, gaps in further.items():
        joined[name] = widest([joined[name], gaps]) if name in joined else gaps
    return joined


def _photographs(known: Bundle, further: FolderImages) -> tuple[str, ...]:
    """The classes that have photographs alone, of what was known and of further images."""
    others = set(known.classes).difference(known.photographs)
    old = [name for name in known.photographs if name not in further.labels]
    return (*old, *(name for name in further.photographs if name not in others))
