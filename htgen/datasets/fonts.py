"""Letters and symbols of many fonts: a folder of font files -> store.

A class is a code point of Unicode. What people are to handwriting, families of fonts are to it: a class has
an image of every family first, then second ones of families that have several styles, and at most
`MOST_IMAGES` in all. Classes of which fonts have fewer than `FEWEST_IMAGES` different images are left out,
and so are those that look like a class before them: `o` and `O` are the same once they are cut to the ink.

Class names are `SCRIPT/CODE POINT`, such as `greek/U+03B1`. So tasks of one group are of one script
(`episodes.related`). Symbols of music (SMuFL) are known in the fonts of `MUSIC_FAMILIES` only: elsewhere
their code points are anything.

Left out are the scripts of Omniglot's evaluation characters (`UNSEEN_SCRIPTS`), and the 18 symbols of the
handwritten maths by which generators are compared (`UNSEEN_SYMBOLS`), so that both stay unseen.

Split scheme `fonts`: scripts of Omniglot's validation alphabets are of `val`. Of others a class is of `test`
or `val` by the SHA-1 of its code point's name, `U+03B1`, as a number, modulo 5: 0 is `test`, 1 is `val`, all
others are `train`.

Fonts are read with `fontTools` (the extra `fonts`) and drawn with Pillow.
"""

import hashlib
import io
import logging
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from htgen.arrays import Floats, Pixels
from htgen.datasets.splits import format_ranges
from htgen.datasets.store import Progress, StoreWriter, check_target
from htgen.datasets.store_format import Scheme
from htgen.errors import DataError
from htgen.files import kind_at, open_regular
from htgen.images.drawings import DRAWING_STEPS
from htgen.images.preprocessing import Preprocessing

WHERE_FROM = "a folder of unpacked packages of fonts, with files *.ttf, *.otf or *.woff"

INSTALL = "pip install 'htgen[fonts]'"

FEWEST_IMAGES = 8
"""Different images of a code point, at least: an episode of five shots and three queries has as many."""

MOST_IMAGES = 20
"""Images of a code point, at most: as many as a character of Omniglot has."""

MOST_FACES = 24
"""Fonts that are drawn for a code point, at most, to have so many that differ."""

UNSEEN_SYMBOLS = frozenset("0123456789.-+/wxyzWXYZ")
"""Code points that never become classes, nor what looks like them."""

UNSEEN_SCRIPTS = (
    *("avestan", "cyrillic", "ethiopic", "glagolitic", "gurmukhi", "kannada", "malayalam", "meetei mayek"),
    *("mongolian", "oriya", "phags-pa", "syloti nagri", "syriac", "tibetan"),
)
"""How the names of characters begin that never become classes, for their script."""

VALIDATION_SCRIPTS = frozenset({"balinese", "canadian", "georgian", "imperial aramaic", "tifinagh"})
"""Scripts of Omniglot's validation alphabets (`lake:val`)."""

_LEFT_OUT = (
    *("cjk", "hangul", "tangut", "nushu", "yi syllable", "braille", "box drawings", "block sextant"),
    *("khitan", "cuneiform", "egyptian", "anatolian", "bamum", "vai syllable", "mende", "signwriting"),
)
"""The same of what is too fine for small images, or the same in all fonts."""

_TWO_WORDS = frozenset({"imperial", "inscriptional", "linear", "new", "ol", "old"})
"""First words of scripts that have two."""

MUSIC_FAMILIES = frozenset(
    {
        *("bravura", "finaleash", "finalebroadway", "finalejazz", "finalemaestro", "gonville", "gootville"),
        *("leipzig", "leland", "musejazz", "nepomuk", "petaluma", "sebastian"),
    }
)
"""Families, without blanks and capitals, whose private code points are those of SMuFL."""

MUSIC = range(0xE000, 0xF400)
"""Code points of SMuFL."""

_MUSIC_DIGITS = (range(0xE080, 0xE0A0), range(0xE880, 0xE890), range(0xEA50, 0xEA70), range(0xED10, 0xED30))
"""Time signatures, tuplets, figured bass and fingerings: digits, which are unseen symbols."""

SUFFIXES = frozenset({".ttf", ".otf", ".woff"})
"""Of files that are read. A `.woff2` lies beside a `.woff` in packages for the web."""

_ALIKE = 0.92
"""Cosine of the mean images of two classes from which on they look alike."""
_LIKE_UNSEEN = 0.8
"""The same where one is an unseen symbol: rather too many are left out than too few."""
_SAME = 0.1
"""Two images that differ by less, relative to the ink of both, are the same."""
_VISIBLE = 10
"""By how much pixels, of 255, must differ for something to be seen."""
_EM = 80
"""The size of letters when they are drawn, in pixels."""
_LARGEST = 8
"""Sides of an em that a glyph's box may have; others are damaged."""
_PARTS = {0: "test", 1: "val"}


@dataclass(frozen=True)
class Face:
    """A font file: the names of its family and style, and the code points that it has glyphs for."""

    path: Path
    family: str
    style: str
    codes: frozenset[int]

    def order(self, code: int) -> str:
        """Hexadecimal digits by which faces are chosen for a code point, the same on every machine."""
        return hashlib.sha1(f"{self.family}:{self.style}:{code}".encode()).hexdigest()

    @property
    def is_of_music(self) -> bool:
        """Whether private code points are symbols of music."""
        return self.family.replace(" ", "").lower() in MUSIC_FAMILIES


@cache
def script_of(character: str) -> str | None:
    """The group of a character: its script, or `symbols` where it is no letter.

    None: it never becomes a class.
    """
    if ord(character) in MUSIC:
        return None if any(ord(character) in digits for digits in _MUSIC_DIGITS) else "music"
    name, category = unicodedata.name(character, "").lower(), unicodedata.category(character)
    # Accented letters differ from others by too little, and mathematical alphabets are letters again.
    is_whole = unicodedata.normalize("NFKD", character) == character
    is_drawn = category[0] in "LNSP" and category not in ("Lm", "Sk")
    if not (name and is_whole and is_drawn) or name.startswith((*UNSEEN_SCRIPTS, *_LEFT_OUT, "replacement")):
        return None
    words = name.split()
    script = " ".join(words[: 2 if words[0] in _TWO_WORDS else 1])
    return script if category[0] == "L" or category == "Nd" else "symbols"


def part_of(script: str, code: int) -> str:
    """The part of the split scheme that a class belongs to: `train`, `val` or `test`."""
    if script in VALIDATION_SCRIPTS:
        return "val"
    return _PARTS.get(int(hashlib.sha1(name_of(code).encode()).hexdigest(), 16) % 5, "train")


def name_of(code: int) -> str:
    """As Unicode writes a code point."""
    return f"U+{code:04X}"


def prepare_fonts(
    source: str | Path,
    out: str | Path,
    image_size: int = 28,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> list[str]:
    """Make the store of letters: grey drawings, ink bright, brought to one form as generators of drawings do.

    Args:
        source: a folder; all files below it that end in .ttf, .otf or .woff are read.
        out: the store to write.
        image_size: side of the images, 1 to 4096.
        overwrite: replace a store at `out`.
        progress: see `htgen.datasets.store.Progress`.

    Returns:
        A line for each file that is no font, or cannot be drawn, which was left out.

    Raises:
        DataError: `fontTools` is missing, there are no fonts, or `out` is taken.
        OutputError: no space left, or no permission.
    """
    out = Path(out)
    preprocessing = Preprocessing(image_size, 1, "bright", "pad", DRAWING_STEPS)
    check_target(out, overwrite)
    report = progress or (lambda *_: None)
    left_out: list[str] = []
    faces = list(read_faces(Path(source), report, left_out))
    chosen = _chosen(faces)
    drawn = _drawn(faces, chosen, preprocessing, report, left_out)
    distinct = {
        code: _distinct(drawn[code, face] for face in order if (code, face) in drawn)
        for code, order in chosen.items()
    }
    enough = {code: images for code, images in distinct.items() if len(images) >= _fewest(code)}
    classes = {code: enough[code] for code in _unlike(enough) if chr(code) not in UNSEEN_SYMBOLS}
    if not classes:
        raise DataError(_why_none(Path(source), faces, left_out), WHERE_FROM)
    ordered = sorted(classes, key=lambda code: (str(script_of(chr(code))), code))
    with StoreWriter(out, "fonts", preprocessing, {"fonts": _scheme(ordered)}, overwrite) as writer:
        for code in ordered:
            about = unicodedata.name(chr(code), "SMuFL")
            writer.add_class(f"{script_of(chr(code))}/{name_of(code)}", about, classes[code])
    return left_out


def _fewest(code: int) -> int:
    """Images of a code point, at least; one of an unseen symbol is enough, as it tells what looks like it."""
    return 1 if chr(code) in UNSEEN_SYMBOLS else FEWEST_IMAGES


def _why_none(source: Path, faces: list[Face], left_out: list[str]) -> str:
    """Why there are no classes."""
    if not faces and not left_out:
        return (
            f"there are no fonts below {source}: no files {', '.join(f'*{end}' for end in sorted(SUFFIXES))}"
        )
    if not faces:
        return f"none of the {len(left_out)} fonts below {source} can be read; the first fault: {left_out[0]}"
    families = len({face.family for face in faces})
    return (
        f"no letter in {source} has {FEWEST_IMAGES} different images; fonts read: {len(faces)}, of "
        f"{families} {'family' if families == 1 else 'families'}"
    )


def _scheme(codes: list[int]) -> Scheme:
    """The division of classes, by their positions in the store."""
    parts: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    for number, code in enumerate(codes):
        parts[part_of(str(script_of(chr(code))), code)].append(number)
    return Scheme(parts={part: format_ranges(numbers) for part, numbers in parts.items() if numbers})


# ----------------------------------------------------------------------------------------- reading the fonts


def read_faces(source: Path, report: Progress, left_out: list[str]) -> Iterator[Face]:
    """All fonts below a folder, in the order of their paths.

    Args:
        left_out: gets a line for each file that cannot be read.

    Raises:
        DataError: `fontTools` is not installed, or there is no such folder.
    """
    try:
        from fontTools.ttLib import TTFont
    except ImportError as error:
        raise DataError("fonts are read with fontTools, which is not installed", INSTALL) from error
    if (kind := kind_at(source)) != "folder":
        raise DataError(f"{source} is not a folder" if kind else f"there is no folder {source}", WHERE_FROM)
    logging.getLogger("fontTools").setLevel(
        logging.ERROR
    )  # it tells small faults of fonts, hundreds of lines
    paths = sorted(path for path in source.rglob("*") if path.suffix.lower() in SUFFIXES)
    paths = [path for path in paths if not path.is_dir()]  # also links that lead nowhere, which are told
    for number, path in enumerate(paths, 1):
        report("fonts", number, len(paths))
        try:
            with open_regular(path) as file, TTFont(file, lazy=True) as font:
                names, cmap = font["name"], font.getBestCmap() or {}
                family, style = names.getBestFamilyName(), names.getBestSubFamilyName()
        except OSError as error:
            left_out.append(f"{path}: {error.strerror or error}")
            continue
        # Damaged fonts make fontTools raise TTLibError, struct.error, AssertionError, KeyError, ...
        except Exception as error:
            left_out.append(f"{path}: {error}")
            continue
        yield Face(path, family or path.stem, style or "", frozenset(c for c in cmap if c <= sys.maxunicode))


def _chosen(faces: list[Face]) -> dict[int, list[int]]:
    """The faces, by number, of every code point, in the order in which they are taken.

    One of every family comes first, then a second one of those that have two, and so on. Of those that have
    the family and the style in common, the first counts: a font may lie there in two formats. Files that name
    no style are told apart by their paths.
    """
    found: dict[int, dict[str, dict[str | Path, int]]] = {}
    for number, face in enumerate(faces):
        for code in face.codes:
            if script_of(chr(code)) and (code not in MUSIC or face.is_of_music):
                found.setdefault(code, {}).setdefault(face.family, {}).setdefault(
                    face.style or face.path, number
                )
    chosen = {}
    for code, families in sorted(found.items()):
        turns = [
            (turn, faces[number].order(code), number)
            for numbers in families.values()
            for turn, number in enumerate(
                sorted(numbers.values(), key=lambda number: faces[number].order(code))
            )
        ]
        if len(turns) >= _fewest(code):
            chosen[code] = [number for _, _, number in sorted(turns)][:MOST_FACES]
    return chosen


# ---------------------------------------------------------------------------------------------------- drawing


def _drawn(
    faces: list[Face],
    chosen: dict[int, list[int]],
    preprocessing: Preprocessing,
    report: Progress,
    left_out: list[str],
) -> dict[tuple[int, int], Pixels]:
    """The prepared images `[size, size, 1]` by code point and face; blank ones are left out.

    Fonts are opened one after another, as there are more of them than files that may be open.

    Args:
        left_out: gets a line for each file that cannot be drawn.
    """
    of_face: dict[int, list[int]] = {}
    for code, numbers in chosen.items():
        for number in numbers:
            of_face.setdefault(number, []).append(code)
    drawn: dict[tuple[int, int], Pixels] = {}
    for done, (number, codes) in enumerate(sorted(of_face.items()), 1):
        report("drawings", done, len(of_face))
        try:
            with open_regular(faces[number].path) as file:  # of a path Pillow tries the system's fonts too
                content = io.BytesIO(file.read())
            font = ImageFont.truetype(content, _EM, layout_engine=ImageFont.Layout.BASIC)
        except OSError as error:  # fonts of bitmaps alone, and formats that FreeType does not draw
            left_out.append(f"{faces[number].path}: {error}")
            continue
        for code in codes:
            image = _letter(font, chr(code))
            pixels = None if image is None else preprocessing.apply(image)
            if pixels is not None and int(pixels.max()) - int(pixels.min()) >= _VISIBLE:
                drawn[code, number] = pixels
    return drawn


def _letter(font: ImageFont.FreeTypeFont, character: str) -> Image.Image | None:
    """A character in black on white, with a margin around it; None when there is nothing to draw."""
    margin = _EM // 4
    try:
        left, top, right, bottom = (round(edge) for edge in font.getbbox(character))
        width, height = right - left, bottom - top
        if not (0 < width <= _LARGEST * _EM and 0 < height <= _LARGEST * _EM):
            return None
        image = Image.new("L", (width + 2 * margin, height + 2 * margin), 255)
        ImageDraw.Draw(image).text((margin - left, margin - top), character, fill=0, font=font)
    except OSError:  # a damaged glyph
        return None
    return image


def _distinct(images: Iterable[Pixels]) -> list[Pixels]:
    """Up to `MOST_IMAGES` of the images of a class, no two of them the same."""
    kept: list[Pixels] = []
    for image in images:
        if all(_difference(image, other) >= _SAME for other in kept):
            kept.append(image)
            if len(kept) == MOST_IMAGES:
                break
    return kept


def _difference(one: Pixels, other: Pixels) -> float:
    """From 0, for equal images, to 1, for such as have no ink at the same place."""
    apart = np.abs(one.astype(np.int32) - other).sum()
    return float(apart) / float(one.sum(dtype=np.int64) + other.sum(dtype=np.int64))


def _unlike(classes: dict[int, list[Pixels]]) -> list[int]:
    """Code points of classes of which none looks like one before it.

    Unseen symbols come first, as what looks like them must go; then letters, then other symbols.
    """
    order = sorted(
        classes, key=lambda code: (chr(code) not in UNSEEN_SYMBOLS, script_of(chr(code)) == "symbols", code)
    )
    kept: list[int] = []
    means: list[Floats] = []
    limits: list[float] = []
    for code in order:
        mean = np.mean(classes[code], axis=0, dtype=np.float32).ravel()
        mean /= np.linalg.norm(mean)
        is_unseen = chr(code) in UNSEEN_SYMBOLS
        if is_unseen or not kept or (np.stack(means) @ mean < limits).all():
            kept.append(code)
            means.append(mean)
            limits.append(_LIKE_UNSEEN if is_unseen else _ALIKE)
    return kept
