"""Which generator suits a folder of images: drawings get one of drawings, photographs one of photographs.

Each of some images is judged by itself, by numbers of a small copy of it. The folder is what most of them
are. The thresholds were chosen on validation data. docs/lab/choice.md has the errors, and what a wrong choice
costs.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from htgen.errors import DataError
from htgen.generator.generator import Generator
from htgen.generator.shipped import GENERATORS, Domain
from htgen.images.drawings import DRAWING_STEPS
from htgen.images.preprocessing import Preprocessing
from htgen.images.reading import load_image

MOST_JUDGED = 48
"""Images that are judged; of more, so many that are spread over all classes."""

LONGER_SIDE, SIDE = 400, 64
"""Of the copies that are measured, in pixels: for how even the paper is, and for colours."""

LEAST_BITS, LEAST_SPREAD = 2.5, 1.6
"""From these on a coloured image is a photograph."""

LIGHT = 6
"""How far pixels of the smaller copy are taken together to find the light."""

MIXED = 0.25
"""From this share of other images on, a folder is said to be mixed."""

Pixels64 = npt.NDArray[np.float64]

_READS_DRAWINGS = Preprocessing(28, 1, "bright", "pad", DRAWING_STEPS)


@dataclass(frozen=True)
class Choice:
    """What images look like, and which generator suits them.

    Attributes:
        domain: what most of the judged images are.
        generator: the generator that ships for it.
        counts: how many of the judged images are of each domain.
    """

    domain: Domain
    generator: str
    counts: Mapping[Domain, int]

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
    def notices(self) -> list[str]:
        """Lines for people."""
        if not self.is_mixed:
            return []
        parts = " and ".join(f"{count} {domain}" for domain, count in sorted(self.counts.items()))
        return [f"warning: the images look like {parts}; one kind in a CNN is better"]

    def to_dict(self) -> dict[str, object]:
        """As plain JSON values."""
        counts = dict(sorted(self.counts.items()))
        return {"domain": self.domain, "generator": self.generator, "images": counts}


def choose(classes: Mapping[str, Sequence[Path]]) -> Choice:
    """Which generator suits images by class, some of which are read; those that cannot be read are left out.

    Nothing to be read at all counts as drawings: reading them for a CNN tells what is wrong.
    """
    domains = map(_domain_at, _spread(classes))
    counts = Counter(domain for domain in domains if domain is not None)
    is_drawn = counts["drawings"] >= counts["photographs"]
    domain: Domain = "drawings" if is_drawn else "photographs"
    return Choice(domain, GENERATORS[domain], {name: count for name, count in counts.items() if count})


def check_kind(generator: Generator, classes: Mapping[str, Sequence[Path]]) -> list[str]:
    """A warning where drawings are given to a generator of photographs, or none.

    Generators of drawings tell photographs themselves, image by image (`htgen.images.notices`).
    """
    if generator.preprocessing.is_for_drawings:
        return []
    choice = choose(classes)
    if choice.domain == "photographs" or choice.is_mixed:
        return []
    return [
        f"warning: the images look like {choice.domain}, and '{generator.name}' is for photographs; "
        f"for {choice.domain}: --generator {choice.generator}"
    ]


def _spread(classes: Mapping[str, Sequence[Path]]) -> list[Path]:
    """At most `MOST_JUDGED` images, of all classes in turn where there are more."""
    longest = max(map(len, classes.values()), default=0)
    turns = [paths[turn] for turn in range(longest) for paths in classes.values() if turn < len(paths)]
    if len(classes) <= MOST_JUDGED:
        return turns[:MOST_JUDGED]
    return [turns[place * len(classes) // MOST_JUDGED] for place in range(MOST_JUDGED)]


def _domain_at(path: Path) -> Domain | None:
    try:
        return domain_of(load_image(path, LONGER_SIDE))
    except DataError:
        return None


def domain_of(image: Image.Image) -> Domain:
    """What one image, as `htgen.images.reading` gives it, looks like.

    A photograph has many greys, and colours that are no mixtures of two where the light, which may have any
    colour, is taken out; or it is uneven everywhere, as no paper is (`htgen.images.drawings.looks_drawn`).
    """
    small = _opaque(image)
    small.thumbnail((LONGER_SIDE, LONGER_SIDE))
    tiny = small.copy()
    tiny.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    tiny = tiny.convert("RGB")
    around = tiny.filter(ImageFilter.BoxBlur(LIGHT))
    pixels, light = (np.asarray(one, np.float64) for one in (tiny, around))
    inner = slice(LIGHT, -LIGHT)  # what is around the others is known
    # Ink takes the same share of the light, whatever colour that has.
    shares = (128 * (pixels + 8) / (light + 8))[inner, inner].reshape(-1, 3)
    if _bits(pixels.reshape(-1, 3)) >= LEAST_BITS and _second_spread(shares) >= LEAST_SPREAD:
        return "photographs"
    read = _READS_DRAWINGS.read(small)
    return "drawings" if read.is_blank or read.looks_drawn else "photographs"


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
