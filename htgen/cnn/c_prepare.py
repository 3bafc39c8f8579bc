"""The C that prepares frames as `htgen.images.on_device` does."""

from htgen.cnn.c_source import template
from htgen.images import on_device

_LINE = on_device.CELLS + 2 * (on_device.CELLS // 4)

PREPARATION_BUFFERS = 2 * on_device.CELLS**2 + 512 + _LINE + on_device.CELLS // 2 + 1 + 16
"""Bytes of memory that it works in, beside the frame and the image."""


def preparation(name: str, size: int) -> str:
    """Its source.

    Args:
        size: side of the image that the CNN reads.
    """
    return template("c_prepare").substitute(
        name=name,
        upper=name.upper(),
        side=size,
        pixels=size * size,
        cells=on_device.CELLS**2,
        line=_LINE,
        near=on_device.CELLS // 2 + 1,
        widest=on_device.WIDEST,
        faint=on_device.FAINT,
        stray=on_device.STRAY,
        crop_numerator=on_device.CROP_NUMERATOR,
        crop_denominator=on_device.CROP_DENOMINATOR,
        prepare_buffers=PREPARATION_BUFFERS,
    )
