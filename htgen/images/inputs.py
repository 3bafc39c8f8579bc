"""The one door for images: paths, Pillow images or arrays -> the input of a CNN. No torch here.

Commands, data sets of folders and the Python API all come through `read_images` or `read_pixels`. What was
decoded may be large; it is dropped before the next image is read.
"""

import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from htgen.arrays import Floats, Pixels
from htgen.errors import DataError
from htgen.files import kind_at
from htgen.images.drawn import is_drawn
from htgen.images.folders import depth_of_images, find_images, holds_images
from htgen.images.formats import is_known_ending
from htgen.images.gaps import Gaps
from htgen.images.notices import (
    MIDDLE_ALONE,
    NOTHING_SEEN,
    PHOTOGRAPH,
    TINY,
    left_out_of,
    told_with_errors,
)
from htgen.images.paper import Polarity
from htgen.images.preprocessing import Preprocessing, Reading
from htgen.images.reading import NOTES, NoMemory, load_image, load_pillow_image, no_memory
from htgen.workers import work_in_processes, worth_starting

if TYPE_CHECKING:
    from torch import Tensor

    Values = TypeVar("Values", Tensor, np.ndarray[Any, Any])
else:
    Values = TypeVar("Values")


def scale_pixels(pixels: Values) -> Values:
    """Map pixel values 0..255 to -1..1 as `x / 128 - 1`, the paper's input scaling.

    Args:
        pixels: floating-point numpy array or torch tensor of any shape.
    """
    return pixels / 128.0 - 1.0


IMAGES_PER_BATCH = 256

_MOST_NAMES = 10_000
"""Of files in folders of a folder, that are looked at for their endings."""

ImageLike = str | Path | Image.Image | npt.NDArray[np.uint8]


def expect_list(images: Sequence[ImageLike]) -> None:
    """Refuse a single image, and what is no sequence.

    Raises:
        DataError: it is one image, or none of the things that have a length and can be indexed.
    """
    single = isinstance(images, str | Path | Image.Image)
    if isinstance(images, np.ndarray):
        is_of_colour = images.ndim == 3 and images.shape[2] <= 4  # and no list of strips, 4 pixels wide
        single = images.ndim < 3 or is_of_colour
    if single:
        raise DataError("expected a list of images, got a single one", "[image] in place of image")
    if not (hasattr(images, "__len__") and hasattr(images, "__getitem__")):
        raise DataError(f"expected a list of images, got {type(images).__name__}", "list(images)")


def batches(images: Sequence[ImageLike]) -> Iterator[Sequence[ImageLike]]:
    """The images in parts that fit into memory.

    Raises:
        DataError: it is one image, not a list of them.
    """
    expect_list(images)
    for start in range(0, len(images), IMAGES_PER_BATCH):
        yield images[start : start + IMAGES_PER_BATCH]


def expand_paths(places: Sequence[str | Path]) -> tuple[list[Path], list[str]]:
    """Files as they are, folders to the images in them, patterns such as `new/*.png` to what they match.

    Args:
        places: what has the very name of a pattern comes before what the pattern matches.

    Returns:
        The files, which need not exist, and lines on what was left out of the folders.

    Raises:
        DataError: a folder without images, or a pattern that matches nothing. Its notes are the lines so far.
    """
    paths: list[Path] = []
    notices: list[str] = []
    with told_with_errors(notices):
        for place in places:
            for path in [Path(place)] if kind_at(place) else _matches(place):
                if kind_at(path) != "folder":
                    paths.append(path)
                    continue
                found, lines = images_in(path)
                paths += found
                notices += lines
    return paths, notices


def _matches(pattern: str | Path) -> list[Path]:
    """The files that match a pattern; a name that is none stands for itself."""
    import glob

    if not glob.has_magic(str(pattern)):
        return [Path(pattern)]
    # Path.glob wants relative patterns; users also give absolute ones.
    matches = sorted(Path(match) for match in glob.glob(str(pattern), recursive=True))  # noqa: PTH207
    if not matches:
        if not {"*", "?"} & set(str(pattern)):  # `new[1].png` is rather the name of a file
            return [Path(pattern)]
        raise DataError(f"no file matches '{pattern}'", "check the pattern and the folder")
    return matches


def images_in(folder: Path) -> tuple[list[Path], list[str]]:
    """The image files directly in a folder, and lines on what else is in it.

    Raises:
        DataError: there is no such folder, or no image in it. Its notes are the lines.
    """
    found = find_images(folder)
    notices = left_out_of(folder)
    with told_with_errors(notices):
        if not found:
            depth = depth_of_images(folder)
            raise DataError(
                f"{folder} holds no image files" + (", only folders of such" if depth else ""),
                f"{_words_for(folder, depth)}; where the folders are classes: htgen test"
                if depth
                else "a folder with images directly in it",
            )
    return found, notices


def _words_for(folder: Path, depth: int) -> str:
    """What a command is given for all images in folders of a folder, as a shell takes it.

    Args:
        depth: how deep the first of them lie.
    """
    import glob

    place = glob.escape(str(folder))
    pattern = f"{place}{'/*' * depth}"
    if all(holds_images(Path(match)) for match in glob.glob(pattern)):  # noqa: PTH207
        return shlex.quote(pattern)
    # Among folders without images, or with images at other depths, files are named by their endings.
    names = islice(glob.iglob(f"{place}/**/*.*", recursive=True), _MOST_NAMES)  # noqa: PTH207
    endings = {Path(name).suffix for name in names}
    patterns = [f"{place}/**/*{ending}" for ending in sorted(endings) if is_known_ending(ending.lower())]
    return " ".join(map(shlex.quote, patterns)) or shlex.quote(pattern)


@dataclass(frozen=True)
class ReadImage:
    """What is kept of an image; photographs are large, and what a CNN sees of them is small.

    Attributes:
        pixels: what a CNN sees, uint8 `[size, size, channels]`.
        is_blank: whether nothing can be seen in them.
        polarity: what the image is taken to be; None unless the preprocessing is for ink.
        looks_drawn: whether it may be a drawing, or is blank; None unless the preprocessing is for drawings.
        warnings: what people should know of this one image, one sentence each, without a full stop.
        gaps: how far apart the parts of a drawing lie; None unless the preprocessing is for drawings.
        stroke: how wide its strokes are as drawn, by the longer side of its ink; None likewise.
        is_drawn: whether it is plainly a drawing; None unless the preprocessing is for photographs.
    """

    pixels: Pixels
    is_blank: bool
    polarity: Polarity | None = None
    looks_drawn: bool | None = None
    warnings: tuple[str, ...] = ()
    gaps: Gaps | None = None
    stroke: float | None = None
    is_drawn: bool | None = None


def photographs_alone(images: Iterable[tuple[str, ReadImage]]) -> tuple[str, ...]:
    """The classes of which no image is plainly a drawing, of the class of each image and what was read of it.

    Where photographs are not expected there are none.
    """
    alone: dict[str, bool] = {}
    for name, image in images:
        alone[name] = alone.get(name, True) and image.is_drawn is False
    return tuple(name for name, is_alone in alone.items() if is_alone)


Source = TypeVar("Source", bound=ImageLike)
Read = TypeVar("Read")


def read_in_processes(
    paths: Sequence[Path], preprocessing: Preprocessing, processes: int | None = None
) -> Iterator[tuple[Path, ReadImage | DataError]]:
    """As `read_images`, in several processes where there are many.

    Args:
        processes: None: as many as pay (`htgen.workers.worth_starting`).
    """
    work = partial(_read_part, preprocessing)
    return work_in_processes(work, paths, worth_starting(len(paths), processes))


def _read_part(
    preprocessing: Preprocessing, paths: Sequence[Path]
) -> list[tuple[Path, ReadImage | DataError]]:
    return list(read_images(paths, preprocessing))


def read_images(
    sources: Iterable[Source], preprocessing: Preprocessing
) -> Iterator[tuple[Source, ReadImage | DataError]]:
    """Read and preprocess images one by one, each with the fault of those that cannot be read.

    Args:
        sources: paths, Pillow images, or uint8 arrays `[H, W]` or `[H, W, C]`.
        preprocessing: how they become what a CNN sees.

    Yields:
        The source, and what was read of it or why it cannot be read. The errors hold no traceback, because
        that would keep what was decoded.
    """
    return _each(sources, lambda source: _read(source, preprocessing))


def read_pixels(
    sources: Iterable[Source], preprocessing: Preprocessing
) -> Iterator[tuple[Source, Pixels | DataError]]:
    """The same of the pixels alone, which takes less time."""
    return _each(sources, lambda source: _reading(source, preprocessing).pixels)


def _each(
    sources: Iterable[Source], read: Callable[[Source], Read]
) -> Iterator[tuple[Source, Read | DataError]]:
    for source in sources:
        try:
            found = read(source)
        except NoMemory as error:
            is_path = isinstance(source, str | Path)
            yield source, no_memory(f"image {source}") if is_path else NoMemory(error.message, error.hint)
        except DataError as error:
            yield source, DataError(error.message, error.hint)
        else:
            yield source, found


def _reading(source: ImageLike, preprocessing: Preprocessing) -> Reading:
    image = _open(source, preprocessing.enough)
    return preprocessing.read_simple(image, tuple(image.info.get(NOTES, ())))


def _read(source: ImageLike, preprocessing: Preprocessing) -> ReadImage:
    image = _reading(source, preprocessing)
    is_blank = image.is_blank
    looks_drawn = not image.is_photograph if preprocessing.is_for_drawings else None
    told = (
        (NOTHING_SEEN, is_blank),
        (PHOTOGRAPH, looks_drawn is False),
        (MIDDLE_ALONE, image.is_cut and not is_blank),
        (TINY, image.is_tiny and not is_blank),
    )
    return ReadImage(
        image.pixels,
        is_blank,
        image.polarity if preprocessing.ink != "none" else None,
        looks_drawn,
        (*(text for text, holds in told if holds), *image.warnings),
        image.gaps,
        image.stroke,
        not is_blank and is_drawn(image.pixels) if preprocessing.ink == "none" else None,
    )


def prepare_images(images: Sequence[ImageLike], preprocessing: Preprocessing) -> Floats:
    """Read and preprocess images -> CNN input, float32 `[N, C, H, W]`, -1..1.

    Raises:
        DataError: an image cannot be read.
    """
    pixels = []
    for _, read in read_pixels(images, preprocessing):
        if isinstance(read, DataError):
            raise read
        pixels.append(read)
    return as_input(pixels, preprocessing)


def as_input(pixels: Sequence[Pixels], preprocessing: Preprocessing) -> Floats:
    """Preprocessed images `[size, size, channels]` -> CNN input, float32 `[N, C, H, W]`, -1..1."""
    shape = len(pixels), preprocessing.size, preprocessing.size, preprocessing.channels
    stacked = np.ascontiguousarray(np.reshape(pixels, shape).transpose(0, 3, 1, 2))
    return scale_pixels(stacked.astype(np.float32))


def _open(image: ImageLike, enough: int | None) -> Image.Image:
    if isinstance(image, Image.Image):
        return load_pillow_image(image)
    if isinstance(image, np.ndarray):
        is_shaped = image.ndim == 2 or (image.ndim == 3 and 1 <= image.shape[2] <= 4)
        if image.dtype != np.uint8 or not is_shaped or not image.size:
            raise DataError(
                "an image array must be uint8 [H, W], or [H, W, C] of 1 to 4 channels, got "
                f"{image.dtype} {list(image.shape)}"
            )
        return Image.fromarray(image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image)
    if not isinstance(image, str | Path):
        raise DataError(
            f"an image must be a path, a Pillow image or a uint8 array, got {type(image).__name__}"
        )
    return load_image(image, enough)
