"""Accuracy with the preparation of small devices (`htgen.images.on_device`) beside the full one.

    python docs/measurements/on_device.py FOLDER

FOLDER holds images_background.zip of Omniglot. Drawings and damage are those of real_images.py: support and
query images are damaged alike, each image by its own draw. The same seed gives the same digits.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from real_images import DAMAGES, QUERY, SHOT, accuracy, characters, mixed, symbols

from htgen.generator.generator import load_generator
from htgen.generator.network import build
from htgen.images.on_device import prepare_on_device
from htgen.images.transparency import without_transparency


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, help="the folder of images_background.zip")
    parser.add_argument("--generator", default="glyph-8")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    generator = load_generator(arguments.generator)
    model, full = build(generator.file), generator.preprocessing
    for title, classes, way in (
        ("Symbols", symbols(SHOT + QUERY + 3), 6),
        ("Characters", characters(arguments.folder, SHOT + QUERY, 4), 20),
    ):
        print(f"\n{title}, {way}-way {SHOT}-shot\n\n| damage | full | on the device |\n|---|---|---|")
        for name, damage in {**DAMAGES, "another for each image": mixed}.items():
            damaged = [
                [
                    damage(drawing, np.random.default_rng([kind, index]))
                    for index, drawing in enumerate(drawings)
                ]
                for kind, drawings in enumerate(classes)
            ]
            shape = (len(classes), len(classes[0]), 1, full.size, full.size)
            frames = [
                np.asarray(without_transparency(image, "fill").image.convert("L"))
                for row in damaged
                for image in row
            ]
            on_device = [prepare_on_device(frame, full.size, full.steps.stroke) for frame in frames]
            desk = [full.apply(image) for row in damaged for image in row]
            cells = [f"{accuracy(model, np.reshape(images, shape), way):.1f}" for images in (desk, on_device)]
            print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
