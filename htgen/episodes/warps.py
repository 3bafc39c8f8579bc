"""New drawings and new classes of old ones: warps of images and of classes, and chimeras of two classes.

Images are `[E, M, C, H, W]` float32, 0..255, square; labels `[E, M]` int64, the class of each image in its
episode; keys `[E]` int64, one random key per episode.
"""

import math

import torch
from torch import Tensor

from htgen.config.data import AugmentConfig, NewClassesConfig
from htgen.episodes import randomness
from htgen.episodes.augmentation_draws import Purpose, draws
from htgen.episodes.geometry import enlarge, linear_maps, pixel_centres, sample

LARGEST_SEAM_OFFSET = 0.2
"""How far from the centre the seam of a chimera may pass, of half the side."""

BENDS = 4
"""Rows and columns of the random displacements from which a smooth one is enlarged."""


def chimeras(share: float, images: Tensor, others: Tensor, labels: Tensor, keys: Tensor) -> Tensor:
    """Put the other image in place of one side of each image of some classes.

    The seam is a straight line at any angle, the same for all images of a class.

    Args:
        share: of the classes that become chimeras, 0..1.
        others: `[E, M, C, H, W]`, an image of another class for every image.
    """
    coin, turn, offset = draws(Purpose.CHIMERA, 3, labels, keys)  # [E, M]
    joined, angle = coin < share, 2 * math.pi * turn
    y, x = pixel_centres(images)
    along = torch.cos(angle)[..., None, None] * x + torch.sin(angle)[..., None, None] * y[:, None]
    beyond = along > ((offset * 2 - 1) * LARGEST_SEAM_OFFSET)[..., None, None]  # [E, M, H, W]
    return torch.where((beyond & joined[..., None, None])[:, :, None], others, images)


def warp(config: AugmentConfig, images: Tensor, labels: Tensor, keys: Tensor) -> Tensor:
    """Sample every image once, moved by its own warp and by that of its class."""
    of_image = config.rotation or config.scale or config.shear or config.shift or config.elastic
    if not of_image and config.new_classes == NewClassesConfig():
        return images
    count, _, height, width = images.shape[1:]
    draw = randomness.uniform(randomness.fold(keys, Purpose.AFFINE), 6 * count).view(-1, count, 6) * 2 - 1
    linear = linear_maps(draw[..., :4].unbind(-1), config.rotation, config.scale, config.shear)
    shift = draw[..., 4:, None] * (2 * config.shift)  # [E, M, 2, 1]; grid coordinates run over -1..1
    bend = torch.zeros((), device=images.device)
    if config.elastic:
        coarse = randomness.normal(randomness.fold(keys, Purpose.ELASTIC), count * 2 * BENDS**2)
        bend = bend + coarse.view(-1, count, 2, BENDS, BENDS) * (2 * config.elastic)
    new = config.new_classes
    if new.mirror or new.rotation or new.scale or new.shear:
        of_class = _linear_maps_of_classes(new, labels, keys)
        linear, shift = of_class @ linear, of_class @ shift
    if new.elastic:
        units = randomness.fold(keys[:, None], Purpose.CLASS_ELASTIC, labels)  # [E, M]
        coarse = randomness.normal(units, 2 * BENDS**2).unflatten(-1, (2, BENDS, BENDS))
        bend = bend + coarse * (2 * new.elastic)  # [E, M, 2, BENDS, BENDS]
    matrices = torch.cat([linear, shift], dim=-1).flatten(0, 1)  # [E * M, 2, 3]
    bends = enlarge(bend.flatten(0, 1), height, width) if bend.ndim else None
    return sample(images, matrices, "zeros", bends)


def _linear_maps_of_classes(new: NewClassesConfig, labels: Tensor, keys: Tensor) -> Tensor:
    """`[E, M, 2, 2]`, the same for all images of a class."""
    mirror, *four = draws(Purpose.CLASS_AFFINE, 5, labels, keys)
    of_class = linear_maps([draw * 2 - 1 for draw in four], new.rotation, new.scale, new.shear)
    if new.mirror:
        side = 1 - 2 * (mirror < 0.5).to(mirror.dtype)
        of_class = of_class * torch.stack([side, torch.ones_like(side)], dim=-1)[..., None, :]
    return of_class
