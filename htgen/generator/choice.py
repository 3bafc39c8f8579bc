"""Which generator suits a folder of images: one of photographs, of icons, or of other drawings.

Each of some images is judged by itself, by numbers of a small copy of it. The folder is of photographs where
most of them are. Otherwise the drawings together say whether they are icons: one alone says little. The
thresholds were chosen on validation data. docs/lab/choice.md has the errors, and what a wrong choice costs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from htgen.arrays import Pixels
from htgen.errors import DataError
from htgen.generator.generator import Generator
from htgen.generator.shipped import GENERATORS, Domain
from htgen.images.drawings import DRAWING_STEPS
from htgen.images.preprocessing import Preprocessing
from htgen.images.reading import load_image
from htgen.images.shapes import shape_numbers

MOST_JUDGED = 48
"""Images that are judged; of more, so many that are spread over all classes."""

LONGER_SIDE, SIDE = 400, 64
"""Of the copies that are measured, in pixels: for how even the paper is, and for colours."""

LEAST_BITS, LEAST_SPREAD = 2.0, 2.5
"""From these on a coloured image is a photograph."""

LIGHT = 6
"""How far pixels of the smaller copy are taken together to find the light."""

MIXED = 0.25
"""From this share of other images on, a folder is said to be mixed."""

ICONS = np.array([1.9, 10.0, 2.1, 1.6])
"""How much each of the `NUMBERS` of `htgen.images.shapes` speaks for an icon, and against handwriting."""

NEUTRAL = 3.8
"""What the weighted numbers of a drawing sum up to that may be either."""

MOST_EVIDENCE = 4.0
"""Of one image, for or against icons: no single one decides."""

DOUBT = 0.3
"""Of drawings whose mean evidence is nearer to 0 it is said that they might be the other."""

T = TypeVar("T")

Pixels64 = npt.NDArray[np.float64]

READS_DRAWINGS = Preprocessing(64, 1, "bright", "pad", replace(DRAWING_STEPS, stroke=0.0))


class Look(NamedTuple):
    """What one image looks like.

    Attributes:
        is_photograph: whether it is none of a drawing.
        icon_evidence: how much rather a drawing is an icon than handwriting: -4 to 4. 0 where nothing is to
            be seen, and of a photograph.
    """

    is_photograph: bool
    icon_evidence: float = 0.0


@dataclass(frozen=True)
class Choice:
    """What images look like, and which generator suits them.

    Attributes:
        domain: what most of the judged images are.
        generator: the generator that ships for it.
        counts: how many of the judged images are of each domain; drawings are icons all together, or none.
        evidence: the mean of the drawings' evidence for icons; 0 without any.
    """

    domain: Domain
    generator: str
    counts: Mapping[Domain, int]
    evidence: float = 0.0

    @property
    def sentence(self) -> str:
        """What is told of the choice."""
        return f"{self.domain}: {self.generator}; --generator decides"

    @property
    def is_mixed(self) -> bool:
        """Whether many images are of another domain."""
        others = sum(count for domain, count in self.counts.items() if domain != self.domain)
        return others >= MIXED * sum(self.counts.values())

    @property
    def is_in_doubt(self) -> bool:
        """Whether drawings might as well be icons, or icons other drawings."""
        return self.domain != "photographs" and 0 < abs(self.evidence) < DOUBT

    @property
    def notices(self) -> list[str]:
        """Lines for people."""
        notices = []
        if self.is_mixed:
            parts = " and ".join(f"{count} {domain}" for domain, count in sorted(self.counts.items()))
            notices.append(f"warning: the images look like {parts}; one kind in a CNN is better")
        if self.is_in_doubt:
            other: Domain = "drawings" if self.domain == "icons" else "icons"
            notices.append(
                f"they may be {other} as well, for which there is --generator {GENERATORS[other]}: "
                "compare the estimates"
            )
        return notices

    def to_dict(self) -> dict[str, object]:
        """As plain JSON values."""
        counts = dict(sorted(self.counts.items()))
        return {"domain": self.domain, "generator": self.generator, "images": counts}


def choose(classes: Mapping[str, Sequence[Path]]) -> Choice:
    """Which generator suits images by class, some of which are read; those that cannot be read are left out.

    Nothing to be read at all counts as drawings: reading them for a CNN tells what is wrong.
    """
    return choose_by(classes, _look_at)


def choose_by(classes: Mapping[str, Sequence[T]], look: Callable[[T], Look | None]) -> Choice:
    """The same for images of any kind.

    Args:
        look: what an image looks like; None where it cannot be read.
    """
    looks = [found for found in map(look, _spread(classes)) if found is not None]
    photographs = sum(look.is_photograph for look in looks)
    drawings = len(looks) - photographs
    evidence = sum(look.icon_evidence for look in looks) / max(1, drawings)
    drawn: Domain = "icons" if evidence > 0 else "drawings"
    domain: Domain = drawn if drawings >= photographs else "photographs"
    counts: dict[Domain, int] = {drawn: drawings, "photographs": photographs}
    counts = {name: count for name, count in counts.items() if count}
    return Choice(domain, GENERATORS[domain], counts, evidence)


def check_kind(generator: Generator, classes: Mapping[str, Sequence[Path]]) -> list[str]:
    """A warning where drawings are given to a generator of photographs, or none.

    Generators of drawings tell photographs themselves, image by image (`htgen.images.notices`).
    """
    return [] if generator.preprocessing.is_for_drawings else warn_of_kind(generator, choose(classes))


def warn_of_kind(generator: Generator, choice: Choice) -> list[str]:
    """The same, where it is known what the images look like."""
    if generator.preprocessing.is_for_drawings:
        return []
    if choice.domain == "photographs" or choice.is_mixed:
        return []
    return [
        f"warning: the images look like {choice.domain}, and '{generator.name}' is for photographs; "
        f"for {choice.domain}: --generator {choice.generator}"
    ]


def _spread(classes: Mapping[str, Sequence[T]]) -> list[T]:
    """At most `MOST_JUDGED` images, of all classes in turn where there are more."""
    longest = max(map(len, classes.values()), default=0)
    turns = [paths[turn] for turn in range(longest) for paths in classes.values() if turn < len(paths)]
    filled = sum(map(bool, classes.values()))
    if filled <= MOST_JUDGED:
        return turns[:MOST_JUDGED]
    return [turns[place * filled // MOST_JUDGED] for place in range(MOST_JUDGED)]


def _look_at(path: Path) -> Look | None:
    try:
        return look_at(load_image(path, LONGER_SIDE))
    except DataError:
        return None


def look_at(image: Image.Image) -> Look:
    """What one image, as `htgen.images.reading` gives it, looks like.

    A photograph has many greys, and colours that are no mixtures of two where the light, which may have any
    colour, is taken out; or it is uneven everywhere, as no paper is (`htgen.images.drawings.looks_drawn`).
    """
    small = image.copy()
    small.thumbnail((LONGER_SIDE, LONGER_SIDE))
    bits, spread = colours(small)
    if bits >= LEAST_BITS and spread >= LEAST_SPREAD:
        return Look(True)
    read = READS_DRAWINGS.read(small)
    if read.is_blank:
        return Look(False)
    return Look(False, icon_evidence(read.pixels[..., 0])) if read.looks_drawn else Look(True)


def colours(image: Image.Image) -> tuple[float, float]:
    """How many greys an image has, and how far its colours are from mixtures of two, whatever the light.

    Returns:
        The entropy of its greys, 0 to 5 bits; and the standard deviation along the second principal axis of
        its pixels by the light around them, 0 to 255.
    """
    tiny = _opaque(image)
    tiny.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    tiny = tiny.convert("RGB")
    around = tiny.filter(ImageFilter.BoxBlur(LIGHT))
    pixels, light = (np.asarray(one, np.float64) for one in (tiny, around))
    inner = slice(LIGHT, -LIGHT)  # what is around the others is known
    # Ink takes the same share of the light, whatever colour that has.
    shares = (128 * (pixels + 8) / (light + 8))[inner, inner].reshape(-1, 3)
    return _bits(pixels.reshape(-1, 3)), _second_spread(shares)


def icon_evidence(ink: Pixels) -> float:
    """How much rather ink `[S, S]` is an icon than handwriting: -4 to 4; 0 without any.

    Icons are more often symmetrical, and have solid parts, several parts, and holes. The weights are those of
    a logistic regression.
    """
    if not (ink > 127).any():
        return 0.0
    weighed = float(shape_numbers(ink) @ ICONS)
    return max(-MOST_EVIDENCE, min(weighed - NEUTRAL, MOST_EVIDENCE))


def _opaque(image: Image.Image) -> Image.Image:
    """A copy on white, of mode `L` or `RGB`."""
    if image.mode not in ("LA", "RGBA"):
        return image.copy()
    page = Image.new("RGBA", image.size, "white")
    page.alpha_composite(image.convert("RGBA"))
    return page.convert("RGB")


def _bits(pixels: Pixels64) -> float:
    """The entropy of the greys of pixels `[N, 3]`, in 32 steps: 0 to 5 bits."""
    steps = np.bincount((pixels.mean(axis=1) // 8).astype(np.int64), minlength=32)
    shares = steps[steps > 0] / len(pixels)
    return float(-(shares * np.log2(shares)).sum())


def _second_spread(pixels: Pixels64) -> float:
    """The standard deviation of pixels `[N, 3]` along their second principal axis, 0..255.

    Of two colours and their mixtures it is 0, and of less than two pixels too.
    """
    if len(pixels) < 2:
        return 0.0
    centred = pixels - pixels.mean(axis=0)
    return float(np.sqrt(max(np.linalg.eigvalsh(centred.T @ centred / len(pixels))[1], 0.0)))
