"""More views of few support images: turned and scaled copies, shown to the generator when it is used.

One drawing tells little of what else a class may look like. Copies that differ as another hand would
draw them cost a few milliseconds, and what is written is still one CNN. The same warps are applied to
every image, so that the order of the support set carries nothing and the same images give the same CNN.
"""

import math
from math import ceil

import torch
import torch.nn.functional as F
from torch import Tensor

WARPS: tuple[tuple[float, float], ...] = ((10.0, 1.0), (-10.0, 1.0), (0.0, 1.12), (0.0, 0.9))
"""Pairs of (degrees, size of the sampled area): each pair is balanced, so pairs are used whole."""


def add_views(
    images: Tensor, labels: Tensor, ignore: Tensor | None, views: int, way: int
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Add copies of the support images until there are about `views` for each class.

    Args:
        images: `[E, S, C, H, W]`, square.
        labels: `[E, S]`; negative = unlabelled. Copies keep the label, or the lack of one.
        ignore: `[E, S]` bool or None; copies of ignored images are ignored.
        views: wanted number per class; one copy of each warp at most.
        way: number of classes.

    Returns:
        Images, labels and ignore, `[E, S * (1 + copies), ...]`.
    """
    shot = (labels[0] >= 0).sum().item() / way
    pairs = max(0, ceil((views / max(shot, 1) - 1) / 2))
    warps = WARPS[: 2 * pairs]
    if not warps:
        return images, labels, ignore
    times = 1 + len(warps)
    copies = torch.cat([images, *(warp(images, degrees, size) for degrees, size in warps)], dim=1)
    return copies, labels.repeat(1, times), None if ignore is None else ignore.repeat(1, times)


def warp(images: Tensor, degrees: float, size: float) -> Tensor:
    """Turn and scale images `[E, S, C, H, W]` about their centre; new area continues the border.

    Args:
        degrees: the angle by which the place that is read is turned, clockwise.
        size: side of the area that is read, relative to the image: above 1 makes the drawing smaller.
    """
    flat = images.flatten(0, 1)
    sine, cosine = size * math.sin(math.radians(degrees)), size * math.cos(math.radians(degrees))
    matrix = torch.tensor([[cosine, -sine, 0.0], [sine, cosine, 0.0]], dtype=flat.dtype, device=flat.device)
    grid = F.affine_grid(matrix.expand(len(flat), -1, -1), list(flat.shape), align_corners=False)
    return F.grid_sample(flat, grid, padding_mode="border", align_corners=False).view_as(images)
