"""Icons of many sets that draw the same things: npm package `@iconify/json` -> store.

A class is a concept: the name that icons have once words of style are cut from its end. What people are to
handwriting, sets are to icons. One-colour sets under MIT, Apache-2.0, ISC, CC0, Unlicense or BSD licences are
read, and concepts that enough of them draw become classes, of `FEWEST_IMAGES` to `MOST_IMAGES` icons each.

Class names are `GROUP/CONCEPT`, where the group is the concept's first word: `arrow/arrow-left`. So tasks of
one group have icons that look alike (`episodes.related`).

Split scheme `icons`: a concept is of `test` or `val` by the SHA-1 of its name as a number, modulo 5: 0 is
`test`, 1 is `val`, all others are `train`.

Icons are vector graphics, rendered with `resvg_py` (the extra `icons`).
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from htgen.arrays import Pixels
from htgen.datasets.splits import format_ranges
from htgen.datasets.store import Progress, StoreWriter, check_target
from htgen.datasets.store_format import Scheme
from htgen.errors import DataError
from htgen.files import kind_at, read_regular
from htgen.images.drawings import DRAWING_STEPS, ICON_STEPS
from htgen.images.preprocessing import Preprocessing
from htgen.images.reading import decode_image

WHERE_FROM = "unpack the npm package @iconify/json: `npm pack @iconify/json`, `tar xzf iconify-json-*.tgz`"

INSTALL = "pip install 'htgen[icons]'"

LICENCES = frozenset({"MIT", "Apache-2.0", "ISC", "CC0-1.0", "Unlicense", "BSD-2-Clause", "BSD-3-Clause"})
"""SPDX names of the licences of sets that are read."""

FEWEST_SETS = {"train": 3, "val": 6, "test": 6}
"""Sets that draw a concept of each part, at least."""

FEWEST_IMAGES = 6
"""Different icons of a concept, at least."""

MOST_IMAGES = 14
"""Icons of a concept, at most: one of each set first, then a second one of each set, and so on."""

_MANNERS = (
    "outline outlined outlines fill filled solid bold line linear light thin regular medium semibold",
    "extralight ultralight heavy hairline duotone twotone tone rounded round sharp broken",
)
_SIZES = "px 10 12 14 16 18 20 24 28 30 32 36 40 48 64 12px 16px 20px 24px 32px"
STYLES = frozenset(" ".join((*_MANNERS, _SIZES)).split())
"""Words that are cut from the end of an icon's name: they say how it is drawn, or its size."""

_PARTS = {0: "test", 1: "val"}
_MOST_BYTES = 1 << 28
_VISIBLE = 10
"""By how much pixels, of 255, must differ for something to be seen."""
_DEFAULT_SIDE = 16
"""Of an icon's box, where its set names none: the format's default."""

Render = Callable[[str, int, int], bytes]
"""An SVG document, width and height in pixels -> a PNG file, black on white."""


@dataclass(frozen=True)
class Icon:
    """One icon: the name of its set and its own, its SVG body, and its box (left, top, width, height)."""

    set_name: str
    name: str
    body: str
    box: tuple[float, float, float, float]

    def document(self) -> str:
        """As an SVG document in black."""
        box = " ".join(f"{number:g}" for number in self.box)
        body = self.body.replace("currentColor", "#000")
        links = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
        return f'<svg {links} viewBox="{box}" color="#000">{body}</svg>'

    @property
    def order(self) -> str:
        """Hexadecimal digits by which the icons of a concept are chosen, the same on every machine."""
        return hashlib.sha1(f"{self.set_name}:{self.name}".encode()).hexdigest()


def concept_of(name: str) -> str:
    """The name of an icon without the words of style at its end: `home-outline-24` -> `home`.

    One word always stays.
    """
    words = name.split("-")
    while len(words) > 1 and words[-1] in STYLES:
        words.pop()
    return "-".join(words)


def part_of(concept: str) -> str:
    """The part of the split scheme that a concept belongs to: `train`, `val` or `test`."""
    return _PARTS.get(int(hashlib.sha1(concept.encode()).hexdigest(), 16) % 5, "train")


def prepare_icons(
    source: str | Path,
    out: str | Path,
    image_size: int = 32,
    overwrite: bool = False,
    progress: Progress | None = None,
    as_drawings: bool = False,
) -> list[str]:
    """Make the store of icons: grey drawings, ink bright, brought to one form as generators of icons do.

    Args:
        source: the folder of the unpacked package: `collections.json`, and `json` with a file for each set.
        out: the store to write.
        image_size: side of the images, 1 to 4096.
        overwrite: replace a store at `out`.
        progress: see `htgen.datasets.store.Progress`.
        as_drawings: bring icons to the form of handwriting (`htgen.images.drawings.DRAWING_STEPS`), not to
            that of icons (`ICON_STEPS`).

    Returns:
        A line for each icon that could not be rendered, which was left out.

    Raises:
        DataError: `resvg_py` is missing, the source is not that package, or `out` is taken.
        OutputError: no space left, or no permission.
    """
    out = Path(out)
    render = renderer()
    check_target(out, overwrite)
    steps = DRAWING_STEPS if as_drawings else ICON_STEPS
    preprocessing = Preprocessing(image_size, 1, "bright", "pad", steps)
    concepts = _concepts(Path(source))
    left_out: list[str] = []
    images: dict[str, list[Pixels]] = {}
    for number, (concept, icons) in enumerate(concepts.items(), 1):
        found = list(_distinct_images(icons, preprocessing, render, left_out))
        if len(found) >= FEWEST_IMAGES:
            images[concept] = found
        if progress is not None:
            progress("concepts", number, len(concepts))
    if not images:
        raise DataError(f"no concept in {source} has {FEWEST_IMAGES} different icons", WHERE_FROM)
    scheme = {"icons": _scheme(list(images))}
    with StoreWriter(out, store_name(as_drawings), preprocessing, scheme, overwrite) as writer:
        for concept, found in images.items():
            sets = ", ".join(sorted({icon.set_name for icon in concepts[concept]}))
            writer.add_class(_class_name(concept), sets, found)
    return left_out


def store_name(as_drawings: bool) -> str:
    """The name of a store; the two forms have one each, as neither stands in for the other."""
    return "icons-drawings" if as_drawings else "icons"


def renderer() -> Render:
    """What renders SVG.

    Raises:
        DataError: `resvg_py` is not installed.
    """
    try:
        from resvg_py import svg_to_bytes
    except ImportError as error:
        raise DataError("icons are rendered with resvg_py, which is not installed", INSTALL) from error

    def render(document: str, width: int, height: int) -> bytes:
        return bytes(
            svg_to_bytes(
                svg_string=document, width=width, height=height, background="white", skip_system_fonts=True
            )
        )

    return render


def _class_name(concept: str) -> str:
    return f"{concept.partition('-')[0]}/{concept}"


def _scheme(concepts: list[str]) -> Scheme:
    """The division of concepts, by their positions in the store."""
    parts: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    for number, concept in enumerate(concepts):
        parts[part_of(concept)].append(number)
    return Scheme(parts={part: format_ranges(numbers) for part, numbers in parts.items() if numbers})


# ------------------------------------------------------------------------------------------ reading the sets


def _concepts(source: Path) -> dict[str, list[Icon]]:
    """The icons of every concept that enough sets draw, in the order in which they are chosen.

    Concepts are sorted by the names of their classes.
    """
    found: dict[str, dict[str, list[Icon]]] = {}
    for icon in read_icons(source):
        found.setdefault(concept_of(icon.name), {}).setdefault(icon.set_name, []).append(icon)
    kept = {concept: sets for concept, sets in found.items() if _is_drawn_by_enough(concept, sets)}
    if not kept:
        raise DataError(f"no concept is drawn by {min(FEWEST_SETS.values())} sets of {source}", WHERE_FROM)
    return {concept: _in_turns(kept[concept]) for concept in sorted(kept, key=_class_name)}


def _is_drawn_by_enough(concept: str, sets: dict[str, list[Icon]]) -> bool:
    return len(sets) >= FEWEST_SETS[part_of(concept)] and sum(map(len, sets.values())) >= FEWEST_IMAGES


def _in_turns(sets: dict[str, list[Icon]]) -> list[Icon]:
    """One icon of every set, then a second one of every set that has two, and so on."""
    turns = [
        (turn, icon.order, icon)
        for icons in sets.values()
        for turn, icon in enumerate(sorted(icons, key=lambda icon: icon.order))
    ]
    return [icon for _, _, icon in sorted(turns, key=lambda entry: entry[:2])]


def read_icons(source: Path) -> Iterator[Icon]:
    """All icons of the sets that are read, set by set.

    Raises:
        DataError: the source is not that package.
    """
    for name in _set_names(source):
        yield from _read_set(source / "json" / f"{name}.json", name)


def _set_names(source: Path) -> list[str]:
    """The sets of one colour whose licence allows it, sorted."""
    if (kind := kind_at(source)) != "folder":
        raise DataError(f"{source} is not a folder" if kind else f"there is no folder {source}", WHERE_FROM)
    collections = _read_json(source / "collections.json")
    names = []
    for name, entry in collections.items():
        if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) or not isinstance(entry, dict):
            raise DataError(f"{source / 'collections.json'}: {name[:40]!r} is no icon set", WHERE_FROM)
        licence = entry.get("license")
        spdx = licence.get("spdx") if isinstance(licence, dict) else None
        if entry.get("palette") is False and spdx in LICENCES:
            names.append(name)
    return sorted(names)


def _read_set(path: Path, name: str) -> Iterator[Icon]:
    """The icons of a set that are shown, without aliases."""
    record = _read_json(path)
    icons = record.get("icons")
    if not isinstance(icons, dict):
        raise DataError(f"{path} has no icons", WHERE_FROM)
    for icon_name, entry in icons.items():
        body = entry.get("body") if isinstance(entry, dict) else None
        if not isinstance(body, str):
            raise DataError(f"{path}: icon {icon_name[:40]!r} has no body", WHERE_FROM)
        if not entry.get("hidden") and _is_self_contained(body):
            yield Icon(name, icon_name, body, _box(record, entry))


def _box(record: dict[str, Any], entry: dict[str, Any]) -> tuple[float, float, float, float]:
    """Left, top, width and height of an icon: its own, else those of its set."""

    def number(key: str, default: float) -> float:
        value = entry.get(key, record.get(key, default))
        return float(value) if type(value) in (int, float) and abs(value) < 1e6 else default

    width, height = number("width", _DEFAULT_SIDE), number("height", _DEFAULT_SIDE)
    return (
        number("left", 0),
        number("top", 0),
        width if width > 0 else _DEFAULT_SIDE,
        height if height > 0 else _DEFAULT_SIDE,
    )


def _is_self_contained(body: str) -> bool:
    """Whether an SVG body names nothing outside itself, and holds no pictures of pixels."""
    return "<image" not in body and all(link.startswith("#") for link in re.findall(r'href="([^"]*)"', body))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(read_regular(path, _MOST_BYTES))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}", WHERE_FROM) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no JSON: {error}", WHERE_FROM) from error
    if not isinstance(record, dict):
        raise DataError(f"{path} holds no JSON object", WHERE_FROM)
    return record


# -------------------------------------------------------------------------------------------------- rendering


def _distinct_images(
    icons: list[Icon], preprocessing: Preprocessing, render: Render, left_out: list[str]
) -> Iterator[Pixels]:
    """Up to `MOST_IMAGES` prepared icons `[size, size, 1]` of a concept, no two of them the same.

    Args:
        left_out: gets a line for each icon that cannot be rendered.
    """
    seen: set[bytes] = set()
    for icon in icons:
        try:
            rendered = _rendered(icon, preprocessing.size, render)
        except (DataError, ValueError) as error:
            left_out.append(f"{icon.set_name}:{icon.name}: {error}")
            continue
        pixels = preprocessing.apply(rendered)
        is_blank = int(pixels.max()) - int(pixels.min()) < _VISIBLE  # animations that begin with nothing
        if not is_blank and pixels.tobytes() not in seen:
            seen.add(pixels.tobytes())
            yield pixels
            if len(seen) == MOST_IMAGES:
                return


def _rendered(icon: Icon, size: int, render: Render) -> Image.Image:
    """An icon in black on white, its longer side five times that of the result, with a margin around it.

    Without a margin a solid icon that fills its box leaves no paper by which its ink could be told.
    """
    side = max(128, 5 * size)
    _, _, width, height = icon.box
    scale = side / max(width, height)
    png = render(icon.document(), max(1, round(width * scale)), max(1, round(height * scale)))
    image = decode_image(BytesIO(png), f"{icon.set_name}:{icon.name}").convert("L")
    return ImageOps.expand(image, side // 8, fill=255)
