"""Changes that leave a photograph a photograph of the same thing, drawn for every image or for an episode.

Images are `[E, M, C, H, W]` float32, 0..255; keys `[E]` int64, one random key per episode.
"""

import torch
from torch import Tensor

from htgen.config.data import PhotoConfig
from htgen.episodes.augmentation_draws import Purpose, draws, units_of
from htgen.episodes.geometry import affine_maps, per_image, sample


def move_photographs(config: PhotoConfig, images: Tensor, keys: Tensor) -> Tensor:
    """The changes that move pixels: flip left and right, crop."""
    units = units_of(bool(config.per_image), _positions(images))
    if config.flip:
        (coin,) = draws(Purpose.FLIP, 1, units, keys)
        images = torch.where(per_image(coin < config.flip), images.flip(-1), images)
    if config.crop:
        draw, right, down = draws(Purpose.CROP, 3, units, keys)
        side = 1 - config.crop * draw  # [E, M]
        x, y = (right * 2 - 1) * (1 - side), (down * 2 - 1) * (1 - side)  # coordinates run over -1..1
        zero = torch.zeros_like(side)
        # "border": half a pixel at the edges of a crop may lie outside the image.
        images = sample(images, affine_maps((side, zero, x), (zero, side, y)), "border")
    return images


def recolor_photographs(config: PhotoConfig, images: Tensor, keys: Tensor, support: int = 0) -> Tensor:
    """The changes of values: hue (of three channels red, green, blue), brightness, contrast.

    Args:
        support: how many images, from the first, are support images; for `per_image: moves`.
    """
    units = _positions(images)
    units = (units >= support).long() if config.per_image == "moves" else units_of(config.per_image, units)
    if config.hue:
        (draw,) = draws(Purpose.HUE, 1, units, keys)
        images = turn_hue(images, (draw * 2 - 1) * config.hue)
    if config.brightness:
        (draw,) = draws(Purpose.BRIGHTNESS, 1, units, keys)
        images = images + per_image((draw * 2 - 1) * (config.brightness * 255))
    if config.contrast:
        (draw,) = draws(Purpose.PHOTO_CONTRAST, 1, units, keys)
        mean = images.mean((-2, -1), keepdim=True)  # [E, M, C, 1, 1]
        images = mean + (images - mean) * per_image(1 + (draw * 2 - 1) * config.contrast)
    return images.clamp(0, 255) if config.brightness or config.contrast else images


def _positions(images: Tensor) -> Tensor:
    """`[E, M]`, which image it is."""
    return torch.arange(images.shape[1], device=images.device).expand(images.shape[:2])


def turn_hue(images: Tensor, turns: Tensor) -> Tensor:
    """Turn the hue of RGB images by `turns` `[E, M]` of the colour circle; HSV saturation and value stay."""
    red, green, blue = images.unbind(2)
    value, chroma = images.amax(2), images.amax(2) - images.amin(2)
    divisor = chroma.masked_fill(chroma == 0, 1)  # grey has no hue: any will do
    hue = torch.where(
        value == red,
        (green - blue) / divisor,
        torch.where(value == green, (blue - red) / divisor + 2, (red - green) / divisor + 4),
    )  # sixths of the circle, red at 0
    hue = hue + 6 * turns[..., None, None]
    # A channel is at its full value within one sixth of its own hue, and lacks the chroma beyond two.
    channels = [(hue + offset) % 6 for offset in (5, 3, 1)]
    return torch.stack([value - chroma * torch.minimum(k, 4 - k).clamp(0, 1) for k in channels], dim=2)
