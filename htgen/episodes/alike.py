"""Changes that all images of a class, or of an episode, get alike: the reference system's own.

What moves pixels stands apart from what changes their values; `htgen.episodes.augmentation` has the order.
Images are `[E, M, C, H, W]` float32, 0..255, square; labels `[E, M]` int64, the class of each image in its
episode; keys `[E]` int64, one random key per episode.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from htgen.config.data import AlikeConfig, AugmentConfig
from htgen.episodes import randomness
from htgen.episodes.augmentation_draws import Purpose, draws, units_of
from htgen.episodes.geometry import affine_maps, gather, per_image, rotate90, sample

SMALLEST_RESIZE = 0.7
"""`resize` leaves this much of the side, or more."""

LARGEST_ROLL = 0.3
"""`roll` moves by so much of the side, or less, in whole pixels."""

CONTRAST_ALPHA = (0.5, 2.5)
"""Steepness of `contrast`, `tanh(alpha x) / tanh(alpha)` of pixels x on -1..1: black, white and middle grey
stay, the greys between them move away from the middle."""


def quarter_turns(config: AugmentConfig, images: Tensor, labels: Tensor, keys: Tensor) -> Tensor:
    """`rotate90`: counter-clockwise; a turned class is a class of its own."""
    if not config.rotate90:
        return images
    units = units_of(config.rotate90 != "episode", labels)
    turns = randomness.bits_at(randomness.fold(keys, Purpose.ROTATE90), units) & 3  # [E, M]
    return rotate90(images, turns)


def move_alike(config: AlikeConfig, images: Tensor, labels: Tensor, keys: Tensor) -> Tensor:
    """The changes that move pixels: rotate and resize about the centre, roll round the edges."""
    units = units_of(config.per_class, labels)
    if config.rotate or config.resize:
        coin, draw = draws(Purpose.ROTATE, 2, units, keys)
        rotated = coin < config.rotate
        angle = torch.deg2rad((draw * 2 - 1) * config.angle) * rotated
        coin, draw = draws(Purpose.RESIZE, 2, units, keys)
        resized = coin < config.resize
        zoom = 1 / (1 - (1 - SMALLEST_RESIZE) * draw * resized)
        sine, cosine, zero = torch.sin(angle) * zoom, torch.cos(angle) * zoom, torch.zeros_like(zoom)
        moved = sample(images, affine_maps((cosine, -sine, zero), (sine, cosine, zero)), "zeros")
        images = torch.where(per_image(rotated | resized), moved, images)
    if config.roll:
        side = images.shape[-1]
        limit = int(LARGEST_ROLL * side)
        coin, *distances = draws(Purpose.ROLL, 3, units, keys)
        steps = [torch.floor(draw * (2 * limit + 1)).to(torch.int64) - limit for draw in distances]
        down, right = ((step * (coin < config.roll))[..., None] for step in steps)  # [E, M, 1]
        pixels = torch.arange(side, device=images.device)
        rows, columns = (pixels - down) % side, (pixels - right) % side  # [E, M, side]
        images = gather(images, rows[..., :, None] * side + columns[..., None, :])
    return images


def recolor_alike(config: AlikeConfig, images: Tensor, labels: Tensor, keys: Tensor) -> Tensor:
    """The changes of values: smooth (at the edges, the mean of the pixels that exist), contrast, negate."""
    units = units_of(config.per_class, labels)
    if config.smooth:
        (coin,) = draws(Purpose.SMOOTH, 1, units, keys)
        smooth = F.avg_pool2d(images.flatten(0, 1), 3, stride=1, padding=1, count_include_pad=False)
        images = torch.where(per_image(coin < config.smooth), smooth.view_as(images), images)
    if config.contrast:
        coin, draw = draws(Purpose.CONTRAST, 2, units, keys)
        low, high = CONTRAST_ALPHA
        alpha = per_image(low + (high - low) * draw)
        bent = (torch.tanh(alpha * (images / 127.5 - 1)) / torch.tanh(alpha) + 1) * 127.5
        images = torch.where(per_image(coin < config.contrast), bent.clamp(0, 255), images)
    if config.negate:
        (coin,) = draws(Purpose.NEGATE, 1, units, keys)
        images = torch.where(per_image(coin < config.negate), 255 - images, images)
    return images
