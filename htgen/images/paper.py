"""Paper and its light: what is ink and what is not, and which is darker."""

from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from htgen.arrays import Doubles, Floats, Mask, Pixels
from htgen.images.ordered import Ordered
from htgen.images.resampling import WINDOW, border_of, median, medians, resize, sweep

Polarity = Literal["dark on light", "light on dark"]

WIDEST_STROKE = WINDOW
"""What is narrower at that resolution, a sixth of the image, may be a stroke; shadows are wider."""

SHADE_SIDE = 64
"""Resolution at which the edges of shadows are found."""

_BORDER_WEIGHT, _AREA_WEIGHT = 0.3, 0.7
"""What the border says of the paper, and what the whole image says."""

_WORTH_OF_STROKES = 0.9
"""How much what narrow shapes say of the ink's side counts, compared with what all shapes say."""

_VERY_DARK = 32
"""Values below are too dark for shares of them."""

_AS_DARK_AS_INK = 0.75
"""A large spot with more than this share of the ink's darkness is a filled shape, and no shadow."""

_PEAK = 8
"""Standard deviations: light alone leaves 3 to 5 of them at most, faint strokes 10 and more."""

_SHADE = 0.04, 0.5
"""Shares of the light, and of the ink's darkness, between which shadows are whose edges are looked for."""

_BANDS = 3, 2
"""Half the widths, at `SHADE_SIDE`, of what is left along the edges of shadows, one after the other."""

_AS_PALE_AS_BANDS = 0.35
"""What is narrower and has more than this share of the ink's darkness is a stroke."""

_DEEPEST_SHADE = 0.9
"""Largest share of the light that a shadow is taken to keep away."""

_DARKEST = 0.998
"""Quantile of the amounts of ink that is taken for the darkest: few pixels are darker by chance."""

_BINS = np.arange(256)

Counts = npt.NDArray[np.int64]


# ------------------------------------------------------------------------------------ paper and its light


def background_value(grey: Pixels) -> int:
    """The value of the paper, 0-255: a weighted median in which the border counts three tenths.

    The whole image weighs seven tenths, the outermost rows and columns three: a thin letter that is cropped
    tightly, even a frame along the whole border, leaves enough of the area to the paper; and a blob on a
    clean border may cover up to 70 % of the area. Nothing in one image tells a thick frame (more than 28 % of
    the area) from a bright rectangle on a dark ground; it is taken for the latter.

    Args:
        grey: `[H, W]`.
    """
    border = border_of(grey)
    weight = np.bincount(border, minlength=256) * (_BORDER_WEIGHT / border.size)
    weight += np.bincount(grey.reshape(-1), minlength=256) * (_AREA_WEIGHT / grey.size)
    return int(np.searchsorted(np.cumsum(weight), weight.sum() / 2))


def detect_polarity(image: Pixels) -> Polarity:
    """Say whether a drawing is darker or brighter than its background.

    The ink's side is the sign of the third moment about `background_value`: the cube lets few pixels far from
    the paper's value (ink) outweigh many near it (shading, noise). An image of one value counts as an empty
    page, dark on light if that value is bright.

    Args:
        image: `[H, W]`, `[H, W, 1]` or `[H, W, 3]`.
    """
    if image.ndim == 3:
        image = image[..., 0] if image.shape[2] == 1 else np.asarray(Image.fromarray(image).convert("L"))
    background = background_value(image)
    count = np.bincount(image.reshape(-1), minlength=256)
    moment = int((count * (np.arange(256) - background) ** 3).sum())
    if moment == 0:
        return "dark on light" if background > 127 else "light on dark"
    return "dark on light" if moment < 0 else "light on dark"


def paper_light(grey: Floats, where: Mask | None = None) -> Floats:
    """The value that the paper has, or would have under the ink, at every position: `[H, W]`, 0-255.

    A quadratic surface, fitted by least absolute deviations, so that ink does not pull it: it follows the
    light, and no shape of the drawing. Borders weigh as in `background_value`.

    Args:
        grey: `[H, W]`, 0-255, no larger than is needed: it takes up to 12 passes.
        where: where there is paper, where that is known, `[H, W]`.
    """
    surfaces, weight = _quadratic_surfaces(*grey.shape)
    values = grey.ravel().astype(np.float64)
    if where is None:
        light = np.full(grey.size, float(background_value(np.rint(grey).astype(np.uint8))))
    else:
        light = np.full(grey.size, median(grey[where]))
        weight = weight * np.where(where, 1, 1e-4).ravel()  # elsewhere the surface shall stay moderate
    for _ in range(12):
        # Absolute deviations by weighted squares; within one grey level all count alike.
        distance = np.abs(values - light)
        weighted = surfaces * (weight / np.maximum(distance, 1.0, out=distance))
        before, light = light, np.linalg.solve(weighted @ surfaces.T, weighted @ values) @ surfaces
        change = np.abs(np.subtract(light, before, out=distance), out=distance).max()
        if change < 1e-8:  # far less than float32 tells apart
            break
    return light.reshape(grey.shape).astype(np.float32)


@lru_cache(maxsize=16)
def _quadratic_surfaces(height: int, width: int) -> tuple[Doubles, Doubles]:
    """What every image of one shape shares in `paper_light`.

    Returns:
        Orthonormal surfaces of which all quadratic ones are sums: `[6, H * W]`, fewer where an image is
        narrower than 3 pixels. And what each position weighs, `[H * W]`.
    """
    y, x = (axis.ravel() for axis in np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j])
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y])
    _, lengths, surfaces = np.linalg.svd(terms, full_matrices=False)
    border = np.ones((height, width), dtype=bool)
    border[1:-1, 1:-1] = False
    weight = (_AREA_WEIGHT / border.size + _BORDER_WEIGHT / border.sum() * border).ravel()
    return surfaces[lengths > 1e-9 * lengths[0]], weight


def side_of_ink(difference: Floats, paper: float) -> Polarity:
    """As in `detect_polarity`, from the differences to the paper's light.

    They are looked at as they are, and without what medians over wide windows keep: shapes, and the edges of
    shadows. Whichever says it more clearly decides; between thick strokes the gaps may be what is narrow, so
    the former counts a little more.
    """
    clearest = _imbalance(difference)
    if abs(clearest) < _WORTH_OF_STROKES:  # otherwise strokes cannot say it more clearly
        strokes = difference - medians(difference)
        clearest = max(clearest, _WORTH_OF_STROKES * _imbalance(strokes), key=abs)
    if clearest == 0:
        return "dark on light" if paper > 127 else "light on dark"
    return "dark on light" if clearest < 0 else "light on dark"


def _imbalance(difference: Floats) -> float:
    """How much more there is above zero (1: all) than below (-1: all), by cubes."""
    values = np.where(np.abs(difference) < 1, 0, difference).astype(np.float64)  # a grey level is noise
    cubes = values * values * values
    return float(cubes.sum()) / max(float(np.abs(cubes).sum()), 1.0)


def is_explained(difference: Floats, grey: Floats, share: float) -> bool:
    """Whether the light, less which is the `difference`, leaves at most a share of an image's variance."""
    return bool(difference.var() < share * max(float(grey.var()), 1.0))


def has_peaks(difference: Floats) -> bool:
    """Whether something faint stands out from what the light leaves."""
    return bool(np.abs(difference).max() >= _PEAK * max(float(difference.std()), 0.5))


def taken_share(values: Floats, light: Floats, cleans: bool, known: Floats | None = None) -> Floats:
    """The share of the light that ink and shadows take: `[H, W]`.

    Ink takes the same share in the shadow as beside it. Very dark paper says little.

    Args:
        values: dark ink, `[H, W]`.
        light: on the paper, coarser.
        cleans: whether very dark paper is no ink.
        known: the light in the shape of the values, where it was found before.
    """
    size, is_very_dark, full = values.shape[::-1], light.min() < _VERY_DARK, known
    if full is None or is_very_dark:
        full = resize(np.maximum(light, _VERY_DARK), size, Image.Resampling.BICUBIC)
    taken = values / full
    np.subtract(1, taken, out=taken)
    if cleans and is_very_dark:
        taken -= 1 - resize(light, size, Image.Resampling.BICUBIC) / full
    return taken


def find_shade(share: Floats, ink: float, with_edges: bool) -> Floats:
    """Shadows with edges, which no smooth surface follows: `[H, W]`, the share of the light that they take.

    They are what is left when all that is narrow is taken away, as long as it is clearly less dark than the
    ink: a large spot as dark as the ink is a filled shape.

    Args:
        share: `[H, W]`, at `SHADE_SIDE`, the share of the light that ink and shadows take.
        ink: that of ink.
        with_edges: whether pale bands along the soft edges of shadows are taken for shadow too.
    """
    wide = _opened(share, WIDEST_STROKE // 2)
    shade = np.where(wide < _AS_DARK_AS_INK * ink, wide, np.float32(0))
    if with_edges and _SHADE[0] < shade.max() < _SHADE[1] * ink:
        near = sweep((shade > _SHADE[0]).astype(np.float32), _BANDS[0], np.maximum) > 0
        for reach in _BANDS:
            rest = share - shade
            is_pale = sweep(_opened(rest, 1), reach + 1, np.maximum) < _AS_PALE_AS_BANDS * ink
            shade = np.where(is_pale & near, shade + _opened(rest, reach), shade)
    return np.clip(shade, -1, _DEEPEST_SHADE)


def _opened(share: Floats, reach: int) -> Floats:
    """`[H, W]` without what is narrower than squares that reach so many pixels to every side."""
    return sweep(sweep(share, reach, np.minimum), reach, np.maximum)


class Levels(NamedTuple):
    """What separates ink from paper in one image: the paper's middle and spread, and a value between."""

    paper: float
    spread: float
    threshold: float


def find_levels(ordered: Ordered) -> Levels:
    """Otsu's threshold between two levels, raised above the paper's noise and, where there is so little ink
    that it does not show in a histogram, to a third of the darkest.

    Args:
        ordered: all amounts of ink in one image.
    """
    threshold = (middle_split(ordered.in_bins()) + 1) / 256
    paper = ordered.below(threshold)
    if not paper.size:
        return Levels(0.0, 0.0, threshold)
    middle = paper.quantile(0.5)
    spread = 1.4826 * paper.usual_distance(middle)
    darkest = ordered.quantile(_DARKEST)
    return Levels(middle, spread, max(threshold, middle + 4 * spread, middle + (darkest - middle) / 3))


def middle_split(counts: Counts) -> float:
    """The last value of the lower of two classes of values, after Otsu; the mean of all that are as good, as
    over the gap between two levels.

    Args:
        counts: how often each value occurs, `[256]`.
    """
    used = counts.nonzero()[0]
    if len(used) == 2:  # between which all are as good
        return (int(used[0]) + int(used[1]) - 1) / 2
    below, moment = counts.cumsum(), (counts * _BINS).cumsum()
    total = max(int(below[-1]), 1)
    between = (moment[-1] * (below / total) - moment) ** 2 / np.maximum(below * (total - below), 1)
    best = (between >= between.max() * (1 - 1e-9)).nonzero()[0]
    return float(best[0]) if len(best) == 1 else int(best.sum()) / len(best)


def otsu(counts: Counts) -> int:
    """The same, as a value of those that are counted."""
    return int(middle_split(counts))
