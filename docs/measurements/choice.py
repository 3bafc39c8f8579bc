"""How `generate` chooses a generator: how its numbers were found, how often it is wrong, and what that costs.

    python docs/measurements/choice.py choose DATA --icons package --fonts /usr/share/fonts/truetype/noto
    python docs/measurements/choice.py report DATA ...
    python docs/measurements/choice.py cost DATA ... --tasks 40
    python docs/measurements/choice.py drawn DATA ...
    python docs/measurements/choice.py undrawn DATA ...

`choose` looks at one part of the images (`choice_images`), `report` at the other (docs/lab/choice.md). `cost`
measures right and wrong generators on tasks of the second part. `drawn` tells what of it CNNs of photographs
take for drawings, `undrawn` what CNNs of drawings take for photographs.
"""

import argparse
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt
from choice_images import Classes, Part, coloured_kinds, kinds

from htgen.generator.choice import (
    LEAST_BITS,
    LEAST_SPREAD,
    LONGER_SIDE,
    MOST_EVIDENCE,
    READS_DRAWINGS,
    Look,
    colours,
    look_at,
)
from htgen.generator.generator import load_generator
from htgen.generator.shipped import GENERATORS, Domain
from htgen.images.drawn import is_drawn
from htgen.images.inputs import prepare_images, read_pixels
from htgen.images.preprocessing import Preprocessing
from htgen.images.shapes import NUMBERS, shape_numbers

FOLDERS = ((2, 1), (3, 2), (5, 4))
"""Classes, and images of each."""

IMAGES = 4
"""Of a class."""

DRAWS = 2000

BITS, SPREADS = (1.0, 1.5, 1.75, 2.0, 2.25, 2.5, 2.75, 3.0), (0.5, 0.7, 1.0, 1.3, 1.6, 2.0, 2.5)

SHARES = {"Omniglot": 0.15, "the same, other pens, damaged": 0.15, "printed letters": 0.2, "icons": 0.5}
"""How much each kind counts where handwriting is told from icons."""

PENALTY = 1.0
"""Of the squared weights, of 4000 images in all."""

SIZES = (96, 128)
"""Pixels that CNNs of photographs see on each side."""

WAY, QUERY = 20, 1

COSTS: dict[str, tuple[str, ...]] = {
    "Omniglot": ("glyph-8", "icon-8"),
    "printed letters": ("glyph-8", "icon-8"),
    "icons": ("glyph-8", "icon-8"),
}

Doubles = npt.NDArray[np.float64]


def numbers(images: Classes) -> tuple[Doubles, Doubles, Doubles]:
    """Colours `[N, 2]` of all images; numbers of the shapes `[M, 4]` of those with ink; whether each of the
    N looks like no drawing by how uneven it is."""
    colour, shape, uneven = [], [], []
    for image in (image for own in images for image in own):
        small = image.copy()
        small.thumbnail((LONGER_SIDE, LONGER_SIDE))
        read = READS_DRAWINGS.read(small)
        colour.append(colours(small))
        uneven.append(not (read.is_blank or read.looks_drawn))
        ink = read.pixels[..., 0]
        if (ink > 127).any():
            shape.append(shape_numbers(ink))
    return np.array(colour), np.array(shape), np.array(uneven, np.float64)


def choose_colours(found: dict[str, tuple[Domain, Doubles, Doubles]]) -> None:
    """Print the thresholds with the smallest mean of the largest errors of the two kinds."""
    rows = []
    for bits, spread in product(BITS, SPREADS):
        errors: dict[bool, list[float]] = {True: [], False: []}
        for domain, colour, uneven in found.values():
            is_photograph = ((colour[:, 0] >= bits) & (colour[:, 1] >= spread)) | (uneven > 0)
            errors[domain == "photographs"].append(float((is_photograph != (domain == "photographs")).mean()))
        rows.append((max(errors[False]) + np.mean(errors[True]), bits, spread))
    for error, bits, spread in sorted(rows)[:5]:
        print(f"greys {bits}, colours {spread}: {100 * error / 2:.2f} % wrong")


def choose_weights(found: dict[str, Doubles]) -> None:
    """Print the logistic regression of icons against handwriting."""
    values = np.concatenate([found[name] for name in SHARES])
    wanted = np.concatenate([np.full(len(found[name]), float(name == "icons")) for name in SHARES])
    counts = np.concatenate(
        [np.full(len(found[name]), 4000 * SHARES[name] / len(found[name])) for name in SHARES]
    )
    centre, scale = values.mean(axis=0), values.std(axis=0)
    inputs = np.c_[(values - centre) / scale, np.ones(len(values))]
    weights = np.zeros(inputs.shape[1])
    for _ in range(30):  # Newton's steps
        likely = 1 / (1 + np.exp(-inputs @ weights))
        slope = inputs.T @ (counts * (likely - wanted)) + PENALTY * weights
        curve = (inputs * (counts * likely * (1 - likely))[:, None]).T @ inputs + PENALTY * np.eye(
            len(weights)
        )
        weights -= np.linalg.solve(curve, slope)
    own = weights[:-1] / scale
    neutral = float(own @ centre - weights[-1])
    print(
        {name: round(float(weight), 2) for name, weight in zip(NUMBERS, own, strict=True)}, round(neutral, 2)
    )
    chance = np.random.default_rng(0)
    for over in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5):
        row = []
        for name, shape in found.items():
            evidence = np.clip(shape @ own - neutral - over, -MOST_EVIDENCE, MOST_EVIDENCE)
            folders = chance.choice(evidence, (DRAWS, 6)).mean(axis=1) > 0
            row.append(f"{name} {100 * folders.mean():.1f}")
        print(f"  neutral {neutral + over:.2f}: folders of 6 called icons, in %:", *row)


def report(name: str, looks: list[list[Look]]) -> None:
    """Print how often single images and folders are taken for something else."""
    chance = np.random.default_rng(0)
    single = [look for own in looks for look in own]
    row = [f"{100 * np.mean([look.is_photograph for look in single]):5.1f}"]
    for classes, images in FOLDERS:
        found = dict.fromkeys(GENERATORS, 0)
        full = [own for own in looks if len(own) >= images]
        for _ in range(DRAWS):
            places = chance.choice(len(full), min(classes, len(full)), replace=False)
            folder = [look for place in places for look in chance.permutation(full[place])[:images].tolist()]
            photographs = sum(look.is_photograph for look in folder)
            evidence = sum(look.icon_evidence for look in folder)
            drawn: Domain = "icons" if evidence > 0 else "drawings"
            found[drawn if 2 * photographs <= len(folder) else "photographs"] += 1
        row.append(" ".join(f"{100 * count / DRAWS:5.1f}" for count in found.values()))
    print(f"{name:30}", *(f"{part:20}" for part in row), flush=True)


def accuracy(images: Classes, name: str, shot: int, tasks: int) -> str:
    """Of a generator on tasks of these classes, with the half width of the 95 % interval."""
    generator, chance = load_generator(name), np.random.default_rng(0)
    rows = []
    for _ in range(tasks):
        picked = [images[place] for place in chance.permutation(len(images))[:WAY]]
        drawn = [[own[place] for place in chance.permutation(len(own))[: shot + QUERY]] for own in picked]
        support = [image for own in drawn for image in own[:shot]]
        queries = [image for own in drawn for image in own[shot:]]
        labels, answers = ([f"{n:02}" for n in range(WAY) for _ in range(count)] for count in (shot, QUERY))
        cnn = generator.generate_bundle(generator.prepare(support, labels))
        logits = cnn.logits(prepare_images(queries, generator.preprocessing))
        rows.append(
            np.mean([cnn.classes[p] == own for p, own in zip(logits.argmax(1), answers, strict=True)])
        )
    return f"{100 * np.mean(rows):.1f} ± {196 * np.std(rows, ddof=1) / tasks**0.5:.1f}"


def report_drawn(name: str, images: Classes) -> None:
    """Print how often single images are taken for drawings, for each of the `SIZES`."""
    single, rates = [image for own in images for image in own], []
    for size in SIZES:
        reads = read_pixels(single, Preprocessing(size, 3, "none", "crop"))
        rates.append(np.mean([is_drawn(pixels) for _, pixels in reads if isinstance(pixels, np.ndarray)]))
    print(f"{name:30}", f"{len(single):5}", *(f"{100 * rate:6.2f}" for rate in rates), flush=True)


def report_undrawn(name: str, images: Classes) -> None:
    """Print how often single images are called photographs by how uneven they are, and by that or colours."""
    glyphs, single = load_generator("glyph-8").preprocessing, [image for own in images for image in own]
    readings = [glyphs.read(image) for image in single]
    found = [(not (reading.is_blank or reading.looks_drawn), reading.is_photograph) for reading in readings]
    rates = 100 * np.mean(found, axis=0)
    print(f"{name:32}", f"{len(single):5}", *(f"{rate:6.1f}" for rate in rates), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=("choose", "report", "cost", "drawn", "undrawn"))
    parser.add_argument("data", type=Path)
    parser.add_argument("--icons", type=Path, required=True, help="the unpacked npm package @iconify/json")
    parser.add_argument("--fonts", type=Path, required=True, help="the folder of Noto's fonts")
    parser.add_argument("--classes", type=int, default=100, help="of each kind, at most")
    parser.add_argument("--tasks", type=int, default=40, help="of each cost")
    options = parser.parse_args()
    known = kinds(options.data, options.icons, options.fonts)

    def made(name: str, part: Part) -> Classes:
        domain, make = known[name]
        classes = options.classes if domain != "photographs" else options.classes // 2
        found = make(part, classes, IMAGES)
        # Of few classes more images are looked at.
        return found if len(found) == classes else make(part, classes, IMAGES * classes // len(found))

    if options.what == "choose":
        found = {name: (domain, *numbers(made(name, "chosen on"))) for name, (domain, _) in known.items()}
        print(f"now: greys {LEAST_BITS}, colours {LEAST_SPREAD}")
        choose_colours(
            {name: (domain, colour, uneven) for name, (domain, colour, _, uneven) in found.items()}
        )
        choose_weights({name: one[2] for name, one in found.items() if one[0] != "photographs"})
    elif options.what == "report":
        print("in %: called photographs; folders called", *GENERATORS, "of classes x images", *FOLDERS)
        for name in known:
            report(name, [[look_at(image) for image in own] for own in made(name, "reported")])
    elif options.what == "drawn":
        print("in %: called drawings, of so many images, at", *SIZES, "pixels")
        for name in known:
            report_drawn(name, made(name, "reported"))
    elif options.what == "undrawn":
        print("in %: called photographs, of so many images, without colours and with them")
        for name in known:
            report_undrawn(name, made(name, "reported"))
        for name, make in coloured_kinds(options.data, options.icons).items():
            report_undrawn(name, make("reported", options.classes, IMAGES * (1 + 4 * ("icons" in name))))
    else:
        for name, shot in product(COSTS, (1, 5)):
            images = known[name][1]("reported", options.classes, shot + QUERY)
            rows = [f"{one} {accuracy(images, one, shot, options.tasks)}" for one in COSTS[name]]
            print(f"{name}, {WAY}-way {shot}-shot:", *rows, sep="  ", flush=True)


if __name__ == "__main__":
    main()
