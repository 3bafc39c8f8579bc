"""What a page works on: classes and their images in memory, and the CNN that is made at each change."""

import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count
from pathlib import Path

from PIL import Image

from htgen.app.uploads import (
    Upload,
    clean_name,
    decode,
    expect_room,
    read_archive,
    thumbnail,
)
from htgen.arrays import Floats, Integers
from htgen.cnn.bundle import Bundle, Prediction
from htgen.cnn.nearest import features, nearest
from htgen.errors import DataError, HtgenError, ModelError
from htgen.generator.generator import Generator, load_generator
from htgen.generator.self_check import LeaveOneOut, LookAlike
from htgen.generator.support import Support
from htgen.images.gaps import widest
from htgen.images.inputs import ReadImage, as_input, read_images
from htgen.images.notices import SEVERAL
from htgen.images.preprocessing import Preprocessing


@dataclass
class SupportImage:
    """An image of a class.

    Attributes:
        upload: as it came.
        read: what the CNN sees of it, and what people should know.
        small: a PNG to show.
    """

    upload: Upload
    read: ReadImage
    small: bytes


@dataclass
class SupportClass:
    """A class: its name, and its images by number, in the order in which they came."""

    name: str
    images: dict[int, SupportImage]


@dataclass(frozen=True)
class Made:
    """A CNN of the images as they are.

    Attributes:
        bundle: the CNN.
        support: what it was made of.
        numbers: of those images, in their order.
        seconds: how long the writing took.
    """

    bundle: Bundle
    support: Support
    numbers: tuple[int, ...]
    seconds: float

    @cached_property
    def features(self) -> Floats:
        """The inputs of the logits layer for the support images: `[S, F]`."""
        return features(self.bundle, self.support.images)


@dataclass(frozen=True)
class Estimate:
    """What left-out images tell.

    Attributes:
        check: each labelled image classified without it; None where it cannot be done.
        doubtful: number of an image that disagrees with its class -> the class it looks like.
        look_alikes: pairs of classes that can hardly be told apart.
        copies: groups of images that are copies of each other.
    """

    check: LeaveOneOut | None
    doubtful: dict[int, str]
    look_alikes: list[LookAlike]
    copies: list[list[int]]


@dataclass(frozen=True)
class Tried:
    """The answer for a new image.

    Attributes:
        classes: of the CNN, in the order of its logits.
        prediction: probabilities of the classes.
        read: what the CNN sees of it.
        nearest: numbers of the support images whose last features are nearest, the nearest first.
    """

    classes: tuple[str, ...]
    prediction: Prediction
    read: ReadImage
    nearest: list[int]


class Session:
    """Classes and images, and the CNN that is made of them. Safe to be used by several threads.

    Args:
        generator: one that ships, a generator file or a run folder.

    Raises:
        ModelError: there is no such generator.
    """

    def __init__(self, generator: str) -> None:
        self.lock = threading.RLock()
        self.generator_name, self.device = generator, False
        self.generator = load_generator(generator)
        self.classes: dict[int, SupportClass] = {}
        self.version = 0
        self.opened: tuple[str, Bundle] | None = None
        self.made: Made | None = None
        self.why_none = "Two classes with an image each make a CNN."
        self._numbers = count(1)
        self._estimate: tuple[int, Estimate | None] = (-1, None)

    # ------------------------------------------------------------------------------------------- changes

    @property
    def preprocessing(self) -> Preprocessing:
        """How images are prepared."""
        return self.generator.preprocessing

    @property
    def bundle(self) -> Bundle | None:
        """The CNN that is tried out: the one that was made, or else the one that was opened."""
        if self.made is not None:
            return self.made.bundle
        return None if self.opened is None else self.opened[1]

    def add_class(self, name: str) -> int:
        """A new class; its number.

        Raises:
            DataError: there is one of that name.
        """
        with self.lock:
            name = clean_name(name, f"class {len(self.classes) + 1}")
            self._expect_free(name)
            number = next(self._numbers)
            self.classes[number] = SupportClass(name, {})
            self._changed()
            return number

    def rename_class(self, number: int, name: str) -> None:
        """Call a class otherwise.

        Raises:
            DataError: there is no such class, or another one of that name.
        """
        with self.lock:
            found = self._class(number)
            name = clean_name(name, found.name)
            if name != found.name:
                self._expect_free(name)
                found.name = name
                self._changed()

    def remove_class(self, number: int) -> None:
        """Remove a class and its images."""
        with self.lock:
            self._class(number)
            del self.classes[number]
            self._changed()

    def add_images(self, number: int, uploads: Sequence[Upload]) -> list[str]:
        """Add images to a class; those that cannot be read are left out, with a line for each.

        Raises:
            DataError: there is no such class, or there are too many images.
        """
        with self.lock:
            found, faults = self._class(number), []
            held = [image for other in self.classes.values() for image in other.images.values()]
            expect_room([image.upload for image in held], uploads)
            for upload in uploads:
                try:
                    found.images[next(self._numbers)] = self._read(upload)
                except DataError as error:
                    faults.append(error.message)
            self._changed()
            return faults

    def remove_image(self, number: int) -> None:
        """Remove an image."""
        with self.lock:
            del self._class_of(number).images[number]
            self._changed()

    def move_image(self, number: int, class_number: int) -> None:
        """Give an image another class."""
        with self.lock:
            target, source = self._class(class_number), self._class_of(number)
            target.images[number] = source.images.pop(number)
            self._changed()

    def choose(self, generator: str, device: bool) -> None:
        """Use another generator, or the preparation of a small device; images are read again.

        Raises:
            ModelError: there is no such generator, or it is not for drawings and `device` is set.
        """
        with self.lock:
            loaded = load_generator(generator)
            if device and not loaded.preprocessing.is_for_drawings:
                raise ModelError(f"{generator} is not for drawings, as the preparation of a device is")
            self.generator = loaded.on_device() if device else loaded
            self.generator_name, self.device = generator, device
            for found in self.classes.values():
                found.images = {n: self._read(image.upload) for n, image in found.images.items()}
            self._changed()

    def start_again(self) -> None:
        """Forget all classes, images and CNNs; two classes without images are there to begin with."""
        with self.lock:
            self.classes, self.opened = {}, None
            self.add_class("class 1")
            self.add_class("class 2")

    def open_archive(self, data: bytes) -> list[str]:
        """Take the classes of a zip of folders in place of those that there are.

        Raises:
            DataError: it is no such archive. What was there stays then.
        """
        found = read_archive(data)
        with self.lock:
            before, self.classes, self.opened = self.classes, {}, None
            faults: list[str] = []
            try:
                for name, uploads in found.items():
                    faults += self.add_images(self.add_class(name), uploads)
                if not any(found.images for found in self.classes.values()):
                    raise DataError(f"the archive has no image that can be read: {faults[0]}")
            except HtgenError:
                self.classes = before
                self._changed()
                raise
            return faults

    def open_cnn(self, name: str, data: bytes) -> None:
        """Try out a CNN that was saved. It holds no images, so classes are begun anew.

        Raises:
            ModelError: it is no CNN.
        """
        name = clean_name(name, "a CNN")
        with tempfile.TemporaryDirectory(prefix="htgen-") as folder:  # of its own; it goes at once
            path = Path(folder) / "cnn.safetensors"
            path.write_bytes(data)
            try:
                bundle = Bundle.load(path)
            except ModelError as error:
                raise ModelError(error.message.replace(str(path), name), error.hint) from None
        with self.lock:
            self.classes, self.opened = {}, (name, bundle)
            self._changed()

    # -------------------------------------------------------------------------------------------- the CNN

    def try_image(self, upload: Upload) -> Tried:
        """Classify a new image.

        Raises:
            DataError: it cannot be read, or there is no CNN yet.
        """
        with self.lock:
            bundle, made = self.bundle, self.made
        if bundle is None:
            raise DataError("there is no CNN yet", "two classes with an image each")
        read = _read_one(decode(upload), bundle.preprocessing)
        x = as_input([read.pixels], bundle.preprocessing)
        prediction = bundle.classify(x)[0]
        usual = bundle.gaps.get(prediction.label)
        if usual is not None and read.gaps is not None and read.gaps.are_wider_than(usual):
            read = replace(read, warnings=(*read.warnings, SEVERAL))
        return Tried(bundle.classes, prediction, read, [] if made is None else _nearest(made, x))

    def estimate(self) -> Estimate | None:
        """What left-out images tell of the CNN; None where there is none. Made once for each version."""
        with self.lock:
            version, made, generator = self.version, self.made, self.generator
            if self._estimate[0] == version:
                return self._estimate[1]
        found = None if made is None else _estimate(generator, made)
        with self.lock:
            if self.version == version:
                self._estimate = (version, found)
                if made is not None and found is not None and found.check is not None:
                    self.made = replace(made, bundle=replace(made.bundle, estimate=found.check.score))
        return found

    def image(self, number: int) -> SupportImage:
        """An image by its number.

        Raises:
            DataError: there is none.
        """
        with self.lock:
            return self._class_of(number).images[number]

    # --------------------------------------------------------------------------------------------- inside

    def _changed(self) -> None:
        self.version += 1
        self.made = None
        classes = [found for found in self.classes.values() if found.images]
        if len(classes) < 2:
            self.why_none = "Two classes with an image each make a CNN."
            return
        try:
            self.made = _make(self.generator, classes)
        except HtgenError as error:
            self.why_none = f"No CNN: {error.message}." + (f" Try: {error.hint}." if error.hint else "")

    def _read(self, upload: Upload) -> SupportImage:
        image = decode(upload)
        return SupportImage(upload, _read_one(image, self.preprocessing), thumbnail(image))

    def _class(self, number: int) -> SupportClass:
        if number not in self.classes:
            raise DataError("there is no such class any more", "load the page again")
        return self.classes[number]

    def _class_of(self, number: int) -> SupportClass:
        for found in self.classes.values():
            if number in found.images:
                return found
        raise DataError("there is no such image any more", "load the page again")

    def _expect_free(self, name: str) -> None:
        if any(found.name == name for found in self.classes.values()):
            raise DataError(f"there is a class '{name}' already", "another name")


def _read_one(image: Image.Image, preprocessing: Preprocessing) -> ReadImage:
    _, read = next(read_images([image], preprocessing))
    if isinstance(read, DataError):
        raise read
    return read


def _make(generator: Generator, classes: Sequence[SupportClass]) -> Made:
    numbers = [number for found in classes for number in found.images]
    images = [image for found in classes for image in found.images.values()]
    names = [found.name for found in classes for _ in found.images]
    pixels = as_input([image.read.pixels for image in images], generator.preprocessing)
    started = time.perf_counter()
    support = generator.support(pixels, names)
    gaps = {
        found.name: widest([g for image in found.images.values() if (g := image.read.gaps) is not None])
        for found in classes
        if any(image.read.gaps is not None for image in found.images.values())
    }
    bundle = replace(generator.generate_bundle(support), gaps=gaps)
    return Made(bundle, support, tuple(numbers), time.perf_counter() - started)


def _estimate(generator: Generator, made: Made) -> Estimate:
    support = made.support
    groups = generator.find_copies(support)
    check = generator.leave_one_out(support, groups)
    doubtful = {}
    for place in [] if check is None else check.strangers():
        assert check is not None
        looks_like = support.classes[int(check.predictions[place])]
        doubtful[made.numbers[int(check.positions[place])]] = looks_like
    return Estimate(check, doubtful, generator.look_alikes(support, check), _copies(groups, made.numbers))


def _copies(groups: Integers, numbers: Sequence[int]) -> list[list[int]]:
    found: dict[int, list[int]] = {}
    for number, group in zip(numbers, groups.tolist(), strict=True):
        found.setdefault(group, []).append(number)
    return [members for members in found.values() if len(members) > 1]


def _nearest(made: Made, x: Floats, most: int = 3) -> list[int]:
    """Numbers of the support images whose inputs of the logits layer are nearest."""
    order = nearest(features(made.bundle, x), made.features, most)[0]
    return [made.numbers[place] for place in order.tolist()]
