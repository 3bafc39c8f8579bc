"""The C that prepares frames as `htgen.images.on_device` does."""

from htgen.cnn.c_common import template
from htgen.errors import ModelError
from htgen.images import device_strokes, on_device
from htgen.images.preprocessing import Preprocessing

_LINE = on_device.CELLS + 2 * (on_device.CELLS // 4)

_KEPT = 2 * device_strokes.MOST + 2
"""Lines of the fine grid that are there at a time."""

_LARGEST_SIDE = 127
"""Of an image: the fine grid is counted in bytes."""


def preparation_buffers(how: Preprocessing) -> int:
    """Bytes of memory that it works in, beside the frame and the image."""
    ranks = 512 + _LINE + on_device.CELLS // 2 + 1 + 16
    return _cells(how) + on_device.CELLS**2 + ranks + (2 * how.size if how.steps.stroke else 0)


def _cells(how: Preprocessing) -> int:
    """Bytes of the grid, and where strokes are made even, of the lines that come in its place."""
    fine = device_strokes.FINE * how.size
    return max(on_device.CELLS**2, (_KEPT + 2) * fine if how.steps.stroke else 0)


def preparation(name: str, how: Preprocessing) -> str:
    """Its source.

    Args:
        how: the record of a CNN that a device prepares images for.

    Raises:
        ModelError: its images are too large.
    """
    size = how.size
    if size > _LARGEST_SIDE:
        raise ModelError(
            f"the C prepares images of {_LARGEST_SIDE} pixels on a side at most, not {size}",
            "htgen export without --prepare",
        )
    return template("c_prepare").substitute(
        name=name,
        upper=name.upper(),
        side=size,
        pixels=size * size,
        cells=_cells(how),
        paper=on_device.CELLS**2,
        line=_LINE,
        near=on_device.CELLS // 2 + 1,
        widest=on_device.WIDEST,
        faint=on_device.FAINT,
        stray=on_device.STRAY,
        crop_numerator=on_device.CROP_NUMERATOR,
        crop_denominator=on_device.CROP_DENOMINATOR,
        prepare_buffers=preparation_buffers(how),
        strokes=_strokes(name, how) if how.steps.stroke else "",
        even=f"\n    {name}_even(&part, threshold, full, pixels);" if how.steps.stroke else "",
    )


def _strokes(name: str, how: Preprocessing) -> str:
    """What makes strokes even."""
    fine = device_strokes.FINE * how.size
    return template("c_strokes").substitute(
        name=name,
        side=how.size,
        fine=fine,
        kept=_KEPT,
        ring=_KEPT * fine,
        scale=f"{32 * device_strokes.FINE}u",
        wanted=device_strokes.wanted_width(how.steps.stroke, how.size),
        largest=16 * device_strokes.MOST,
        visible=device_strokes.VISIBLE,
    )
