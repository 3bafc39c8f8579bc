"""Changes of episode images, batched on the device and drawn from counter-based keys.

Families, by what shares one draw:

* **Warps**, per image: the affine and elastic part of `Augmentation` moves each image on its own, as
  another hand would have drawn it.
* **Alike** (`rotate90` and `Alike`), per class or per episode: all images of the class (or episode)
  change in the same way, which makes new classes (or a new look of the whole task) of old ones.
* **New classes** (`NewClasses`), per class: a warp that is the class's own, and made together with those
  of its images, so that images are sampled once.
* **Chimeras**, per class: images that are one class's on one side of a line and another class's on the
  other, which makes new classes out of pairs of old ones.
* **Photo** (`Photo`), per image or per episode: what leaves a photograph a photograph of the same thing.

The order is fixed: everything that moves pixels comes before everything that changes their values, so
that a negated drawing has a negated background in the corners too. Area that comes from outside an
image is 0: the background of drawings with bright ink (see `Preprocessing.ink`), black in photographs.

Images are float32, 0..255, and stay within 0..255; they are scaled to -1..1 afterwards. An image that a
probability leaves alone keeps its exact pixels. What is off costs nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from htgen.config.data import AugmentConfig
from htgen.episodes import randomness

# Purposes of random numbers within one episode. Their order is part of what a seed means: append only.
(
    _ROTATE90,
    _AFFINE,
    _ELASTIC,
    _ROTATE,
    _RESIZE,
    _ROLL,
    _SMOOTH,
    _CONTRAST,
    _NEGATE,
    _FLIP,
    _CROP,
    _HUE,
    _BRIGHTNESS,
    _PHOTO_CONTRAST,
    _CLASS_AFFINE,
    _CLASS_ELASTIC,
    _CHIMERA,
) = range(17)

SMALLEST_RESIZE = 0.7

LARGEST_ROLL = 0.3

LARGEST_SEAM_OFFSET = 0.2

CONTRAST_ALPHA = (0.5, 2.5)


@dataclass(frozen=True)
class Alike:
    """Changes that all images of an episode, or of each class, get alike: the reference system's own.

    Each has a probability; 0 = never. Numbers are drawn uniformly.

    Attributes:
        per_class: draw once per class of an episode; otherwise once per episode.
        rotate: turn counter-clockwise about the centre by -angle..angle degrees.
        angle: the largest angle, in degrees.
        resize: shrink about the centre to 70..100 % of the side; the rest is background.
        roll: move by up to 30 % of the side, in whole pixels, each axis on its own; what leaves one edge
            comes back at the opposite one.
        smooth: mean of 3x3 pixels; at the edges, of those that exist.
        contrast: `tanh(alpha x) / tanh(alpha)` with alpha in 0.5..2.5, x the pixel on -1..1: black, white
            and middle grey stay, the greys between them move away from the middle.
        negate: 255 - pixel.
    """

    per_class: bool = False
    rotate: float = 0.0
    angle: float = 180.0
    resize: float = 0.0
    roll: float = 0.0
    smooth: float = 0.0
    contrast: float = 0.0
    negate: float = 0.0

    def move(self, images: Tensor, labels: Tensor, keys: Tensor) -> Tensor:
        """The part that moves pixels: rotate, resize, roll. Arguments as in `Augmentation.apply`."""
        if self.rotate or self.resize:
            coin, draw = self._draw(_ROTATE, 2, labels, keys)
            rotated = coin < self.rotate
            angle = torch.deg2rad((draw * 2 - 1) * self.angle) * rotated
            coin, draw = self._draw(_RESIZE, 2, labels, keys)
            resized = coin < self.resize
            zoom = 1 / (1 - (1 - SMALLEST_RESIZE) * draw * resized)
            sine, cosine, zero = torch.sin(angle) * zoom, torch.cos(angle) * zoom, torch.zeros_like(zoom)
            moved = _sample(images, _matrices((cosine, -sine, zero), (sine, cosine, zero)), "zeros")
            images = torch.where(_per_image(rotated | resized), moved, images)
        if self.roll:
            side = images.shape[-1]
            limit = int(LARGEST_ROLL * side)
            coin, *draws = self._draw(_ROLL, 3, labels, keys)
            steps = [torch.floor(draw * (2 * limit + 1)).to(torch.int64) - limit for draw in draws]
            down, right = ((step * (coin < self.roll))[..., None] for step in steps)  # [E, M, 1]
            pixels = torch.arange(side, device=images.device)
            rows, columns = (pixels - down) % side, (pixels - right) % side  # [E, M, side]
            images = _gather(images, rows[..., :, None] * side + columns[..., None, :])
        return images

    def recolor(self, images: Tensor, labels: Tensor, keys: Tensor) -> Tensor:
        """The part that changes values: smooth, contrast, negate. Arguments as in `Augmentation.apply`."""
        if self.smooth:
            (coin,) = self._draw(_SMOOTH, 1, labels, keys)
            smooth = F.avg_pool2d(images.flatten(0, 1), 3, stride=1, padding=1, count_include_pad=False)
            images = torch.where(_per_image(coin < self.smooth), smooth.view_as(images), images)
        if self.contrast:
            coin, draw = self._draw(_CONTRAST, 2, labels, keys)
            low, high = CONTRAST_ALPHA
            alpha = _per_image(low + (high - low) * draw)
            bent = (torch.tanh(alpha * (images / 127.5 - 1)) / torch.tanh(alpha) + 1) * 127.5
            images = torch.where(_per_image(coin < self.contrast), bent.clamp(0, 255), images)
        if self.negate:
            (coin,) = self._draw(_NEGATE, 1, labels, keys)
            images = torch.where(_per_image(coin < self.negate), 255 - images, images)
        return images

    def _draw(self, purpose: int, count: int, labels: Tensor, keys: Tensor) -> tuple[Tensor, ...]:
        return _draws(purpose, count, labels if self.per_class else torch.zeros_like(labels), keys)


@dataclass(frozen=True)
class Photo:
    """Changes of photographs, for every image on its own or for an episode as a whole.

    Magnitudes are limits of uniform distributions; 0 = off.

    Attributes:
        per_image: draw for every image; otherwise once per episode.
        flip: probability of swapping left and right.
        crop: keep a random square of 1-crop..1 times the side, enlarged to the full size (bilinear).
        hue: turn the hue by -hue..hue of the colour circle. Three channels only: red, green, blue.
        brightness: add -brightness..brightness of the full range, 255.
        contrast: multiply the distance from the mean of each image and channel by 1-contrast..1+contrast.
    """

    per_image: bool = False
    flip: float = 0.0
    crop: float = 0.0
    hue: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0

    def move(self, images: Tensor, keys: Tensor) -> Tensor:
        """The part that moves pixels: flip, crop. Arguments as in `Augmentation.apply`."""
        if self.flip:
            (coin,) = self._draw(_FLIP, 1, images, keys)
            images = torch.where(_per_image(coin < self.flip), images.flip(-1), images)
        if self.crop:
            draw, right, down = self._draw(_CROP, 3, images, keys)
            side = 1 - self.crop * draw
            x, y = (right * 2 - 1) * (1 - side), (down * 2 - 1) * (1 - side)  # coordinates run over -1..1
            zero = torch.zeros_like(side)
            # "border": half a pixel at the edges of a crop may lie outside the image.
            images = _sample(images, _matrices((side, zero, x), (zero, side, y)), "border")
        return images

    def recolor(self, images: Tensor, keys: Tensor) -> Tensor:
        """The part that changes values: hue, brightness, contrast. Arguments as in `Augmentation.apply`."""
        if self.hue:
            (draw,) = self._draw(_HUE, 1, images, keys)
            images = _turn_hue(images, (draw * 2 - 1) * self.hue)
        if self.brightness:
            (draw,) = self._draw(_BRIGHTNESS, 1, images, keys)
            images = images + _per_image((draw * 2 - 1) * (self.brightness * 255))
        if self.contrast:
            (draw,) = self._draw(_PHOTO_CONTRAST, 1, images, keys)
            mean = images.mean((-2, -1), keepdim=True)
            images = mean + (images - mean) * _per_image(1 + (draw * 2 - 1) * self.contrast)
        return images.clamp(0, 255) if self.brightness or self.contrast else images

    def _draw(self, purpose: int, count: int, images: Tensor, keys: Tensor) -> tuple[Tensor, ...]:
        positions = torch.arange(images.shape[1], device=images.device).expand(images.shape[:2])
        return _draws(purpose, count, positions if self.per_image else torch.zeros_like(positions), keys)


@dataclass(frozen=True)
class NewClasses:
    """A warp that all images of a class share: out of each class comes another one, as one hand draws it.

    Magnitudes are limits of uniform distributions; 0 = off.

    Attributes:
        mirror: swap left and right in half of the classes.
        rotation: degrees, -rotation..rotation.
        scale: relative size per axis, 1-scale..1+scale.
        shear: tangent of the shear angle.
        elastic: standard deviation, as a fraction of the image side, of a smooth random displacement.
    """

    mirror: bool = False
    rotation: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    elastic: float = 0.0


@dataclass(frozen=True)
class Augmentation:
    """How images of an episode are changed. All magnitudes are limits of uniform distributions.

    Attributes:
        rotate90: turn all images of a class (`class`, or True) by the same random multiple of 90 degrees,
            so that the turned class is a class of its own; or all images of an episode (`episode`).
        rotation: degrees, per image, -rotation..rotation.
        scale: relative size per image and axis, 1-scale..1+scale.
        shear: tangent of the shear angle, per image.
        shift: fraction of the image side, per image and axis.
        elastic: standard deviation, as a fraction of the image side, of a smooth random displacement.
        new_classes: warps that are a class's own.
        chimeras: share of classes that become chimeras: on one side of a straight line, at any angle and
            up to a fifth of the half side from the centre, their images are those of another class.
        alike: changes that whole classes or episodes get alike.
        photo: changes of photographs.
    """

    rotate90: Literal[False, True, "class", "episode"] = False
    rotation: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    shift: float = 0.0
    elastic: float = 0.0
    new_classes: NewClasses = NewClasses()
    chimeras: float = 0.0
    alike: Alike = Alike()
    photo: Photo = Photo()

    def apply(self, images: Tensor, labels: Tensor, keys: Tensor, others: Tensor | None = None) -> Tensor:
        """Change a batch of episodes.

        Args:
            images: `[E, M, C, H, W]` float32, 0..255, square.
            labels: `[E, M]` int64, the true class slot of every image.
            keys: `[E]` int64, one random key per episode.
            others: `[E, M, C, H, W]`, an image of another class for every image, the same class for all
                of a class; read when there are chimeras.

        Returns:
            Images of the same shape, 0..255.
        """
        if self.chimeras:
            if others is None:
                raise ValueError("chimeras need images of other classes")
            images = self._join(images, others, labels, keys)
        if self.rotate90:
            units = torch.zeros_like(labels) if self.rotate90 == "episode" else labels
            turns = randomness.bits_at(randomness.fold(keys, _ROTATE90), units) & 3  # [E, M]
            images = _rotate90(images, turns)
        images = self.alike.move(images, labels, keys)
        per_image = self.rotation or self.scale or self.shear or self.shift or self.elastic
        if per_image or self.new_classes != NewClasses():
            images = self._warp(images, labels, keys)
        images = self.photo.move(images, keys)
        images = self.alike.recolor(images, labels, keys)
        return self.photo.recolor(images, keys)

    def _join(self, images: Tensor, others: Tensor, labels: Tensor, keys: Tensor) -> Tensor:
        """Put the other image in place of one side of each image of some classes."""
        coin, turn, offset = _draws(_CHIMERA, 3, labels, keys)
        joined, angle = coin < self.chimeras, 2 * math.pi * turn
        y, x = _pixel_centres(images)
        along = torch.cos(angle)[..., None, None] * x + torch.sin(angle)[..., None, None] * y[:, None]
        beyond = along > ((offset * 2 - 1) * LARGEST_SEAM_OFFSET)[..., None, None]  # [E, M, H, W]
        return torch.where((beyond & joined[..., None, None])[:, :, None], others, images)

    def _warp(self, images: Tensor, labels: Tensor, keys: Tensor) -> Tensor:
        """Sample every image on a grid that is moved by affine maps and smooth displacements."""
        count, _, height, width = images.shape[1:]
        draws = randomness.uniform(randomness.fold(keys, _AFFINE), 6 * count).view(-1, count, 6) * 2 - 1
        linear = _linear(draws[..., :4].unbind(-1), self.rotation, self.scale, self.shear)
        shift = draws[..., 4:, None] * (2 * self.shift)  # grid coordinates run over -1..1
        bend = torch.zeros((), device=images.device)
        if self.elastic:
            coarse = randomness.normal(randomness.fold(keys, _ELASTIC), count * 2 * 16)
            bend = bend + coarse.view(-1, count, 2, 4, 4) * (2 * self.elastic)
        new = self.new_classes
        if new.mirror or new.rotation or new.scale or new.shear:
            mirror, *four = _draws(_CLASS_AFFINE, 5, labels, keys)
            of_class = _linear([draw * 2 - 1 for draw in four], new.rotation, new.scale, new.shear)
            if new.mirror:
                side = 1 - 2 * (mirror < 0.5).to(mirror.dtype)
                of_class = of_class * torch.stack([side, torch.ones_like(side)], dim=-1)[..., None, :]
            linear, shift = of_class @ linear, of_class @ shift
        if new.elastic:
            units = randomness.fold(keys[:, None], _CLASS_ELASTIC, labels)
            bend = bend + randomness.normal(units, 2 * 16).unflatten(-1, (2, 4, 4)) * (2 * new.elastic)
        matrices = torch.cat([linear, shift], dim=-1).flatten(0, 1)
        bends = _enlarge(bend.flatten(0, 1), height, width) if bend.ndim else None
        return _sample(images, matrices, "zeros", bends)


def _linear(draws: Sequence[Tensor], rotation: float, scale: float, shear: float) -> Tensor:
    """Linear maps `[..., 2, 2]` from output to input coordinates, of four draws in -1..1.

    Args:
        draws: angle, shear, scale of x and of y, `[...]` each.
        rotation, scale, shear: their limits, as in `Augmentation`.
    """
    angle, bias = torch.deg2rad(draws[0] * rotation), draws[1] * shear
    scale_x, scale_y = 1 + draws[2] * scale, 1 + draws[3] * scale
    sine, cosine = torch.sin(angle), torch.cos(angle)
    x = cosine * scale_x, (bias * cosine - sine) * scale_y
    y = sine * scale_x, (bias * sine + cosine) * scale_y
    return torch.stack([torch.stack(x, dim=-1), torch.stack(y, dim=-1)], dim=-2)


def _draws(purpose: int, count: int, units: Tensor, keys: Tensor) -> tuple[Tensor, ...]:
    """`count` uniform draws `[E, M]` for images of which those with the same unit (`[E, M]`) draw alike."""
    return randomness.uniform(randomness.fold(keys[:, None], purpose, units), count).unbind(-1)


def _per_image(values: Tensor) -> Tensor:
    """`[E, M]` -> `[E, M, 1, 1, 1]`, to meet images."""
    return values[..., None, None, None]


def _matrices(x: tuple[Tensor, Tensor, Tensor], y: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Affine maps `[E * M, 2, 3]` from output to input coordinates, from their entries `[E, M]`."""
    return torch.stack([torch.stack([entry.flatten() for entry in row], dim=1) for row in (x, y)], dim=1)


def _enlarge(coarse: Tensor, height: int, width: int) -> Tensor:
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


def _pixel_centres(images: Tensor) -> tuple[Tensor, Tensor]:
    """Where the rows `[H]` and columns `[W]` of images lie, on -1..1 from edge to edge."""
    y, x = ((2 * torch.arange(side, device=images.device) + 1) / side - 1 for side in images.shape[-2:])
    return y, x


def _sample(images: Tensor, matrices: Tensor, padding: str, bend: Tensor | None = None) -> Tensor:
    """Read images at affinely mapped positions, plus a displacement `[E * M, 2, H, W]`; bilinear."""
    flat = images.flatten(0, 1)
    y, x = _pixel_centres(images)  # a sum of two parts is cheaper than the products of F.affine_grid
    across = matrices[:, :, 0, None] * x  # [E * M, 2, W]
    down = matrices[:, :, 1, None] * y + matrices[:, :, 2, None]  # [E * M, 2, H]
    grid = across[:, :, None, :] + down[:, :, :, None]
    if bend is not None:
        grid = grid + bend
    sampled = F.grid_sample(flat, grid.movedim(1, -1), padding_mode=padding, align_corners=False)
    return sampled.view_as(images)


def _gather(images: Tensor, sources: Tensor) -> Tensor:
    """Images whose pixels are those at the flat positions `sources` `[E, M, H, W]`, for all channels."""
    index = sources.flatten(2)[:, :, None, :].expand(*images.shape[:3], -1)
    return images.flatten(3).gather(3, index).view_as(images)


def _rotate90(images: Tensor, turns: Tensor) -> Tensor:
    """Turn square images `[E, M, C, H, W]` counter-clockwise by `turns` `[E, M]` times 90 degrees."""
    side = images.shape[-1]
    pixels = torch.arange(side * side, device=images.device).view(side, side)
    sources = torch.stack([torch.rot90(pixels, k) for k in range(4)])  # [4, H, W]
    return _gather(images, sources[turns])


def _turn_hue(images: Tensor, turns: Tensor) -> Tensor:
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


def augmentation(config: AugmentConfig) -> Augmentation | None:
    """The augmentation of a config section, or None when all is off."""
    values = config.model_dump()
    made = Augmentation(
        **{
            **values,
            "new_classes": NewClasses(**values["new_classes"]),
            "alike": Alike(**values["alike"]),
            "photo": Photo(**values["photo"]),
        }
    )
    return None if made == Augmentation() else made
