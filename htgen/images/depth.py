"""Images of more than 8 bits, or of floating point -> grey of 8 bits."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from htgen.arrays import Mask

_NO_DATA = (-9999.0, -99999.0, -999999.0, -32767.0, -32768.0, -2147483648.0)
"""Values that mean "no data" by custom, where they lie far from all others."""

FAR = 1e20
"""Beyond, values are no brightness."""

_GDAL_NODATA = 42113
"""The tag of a TIFF file that says which value means so."""

_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0
"""The tag of a TIFF file that says what values mean, and its value where the least is white. Pillow
turns such images over where they have 8 bits or fewer, and leaves others as they are."""

_ROWS = 256
"""So many rows are looked at at once: an image may be large."""


class Scale(NamedTuple):
    """How values become 8 bits: `(value - black) / (white - black) * 255`.

    Attributes:
        black: the value that becomes 0.
        white: the value that becomes 255; below `black` where the least value is white.
        no_data: values that mean there is none; those that are not finite, or are 1e20 and more, never count.
    """

    black: float
    white: float
    no_data: tuple[float, ...] = ()

    def apply(self, image: Image.Image) -> Image.Image:
        """A part of the image as `L`, or as `LA` where the image has places without data: transparent."""
        values = np.asarray(image).astype(np.float64)
        counts = _counts(values, self.no_data)
        values[~counts] = self.black
        span = self.white - self.black or float(np.finfo(np.float64).tiny)
        grey = Image.fromarray(np.rint((values - self.black) * (255 / span)).clip(0, 255).astype(np.uint8))
        if not self.no_data and counts.all():
            return grey
        grey.putalpha(Image.fromarray(np.where(counts, np.uint8(255), np.uint8(0))))
        return grey


def has_more_bits(image: Image.Image) -> bool:
    """Whether its values are not of 8 bits."""
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def find_scale(image: Image.Image) -> Scale:
    """How an image's values are meant, which most files do not say.

    Whole numbers are of 8, 10, 12, 14 or 16 bits, by the greatest there is; an image of one value is of 16.
    Floating point within 0-1 has white at 1. Anything else is stretched from its lowest to its highest value.
    A TIFF file may say that the least value is white.

    Raises:
        ValueError: half of the values or more are not finite.
    """
    told = _told_no_data(image)
    finite, total, low, high, lowest, highest = 0, 0, np.inf, -np.inf, np.inf, -np.inf
    for values in _strips(image):
        finite, total = finite + int(np.isfinite(values).sum()), total + values.size
        sure = values[_counts(values, told)]
        if sure.size:
            lowest, highest = min(lowest, float(sure.min())), max(highest, float(sure.max()))
        likely = sure[~np.isin(sure, _NO_DATA)]
        if likely.size:
            low, high = min(low, float(likely.min())), max(high, float(likely.max()))
    if 2 * finite <= total:
        raise ValueError("it holds values that are not finite")
    if not low < high or low - lowest <= 5 * (high - low):  # no value that stands for itself
        low, high = lowest, highest
        no_data = told
    else:
        no_data = (*told, *_NO_DATA)
    has_gaps = bool(no_data) or finite < total
    if image.mode == "F":
        black, white = (0.0, 1.0) if low >= 0 and high <= 1 else (low, high)
    elif low >= 0 and high <= 65535:
        greatest = max((high, *_transparent(image)))
        bits = next(bits for bits in (8, 10, 12, 14, 16) if greatest < 1 << bits) if low < high else 16
        black, white = 0.0, float((1 << bits) - 1)
    else:
        black, white = low, high
    if getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        black, white = white, black
    return Scale(black, white, no_data or ((FAR,) if has_gaps else ()))


def _strips(image: Image.Image) -> Iterator[npt.NDArray[np.float64]]:
    for top in range(0, image.height, _ROWS):
        box = (0, top, image.width, min(top + _ROWS, image.height))
        yield np.asarray(image.crop(box)).astype(np.float64)


def _counts(values: npt.NDArray[np.float64], no_data: tuple[float, ...]) -> Mask:
    """Where values say something."""
    return np.isfinite(values) & (np.abs(values) < FAR) & ~np.isin(values, no_data)


def _told_no_data(image: Image.Image) -> tuple[float, ...]:
    """The value that a PNG file has as transparent, or that a TIFF file names."""
    if transparent := _transparent(image):
        return transparent
    told = getattr(image, "tag_v2", {}).get(_GDAL_NODATA)
    try:
        return (float(str(told).strip("\0 ")),) if told is not None else ()
    except ValueError:
        return ()


def _transparent(image: Image.Image) -> tuple[float, ...]:
    """The value that a PNG file has as transparent, if there is one; it says how many bits there are."""
    value = image.info.get("transparency")
    return (float(value),) if isinstance(value, int) else ()
