"""Pixels and images as PNG."""

import io

from PIL import Image

from htgen.arrays import Pixels


def image_of(pixels: Pixels) -> Image.Image:
    """Pixels `[H, W, 1 or 3]` as an image."""
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def png_of(image: Image.Image) -> bytes:
    """An image as PNG."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
