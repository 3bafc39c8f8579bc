"""How often images are taken for the wrong kind, and what a wrong generator costs (docs/lab/choice.md).

    python docs/measurements/choice.py DATA --images 400 --tasks 20

DATA holds omniglot/, drawings/, caltech101/, photographs/ and miniimagenet/ with their archives. Images are
drawn at random from each. Folders of 2, 6 and 20 images are drawn from what was found of single ones.
"""

import argparse
import io
import random
import zipfile
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image

from htgen.generator.choice import domain_of
from htgen.generator.generator import load_generator
from htgen.images.inputs import prepare_images
from htgen.images.reading import decode_image

SETS = {
    "Omniglot, background": "omniglot/images_background.zip",
    "maths": "drawings/maths.zip",
    "Caltech-101": "caltech101/caltech101_80classes.zip",
    "clothing": "photographs/clothing.zip",
    "rubbish": "photographs/trash.zip",
    "miniImageNet, val": "miniimagenet/miniimagenet_val.zip",
}

FOLDERS = (2, 6, 20)

WAY, SHOT, QUERY = 5, 5, 5


def images_of(path: Path, names: list[str]) -> list[Image.Image]:
    with zipfile.ZipFile(path) as archive:
        return [decode_image(io.BytesIO(archive.read(name)), name) for name in names]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--tasks", type=int, default=20)
    options = parser.parse_args()
    chance, draws = random.Random(0), np.random.default_rng(0)
    print("called photographs, in %: single images; folders of", *FOLDERS)
    for title, place in SETS.items():
        path = options.data / place
        with zipfile.ZipFile(path) as archive:
            names = sorted(name for name in archive.namelist() if name.lower().endswith((".png", ".jpg")))
        chosen = chance.sample(names, min(options.images, len(names)))
        found = np.array([domain_of(image) == "photographs" for image in images_of(path, chosen)])
        folders = [np.mean([draws.choice(found, size).mean() > 0.5 for _ in range(4000)]) for size in FOLDERS]
        print(
            f"{title:22} {100 * found.mean():5.1f}  ",
            *(f"{100 * share:5.1f}" for share in folders),
            flush=True,
        )
    print(f"accuracy in %, {WAY}-way {SHOT}-shot, {options.tasks} tasks")
    for title in ("Omniglot, background", "Caltech-101"):
        for name in ("glyph-8", "photo-small"):
            print(
                f"{title:22} {name:12}", accuracy(options.data / SETS[title], name, options.tasks), flush=True
            )


def accuracy(path: Path, name: str, tasks: int) -> str:
    """Of a generator on tasks of the classes of an archive, with the half width of the 95 % interval."""
    generator, chance = load_generator(name), random.Random(0)
    classes: dict[str, list[str]] = defaultdict(list)
    with zipfile.ZipFile(path) as archive:
        for member in sorted(archive.namelist()):
            if member.lower().endswith((".png", ".jpg")):
                classes[member.rpartition("/")[0]].append(member)
    rows = []
    for _ in range(tasks):
        support, labels, queries, answers = [], [], [], []
        for label in chance.sample(sorted(classes), WAY):
            own = chance.sample(classes[label], SHOT + QUERY)
            support, queries = support + own[:SHOT], queries + own[SHOT:]
            labels, answers = labels + [label] * SHOT, answers + [label] * QUERY
        cnn = generator.generate_bundle(generator.prepare(images_of(path, support), labels))
        logits = cnn.logits(prepare_images(images_of(path, queries), generator.preprocessing))
        rows.append(
            np.mean([cnn.classes[place] == own for place, own in zip(logits.argmax(1), answers, strict=True)])
        )
    half = 1.96 * np.std(rows, ddof=1) / len(rows) ** 0.5
    return f"{100 * np.mean(rows):.1f} ± {100 * half:.1f}"


if __name__ == "__main__":
    main()
