"""Draw the example symbols: workshop marks, each time by a slightly different hand.

    python examples/draw_symbols.py examples/symbols

writes `support/<class>/<n>.png` (labelled examples) and `new/<n>.png` (images to classify; the file
names do not tell the class, `answers.txt` does). The same seed draws the same images.
"""

import math
import random
import sys
from pathlib import Path

from PIL import Image, ImageDraw

SIZE = 120
SUPERSAMPLING = 4
IMAGES_PER_CLASS = 3
NEW_PER_CLASS = 4


Stroke = list[tuple[float, float]]


def arc(x: float, y: float, radius: float, start: float, end: float, steps: int = 14) -> Stroke:
    """Points on a circle around (x, y); angles in degrees, clockwise from the right."""
    angles = [math.radians(start + (end - start) * i / steps) for i in range(steps + 1)]
    return [(x + radius * math.cos(a), y + radius * math.sin(a)) for a in angles]


# Each symbol is a list of strokes, each stroke a list of points in the unit square (y grows downwards).
SYMBOLS = {
    "anchor": [
        arc(0.5, 0.2, 0.08, 0, 360),
        [(0.5, 0.28), (0.5, 0.85)],
        [(0.33, 0.4), (0.67, 0.4)],
        arc(0.5, 0.52, 0.33, 15, 165),
    ],
    "arrow": [[(0.12, 0.5), (0.88, 0.5)], [(0.62, 0.25), (0.88, 0.5), (0.62, 0.75)]],
    "bolt": [[(0.6, 0.1), (0.3, 0.52), (0.55, 0.52), (0.38, 0.9)]],
    "flag": [[(0.25, 0.1), (0.25, 0.9)], [(0.25, 0.14), (0.8, 0.28), (0.25, 0.48)]],
    "house": [
        [(0.2, 0.48), (0.2, 0.88), (0.8, 0.88), (0.8, 0.48)],
        [(0.12, 0.52), (0.5, 0.14), (0.88, 0.52)],
        [(0.44, 0.88), (0.44, 0.64), (0.58, 0.64), (0.58, 0.88)],
    ],
    "key": [
        arc(0.28, 0.5, 0.16, 0, 360),
        [(0.44, 0.5), (0.9, 0.5), (0.9, 0.66)],
        [(0.72, 0.5), (0.72, 0.62)],
    ],
}


def draw(strokes: list[Stroke], hand: random.Random) -> Image.Image:
    """One drawing: the symbol turned, scaled, sheared and moved a little, every point a bit off."""
    side = SIZE * SUPERSAMPLING
    image = Image.new("L", (side, side), 255)
    pen = ImageDraw.Draw(image)
    angle, shear = math.radians(hand.uniform(-9, 9)), hand.uniform(-0.12, 0.12)
    scale_x, scale_y = hand.uniform(0.75, 0.95), hand.uniform(0.75, 0.95)
    shift_x, shift_y = hand.uniform(-0.05, 0.05), hand.uniform(-0.05, 0.05)
    width = round(side * hand.uniform(0.022, 0.035))
    for stroke in strokes:
        offset = hand.gauss(0, 0.012), hand.gauss(0, 0.012)
        points = []
        for x, y in stroke:
            x = (x - 0.5 + hand.gauss(0, 0.008)) * scale_x + offset[0]
            y = (y - 0.5 + hand.gauss(0, 0.008)) * scale_y + offset[1]
            x += shear * y
            turned = x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)
            points.append(((turned[0] + 0.5 + shift_x) * side, (turned[1] + 0.5 + shift_y) * side))
        pen.line(points, fill=20, width=width, joint="curve")
        for x, y in (points[0], points[-1]):
            pen.ellipse([x - width / 2, y - width / 2, x + width / 2, y + width / 2], fill=20)
    return image.resize((SIZE, SIZE), Image.Resampling.LANCZOS)


def main(target: Path, seed: int = 7) -> None:
    """Write all images below `target`."""
    hand = random.Random(seed)
    for name, strokes in SYMBOLS.items():
        folder = target / "support" / name
        folder.mkdir(parents=True, exist_ok=True)
        for index in range(IMAGES_PER_CLASS):
            draw(strokes, hand).save(folder / f"{index + 1}.png", optimize=True)
    answers = [name for name in SYMBOLS for _ in range(NEW_PER_CLASS)]
    hand.shuffle(answers)
    folder = target / "new"
    folder.mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(answers):
        draw(SYMBOLS[name], hand).save(folder / f"{index + 1:02}.png", optimize=True)
    lines = [f"{index + 1:02}.png {name}\n" for index, name in enumerate(answers)]
    (target / "answers.txt").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/draw_symbols.py FOLDER")
    main(Path(sys.argv[1]))
