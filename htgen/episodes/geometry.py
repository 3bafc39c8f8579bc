"""Pixels of a batch of images moved from place to place. Nothing here is random.

Positions run over -1..1 from edge to edge of an image.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def per_image(values: Tensor) -> Tensor:
    """`[E, M]` -> `[E, M, 1, 1, 1]`, to meet images."""
    return values[..., None, None, None]


def pixel_centres(images: Tensor) -> tuple[Tensor, Tensor]:
    """Where the rows `[H]` and columns `[W]` of images lie, on -1..1 from edge to edge."""
    y, x = ((2 * torch.arange(side, device=images.device) + 1) / side - 1 for side in images.shape[-2:])
    return y, x


def linear_maps(draws: Sequence[Tensor], rotation: float, scale: float, shear: float) -> Tensor:
    """Linear maps `[..., 2, 2]` from output to input coordinates, of four draws in -1..1.

    Args:
        draws: angle, shear, scale of x and of y, `[...]` each.
        rotation, scale, shear: their limits: degrees, relative size, tangent of the shear angle.
    """
    angle, bias = torch.deg2rad(draws[0] * rotation), draws[1] * shear
    scale_x, scale_y = 1 + draws[2] * scale, 1 + draws[3] * scale
    sine, cosine = torch.sin(angle), torch.cos(angle)
    x = cosine * scale_x, (bias * cosine - sine) * scale_y
    y = sine * scale_x, (bias * sine + cosine) * scale_y
    return torch.stack([torch.stack(x, dim=-1), torch.stack(y, dim=-1)], dim=-2)


def affine_maps(x: tuple[Tensor, Tensor, Tensor], y: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Affine maps `[E * M, 2, 3]` from output to input coordinates, from their entries `[E, M]`."""
    return torch.stack([torch.stack([entry.flatten() for entry in row], dim=1) for row in (x, y)], dim=1)


def enlarge(coarse: Tensor, height: int, width: int) -> Tensor:
    """Bicubic interpolation `[..., h, w] -> [..., height, width]`, corners on corners.

    As two products with small matrices: a tenth of the time that `F.interpolate` takes for many images.
    """
    rows, columns = (
        F.interpolate(
            torch.eye(old, device=coarse.device)[None, None], (new, old), mode="bicubic", align_corners=True
        )[0, 0]
        for old, new in zip(coarse.shape[-2:], (height, width), strict=True)
    )
    return rows @ coarse @ columns.T


def sample(images: Tensor, matrices: Tensor, padding: str, bend: Tensor | None = None) -> Tensor:
    """Read images at affinely mapped positions, plus a displacement `[E * M, 2, H, W]`; bilinear."""
    flat = images.flatten(0, 1)
    y, x = pixel_centres(images)  # a sum of two parts is cheaper than the products of F.affine_grid
    across = matrices[:, :, 0, None] * x  # [E * M, 2, W]
    down = matrices[:, :, 1, None] * y + matrices[:, :, 2, None]  # [E * M, 2, H]
    grid = across[:, :, None, :] + down[:, :, :, None]
    if bend is not None:
        grid = grid + bend
    sampled = F.grid_sample(flat, grid.movedim(1, -1), padding_mode=padding, align_corners=False)
    return sampled.view_as(images)


def gather(images: Tensor, sources: Tensor) -> Tensor:
    """Images whose pixels are those at the flat positions `sources` `[E, M, H, W]`, for all channels."""
    index = sources.flatten(2)[:, :, None, :].expand(*images.shape[:3], -1)
    return images.flatten(3).gather(3, index).view_as(images)


def rotate90(images: Tensor, turns: Tensor) -> Tensor:
    """Turn square images `[E, M, C, H, W]` counter-clockwise by `turns` `[E, M]` times 90 degrees."""
    side = images.shape[-1]
    pixels = torch.arange(side * side, device=images.device).view(side, side)
    sources = torch.stack([torch.rot90(pixels, k) for k in range(4)])  # [4, H, W]
    return gather(images, sources[turns])
