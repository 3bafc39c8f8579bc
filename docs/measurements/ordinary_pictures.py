"""Drawings with things around and beside them: how many are read right, and what is told of the others.

    python docs/measurements/ordinary_pictures.py

The drawings are those of examples/symbols/support. Three CNNs are made of two of the three drawings of each
class; the third is put among other things, with sizes, widths, radii and places at random, and classified.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from htgen.generator.generator import Generator, load_generator
from htgen.images.inputs import ReadImage, as_input, read_images

SYMBOLS = Path(__file__).resolve().parents[2] / "examples" / "symbols" / "support"

Rng = np.random.Generator
Kind = Callable[[Image.Image | None, Rng], Image.Image]


def page(drawing: Image.Image | None, size: tuple[int, int], side: float, ink: int = 30) -> Image.Image:
    """White paper with a drawing in the middle, or with nothing."""
    paper = Image.new("L", size, 245)
    if drawing is not None:
        share = ImageOps.autocontrast(
            drawing.convert("L").resize((round(side),) * 2, Image.Resampling.LANCZOS)
        )
        values = 245 - (255 - np.asarray(share, float)) * (245 - ink) / 255
        corner = (round((size[0] - side) / 2), round((size[1] - side) / 2))
        paper.paste(Image.fromarray(values.astype(np.uint8)), corner)
    return paper


def rounded(size: tuple[int, int], inset: float, radius: float) -> Image.Image:
    mask = Image.new("L", (4 * size[0], 4 * size[1]))
    box = [4 * inset, 4 * inset, 4 * (size[0] - inset) - 1, 4 * (size[1] - inset) - 1]
    ImageDraw.Draw(mask).rounded_rectangle(box, 4 * radius, fill=255)
    return mask.resize(size, Image.Resampling.BOX)


def on_ground(drawing: Image.Image | None, rng: Rng, roundness: tuple[float, float]) -> Image.Image:
    size = (int(rng.integers(120, 320)),) * 2
    inset = rng.uniform(0.01, 0.08) * size[0]
    radius = rng.uniform(*roundness) * (size[0] / 2 - inset)
    ground = Image.new("L", size, int(rng.integers(0, 70)))
    return Image.composite(page(drawing, size, 0.6 * size[0]), ground, rounded(size, inset, radius))


def line(drawing: Image.Image | None, rng: Rng) -> Image.Image:
    size = (int(rng.integers(120, 320)),) * 2
    inset, width = rng.uniform(0.04, 0.13) * size[0], max(1.0, rng.uniform(0.005, 0.03) * size[0])
    outer, inner = rounded(size, inset, 0), rounded(size, inset + width, 0)
    mask = Image.fromarray(np.asarray(outer) - np.minimum(np.asarray(outer), np.asarray(inner)))
    return Image.composite(Image.new("L", size, 20), page(drawing, size, 0.62 * size[0]), mask)


def dots(drawing: Image.Image | None, rng: Rng) -> Image.Image:
    size = (int(rng.integers(64, 260)),) * 2
    values = np.asarray(page(drawing, size, 0.8 * size[0])).copy()
    high, wide = [(1, 2), (2, 2), (2, 3)][rng.integers(3)]
    for _ in range(round(rng.uniform(0.005, 0.015) * values.size / (high * wide))):
        y, x = rng.integers(0, size[0] - 3, 2)
        values[y : y + high, x : x + wide] = 0
    return Image.fromarray(values)


def dust(drawing: Image.Image | None, rng: Rng) -> Image.Image:
    size = (int(rng.integers(200, 500)),) * 2
    image = page(drawing, size, 0.8 * size[0], int(rng.integers(195, 220)))
    for _ in range(int(rng.integers(3, 9))):
        x, y = rng.uniform(0.03, 0.97, 2) * size[0]
        r = rng.uniform(0.012, 0.025) * size[0]
        ImageDraw.Draw(image).ellipse([x - r, y - r, x + r, y + r], fill=0)
    return image


def bars(drawing: Image.Image | None, rng: Rng) -> Image.Image:
    size = (int(rng.integers(120, 320)),) * 2
    margins = [0, 0, 0, 0]
    margins[rng.integers(4)] = int(rng.uniform(0.05, 0.2) * size[0])
    return ImageOps.expand(page(drawing, size, 0.75 * size[0]), tuple(margins), fill=int(rng.integers(0, 50)))


def lit(drawing: Image.Image | None, rng: Rng, shade: Image.Image, blur: float, depth: float) -> Image.Image:
    """A page with noise, of whose light a blurred mask takes a share; gives, where that is below 0."""
    shape = (shade.height, shade.width)
    share = np.asarray(shade.filter(ImageFilter.GaussianBlur(blur)), float) / 255
    side, ink = rng.uniform(0.35, 0.55) * shade.height, int(rng.integers(60, 130))
    values = np.asarray(page(drawing, shade.size, side, ink), float)
    values = 0.6 * values * (1 - depth * share) + rng.normal(0, 4, shape)
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def hand(drawing: Image.Image | None, rng: Rng) -> Image.Image:
    shade = Image.new("L", (480, 360))
    x, y, a, b = rng.uniform(0, 480), rng.choice([0, 360]), *rng.uniform(90, 200, 2)
    ImageDraw.Draw(shade).ellipse([x - a, y - b, x + a, y + b], fill=255)
    return lit(drawing, rng, shade, rng.uniform(8, 25), rng.uniform(0.25, 0.5))


def beam(drawing: Image.Image | None, rng: Rng) -> Image.Image:
    shade = Image.new("L", (400, 400))
    (x, z), width = rng.uniform(0, 400, 2), rng.uniform(60, 160)
    ImageDraw.Draw(shade).line([(x, -100), (z, 500)], fill=255, width=round(width))
    return lit(drawing, rng, shade, rng.uniform(6, 20), -0.45)


def sharp(drawing: Image.Image | None, rng: Rng) -> Image.Image:
    """In the shadow of a phone or an arm, in a beam, or half in shadow; its edge is 0.6 % of the width."""
    wide, high = 480, int(rng.integers(300, 480))
    shade = Image.new("L", (wide, high))
    pen, kind = ImageDraw.Draw(shade), rng.integers(4)
    across = [(rng.uniform(0.2, 0.8) * wide, -1), (rng.uniform(0.2, 0.8) * wide, high + 1)]
    if kind == 0:
        turn, half = rng.uniform(0, np.pi), rng.uniform(0.1, 0.25) * wide
        ends = np.array([rng.choice([0, wide]), rng.uniform(0, high)]) + np.outer(
            (-0.5, 0.5), rng.uniform(0.6, 1.2) * high * np.array([np.cos(turn), np.sin(turn)])
        )
        pen.line([tuple(end) for end in ends], fill=255, width=round(2 * half))
    elif kind == 1:
        middle = rng.uniform(0.2, 0.8) * wide, rng.uniform(0.2, 0.6) * high
        pen.line(
            [(rng.uniform(0, wide), high + 30), middle], fill=255, width=round(rng.uniform(0.12, 0.25) * wide)
        )
    elif kind == 2:
        pen.line(across, fill=255, width=round(rng.uniform(0.15, 0.5) * wide))
        shade = ImageOps.invert(shade)
    else:
        pen.polygon([*across, (wide + 1, high + 1), (wide + 1, -1)], fill=255)
    return lit(drawing, rng, shade, rng.uniform(0, 0.006) * wide, rng.uniform(0.2, 0.55))


KINDS: dict[str, Kind] = {
    "alone": lambda drawing, rng: page(drawing, (int(rng.integers(60, 400)),) * 2, 56),
    "dark corners, radius 40 to 80 % of the half side": lambda d, rng: on_ground(d, rng, (0.4, 0.8)),
    "round paper on a dark ground": lambda d, rng: on_ground(d, rng, (1, 1)),
    "a line set in by 4 to 13 %": line,
    "dots of 2 to 6 pixels, 0.5 to 1.5 % of the area": dots,
    "pencil, 3 to 8 grains of dust": dust,
    "a bar at one side": bars,
    "the shadow of a hand": hand,
    "a beam of light": beam,
    "a shadow with a sharp edge": sharp,
}


def answers(generator: Generator, images: list[list[Image.Image]]) -> list[tuple[bool, ReadImage]]:
    """Whether each image is answered right, and how it was read.

    Args:
        images: by left-out drawing and by class, as many of each.
    """
    found = []
    names = sorted(folder.name for folder in SYMBOLS.iterdir())
    for left_out, queries in enumerate(images):
        kept = [(name, k) for name in names for k in range(3) if k != left_out]
        files = [SYMBOLS / name / f"{k + 1}.png" for name, k in kept]
        support = generator.prepare(files, [name for name, _ in kept])
        cnn = generator.generate_bundle(support)
        reads = [read for _, read in read_images(queries, generator.preprocessing)]
        told = cnn.classify(as_input([read.pixels for read in reads], generator.preprocessing))
        truth = np.repeat(names, len(queries) // len(names))
        found += [(p.label == t, r) for p, t, r in zip(told, truth, reads, strict=True)]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--generator", default="glyph-8")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS), metavar="KIND")
    parser.add_argument("--variants", type=int, default=4, help="of each drawing and kind")
    options = parser.parse_args()
    generator = load_generator(options.generator)
    names = sorted(folder.name for folder in SYMBOLS.iterdir())
    print("| among | images | right without `clean` | right | wrong, told | wrong, not told | empty: blank |")
    print("|---|---|---|---|---|---|---|")
    for kind in options.kinds:
        make = KINDS[kind]
        rng = np.random.default_rng(0)
        images = [
            [
                make(Image.open(SYMBOLS / name / f"{k + 1}.png"), rng)
                for name in names
                for _ in range(options.variants)
            ]
            for k in range(3)
        ]
        before = sum(right for right, _ in answers(generator.without_steps("clean"), images))
        after = answers(generator, images)
        wrong = [bool(read.warnings) for right, read in after if not right]
        empty = [make(None, rng) for _ in range(40)]
        blank = sum(read.is_blank for _, read in read_images(empty, generator.preprocessing))
        print(
            f"| {kind} | {len(after)} | {before} | {len(after) - len(wrong)} | {sum(wrong)} | "
            f"{len(wrong) - sum(wrong)} | {blank} of 40 |",
            flush=True,
        )


if __name__ == "__main__":
    main()
