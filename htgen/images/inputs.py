"""The one door for images: paths, Pillow images or arrays -> the input of a CNN. No torch here."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from htgen.arrays import Floats, Pixels
from htgen.errors import DataError
from htgen.images.preprocessing import Preprocessing
from htgen.images.reading import load_image, load_pillow_image

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


def prepare_images(images: Sequence[ImageLike], preprocessing: Preprocessing) -> Floats:
    """Read and preprocess images -> CNN input, float32 `[N, C, H, W]`, -1..1.

    Raises:
        DataError: an image cannot be read.
    """
    return as_input([preprocessing.apply(_open(image)) for image in images], preprocessing)


def as_input(pixels: Sequence[Pixels], preprocessing: Preprocessing) -> Floats:
    """Preprocessed images `[size, size, channels]` -> CNN input, float32 `[N, C, H, W]`, -1..1."""
    shape = len(pixels), preprocessing.size, preprocessing.size, preprocessing.channels
    stacked = np.ascontiguousarray(np.reshape(pixels, shape).transpose(0, 3, 1, 2))
    return scale_pixels(stacked.astype(np.float32))


def _open(image: ImageLike) -> Image.Image:
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
    return load_image(image)
