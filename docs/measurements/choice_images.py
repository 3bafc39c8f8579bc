"""Images of many kinds by class, for `choice.py`: a part that choices are made on, and one that is reported.

No class is in both parts. Files come from archives of Omniglot, of maths symbols and of photographs; icons
are rendered from the npm package `@iconify/json`, and letters from fonts of the Debian packages
fonts-noto-core and fonts-noto-extra.
"""

import io
import json
import random
import zipfile
from collections import defaultdict
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps
from real_images import enlarge, jpeg, mixed, to_image

from htgen.datasets.icons import Icon, concept_of, part_of, read_icons, renderer
from htgen.generator.shipped import Domain
from htgen.images.reading import decode_image

Part = Literal["chosen on", "reported"]

Classes = list[list[Image.Image]]
"""Images by class."""

Make = Callable[[Part, int, int], Classes]
"""Part, classes, images of each -> images by class; the same at every call."""


def from_archives(chosen: Path, reported: Path | None = None, change: bool = False) -> Make:
    """Of an archive for each part, or of every second class of one.

    Args:
        change: drawn with another pen on a canvas, damaged (`real_images`), or photographed in a coloured
            light, by turns.
    """

    def make(part: Part, classes: int, images: int) -> Classes:
        chance, draws = random.Random(0), np.random.default_rng(0)
        path = chosen if part == "chosen on" or reported is None else reported
        with zipfile.ZipFile(path) as archive:
            names = classes_in(archive)
            if reported is None:
                names = names[part == "reported" :: 2]
            found = []
            for members in chance.sample(names, min(classes, len(names))):
                own = chance.sample(members, min(images, len(members)))
                pictures = [decode_image(io.BytesIO(archive.read(name)), name) for name in own]
                if change:
                    manners = canvas, mixed, in_coloured_light
                    pictures = [
                        manners[n % 3](one.convert("L"), draws) for n, one in enumerate(pictures, len(found))
                    ]
                found.append([picture.copy() for picture in pictures])
        return found

    return make


def classes_in(archive: zipfile.ZipFile) -> list[list[str]]:
    """Names of images by their folder."""
    classes: dict[str, list[str]] = defaultdict(list)
    for name in sorted(archive.namelist()):
        if name.lower().endswith((".png", ".jpg")):
            classes[name.rpartition("/")[0]].append(name)
    return list(classes.values())


def canvas(drawing: Image.Image, draws: np.random.Generator) -> Image.Image:
    """The drawing by a smooth pen of some width, at some size."""
    pen = int(draws.choice([3, 5, 7, 9, 13]))
    smooth = enlarge(drawing, 4).filter(ImageFilter.MedianFilter(5)).filter(ImageFilter.MinFilter(pen))
    side = int(draws.choice([64, 100, 150, 250]))
    return smooth.resize((side, side), Image.Resampling.LANCZOS)


def in_coloured_light(drawing: Image.Image, draws: np.random.Generator) -> Image.Image:
    """Photographed: coloured ink and paper, a light that changes in colour and falls off, noise, JPEG."""
    grey = np.asarray(enlarge(drawing, 2), np.float64)[..., None] / 255
    ink, paper = draws.uniform(10, 150, 3), draws.uniform(150, 250, 3)
    across, down = (np.linspace(0, 1, length) for length in grey.shape[1::-1])
    light = 1 - draws.uniform(0, 0.35) * down[:, None, None] - draws.uniform(0, 0.3, 3) * across[:, None]
    values = (ink + (paper - ink) * grey) * light + draws.normal(0, draws.uniform(1, 8), grey.shape)
    return jpeg(to_image(values), int(draws.integers(50, 95))).copy()


def several_pens(drawings: Make) -> Make:
    """Up to four drawings on one page, each by a pen of another colour and width, in a coloured light."""

    def make(part: Part, classes: int, images: int) -> Classes:
        draws = np.random.default_rng(part == "reported")
        single = [image.convert("L") for own in drawings(part, classes, images) for image in own]
        return [[coloured_page(single, draws) for _ in range(images)] for _ in range(classes)]

    return make


def coloured_page(drawings: list[Image.Image], draws: np.random.Generator) -> Image.Image:
    side = int(draws.integers(90, 420))
    values = np.full((side, side, 3), draws.uniform(170, 250, 3))
    for _ in range(int(draws.integers(1, 5))):
        size = int(side * draws.uniform(0.3, 0.7))
        drawing = drawings[draws.integers(len(drawings))].resize((size, size), Image.Resampling.BICUBIC)
        if draws.random() < 0.4:
            drawing = drawing.filter(ImageFilter.MinFilter(3))
        share = np.asarray(drawing, np.float64)[..., None] / 255
        y, x = draws.integers(0, side - size, 2)
        area = values[y : y + size, x : x + size]
        values[y : y + size, x : x + size] = area * share + (1 - share) * draws.uniform(0, 190, 3)
    down, across = (along[..., None] / side for along in np.mgrid[0:side, 0:side])
    values *= 1 - draws.uniform(0, 0.35) * down - draws.uniform(0, 0.3, 3) * across
    values += draws.normal(0, draws.uniform(0, 8), values.shape)
    return jpeg(to_image(values), int(draws.integers(50, 95))).copy()


# ------------------------------------------------------------------------------------------ icons and letters


@cache
def all_icons(package: Path) -> list[Icon]:
    return list(read_icons(package))


def from_icons(package: Path) -> Make:
    """Icons of concepts of `icons:val` and `icons:test`, of several sets each."""

    def make(part: Part, classes: int, images: int) -> Classes:
        chance, render = random.Random(0), renderer()
        wanted = "val" if part == "chosen on" else "test"
        concepts: dict[str, list[Icon]] = defaultdict(list)
        for icon in all_icons(package):
            if part_of(concept_of(icon.name)) == wanted:
                concepts[concept_of(icon.name)].append(icon)
        known = sorted(name for name, icons in concepts.items() if len({i.set_name for i in icons}) >= 6)
        return [
            [as_people_have_it(icon, render, chance) for icon in chance.sample(concepts[name], images)]
            for name in chance.sample(known, classes)
        ]

    return make


def as_people_have_it(
    icon: Icon, render: Callable[[str, int, int], bytes], chance: random.Random
) -> Image.Image:
    """Of some size and margin, in some colours, transparent or not."""
    side, (_, _, width, height) = chance.choice([24, 32, 48, 64, 96, 128, 200, 400]), icon.box
    scale = side / max(width, height)
    png = render(icon.document(), max(1, round(width * scale)), max(1, round(height * scale)))
    image = decode_image(io.BytesIO(png), icon.name).convert("L")
    image = ImageOps.expand(image, side // chance.choice([4, 8, 16, 500]), fill=255)
    manner = chance.choice(["plain", "plain", "transparent", "white", "coloured", "jpeg"])
    if manner == "transparent":
        clear = Image.new("LA", image.size, (chance.choice([0, 0, 255]), 0))
        clear.putalpha(ImageOps.invert(image))
        return clear
    if manner == "coloured":
        ink, paper = ([chance.randrange(low, high) for _ in range(3)] for low, high in ((0, 160), (200, 256)))
        return ImageOps.colorize(image, tuple(ink), tuple(paper))
    if manner == "jpeg":
        return jpeg(image, chance.choice([50, 75, 90])).copy()
    return ImageOps.invert(image) if manner == "white" else image


COLOURED_SETS = (
    "twemoji",
    "noto",
    "openmoji",
    "fluent-emoji-flat",
    "fluent-emoji",
    "emojione",
    "flat-color-icons",
)
COLOURED_SETS += ("vscode-icons", "logos", "circle-flags", "flagpack", "devicon", "skill-icons", "fxemoji")
"""Icons of several colours; half of each set is of either part."""


def from_coloured_icons(package: Path) -> Make:
    """Icons of several colours, some transparent and some compressed; a class is a set."""

    def make(part: Part, classes: int, images: int) -> Classes:
        chance, render, found = random.Random(0), renderer(), []
        for name in COLOURED_SETS:
            record = json.loads((package / "json" / f"{name}.json").read_text())
            names = sorted(record["icons"])[part == "reported" :: 2]
            found.append([coloured_icon(record, one, render, chance) for one in chance.sample(names, images)])
        return found

    return make


def coloured_icon(
    record: dict[str, Any], name: str, render: Callable[[str, int, int], bytes], chance: random.Random
) -> Image.Image:
    icon = record["icons"][name]
    width, height = (icon.get(key, record.get(key, 16)) for key in ("width", "height"))
    box = f"{icon.get('left', 0)} {icon.get('top', 0)} {width} {height}"
    links = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    scale = chance.choice([32, 48, 64, 96, 128, 200, 400]) / max(width, height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    png = render(f'<svg {links} viewBox="{box}">{icon["body"]}</svg>', *size)
    image = Image.open(io.BytesIO(png)).convert("RGBA")
    manner = chance.choice(["white", "white", "transparent", "jpeg"])
    if manner == "transparent":
        return image
    page = Image.new("RGBA", (image.width + 8, image.height + 8), "white")
    page.alpha_composite(image, (4, 4))
    white = page.convert("RGB")
    return white if manner == "white" else jpeg(white, chance.choice([50, 75, 90])).copy()


SCRIPTS: dict[Part, dict[str, tuple[int, int]]] = {
    "chosen on": {
        "Hebrew": (0x5D0, 0x5EA),
        "Khmer": (0x1780, 0x17A2),
        "Lao": (0xE94, 0xE97),
        "Georgian": (0x10D0, 0x10F0),
    },
    "reported": {
        "Bengali": (0x995, 0x9A8),
        "Myanmar": (0x1000, 0x1020),
        "Thai": (0xE01, 0xE2E),
        "Armenian": (0x561, 0x586),
    },
}
"""First and last letter; no scripts of Omniglot's evaluation alphabets."""

STYLES = ("Regular", "Bold", "Black", "Thin", "CondensedLight")


def from_fonts(folder: Path) -> Make:
    """Printed letters of four scripts, in sans and serif, of several weights."""

    def make(part: Part, classes: int, images: int) -> Classes:
        chance, found = random.Random(0), []
        letters = [
            (script, chr(code))
            for script, (first, last) in SCRIPTS[part].items()
            for code in range(first, last + 1)
        ]
        for script, letter in chance.sample(letters, min(classes, len(letters))):
            faces = [f"Noto{kind}{script}-{style}.ttf" for kind in ("Sans", "Serif") for style in STYLES]
            faces = [face for face in faces if (folder / face).exists()]
            found.append([printed(letter, folder / face, chance) for face in chance.sample(faces, images)])
        return found

    return make


def printed(letter: str, face: Path, chance: random.Random) -> Image.Image:
    font = ImageFont.truetype(str(face), chance.choice([24, 40, 60, 80, 150]))
    left, top, right, bottom = map(round, font.getbbox(letter))
    margin = chance.choice([2, 5, 12, 30])
    image = Image.new("L", (right - left + 2 * margin, bottom - top + 2 * margin), 255)
    ImageDraw.Draw(image).text((margin - left, margin - top), letter, fill=0, font=font)
    return image


def coloured_kinds(data: Path, icons: Path) -> dict[str, Make]:
    """Drawings and icons of several colours."""
    omniglot = data / "omniglot/images_background.zip", data / "omniglot/images_evaluation.zip"
    return {
        "Omniglot, several coloured pens": several_pens(from_archives(*omniglot)),
        "icons of several colours": from_coloured_icons(icons),
    }


def kinds(data: Path, icons: Path, fonts: Path) -> dict[str, tuple[Domain, Make]]:
    """What the images are, and how to make them.

    Args:
        data: holds omniglot/, drawings/, caltech101/, photographs/ and miniimagenet/ with their archives.
        icons: the unpacked npm package.
        fonts: the folder of the fonts' files.
    """
    omniglot = data / "omniglot/images_background.zip", data / "omniglot/images_evaluation.zip"
    small = data / "miniimagenet/miniimagenet_val.zip", data / "miniimagenet/miniimagenet_test.zip"
    return {
        "Omniglot": ("drawings", from_archives(*omniglot)),
        "the same, other pens, damaged": ("drawings", from_archives(*omniglot, change=True)),
        "maths": ("drawings", from_archives(data / "drawings/maths.zip")),
        "printed letters": ("drawings", from_fonts(fonts)),
        "icons": ("icons", from_icons(icons)),
        "Caltech-101": ("photographs", from_archives(data / "caltech101/caltech101_80classes.zip")),
        "clothing": ("photographs", from_archives(data / "photographs/clothing.zip")),
        "rubbish": ("photographs", from_archives(data / "photographs/trash.zip")),
        "miniImageNet": ("photographs", from_archives(*small)),
    }
