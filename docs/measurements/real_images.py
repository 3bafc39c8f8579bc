"""Accuracy on damaged drawings, before and after each step of the preprocessing (docs/lab/real-images.md).

    python docs/measurements/real_images.py FOLDER
    python docs/measurements/real_images.py FOLDER --light      # how often light is divided away
    python docs/measurements/real_images.py FOLDER --small      # by how few pixels there are

FOLDER holds images_background.zip of Omniglot. Two sets of drawings are put through damage of our own making:
characters of the validation alphabets (`lake:val`, 20-way), which nothing was trained on, and the symbols of
examples/draw_symbols.py (6-way). Support and query images are damaged alike, each image by its own draw. The
same seed gives the same digits; it takes a few minutes on one core.
"""

import argparse
import io
import random
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from PIL import Image, ImageFilter

from htgen.generator.generator import Generator, load_generator
from htgen.generator.network import build
from htgen.hypertransformer.hypertransformer import HyperTransformer
from htgen.images.inputs import scale_pixels
from htgen.images.preprocessing import Preprocessing, Step
from htgen.images.ruled import without_rules
from htgen.images.shadows import without_shadows
from htgen.images.specks import without_specks

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
from draw_symbols import SYMBOLS, draw

SHOT, QUERY, TASKS, TASKS_PER_BATCH = 1, 4, 48, 16

STEPS: tuple[Step, ...] = get_args(Step)


# ------------------------------------------------------------------------------------------------- damage
# Each takes a drawing, black on white, and a source of random numbers.

Rng = np.random.Generator


def to_image(values: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def enlarge(drawing: Image.Image, times: int) -> Image.Image:
    return drawing.resize((drawing.width * times, drawing.height * times), Image.Resampling.BICUBIC)


def on_paper(drawing: Image.Image, paper: float, ink: float) -> np.ndarray:
    return ink + (paper - ink) * np.asarray(drawing, dtype=np.float64) / 255


def light(rng: Rng, height: int, width: int) -> np.ndarray:
    """From 1 down to 0.64 across the image in any direction, and a shadow that takes 35 % of what is left."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    along = x * np.cos(angle) + y * np.sin(angle)
    ramp = 1 - 0.36 * (along / np.sqrt(2) + 1) / 2
    return ramp * (1 - 0.35 / (1 + np.exp(-(along - rng.uniform(-0.5, 0.5)) / 0.08)))


def place(drawing: Image.Image, rng: Rng, size: tuple[int, int], side: int) -> Image.Image:
    """Somewhere on a page."""
    page = Image.new("L", size, 255)
    corner = rng.integers(0, size[0] - side + 1), rng.integers(0, size[1] - side + 1)
    page.paste(drawing.resize((side, side), Image.Resampling.LANCZOS), tuple(map(int, corner)))
    return page


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)


def shadow(drawing: Image.Image, rng: Rng) -> Image.Image:
    image = on_paper(enlarge(drawing, 2), 235, 50)
    return to_image(image * light(rng, *image.shape))


def not_square(drawing: Image.Image, rng: Rng) -> Image.Image:
    long, short = round(2.3 * drawing.width), drawing.width
    return place(drawing, rng, (long, short) if rng.random() < 0.5 else (short, long), short)


def transparent(drawing: Image.Image, rng: Rng) -> Image.Image:
    image = Image.new("LA", drawing.size, (int(rng.choice([0, 255])), 0))
    image.putalpha(to_image(255 - np.asarray(drawing, dtype=np.float64)))
    return image


def noise(drawing: Image.Image, rng: Rng) -> Image.Image:
    image = on_paper(enlarge(drawing, 2), 235, 50)
    return jpeg(to_image(image + rng.normal(0, 20, image.shape)), 20)


def photograph(drawing: Image.Image, rng: Rng) -> Image.Image:
    """Grey paper under uneven light, a small drawing somewhere on it, noise, JPEG."""
    page = place(drawing, rng, (400, 300), int(rng.integers(105, 170)))
    image = on_paper(page, rng.uniform(150, 240), rng.uniform(40, 90)) * light(rng, 300, 400)
    return jpeg(to_image(image + rng.normal(0, 6, image.shape)), 50)


Damage = Callable[[Image.Image, Rng], Image.Image]

DAMAGES: dict[str, Damage] = {
    "none": lambda drawing, rng: drawing,
    "grey paper, pale ink": lambda drawing, rng: to_image(on_paper(drawing, 175, 95)),
    "gradient and shadow": shadow,
    "thick strokes": lambda drawing, rng: drawing.filter(ImageFilter.MinFilter(7)),
    "thin strokes": lambda drawing, rng: enlarge(drawing, 3).filter(ImageFilter.MaxFilter(9)),
    "small, anywhere": lambda drawing, rng: place(drawing, rng, (240, 240), int(rng.integers(60, 95))),
    "not square": not_square,
    "white on black": lambda drawing, rng: to_image(255 - np.asarray(drawing, dtype=np.float64)),
    "transparent": transparent,
    "noise and JPEG": noise,
    "photograph": photograph,
}


def mixed(drawing: Image.Image, rng: Rng) -> Image.Image:
    """Any of them."""
    return list(DAMAGES.values())[rng.integers(len(DAMAGES))](drawing, rng)


# ------------------------------------------------------------------------------------------------ drawings


def characters(folder: Path, drawings: int, every: int) -> list[list[Image.Image]]:
    """Drawings of every so many characters of the validation alphabets, 105x105: every sixth alphabet."""
    with zipfile.ZipFile(folder / "images_background.zip") as archive:
        classes: dict[str, list[str]] = {}
        for name in sorted(archive.namelist()):
            if name.endswith(".png"):
                classes.setdefault(name.rpartition("/")[0], []).append(name)
        alphabets = sorted({name.split("/")[1] for name in classes})[5::6]
        chosen = [names for name, names in classes.items() if name.split("/")[1] in alphabets][::every]
        return [
            [Image.open(io.BytesIO(archive.read(name))).convert("L") for name in names[:drawings]]
            for names in chosen
        ]


def symbols(drawings: int) -> list[list[Image.Image]]:
    hand = random.Random(1)
    return [[draw(strokes, hand) for _ in range(drawings)] for strokes in SYMBOLS.values()]


# ------------------------------------------------------------------------------------------------- measure


def prepare(
    classes: list[list[Image.Image]], damage: Damage, preprocessings: list[Preprocessing]
) -> list[np.ndarray]:
    """Damage every drawing once: CNN inputs `[classes, drawings, 1, H, W]` by each preprocessing."""

    def images() -> Iterator[Image.Image]:
        for kind, drawings in enumerate(classes):
            for index, drawing in enumerate(drawings):
                yield damage(drawing, np.random.default_rng([kind, index]))

    damaged = list(images())
    size = preprocessings[0].size
    shape = (len(classes), len(classes[0]), 1, size, size)
    return [
        np.stack([preprocessing.apply(image) for image in damaged]).reshape(shape)
        for preprocessing in preprocessings
    ]


@torch.no_grad()
def accuracy(model: HyperTransformer, images: np.ndarray, way: int) -> float:
    """Mean accuracy over tasks, in %."""
    rng = np.random.default_rng(0)
    slots = torch.arange(way).expand(TASKS_PER_BATCH, -1)
    targets = torch.arange(way).repeat_interleave(QUERY)
    hits = []
    for _ in range(TASKS // TASKS_PER_BATCH):
        tasks = []
        for _ in range(TASKS_PER_BATCH):
            kinds = rng.choice(len(images), way, replace=False)
            tasks.append(np.stack([images[k, rng.permutation(images.shape[1])] for k in kinds]))
        pixels = scale_pixels(torch.from_numpy(np.stack(tasks)).float())  # [T, way, drawings, 1, H, W]
        support, query = pixels[:, :, :SHOT].flatten(1, 2), pixels[:, :, SHOT : SHOT + QUERY].flatten(1, 2)
        labels = slots.repeat_interleave(SHOT, dim=1)
        hits.append((model(support, labels, query, slots).argmax(dim=2) == targets).float().mean())
    return 100 * torch.stack(hits).mean().item()


def report(generator: Generator, title: str, classes: list[list[Image.Image]], way: int) -> None:
    print(f"\n{title}, {way}-way {SHOT}-shot\n")
    print(f"| damage | no step | +{' | +'.join(STEPS)} |")
    print("|---|" + "---|" * (len(STEPS) + 1))
    model, all_steps = build(generator.file), generator.preprocessing
    preprocessings = [all_steps.without(*STEPS[count:]) for count in range(len(STEPS) + 1)]
    for name, damage in {**DAMAGES, "another for each image": mixed}.items():
        columns = prepare(classes, damage, preprocessings)
        cells = [f"{accuracy(model, images, way):.1f}" for images in columns]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def report_light(*sets: list[list[Image.Image]]) -> None:
    """How many of the images whose light is uneven are read in light that is divided away."""
    images = [
        damage(drawing, np.random.default_rng([kind, index]))
        for damage in (shadow, photograph)
        for classes in sets
        for kind, drawings in enumerate(classes)
        for index, drawing in enumerate(drawings)
    ]
    clean = [without_specks(without_rules(np.asarray(image.convert("L")))) for image in images]
    divided = sum(without_shadows(pixels)[0] is not pixels for pixels in clean)
    print(f"{divided} of {len(images)} photographs and pages with gradient and shadow")


def report_small(
    generator: Generator, drawn: list[list[Image.Image]], written: list[list[Image.Image]]
) -> None:
    """Accuracy by the side of images, all steps done."""
    print("| pixels | symbols, 6-way | characters, 20-way |\n|---|---|---|")
    model = build(generator.file)
    for side in (8, 12, 14, 16, 20, 24, 32):

        def shrunk(drawing: Image.Image, rng: Rng, side: int = side) -> Image.Image:
            return drawing.resize((side, side), Image.Resampling.BOX)

        cells = [
            f"{accuracy(model, prepare(classes, shrunk, [generator.preprocessing])[0], way):.1f}"
            for classes, way in ((drawn, 6), (written, 20))
        ]
        print(f"| {side} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, help="the folder of images_background.zip")
    parser.add_argument("--generator", default="glyph-8")
    parser.add_argument("--light", action="store_true", help="count images whose light is divided away")
    parser.add_argument("--small", action="store_true", help="accuracy on images of few pixels")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    drawn, written = symbols(SHOT + QUERY + 3), characters(arguments.folder, SHOT + QUERY, 4)
    if arguments.light:
        report_light(drawn, written)
        return
    generator = load_generator(arguments.generator)
    if arguments.small:
        report_small(generator, drawn, written)
        return
    report(generator, "Symbols", drawn, 6)
    report(generator, "Characters", written, 20)


if __name__ == "__main__":
    main()
