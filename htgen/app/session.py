"""What a page works on: classes and their images in memory, and the CNN that is made at each change."""

import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

from PIL import Image

from htgen.app.made import Estimate, Made, SupportClass, SupportImage, Tried, estimate, make, nearest_images
from htgen.app.uploads import Upload, clean_name, decode, expect_room, read_archive, thumbnail
from htgen.cnn.answers import warned
from htgen.cnn.bundle import Bundle, read_cnn
from htgen.errors import DataError, HtgenError, ModelError
from htgen.generator.choice import Choice, choose_by
from htgen.generator.generator import load_generator
from htgen.generator.shipped import DEFAULT_GENERATOR
from htgen.images.inputs import ReadImage, as_input, read_images
from htgen.images.preprocessing import Preprocessing
from htgen.tensor_files import without_checksum


class Session:
    """Classes and images, and the CNN that is made of them. Safe to be used by several threads.

    Args:
        generator: one that ships, a generator file or a run folder. None: at each change the one that suits
            the images.

    Raises:
        ModelError: there is no such generator.
    """

    def __init__(self, generator: str | None) -> None:
        self.lock = threading.RLock()
        self.is_chosen = generator is not None
        self.generator_name, self.device = generator or DEFAULT_GENERATOR, False
        self.generator = load_generator(self.generator_name)
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
            _expect_free(self.classes, name)
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
                _expect_free(self.classes, name)
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
            self._class(number)
            generator = self.generator
        read, faults = _read_all(uploads, generator.preprocessing)  # without the lock: answers do not wait
        with self.lock:
            found = self._class(number)
            held = [image for other in self.classes.values() for image in other.images.values()]
            expect_room([image.upload for image in held], [image.upload for image in read])
            if self.generator is not generator:
                read = [_read(image.upload, self.preprocessing) for image in read]
            found.images.update((next(self._numbers), image) for image in read)
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

    def choose(self, generator: str | None, device: bool) -> None:
        """Use another generator, or the preparation of a small device; images are read again.

        Args:
            generator: None: the one that suits the images.

        Raises:
            ModelError: there is no such generator, or it is not for drawings and `device` is set.
        """
        with self.lock:
            choice = self.choice
            self._use(generator or (choice.generator if choice else self.generator_name), device)
            self.is_chosen = generator is not None
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
        found, left_out = read_archive(data)
        expect_room([], [upload for uploads in found.values() for upload in uploads])
        with self.lock:
            classes, faults = _read_classes(found, self.preprocessing, self._numbers)
            if not any(found.images for found in classes.values()):
                raise DataError(f"the archive has no image that can be read: {faults[0]}")
            self.classes, self.opened = classes, None
            self._changed()
            return [*left_out, *faults]

    def open_cnn(self, name: str, data: bytes) -> list[str]:
        """Try out a CNN that was saved. It holds no images, so classes are begun anew.

        Returns:
            What people should know of the file.

        Raises:
            ModelError: it is no CNN.
        """
        name = clean_name(name, "a CNN")
        bundle, has_checksum = _load(name, data)
        with self.lock:
            self.classes, self.opened = {}, (name, bundle)
            self._changed()
        return [] if has_checksum else [without_checksum(name)]

    # -------------------------------------------------------------------------------------------- the CNN

    def try_image(self, upload: Upload) -> Tried:
        """Classify a new image.

        Raises:
            DataError: it cannot be read, or there is no CNN yet.
        """
        with self.lock:
            version, bundle, made = self.version, self.bundle, self.made
        if bundle is None:
            raise DataError("there is no CNN yet", "two classes with an image each")
        read = _read_one(decode(upload), bundle.preprocessing)
        x = as_input([read.pixels], bundle.preprocessing)
        prediction = bundle.classify(x)[0]
        read = warned(read, bundle, prediction.label)
        return Tried(
            version, bundle.classes, prediction, read, [] if made is None else nearest_images(made, x)
        )

    def estimate(self) -> Estimate | None:
        """What left-out images tell of the CNN; None where there is none. Made once for each version."""
        with self.lock:
            version, made, generator = self.version, self.made, self.generator
            if self._estimate[0] == version:
                return self._estimate[1]
        found = None if made is None else estimate(generator, made)
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
        self.made, self.why_none = None, "Two classes with an image each make a CNN."
        try:
            self._suit()
            classes = [found for found in self.classes.values() if found.images]
            self.made = make(self.generator, classes) if len(classes) > 1 else None
        except HtgenError as error:
            self.why_none = f"No CNN: {error.message}." + (f" Try: {error.hint}." if error.hint else "")

    @property
    def choice(self) -> Choice | None:
        """What the images look like; None without any."""
        return _choice(self.classes.values())

    def _suit(self) -> None:
        """Take the generator that suits the images, unless one was chosen."""
        choice = None if self.is_chosen else self.choice
        if choice is not None and choice.generator != self.generator_name:
            self._use(choice.generator, self.device and choice.domain != "photographs")

    def _use(self, generator: str, device: bool) -> None:
        """Take a generator, and read all images for it.

        Raises:
            ModelError: there is none, or it is not for drawings and `device` is set.
        """
        loaded = load_generator(generator)
        if device and not loaded.preprocessing.is_for_drawings:
            raise ModelError(f"{generator} is not for drawings, as the preparation of a device is")
        loaded = loaded.on_device() if device else loaded
        self.classes = _read_again(self.classes, loaded.preprocessing)
        self.generator, self.generator_name, self.device = loaded, generator, device

    def _class(self, number: int) -> SupportClass:
        if number not in self.classes:
            raise DataError("there is no such class any more", "load the page again")
        return self.classes[number]

    def _class_of(self, number: int) -> SupportClass:
        for found in self.classes.values():
            if number in found.images:
                return found
        raise DataError("there is no such image any more", "load the page again")


def _expect_free(classes: Mapping[int, SupportClass], name: str) -> None:
    if any(found.name == name for found in classes.values()):
        raise DataError(f"there is a class '{name}' already", "another name")


def _load(name: str, data: bytes) -> tuple[Bundle, bool]:
    """A CNN that was saved, and whether its file has a checksum; `name` is what people call it."""
    with tempfile.TemporaryDirectory(prefix="htgen-") as folder:  # of its own; it goes at once
        path = Path(folder) / "cnn.safetensors"
        path.write_bytes(data)
        try:
            return read_cnn(path)
        except ModelError as error:
            raise ModelError(error.message.replace(str(path), name), error.hint) from None


def _choice(classes: Iterable[SupportClass]) -> Choice | None:
    uploads = {
        found.name: [image.upload for image in found.images.values()] for found in classes if found.images
    }
    return choose_by(uploads, lambda upload: upload.look) if uploads else None


def _read_classes(
    found: Mapping[str, Sequence[Upload]], preprocessing: Preprocessing, numbers: Iterator[int]
) -> tuple[dict[int, SupportClass], list[str]]:
    """Classes of an archive by number, and a line for each image that cannot be read."""
    classes: dict[int, SupportClass] = {}
    faults: list[str] = []
    for name, uploads in found.items():
        images, unread = _read_all(uploads, preprocessing)
        faults += unread
        classes[next(numbers)] = SupportClass(name, {next(numbers): image for image in images})
    return classes, faults


def _read_again(classes: Mapping[int, SupportClass], preprocessing: Preprocessing) -> dict[int, SupportClass]:
    """The same classes, as another generator sees their images."""
    return {
        number: replace(
            found, images={n: _read(image.upload, preprocessing) for n, image in found.images.items()}
        )
        for number, found in classes.items()
    }


def _read_all(
    uploads: Sequence[Upload], preprocessing: Preprocessing
) -> tuple[list[SupportImage], list[str]]:
    """The images, and a line for each that cannot be read."""
    read, faults = [], []
    for upload in uploads:
        try:
            read.append(_read(upload, preprocessing))
        except DataError as error:
            faults.append(error.message)
    return read, faults


def _read(upload: Upload, preprocessing: Preprocessing) -> SupportImage:
    image = decode(upload)
    return SupportImage(upload, _read_one(image, preprocessing), thumbnail(image))


def _read_one(image: Image.Image, preprocessing: Preprocessing) -> ReadImage:
    _, read = next(read_images([image], preprocessing))
    if isinstance(read, DataError):
        raise read
    return read
