"""How large an image may be: what Pillow takes to decode it stays below 400 MB, with all that follows."""

from PIL import Image

_MOST = 270_000_000
"""Bytes that decoding may take; what comes after it, and Python, take some 100 MB more."""

_OF_FORMAT = {"WEBP": 12.0, "AVIF": 7.0, "HEIF": 7.0, "JPEG2000": 15.0, "GIF": 3.0}
"""Bytes a pixel, measured, of decoders that need more than the pixels."""

_OF_MODE = {"1": 1.0, "L": 1.0, "P": 1.0, "I;16": 3.0, "I;16B": 3.0, "I;16L": 3.0, "I": 6.0, "F": 6.0}
"""Bytes a pixel of grey images; all others take four, and a little."""

IN_WORDS = "60 million pixels in colour, 178 in grey, 22 as WebP, 38 as AVIF, 18 as JPEG 2000; any JPEG"


def expect_small(image: Image.Image) -> None:
    """Refuse an image that would take too much memory, before it is decoded.

    A JPEG is scaled down while it is decoded (`Image.draft`); after that its size is the smaller one.

    Raises:
        Image.DecompressionBombError: it has too many pixels.
    """
    cost = max(_OF_FORMAT.get(image.format or "", 0), _OF_MODE.get(image.mode, 4.5))
    if image.width * image.height * cost > _MOST:
        raise Image.DecompressionBombError(f"{image.width} x {image.height} pixels of {image.mode}")
