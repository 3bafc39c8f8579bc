"""A program that checks the C of a CNN on the device itself."""

import numpy as np

from htgen.arrays import Pixels
from htgen.cnn.c_common import array, template
from htgen.cnn.whole_executor import WholeCnn

NOISE_IMAGES = 4


def noise(count: int) -> Pixels:
    """What the program's generator of noise gives: `[count]`."""
    state, values = 1, np.empty(count, np.uint8)
    for index in range(count):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        values[index] = state >> 24
    return values


def selftest(cnn: WholeCnn, name: str, images: Pixels | None) -> str:
    """Its source.

    Args:
        images: prepared `[N, C, H, W]`, to be stored; without any, four images of noise, which need no room.
    """
    upper, spec = name.upper(), cnn.spec
    pixels = spec.image_channels * spec.image_size**2
    shape = (-1, spec.image_channels, spec.image_size, spec.image_size)
    stored = [] if images is None else [*array("uint8_t", f"{name}_images", images, f"{upper}_FLASH")]
    shown = noise(NOISE_IMAGES * pixels).reshape(shape) if images is None else images
    expected = cnn.logits(shown)
    at = f"{upper}_UINT8({name}_images + (uint32_t)i * {pixels} + p)"
    return template("c_whole_selftest").substitute(
        name=name,
        upper=upper,
        pixels=pixels,
        way=expected.shape[1],
        count=len(expected),
        images="\n".join(stored),
        expected="\n".join(array("int32_t", f"{name}_expected", expected, f"{upper}_FLASH")),
        pixel="(uint8_t)(noise >> 24)" if images is None else at,
    )
