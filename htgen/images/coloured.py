"""Whether an image has the colours of a scene: many of them, all over, with soft steps from one to the next.

Paper, inks and light of any colour give few colours, and most of the image has one.
The thresholds were chosen on validation data (docs/lab/choice.md).
"""

import numpy as np
from PIL import Image

from htgen.arrays import Floats, Pixels

_SIDE, _LEAST = 64, 60
"""Pixels of the longer side of the copy that is looked at, and of an image that says enough."""

_STEPS, _SOFT = (3, 25), 0.35
"""Grey levels between neighbours where there is texture, and the share of such pairs that makes a scene."""

_BIN, _BITS = 24, 3.9
"""Values of a channel that count as one, and the entropy of the colours from which they are many."""

_DARK, _APART = 16, 0.025
"""Is added to values before ratios are taken; and how far half of these are at least from those of one paper,
in a light that may change from side to side."""


def has_colours_of_scene(image: Image.Image) -> bool:
    """Whether an image can be no drawing, by its colours. Of grey images and small ones they say nothing.

    Args:
        image: of any mode without transparency; it is kept as it is.
    """
    if image.mode != "RGB" or max(image.size) < _LEAST:
        return False
    small = image.copy()
    small.thumbnail((_SIDE, _SIDE), Image.Resampling.BOX)
    if min(small.size) < 3:
        return False
    pixels = np.asarray(small)
    return _is_soft(pixels) and _bits(pixels) > _BITS and _is_of_several_papers(pixels)


def _is_soft(pixels: Pixels) -> bool:
    """Whether most neighbours in an image `[H, W, 3]` differ, by less than edges of ink."""
    grey = pixels.sum(axis=2, dtype=np.int32)  # of three channels
    least, most = (3 * step for step in _STEPS)
    shares = [
        float(((d >= least) & (d < most)).mean()) for d in (np.abs(np.diff(grey, axis=n)) for n in (0, 1))
    ]
    return sum(shares) / 2 > _SOFT


def _bits(pixels: Pixels) -> float:
    """The entropy of the colours of an image `[H, W, 3]`."""
    red, green, blue = (pixels[..., channel].astype(np.intp) // _BIN for channel in range(3))
    counts = np.bincount(((red << 8) + (green << 4) + blue).ravel())
    shares = counts[counts > 0] / red.size
    return float(-(shares * np.log2(shares)).sum())


def _is_of_several_papers(pixels: Pixels) -> bool:
    """Whether half of the pixels `[H, W, 3]` are far from a colour that changes evenly from side to side.

    That is farther than neighbours are from each other, as by noise.
    """
    red, green, blue = (np.log(pixels[..., channel] + np.float32(_DARK)) for channel in range(3))
    ratios = red - green, blue - green
    noise = sum(float(np.median(np.abs(np.diff(ratio, axis=1)))) for ratio in ratios)
    apart = np.sqrt(np.median(sum(_beside_tilt(ratio) ** 2 for ratio in ratios)))
    return bool(apart > max(_APART, noise))


def _beside_tilt(values: Floats) -> Floats:
    """Values `[H, W]` less their middle and their change from side to side, by that of the outer thirds."""
    height, width = values.shape
    down, across = height // 3, width // 3
    fall = (np.median(values[-down:]) - np.median(values[:down])) / (height - down)
    shift = (np.median(values[:, -across:]) - np.median(values[:, :across])) / (width - across)
    rows, columns = np.ogrid[:height, :width]
    values = values - (fall * rows + shift * columns).astype(np.float32)
    return values - np.median(values)
