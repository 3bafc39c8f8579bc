"""Runs within one alphabet, drawn like those of Omniglot's challenge, from its evaluation drawings.

    python docs/measurements/within_alphabet.py FOLDER RUNS
    htgen evaluate glyph-8 --protocol omniglot-runs --source RUNS

FOLDER holds images_evaluation.zip; RUNS is a folder that is made. The archive of the challenge has 20 fixed
runs; these are 20 others, one of each evaluation alphabet: 20 of its characters, one drawer's images for
training, and another's as test. So figures are of our own draw, not of the challenge.
"""

import argparse
import random
import zipfile
from collections import defaultdict
from pathlib import Path, PurePosixPath

CLASSES = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    with zipfile.ZipFile(options.folder / "images_evaluation.zip") as archive:
        alphabets: dict[str, dict[str, dict[str, str]]] = defaultdict(lambda: defaultdict(dict))
        for name in sorted(archive.namelist()):
            if name.endswith(".png"):
                *_, alphabet, character, file = PurePosixPath(name).parts
                drawer = PurePosixPath(file).stem.partition("_")[2]
                alphabets[alphabet][character][drawer] = name
        for number, alphabet in enumerate(sorted(alphabets)):
            characters = alphabets[alphabet]
            one, other = chance.sample(sorted(next(iter(characters.values()))), 2)
            chosen = chance.sample(sorted(characters), CLASSES)
            run = options.runs / f"run{number + 1:02d}"
            for part in ("training", "test"):
                (run / part).mkdir(parents=True)
            items = chance.sample(range(CLASSES), CLASSES)
            lines = []
            for place, character in enumerate(chosen):
                training, test = (
                    f"training/class{place + 1:02d}.png",
                    f"test/item{items[place] + 1:02d}.png",
                )
                (run / training).write_bytes(archive.read(characters[character][one]))
                (run / test).write_bytes(archive.read(characters[character][other]))
                lines.append(f"{run.name}/{test} {run.name}/{training}\n")
            (run / "class_labels.txt").write_text("".join(sorted(lines)))


if __name__ == "__main__":
    main()
