"""Changes of training images, batched on the device and drawn from counter-based keys.

`rotate90` turns whole classes, which makes new characters of old ones; the affine part moves each
image on its own, as another hand would have drawn it.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from htgen import randomness

# Purposes of random numbers within one episode.
_ROTATE90, _AFFINE, _ELASTIC = range(3)


@dataclass(frozen=True)
class Augmentation:
    """How images of an episode are changed. All magnitudes are limits of uniform distributions.

    Attributes:
        rotate90: turn all images of a class by the same random multiple of 90 degrees, so that the
            turned class is a class of its own.
        rotation: degrees, per image, -rotation..rotation.
        scale: relative size per image and axis, 1-scale..1+scale.
        shear: tangent of the shear angle, per image.
        shift: fraction of the image side, per image and axis.
        elastic: standard deviation, as a fraction of the image side, of a smooth random displacement.
    """

    rotate90: bool = False
    rotation: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    shift: float = 0.0
    elastic: float = 0.0

    def apply(self, images: Tensor, labels: Tensor, keys: Tensor) -> Tensor:
        """Change a batch of episodes.

        Args:
            images: `[E, M, C, H, W]` float32, 0..255, square.
            labels: `[E, M]` int64, the true class slot of every image.
            keys: `[E]` int64, one random key per episode.
        """
        if self.rotate90:
            turns = randomness.bits(randomness.fold(keys, _ROTATE90), int(labels.max()) + 1) & 3  # [E, n]
            images = _rotate90(images, turns.gather(1, labels))
        if self.rotation or self.scale or self.shear or self.shift or self.elastic:
            images = self._warp(images, keys)
        return images

    def _warp(self, images: Tensor, keys: Tensor) -> Tensor:
        """Sample every image on a grid that is moved by an affine map and a smooth displacement."""
        count, channels, height, width = images.shape[1:]
        draws = randomness.uniform(randomness.fold(keys, _AFFINE), 6 * count).view(-1, 6) * 2 - 1
        angle = torch.deg2rad(draws[:, 0] * self.rotation)
        sine, cosine = torch.sin(angle), torch.cos(angle)
        shear = draws[:, 1] * self.shear
        scale_x, scale_y = 1 + draws[:, 2] * self.scale, 1 + draws[:, 3] * self.scale
        shift = draws[:, 4:] * (2 * self.shift)  # grid coordinates run over -1..1
        matrices = torch.stack(
            [
                torch.stack([cosine * scale_x, (shear * cosine - sine) * scale_y, shift[:, 0]], dim=1),
                torch.stack([sine * scale_x, (shear * sine + cosine) * scale_y, shift[:, 1]], dim=1),
            ],
            dim=1,
        )  # [E*M, 2, 3]
        grid = F.affine_grid(matrices, [len(matrices), channels, height, width], align_corners=False)
        if self.elastic:
            coarse = randomness.normal(randomness.fold(keys, _ELASTIC), count * 2 * 16).view(-1, 2, 4, 4)
            bend = F.interpolate(coarse, (height, width), mode="bicubic", align_corners=True)
            grid = grid + bend.movedim(1, -1) * (2 * self.elastic)
        # Zero padding is the background: ink is bright (see Preprocessing.ink), photographs lose a rim.
        warped = F.grid_sample(images.flatten(0, 1), grid, padding_mode="zeros", align_corners=False)
        return warped.view_as(images)


def _rotate90(images: Tensor, turns: Tensor) -> Tensor:
    """Turn square images `[E, M, C, H, W]` counter-clockwise by `turns` `[E, M]` times 90 degrees."""
    side = images.shape[-1]
    pixels = torch.arange(side * side, device=images.device).view(side, side)
    sources = torch.stack([torch.rot90(pixels, k).flatten() for k in range(4)])  # [4, H*W]
    index = sources[turns][:, :, None, :].expand(*images.shape[:3], -1)
    return images.flatten(3).gather(3, index).view_as(images)
