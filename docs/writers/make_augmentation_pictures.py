"""Draw the pictures of docs/explanation/augmentation.md: what each augmentation does to an image.

    python docs/writers/make_augmentation_pictures.py

writes `docs/images/augmentation-*.png`. In each strip the images left of the line are the originals;
right of it are the same images as episodes 0, 1, 2, ... would have them.
"""

import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from htgen.config.data import AlikeConfig, AugmentConfig, NewClassesConfig, PhotoConfig
from htgen.episodes import randomness
from htgen.episodes.augmentation import augment
from htgen.images.preprocessing import Preprocessing
from htgen.images.reading import load_image

ROOT = Path(__file__).resolve().parents[1]
SYMBOLS = ROOT.parent / "examples" / "symbols" / "support"
SIDE = 64
GAP = 6
DRAWS = 7

DRAWING = {
    "rotate90": AugmentConfig(rotate90="episode"),
    "warps": AugmentConfig(rotation=12, scale=0.12, shear=0.12, shift=0.06, elastic=0.02),
    "new-classes": AugmentConfig(
        new_classes=NewClassesConfig(mirror=True, rotation=20, scale=0.2, shear=0.2, elastic=0.03)
    ),
    "chimeras": AugmentConfig(chimeras=1.0),
    "rotate": AugmentConfig(alike=AlikeConfig(rotate=1.0, angle=45.0)),
    "resize": AugmentConfig(alike=AlikeConfig(resize=1.0)),
    "roll": AugmentConfig(alike=AlikeConfig(roll=1.0)),
    "smooth": AugmentConfig(alike=AlikeConfig(smooth=1.0)),
    "contrast": AugmentConfig(alike=AlikeConfig(contrast=1.0)),
    "negate": AugmentConfig(alike=AlikeConfig(negate=0.5)),
}
PHOTO = {
    "photo-flip": AugmentConfig(photo=PhotoConfig(flip=0.5)),
    "photo-crop": AugmentConfig(photo=PhotoConfig(crop=0.4)),
    "photo-hue": AugmentConfig(photo=PhotoConfig(hue=0.2)),
    "photo-brightness": AugmentConfig(photo=PhotoConfig(brightness=0.3)),
    "photo-contrast": AugmentConfig(photo=PhotoConfig(contrast=0.2)),
}
# One row per class: the first is drawn once per episode, the second once per class.
SHARING = {
    "per-episode": AugmentConfig(alike=AlikeConfig(rotate=1.0, negate=0.5)),
    "per-class": AugmentConfig(alike=AlikeConfig(per_class=True, rotate=1.0, negate=0.5)),
}


def symbol(name: str, number: int, side: int = SIDE) -> Tensor:
    """An example drawing `[1, H, W]`, 0..255, ink bright."""
    image = load_image(SYMBOLS / name / f"{number}.png")
    pixels = Preprocessing(side, 1, "bright", "pad").apply(image)
    return torch.from_numpy(np.array(pixels)).movedim(-1, 0).float()


def shaded(image: Tensor) -> Tensor:
    """Dark ink on paper lit from one side, so that there are greys for contrast to bend."""
    light = torch.linspace(30, 225, image.shape[-1])
    return light * (1 - 0.7 * image / 255)


def landscape(side: int = SIDE) -> Tensor:
    """A house by a tree under the sun `[3, H, W]`, 0..255."""
    scale = 4 * side / 64
    image = Image.new("RGB", (4 * side, 4 * side))
    pen = ImageDraw.Draw(image)
    for row in range(4 * side):
        share = row / (4 * side)
        pen.line([(0, row), (4 * side, row)], fill=(int(110 + 90 * share), int(160 + 60 * share), 235))

    def shape(points: list[tuple[float, float]], fill: tuple[int, int, int]) -> None:
        pen.polygon([(x * scale, y * scale) for x, y in points], fill=fill)

    def disc(x: float, y: float, radius: float, fill: tuple[int, int, int]) -> None:
        box = (x - radius, y - radius, x + radius, y + radius)
        pen.ellipse([value * scale for value in box], fill=fill)

    disc(51, 13, 7, (250, 215, 70))
    hills = [(x, 42 + 5 * math.sin(x / 9)) for x in range(65)]
    shape([*hills, (64, 64), (0, 64)], (95, 150, 70))
    shape([(10, 34), (32, 34), (32, 54), (10, 54)], (225, 205, 170))
    shape([(7, 35), (21, 21), (35, 35)], (185, 60, 45))
    shape([(18, 43), (24, 43), (24, 54), (18, 54)], (110, 70, 45))
    shape([(46, 38), (49, 38), (49, 56), (46, 56)], (100, 70, 40))
    for x, y, radius in ((47.5, 33, 9), (42, 38, 6), (53, 38, 6)):
        disc(x, y, radius, (45, 115, 55))
    small = image.resize((side, side), Image.Resampling.BOX)
    return torch.from_numpy(np.array(small)).movedim(-1, 0).float()


def tiles(images: Tensor) -> list[Image.Image]:
    """`[N, C, H, W]`, 0..255, as pictures."""
    arrays = images.round().to(torch.uint8).movedim(1, -1).numpy()
    return [Image.fromarray(array.squeeze(-1) if array.shape[-1] == 1 else array) for array in arrays]


def sheet(rows: list[tuple[list[Image.Image], list[Image.Image]]]) -> Image.Image:
    """Rows of pictures before and after, with a line between."""
    before, after = (len(part) for part in rows[0])
    width = GAP + (before + after) * (SIDE + GAP) + 2 * GAP
    image = Image.new(rows[0][0][0].mode, (width, GAP + len(rows) * (SIDE + GAP)), "#fafafa")
    line = GAP + before * (SIDE + GAP) + GAP // 2
    ImageDraw.Draw(image).line([(line, GAP), (line, image.height - GAP)], fill="#808080", width=2)
    for index, (left, right) in enumerate(rows):
        for column, tile in enumerate([*left, *right]):
            x = GAP + column * (SIDE + GAP) + (2 * GAP if column >= before else 0)
            image.paste(tile, (x, GAP + index * (SIDE + GAP)))
    return image


def strip(image: Tensor, config: AugmentConfig, other: Tensor) -> Image.Image:
    """One image, and the same image in several episodes; `other` is what a chimera is made of beside it."""
    episodes, others = (part.expand(DRAWS, 1, *image.shape).contiguous() for part in (image, other))
    keys = randomness.fold(torch.tensor(3), torch.arange(DRAWS))
    changed = augment(config, episodes, torch.zeros(DRAWS, 1, dtype=torch.int64), keys, others)
    return sheet([(tiles(image[None]), tiles(changed[:, 0]))])


def sharing(config: AugmentConfig, episodes: int = 3) -> Image.Image:
    """Two classes of two images each, one row per class, in several episodes."""
    images = torch.stack([symbol(name, number) for name in ("key", "house") for number in (1, 2)])
    labels = torch.tensor([0, 0, 1, 1]).expand(episodes, -1)
    keys = randomness.fold(torch.tensor(12), torch.arange(episodes))
    changed = augment(config, images.expand(episodes, -1, -1, -1, -1).contiguous(), labels, keys)
    rows = []
    for first in (0, 2):
        after = changed[:, first : first + 2].flatten(0, 1)
        rows.append((tiles(images[first : first + 2]), tiles(after)))
    return sheet(rows)


def save(image: Image.Image, name: str) -> None:
    """Write a picture, with few colours to keep the repository small."""
    path = ROOT / "images" / f"augmentation-{name}.png"
    path.parent.mkdir(exist_ok=True)
    if image.mode == "RGB":
        image = image.quantize(128, dither=Image.Dither.NONE)
    image.save(path, optimize=True)
    print(f"{path.name}: {path.stat().st_size} bytes")


def main() -> None:
    """Draw all pictures."""
    for name, config in DRAWING.items():
        drawing = symbol("anchor", 1)
        save(strip(shaded(drawing) if name == "contrast" else drawing, config, symbol("key", 1)), name)
    for name, config in PHOTO.items():
        save(strip(landscape(), config, landscape()), name)
    for name, config in SHARING.items():
        save(sharing(config), name)


if __name__ == "__main__":
    main()
