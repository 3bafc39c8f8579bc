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

from htgen.episodes import randomness
from htgen.episodes.augmentation import Alike, Augmentation, NewClasses, Photo
from htgen.images.preprocessing import Preprocessing
from htgen.images.reading import load_image

ROOT = Path(__file__).resolve().parents[1]
SYMBOLS = ROOT.parent / "examples" / "symbols" / "support"
SIDE = 64
GAP = 6
DRAWS = 7

DRAWING = {
    "rotate90": Augmentation(rotate90="episode"),
    "warps": Augmentation(rotation=12, scale=0.12, shear=0.12, shift=0.06, elastic=0.02),
    "new-classes": Augmentation(
        new_classes=NewClasses(mirror=True, rotation=20, scale=0.2, shear=0.2, elastic=0.03)
    ),
    "chimeras": Augmentation(chimeras=1.0),
    "rotate": Augmentation(alike=Alike(rotate=1.0, angle=45.0)),
    "resize": Augmentation(alike=Alike(resize=1.0)),
    "roll": Augmentation(alike=Alike(roll=1.0)),
    "smooth": Augmentation(alike=Alike(smooth=1.0)),
    "contrast": Augmentation(alike=Alike(contrast=1.0)),
    "negate": Augmentation(alike=Alike(negate=0.5)),
}
PHOTO = {
    "photo-flip": Augmentation(photo=Photo(flip=0.5)),
    "photo-crop": Augmentation(photo=Photo(crop=0.4)),
    "photo-hue": Augmentation(photo=Photo(hue=0.2)),
    "photo-brightness": Augmentation(photo=Photo(brightness=0.3)),
    "photo-contrast": Augmentation(photo=Photo(contrast=0.2)),
}
# One row per class: the first is drawn once per episode, the second once per class.
SHARING = {
    "per-episode": Augmentation(alike=Alike(rotate=1.0, negate=0.5)),
    "per-class": Augmentation(alike=Alike(per_class=True, rotate=1.0, negate=0.5)),
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


def strip(image: Tensor, augment: Augmentation, other: Tensor) -> Image.Image:
    """One image, and the same image in several episodes; `other` is what a chimera is made of beside it."""
    episodes, others = (part.expand(DRAWS, 1, *image.shape).contiguous() for part in (image, other))
    keys = randomness.fold(torch.tensor(3), torch.arange(DRAWS))
    changed = augment.apply(episodes, torch.zeros(DRAWS, 1, dtype=torch.int64), keys, others)
    return sheet([(tiles(image[None]), tiles(changed[:, 0]))])


def sharing(augment: Augmentation, episodes: int = 3) -> Image.Image:
    """Two classes of two images each, one row per class, in several episodes."""
    images = torch.stack([symbol(name, number) for name in ("key", "house") for number in (1, 2)])
    labels = torch.tensor([0, 0, 1, 1]).expand(episodes, -1)
    keys = randomness.fold(torch.tensor(12), torch.arange(episodes))
    changed = augment.apply(images.expand(episodes, -1, -1, -1, -1).contiguous(), labels, keys)
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
    for name, augment in DRAWING.items():
        drawing = symbol("anchor", 1)
        save(strip(shaded(drawing) if name == "contrast" else drawing, augment, symbol("key", 1)), name)
    for name, augment in PHOTO.items():
        save(strip(landscape(), augment, landscape()), name)
    for name, augment in SHARING.items():
        save(sharing(augment), name)


if __name__ == "__main__":
    main()
