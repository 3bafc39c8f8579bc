"""How often drawings are taken for several ones: the figures of `htgen.images.gaps`.

    python docs/measurements/gaps.py FOLDER/images_evaluation.zip

The archive is Omniglot's. Each character gets the gaps of some of its drawings, as a CNN's class gets those
of its support images; the share of its other drawings that have wider ones is printed for 1 and for 3. Then
two characters are put into one image, by turns side by side, above each other and across.
"""

import argparse
import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from htgen.images.gaps import Gaps, widest
from htgen.images.preprocessing import Preprocessing

PREPROCESSING = Preprocessing(28, 1, "bright", "pad").for_real_images()


def gaps_of(image: Image.Image) -> Gaps:
    return PREPROCESSING.read(image).gaps or Gaps(0, 0)


def ink_of(image: Image.Image) -> np.ndarray:
    """The box around the ink, `[H, W]`."""
    ink = np.asarray(image) < 128
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def two(first: np.ndarray, second: np.ndarray, gap: int, how: int) -> Image.Image:
    """Both on one page, so many pixels apart."""
    right = (first.shape[1] + gap) * (how != 1)
    down = (first.shape[0] + gap) * (how != 0)
    height, width = (
        max(a, b + by) for a, b, by in zip(first.shape, second.shape, (down, right), strict=True)
    )
    page = np.zeros((height + 40, width + 40), bool)
    for ink, top, left in ((first, 20, 20), (second, 20 + down, 20 + right)):
        page[top : top + ink.shape[0], left : left + ink.shape[1]] |= ink
    return Image.fromarray(np.where(page, 0, 255).astype(np.uint8))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("archive", type=Path, help="images_evaluation.zip")
    parser.add_argument("--pairs", type=int, default=125)
    options = parser.parse_args()
    chance = np.random.default_rng(0)
    images: dict[str, list[Image.Image]] = {}
    with zipfile.ZipFile(options.archive) as archive:
        for name in sorted(name for name in archive.namelist() if name.endswith(".png")):
            image = Image.open(io.BytesIO(archive.read(name))).convert("L")
            images.setdefault(name.rpartition("/")[0], []).append(image)
    gaps = {name: [gaps_of(image) for image in of_class] for name, of_class in images.items()}
    for shot in (1, 3):
        told = [
            found[place].are_wider_than(widest(found[other] for other in order[:shot]))
            for found in gaps.values()
            for order in (chance.permutation(len(found)),)
            for place in order[shot:]
        ]
        print(f"beside {shot} of the class: {100 * np.mean(told):.1f} % of {len(told)} drawings told")
    names, told = list(images), []
    for number in range(options.pairs):
        first, second = (names[place] for place in chance.choice(len(names), 2, replace=False))
        inks = [ink_of(images[name][chance.integers(20)]) for name in (first, second)]
        gap = round(chance.uniform(0.3, 0.8) * min(max(ink.shape) for ink in inks))
        usual = gaps[first][chance.integers(20)]
        told.append(gaps_of(two(*inks, gap, number % 3)).are_wider_than(usual))
    print(f"two characters: {sum(told)} of {len(told)} images told")


if __name__ == "__main__":
    main()
