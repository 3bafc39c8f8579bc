"""Files of several pages or frames: which one is read."""

import re
from pathlib import Path

import numpy as np
from PIL import Image

from htgen.arrays import Mask
from htgen.images.components import find_components
from htgen.images.depth import FAR, has_more_bits
from htgen.images.largest import expect_small
from htgen.images.ordered import Ordered
from htgen.images.paper import find_levels

_PAGED = {"TIFF", "DCX"}

_ANIMATED = {"GIF", "PNG", "WEBP", "AVIF", "FLI"}

_MOST_PAGES = 16
"""More are not looked at to choose one."""

_MOST_FRAMES = 1000
"""No later frame is looked for: each is decoded on the way to it."""

_SIDE = 256
"""Resolution at which pages are compared."""

_VISIBLE = 10
"""By how much values must differ for something to be seen."""


def split_page(path: str | Path) -> tuple[Path, int | None]:
    """A path, and the page or frame that it names, counted from 1: `scan.tif#2`. None where it names none."""
    path = Path(path)
    found = re.fullmatch(r"(.+)#([1-9][0-9]{0,5})", path.name)
    if found is None:
        return path, None
    return path.with_name(found[1]), int(found[2])


def count_pages(image: Image.Image) -> int:
    """How many pages or frames an open file has; 1 where what it has more is no picture of its own."""
    return getattr(image, "n_frames", 1) if image.format in _PAGED | _ANIMATED else 1


def turn_to(image: Image.Image, page: int | None) -> str | None:
    """Turn an open file to the page or frame that is read; a sentence about the choice where there is one.

    Of pages it is the first of full size that holds more than text, of frames the last that is not empty.

    Args:
        page: the one to turn to, counted from 1; None: choose.

    Raises:
        EOFError: there is no such page.
    """
    count = count_pages(image)
    kind = "page" if image.format in _PAGED else "frame"
    if page is not None:
        if page > count:
            raise EOFError(f"it has {count} {kind}{'s' * (count != 1)}, and no {kind} {page}")
        image.seek(page - 1)
        return None
    if count == 1:
        return None
    chosen = _choose_page(image, count) if image.format in _PAGED else _choose_frame(image, count)
    image.seek(chosen)
    other = 2 if chosen == 0 else 1
    return f"{kind} {chosen + 1} of {count} was read; for another one name it as FILE#{other}"


def _choose_page(image: Image.Image, count: int) -> int:
    sizes = []
    for number in range(min(count, _MOST_PAGES)):
        image.seek(number)
        sizes.append(image.width * image.height)
    full = [number for number, size in enumerate(sizes) if 2 * size >= max(sizes)]
    drawn = None
    for number in full if len(full) > 1 else ():
        image.seek(number)
        ink = _ink(image)
        if ink is None:
            continue
        if not _is_text(ink):
            return number
        drawn = number if drawn is None else drawn
    return full[0] if drawn is None else drawn


def _choose_frame(image: Image.Image, count: int) -> int:
    last = min(count, _MOST_FRAMES) - 1
    for number in range(last, max(-1, last - _MOST_PAGES), -1):
        image.seek(number)
        if _ink(image) is not None:
            return number
    return last


def _ink(image: Image.Image) -> Mask | None:
    """Where a page is darker than the most of it, `[H, W]`, roughly; None where nothing is to be seen."""
    expect_small(image)
    small = image.copy()
    if small.mode in ("P", "1"):
        small = small.convert("RGBA" if "transparency" in small.info else "L")
    small.thumbnail((_SIDE, _SIDE), Image.Resampling.BOX)
    if small.mode in ("LA", "RGBA"):
        white = Image.new("RGBA", small.size, (255, 255, 255, 255))
        small = Image.alpha_composite(white, small.convert("RGBA"))
    grey = np.asarray(small if has_more_bits(small) else small.convert("L")).astype(np.float32)
    counts = np.abs(grey) < FAR
    if 2 * np.count_nonzero(counts) <= counts.size:
        return None
    if not counts.all():
        grey[~counts] = np.median(grey[counts])
    low, high = float(grey.min()), float(grey.max())
    if not high - low >= (_VISIBLE if not has_more_bits(small) else 1e-6):
        return None
    ink = (float(np.median(grey)) - grey) / (high - low)
    ink = np.abs(ink)
    return ink > find_levels(Ordered(ink)).threshold


def _is_text(ink: Mask) -> bool:
    """Whether a page holds lines of small signs and nothing larger."""
    parts = find_components(ink)
    if parts.count < 5:
        return False
    return bool((parts.bottom - parts.top).max() <= 0.1 * max(ink.shape))
