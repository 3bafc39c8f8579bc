"""Using a trained generator: support images in, a CNN out.

The public way to generate; the command line uses nothing else. NumPy does it: torch is loaded only by
`Generator.generate`, whose result is a module of torch.
"""

from collections.abc import Callable, Sequence
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from htgen.arrays import Floats, Integers
from htgen.cnn.bundle import Bundle
from htgen.cnn.weights import CnnWeights
from htgen.episodes.shape import UNLABELED
from htgen.errors import DataError, ModelError
from htgen.generator.cnn_writer import CnnWriter
from htgen.generator.copies import find_copies
from htgen.generator.file import GeneratorFile, check, read_generator
from htgen.generator.foreign import are_near_a_class
from htgen.generator.self_check import (
    MOST_ALONE,
    LeaveOneOut,
    LookAlike,
    find_look_alikes,
    leave_one_out,
)
from htgen.generator.shipped import DEFAULT_GENERATOR
from htgen.generator.support import Support
from htgen.generator.temperature import Temperature
from htgen.hypertransformer.hypertransformer_numpy import HyperTransformer
from htgen.hypertransformer.many_classes import check_way
from htgen.hypertransformer.plan import generator_plan
from htgen.images.inputs import ImageLike, expect_list, prepare_images
from htgen.images.names import composed
from htgen.images.order import natural_order
from htgen.images.preprocessing import Preprocessing, Step
from htgen.workers import can_fork, usable_processors

if TYPE_CHECKING:
    from torch import Tensor

    from htgen.cnn.module import GeneratedCNN


class Generator:
    """A trained generator, ready to write CNNs.

    Args:
        file: the generator as stored.
        sha256: the hash of its file, which exported CNNs carry.

    Attributes:
        name: e.g. `glyph-8`.
        max_way: classes that the generator is shown at once; a CNN can have more.
        preprocessing: how images become its input, and that of its CNNs. For drawings it has all steps of
            `htgen.images.drawings.DRAWING_STEPS`; `without_steps` leaves some out.
        model: what writes the CNNs. To train or evaluate it, `htgen.generator.network.build(generator.file)`
            gives the same as a module of torch.
        cnns: what `model` writes, calibrated.

    Raises:
        ModelError: the tensors do not fit the description.
    """

    def __init__(self, file: GeneratorFile, sha256: str) -> None:
        self.file = file
        tensors = file.complete().tensors
        self.name = file.name
        self.sha256 = sha256
        self.max_way = file.model.max_way
        self._preprocessing = file.preprocessing.for_real_images()
        check(tensors, generator_plan(file.model).shapes, f"generator '{file.name}'")
        self.model = HyperTransformer(file.model, tensors)
        self.cnns = CnnWriter(self.model, file.provenance.temperature)

    @property
    def preprocessing(self) -> Preprocessing:
        """How images become its input, and that of its CNNs."""
        return self._preprocessing

    def without_steps(self, *steps: Step) -> "Generator":
        """The same generator, whose images are prepared without some steps.

        Args:
            steps: such as "crop"; see `htgen.images.preprocessing.Preprocessing.without`.

        Raises:
            ValueError: there is no such step for such images.
        """
        changed = copy(self)
        changed._preprocessing = self._preprocessing.without(*steps)
        return changed

    def preparing(self, preprocessing: Preprocessing) -> "Generator":
        """The same generator, whose images are prepared as those of a CNN that it wrote."""
        changed = copy(self)
        changed._preprocessing = preprocessing
        return changed

    def on_device(self) -> "Generator":
        """The same generator, whose images are prepared as a small device does it.

        Raises:
            ValueError: it is not for grey drawings.
        """
        changed = copy(self)
        changed._preprocessing = self._preprocessing.on_device()
        return changed

    @property
    def knows_unlabeled(self) -> bool:
        """Whether support images without labels help it: it moves class means by them, or has seen such."""
        return self.file.knows_unlabeled

    @property
    def temperature(self) -> Temperature:
        """By which the logits of its CNNs are divided (`htgen calibrate`)."""
        return self.file.provenance.temperature

    def generate(
        self,
        support_images: Sequence[ImageLike],
        labels: "Sequence[str | int] | np.ndarray | Tensor",
        unlabeled_images: Sequence[ImageLike] = (),
    ) -> "GeneratedCNN":
        """Write a CNN for the classes of a support set.

        Args:
            support_images: paths, Pillow images, or uint8 arrays `[H, W]` or `[H, W, C]`, of any size.
            labels: the class name of each image, as text or numbers. The CNN's classes are the distinct
                names as text, in natural order: 2 is before 10.
            unlabeled_images: further images of these classes whose class is not known; they help a
                generator of which `knows_unlabeled` is true. Those that are of no class do not count
                (`find_foreign`).

        Raises:
            DataError: an image cannot be read, there are fewer than two classes, or not one label per image.
            ModelError: there are more classes than the generator knows, and it has no class means.
        """
        from htgen.cnn.module import GeneratedCNN

        support = self.prepare(support_images, labels, unlabeled_images)
        return GeneratedCNN(self.generate_bundle(support.without(self.find_foreign(support))))

    def prepare(
        self,
        support_images: Sequence[ImageLike],
        labels: "Sequence[str | int] | np.ndarray | Tensor",
        unlabeled_images: Sequence[ImageLike] = (),
    ) -> Support:
        """Read and preprocess a support set once, to use it several times.

        Args:
            support_images: paths, Pillow images, or uint8 arrays `[H, W]` or `[H, W, C]`, of any size.
            labels: the class name of each image, as text or numbers.
            unlabeled_images: further images of these classes whose class is not known.

        Raises:
            DataError: an image cannot be read, there are fewer than two classes, or not one label per image.
            ModelError: there are more classes than the generator knows, and it has no class means.
        """
        expect_list(support_images)
        expect_list(unlabeled_images)
        names = _class_names(self, labels)
        if len(support_images) != len(names):
            raise DataError(f"{len(support_images)} support images but {len(names)} labels")
        pixels = prepare_images([*support_images, *unlabeled_images], self.preprocessing)
        return self.support(pixels, names)

    def support(self, images: Floats, labels: "Sequence[str | int] | np.ndarray | Tensor") -> Support:
        """A support set of images that are preprocessed already.

        Args:
            images: `[S, C, H, W]`, -1..1.
            labels: class names of the first images, as text or numbers; the others are unlabelled.

        Raises:
            DataError: there are fewer than two classes, or more labels than images.
            ModelError: images have another shape than the generator reads, or there are more classes than it
                knows, and it has no class means.
        """
        names = _class_names(self, labels)
        spec = self.model.spec
        expected = [spec.image_channels, spec.image_size, spec.image_size]
        if list(images.shape[1:]) != expected:
            raise ModelError(
                f"the generator reads images of shape {expected} [C, H, W], got {list(images.shape[1:])}"
            )
        if len(names) > len(images):
            raise DataError(f"{len(images)} images but {len(names)} labels")
        classes = tuple(sorted(set(names), key=natural_order))
        index = {name: i for i, name in enumerate(classes)}
        ids = [index[name] for name in names] + [UNLABELED] * (len(images) - len(names))
        return Support(images, np.array(ids), classes, self.cnns.features(images))

    def generate_bundle(self, support: Support) -> Bundle:
        """Write a CNN, as it is saved to a file."""
        labeled = support.labels[support.labels != UNLABELED]
        counts = np.bincount(labeled, minlength=len(support.classes)).tolist()
        weights, means = self.cnns.write(support)
        return Bundle(
            self.model.spec,
            support.classes,
            self.preprocessing,
            weights.map(lambda tensor: tensor[0].copy()).to_tensors(self.model.spec),
            {"name": self.name, "sha256": self.sha256},
            dict(zip(support.classes, counts, strict=True)),
            has_8_bits=self.file.has_8_bits,
            trunk=self.file.trunk,
            means=means,
        )

    def find_foreign(self, support: Support) -> npt.NDArray[np.bool_]:
        """Which images without labels are of none of the classes, such as empty ones: `[S]`.

        A generator without PLDA cannot tell them, and finds none; so does one with norm `batch`.
        """
        plda, is_labeled = self.model.logits.plda, support.labels != UNLABELED
        is_foreign = np.zeros(len(is_labeled), bool)
        if is_labeled.all() or plda is None or self.model.spec.norm == "batch":
            return is_foreign
        known = support.without(~is_labeled)
        cnn = self.cnns.of_choices(known)(None)
        is_foreign[~is_labeled] = ~are_near_a_class(self.cnns.spec, cnn, support, plda)
        return is_foreign

    def find_copies(self, support: Support, strokes: Floats | None = None) -> Integers:
        """The groups of images that are copies of each other, turned a little or compressed: `[S]`, for each
        the position of the first of its group; pictures whose `strokes` `[S]` differ are none
        (`htgen.generator.copies`).
        """
        light = -support.images if self.preprocessing.ink == "dark" else support.images
        return find_copies(light, self.preprocessing.ink != "none", strokes)

    def leave_one_out(
        self,
        support: Support,
        copies: Integers | None = None,
        progress: Callable[[int, int], None] | None = None,
        seconds: float | None = None,
        processes: int | None = 1,
    ) -> LeaveOneOut | None:
        """Estimate the accuracy: classify each labelled image by a CNN that was generated without it.

        Of more than `htgen.generator.self_check.MOST_ALONE` images, one of every class is left out at a time:
        a CNN for each round, not for each image; and several of classes that have more images than there
        are rounds. Copies of an image are left out with it. An image that is the only one of its class cannot
        be left out, and the others are classified all the same.

        Args:
            copies: what `find_copies` gives; None: find them.
            progress: called as `progress(done, total)` with the number of images.
            seconds: when they have passed, the images that were left out so far are taken; None: no bound.
            processes: that write CNNs; None: one for each processor where there are many images.

        Returns:
            None when all classes have a single image, and with norm `batch`, where an image alone is not
            answered as it is among others.
        """
        if self.model.spec.norm == "batch":
            return None
        copies = self.find_copies(support) if copies is None else copies
        if processes is None:
            pays = can_fork() and np.count_nonzero(support.labels != UNLABELED) > MOST_ALONE
            processes = usable_processors() if pays else 1
        write = self.cnns.of_choices(support)
        return leave_one_out(self.cnns.spec, write, support, copies, progress, seconds, processes)

    def look_alikes(self, support: Support, check: LeaveOneOut | None) -> list[LookAlike]:
        """Classes that can hardly be told apart.

        Args:
            check: what `leave_one_out` returned. Without it, the CNN's answers for its own support images are
                taken, which tell only classes that are almost the same.
        """
        return find_look_alikes(self.cnns.spec, self.cnns.of_choices(support), support, check)

    def write(self, support: Support) -> CnnWeights[Floats]:
        """The weights of a CNN, as those of one episode."""
        return self.cnns.write(support)[0]


def _class_names(generator: Generator, labels: "Sequence[str | int] | np.ndarray | Tensor") -> list[str]:
    """Labels as text, of as many classes as the generator can tell apart."""
    try:
        given = np.asarray(labels.cpu() if hasattr(labels, "cpu") else labels)  # a tensor may be on a GPU
    except ValueError as error:  # lists of different lengths
        raise DataError("labels that are lists themselves", "one label for each support image") from error
    if given.ndim != 1:
        raise DataError(f"labels of shape {list(given.shape)}", "one label for each support image")
    names = [composed(str(label)) for label in given.tolist()]
    classes = len(set(names))
    if classes < 2:
        raise DataError(
            f"the support set has {'one class' if classes else 'no class'}; a classifier needs at least 2",
            "images of a second class",
        )
    check_way(generator.file.model, classes, f"'{generator.name}'")
    return names


def load_generator(name_or_path: str | Path = DEFAULT_GENERATOR) -> Generator:
    """Load a generator: one that ships, by name; a generator file; or the best of a run folder.

    Raises:
        ModelError: there is none, or it is damaged.
    """
    stored = read_generator(name_or_path, warns=True)
    return Generator(stored.file, stored.sha256)
