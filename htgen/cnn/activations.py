"""What the blocks of a CNN make of images, and its kernels, as pictures."""

import numpy as np

from htgen.arrays import Floats, Pixels
from htgen.cnn.bundle import Bundle
from htgen.cnn.executor_numpy import channels_last, run_block

MOST_TILES = 32
"""Kernels on each side of a sheet; further ones are not shown."""

_POSITIVE, _NEGATIVE = np.array([230.0, 97.0, 1.0]), np.array([94.0, 60.0, 153.0])
"""Orange and violet, which people without some colours tell apart; zero is white."""

_GAP = 250
"""Grey of the lines between tiles."""


def activations(cnn: Bundle, images: Floats) -> list[Floats]:
    """The output of each block for prepared images `[N, C, H, W]`: `[N, H', W', O]` each."""
    x, found = channels_last(images[None]), []
    by_name: dict[str, Floats] = {}
    weights = cnn.weights.map(lambda tensor: tensor[None])
    for conv, block in zip(cnn.spec.convs, weights.blocks, strict=True):
        x = run_block(cnn.spec, conv, block, x, by_name.get(conv.add))
        by_name[conv.name] = x
        found.append(x[0])
    return found


def channel_sheet(output: Floats) -> Pixels:
    """The channels of an output `[H, W, O]` side by side, light where it is large: `[H, ..., 1]`."""
    low, high = float(output.min()), float(output.max())
    grey = np.rint((output - low) / max(high - low, 1e-9) * 255).astype(np.uint8)
    tiles = [
        np.pad(grey[..., c], ((1, 1), (1, 1)), constant_values=128)
        for c in range(min(grey.shape[2], MOST_TILES))
    ]
    return np.concatenate(tiles, axis=1)[..., None]


def kernel_sheet(kernel: Floats) -> Pixels:
    """Kernels `[O, I, k, k]`: a row for each input, a column for each output, `[H, W, 3]`.

    Orange is positive, violet is negative, white is zero; the largest has the full colour.
    """
    shown = kernel[:MOST_TILES, :MOST_TILES]
    outputs, inputs, k, _ = shown.shape
    scaled = (shown / max(float(np.abs(shown).max()), 1e-9))[..., None]
    colours = 255 - np.abs(scaled) * (255 - np.where(scaled > 0, _POSITIVE, _NEGATIVE))
    sheet = np.full((inputs, k + 1, outputs, k + 1, 3), _GAP, np.uint8)
    sheet[:, :k, :, :k] = np.rint(colours).astype(np.uint8).transpose(1, 2, 0, 3, 4)
    return sheet.reshape(inputs * (k + 1), outputs * (k + 1), 3)


def kernels_picture(cnn: Bundle, scale: int = 8) -> Pixels:
    """The kernels of all blocks below each other, `[H, W, 3]`.

    Args:
        scale: pixels for each weight.
    """
    sheets = [kernel_sheet(block.kernel) for block in cnn.weights.blocks]
    width = max(sheet.shape[1] for sheet in sheets)
    padded = [
        np.pad(sheet, ((2, 2), (2, 2 + width - sheet.shape[1]), (0, 0)), constant_values=_GAP)
        for sheet in sheets
    ]
    return np.concatenate(padded).repeat(scale, axis=0).repeat(scale, axis=1)
