"""More views of few support images: turned and scaled copies, shown to the generator when it is used.

One drawing tells little of what else a class may look like. Copies that differ as another hand would
draw them cost a few milliseconds, and what is written is still one CNN. The same warps are applied to
every image, so that the order of the support set carries nothing and the same images give the same CNN.

A warp makes each pixel of four others: a fixed linear map, for arrays and tensors alike. No torch here.
"""

import math
from functools import lru_cache
from math import ceil
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

    Images = TypeVar("Images", Tensor, npt.NDArray[Any])
    Labels = TypeVar("Labels", Tensor, npt.NDArray[Any])
else:
    Images, Labels = TypeVar("Images"), TypeVar("Labels")


Warps = tuple[tuple[float, float], ...]
"""Pairs of (degrees, size of the sampled area)."""

WARPS: Warps = ((10.0, 1.0), (-10.0, 1.0), (0.0, 1.12), (0.0, 0.9))
"""Two and two are balanced, so they are used together."""

AS_IT_IS = (0.0, 1.0)


def copies_of_each(shot: float, views: int) -> int:
    """How many copies of every image are added, 0 to `len(WARPS)`.

    Args:
        shot: labelled images per class, on average.
        views: wanted number per class.
    """
    pairs = max(0, ceil((views / max(shot, 1) - 1) / 2))
    return min(2 * pairs, len(WARPS))


def add_views(
    images: Images, labels: Labels, ignore: Labels | None, views: int, way: int
) -> tuple[Images, Labels, Labels | None]:
    """Add copies of the support images until there are about `views` for each class, on average.

    Args:
        images: `[E, S, C, H, W]`, square.
        labels: `[E, S]`; negative = unlabelled. Copies keep the label, or the lack of one.
        ignore: `[E, S]` bool or None; copies of ignored images are ignored.
        views: wanted number per class; one copy of each warp at most.
        way: number of classes.

    Returns:
        Images, labels and ignore, `[E, S * (1 + copies), ...]`.
    """
    warps: Warps = WARPS[: copies_of_each(int((labels[0] >= 0).sum()) / way, views)]
    if not warps:
        return images, labels, ignore
    copies = warp(images, (AS_IT_IS, *warps))
    again = np.tile(np.arange(labels.shape[1]), 1 + len(warps))
    return copies, labels[:, again], None if ignore is None else ignore[:, again]


def warp(images: Images, warps: Warps) -> Images:
    """Turn and scale images about their centre; new area continues the border.

    Args:
        images: `[E, S, C, H, W]`, square.
        warps: pairs of degrees, the angle by which the place that is read is turned, clockwise; and size, the
            side of the area that is read, relative to the image: above 1 makes the drawing smaller.

    Returns:
        `[E, len(warps) * S, C, H, W]`, all images by the first warp first.
    """
    episodes, samples, channels, side, _ = images.shape
    pixels, weights = _sampling(side, warps)
    scaled = weights.astype(images.dtype) if isinstance(images, np.ndarray) else images.new_tensor(weights)
    by_pixel = images.reshape(-1, side * side).T
    warped = (by_pixel[pixels] * scaled).sum(0).T  # [E * S * C, warps * pixels]
    by_warp = warped.reshape(episodes, samples * channels, len(warps), side * side).swapaxes(1, 2)
    return by_warp.reshape(episodes, len(warps) * samples, channels, side, side)


@lru_cache(maxsize=8)
def _sampling(side: int, warps: Warps) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The four pixels that each pixel of each warp is made of, and their weights, which sum to 1.

    Returns:
        Indices into the pixels of an image, `[4, len(warps) * side * side]`, and weights, `[..., 1]`.
    """
    pixels, weights = [], []
    middle = (side - 1) / 2
    centred = np.arange(side) - middle
    for degrees, size in warps:
        sine, cosine = size * math.sin(math.radians(degrees)), size * math.cos(math.radians(degrees))
        column = np.clip(cosine * centred - sine * centred[:, None] + middle, 0, side - 1)
        row = np.clip(sine * centred + cosine * centred[:, None] + middle, 0, side - 1)
        left, top = (np.minimum(place.astype(int), side - 2) for place in (column, row))
        right_share, lower_share = column - left, row - top
        for below, height in ((0, 1 - lower_share), (1, lower_share)):
            for beside, width in ((0, 1 - right_share), (1, right_share)):
                pixels.append((top + below) * side + left + beside)
                weights.append(height * width)
    order = (len(warps), 4, side * side)
    places, shares = (np.stack(parts).reshape(order).swapaxes(0, 1) for parts in (pixels, weights))
    return places.reshape(4, -1), shares.reshape(4, -1, 1)
