"""Small batches of images to be changed, and a slow re-computation of changes, one image at a time."""

import colorsys
import math

import numpy as np
import torch

from htgen.config.data import (
    AlikeConfig,
    AugmentConfig,
    NewClassesConfig,
    PhotoConfig,
)
from htgen.episodes import randomness

KEYS = randomness.fold(torch.tensor(0), torch.arange(6))
LABELS = torch.arange(4).repeat(3).expand(6, -1)
EVERYTHING = AugmentConfig(
    rotate90="class",
    rotation=10,
    scale=0.1,
    shear=0.1,
    shift=0.05,
    elastic=0.02,
    new_classes=NewClassesConfig(mirror=True, rotation=10, scale=0.1, shear=0.1, elastic=0.02),
    alike=AlikeConfig(
        per_class=True, rotate=0.5, angle=40, resize=0.5, roll=0.5, smooth=0.5, contrast=0.5, negate=0.5
    ),
    photo=PhotoConfig(per_image=True, flip=0.5, crop=0.4, hue=0.2, brightness=0.3, contrast=0.2),
)


def images(side: int = 12, channels: int = 1) -> torch.Tensor:
    values = torch.rand(6, 12, channels, side, side, generator=torch.Generator().manual_seed(0))
    return values * 255


def many(
    image: torch.Tensor, episodes: int, count: int = 1
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Arguments of `augment`: `count` classes of one image `[C, H, W]` in each of many episodes."""
    keys = randomness.fold(torch.tensor(7), torch.arange(episodes))
    labels = torch.arange(count).expand(episodes, -1)
    return image.expand(episodes, count, *image.shape).contiguous(), labels, keys


def read(image: np.ndarray, y: float, x: float, border: bool) -> np.ndarray:
    """All channels of `[C, H, W]` at a fractional position; outside is 0, or the nearest edge pixel."""
    side = image.shape[1]
    if border:
        y, x = min(max(y, 0), side - 1), min(max(x, 0), side - 1)
    top, left = math.floor(y), math.floor(x)
    total = np.zeros(image.shape[0])
    for row, weight_y in ((top, 1 - (y - top)), (top + 1, y - top)):
        for column, weight_x in ((left, 1 - (x - left)), (left + 1, x - left)):
            if 0 <= row < side and 0 <= column < side:
                total += weight_y * weight_x * image[:, row, column]
    return total


def slow_map(image: np.ndarray, source, border: bool = False) -> np.ndarray:
    """`source(y, x)`: where the pixel at (y, x) comes from, both measured in pixels from the centre."""
    after, centre = np.zeros_like(image), (image.shape[1] - 1) / 2
    for row in range(image.shape[1]):
        for column in range(image.shape[2]):
            y, x = source(row - centre, column - centre)
            after[:, row, column] = read(image, y + centre, x + centre, border)
    return after


def slow_rotate(image, coin, draw):
    angle = math.radians((2 * draw - 1) * 40)
    if coin >= 0.6:
        return image
    sine, cosine = math.sin(angle), math.cos(angle)
    return slow_map(image, lambda y, x: (sine * x + cosine * y, cosine * x - sine * y))


def slow_resize(image, coin, draw):
    size = 1 - 0.3 * draw
    return slow_map(image, lambda y, x: (y / size, x / size)) if coin < 0.6 else image


def slow_roll(image, coin, down, right):
    limit = int(0.3 * image.shape[1])
    steps = [math.floor(draw * (2 * limit + 1)) - limit for draw in (down, right)]
    return np.roll(image, steps, axis=(1, 2)) if coin < 0.6 else image


def slow_smooth(image, coin):
    if coin >= 0.6:
        return image
    after = np.zeros_like(image)
    for row in range(image.shape[1]):
        for column in range(image.shape[2]):
            window = image[:, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
            after[:, row, column] = window.mean(axis=(1, 2))
    return after


def slow_contrast(image, coin, draw):
    alpha = 0.5 + 2 * draw
    scaled = (image - 127.5) / 127.5
    return 127.5 + 127.5 * np.tanh(alpha * scaled) / np.tanh(alpha) if coin < 0.6 else image


def slow_negate(image, coin):
    return 255 - image if coin < 0.6 else image


def slow_flip(image, coin):
    return image[:, :, ::-1] if coin < 0.6 else image


def slow_crop(image, draw, right, down):
    size = 1 - 0.4 * draw
    spare = image.shape[1] * (1 - size)  # pixels; the crop's centre is at most half of them off
    return slow_map(
        image, lambda y, x: (y * size + (down - 0.5) * spare, x * size + (right - 0.5) * spare), border=True
    )


def slow_hue(image, draw):
    after = np.zeros_like(image)
    for row in range(image.shape[1]):
        for column in range(image.shape[2]):
            hue, saturation, value = colorsys.rgb_to_hsv(*(image[:, row, column] / 255))
            turned = (hue + (2 * draw - 1) * 0.2) % 1
            after[:, row, column] = colorsys.hsv_to_rgb(turned, saturation, value)
    return after * 255


def slow_brightness(image, draw):
    return np.clip(image + (2 * draw - 1) * 0.3 * 255, 0, 255)


def slow_photo_contrast(image, draw):
    mean = image.mean(axis=(1, 2), keepdims=True)
    return np.clip(mean + (image - mean) * (0.8 + 0.4 * draw), 0, 255)


# (field, its value, further fields, its purpose among an episode's draws, draws, slow function)


def between(values: torch.Tensor, low: float, high: float, tolerance: float) -> None:
    """All values lie in low..high, reach both ends and have the mean of a uniform distribution."""
    assert values.min() >= low - tolerance
    assert values.max() <= high + tolerance
    assert values.min() <= low + 0.02 * (high - low) + tolerance
    assert values.max() >= high - 0.02 * (high - low) - tolerance
    sigma = (high - low) / math.sqrt(12 * len(values))
    assert abs(values.mean() - (low + high) / 2) < 4 * sigma + tolerance


def dots(episodes: int, count: int) -> torch.Tensor:
    """Images with a bright dot at 3 o'clock."""
    before = torch.zeros(episodes, count, 1, 41, 41)
    before[..., 19:22, 34:37] = 255
    return before


def dot_angles(after: torch.Tensor) -> torch.Tensor:
    """Where the dot is: degrees, clockwise from 3 o'clock."""
    axis = torch.arange(41) - 20.0
    rows, columns = torch.meshgrid(axis, axis, indexing="ij")
    mass = after.sum((2, 3, 4))
    y, x = ((after[:, :, 0] * axis).sum((2, 3)) / mass for axis in (rows, columns))
    return torch.rad2deg(torch.atan2(y, x))
