"""Whether what a CNN of photographs sees is a drawing: few tones, and next to nothing between them but edges.

A photograph of a thing on white paper has few tones too, but more between them than its edges take. What is
in doubt counts as a photograph: it is the drawing that is told. The thresholds were chosen on validation data
(docs/lab/choice.md). `htgen.generator.choice` has more time, and judges a folder of images.
"""

import numpy as np

from htgen.arrays import Floats, Mask, Pixels

_SIDE = 64
"""Of the image that is looked at; every second or third pixel of larger ones."""

_LEAST = 16
"""Pixels of a side; a smaller image says too little."""

_BLOCK, _SHIFTS = 4, (1, 2)
"""Pixels of a block, whose mean counts; and the sum is how many blocks on each side ink may hide."""

_DARK = 8
"""Is added to values, of 255, where they are divided."""

_BINS = 64
"""Into which amounts of ink are counted."""

_DARKEST = 0.99
"""Quantile of the amounts of ink that is taken for the ink itself."""

_LEAST_INK = 0.4
"""Share of the light that the ink takes at least: fainter ink may be a shadow."""

_PALE, _FULL = 0.25, 0.75
"""Shares of the ink: what is between has neither the tone of the paper nor that of the ink."""

_EDGES = 0.01
"""Is added to the share of edges, which may be none."""

_GREY = 2.2, 1.2
"""Bits of the amounts of ink, and pixels between the tones for each edge, of drawings without colours."""

_COLOURED = 2.0, 0.4
"""The same of others."""

_COLOURLESS, _OF_PAPER = (0.02, 0.03), 0.2
"""How much ratios of colours vary in paper and in ink without colours, and in any paper."""

_CLEAN = 0.2
"""Share of the ink below which there is paper."""


def is_drawn(pixels: Pixels) -> bool:
    """Whether an image is a drawing, an icon or writing, and no photograph of a thing.

    Args:
        pixels: uint8 `[S, S, 1 or 3]`.
    """
    step = -(-len(pixels) // _SIDE)
    side = len(range(0, len(pixels), step)) // _BLOCK * _BLOCK
    if side < _LEAST:
        return False
    seen = pixels[::step, ::step][:side, :side]
    red, green, blue = (seen[..., min(channel, seen.shape[2] - 1)].astype(np.float32) for channel in range(3))
    ink = _ink_of((red + green + blue) / np.float32(3))
    counts = np.bincount(np.clip(ink * _BINS, 0, _BINS - 1).astype(np.intp).ravel(), minlength=_BINS)
    bits = _bits(counts.reshape(-1, 2).sum(axis=1) / ink.size)
    if bits >= max(_GREY[0], _COLOURED[0]):
        return False
    darkest = np.searchsorted(counts.cumsum(), _DARKEST * ink.size) / _BINS
    if darkest < _LEAST_INK:
        return False
    is_full = ink > _FULL * darkest
    per_edge = _between_tones(ink, is_full, float(darkest))
    ratios = (red + _DARK) / (green + _DARK), (blue + _DARK) / (green + _DARK)
    paper = _spread(ratios, ink < _CLEAN * darkest)
    is_colourless = paper < _COLOURLESS[0] and _spread(ratios, is_full) < _COLOURLESS[1]
    if is_colourless and bits < _GREY[0] and per_edge < _GREY[1]:
        return True
    return bool(paper < _OF_PAPER and bits < _COLOURED[0] and per_edge < _COLOURED[1])


def _between_tones(ink: Floats, is_full: Mask, darkest: float) -> float:
    """How many pixels have neither the tone of the paper nor that of the ink, for each edge between them."""
    between = np.count_nonzero(ink > _PALE * darkest) - np.count_nonzero(is_full)
    is_ink = ink > darkest / 2
    edges = np.count_nonzero(is_ink[1:] != is_ink[:-1]) + np.count_nonzero(is_ink[:, 1:] != is_ink[:, :-1])
    return between / (edges + _EDGES * ink.size)


def _ink_of(grey: Floats) -> Floats:
    """Which share of the light around it each pixel takes, 0..1; of what is bright on dark, the reverse.

    Args:
        grey: `[H, W]`, multiples of `_BLOCK`, 0..255.
    """
    rows = sum((grey[row::_BLOCK] for row in range(1, _BLOCK)), grey[::_BLOCK])
    blocks = sum((rows[:, column::_BLOCK] for column in range(1, _BLOCK)), rows[:, ::_BLOCK]) / np.float32(
        _BLOCK**2
    )
    middle = blocks.size // 2
    if np.partition(blocks, middle, axis=None)[middle] < blocks.mean():
        grey, blocks = 255 - grey, 255 - blocks
    for either in (np.maximum, np.minimum):  # where light falls off the second takes back what the first does
        for shift in _SHIFTS:
            across = blocks.copy()
            either(across[:, shift:], blocks[:, :-shift], out=across[:, shift:])
            either(across[:, :-shift], blocks[:, shift:], out=across[:, :-shift])
            blocks = across.copy()
            either(blocks[shift:], across[:-shift], out=blocks[shift:])
            either(blocks[:-shift], across[shift:], out=blocks[:-shift])
    light = blocks.repeat(_BLOCK, axis=0).repeat(_BLOCK, axis=1)
    return 1 - (grey + _DARK) / (light + _DARK)


def _bits(shares: Floats) -> float:
    """The entropy of shares that sum to 1."""
    shares = shares[shares > 0]
    return float(-(shares * np.log2(shares)).sum())


def _spread(ratios: tuple[Floats, Floats], where: Mask) -> float:
    """How much two ratios of colours vary at some places: the sum of their standard deviations."""
    return sum(float(ratio[where].std()) for ratio in ratios) if where.any() else 0.0
