"""Random numbers of the changes of one episode's images: which purpose, and which images draw alike."""

from enum import IntEnum, auto

import torch
from torch import Tensor

from htgen.episodes import randomness


class Purpose(IntEnum):
    """What random numbers within one episode are for. The order is part of what a seed means: append only."""

    @staticmethod
    def _generate_next_value_(name: str, start: int, count: int, last_values: list[int]) -> int:
        return count  # from 0 on

    ROTATE90 = auto()
    AFFINE = auto()
    ELASTIC = auto()
    ROTATE = auto()
    RESIZE = auto()
    ROLL = auto()
    SMOOTH = auto()
    CONTRAST = auto()
    NEGATE = auto()
    FLIP = auto()
    CROP = auto()
    HUE = auto()
    BRIGHTNESS = auto()
    PHOTO_CONTRAST = auto()
    CLASS_AFFINE = auto()
    CLASS_ELASTIC = auto()
    CHIMERA = auto()


def draws(purpose: Purpose, count: int, units: Tensor, keys: Tensor) -> tuple[Tensor, ...]:
    """`count` uniform draws in [0, 1), `[E, M]` each.

    Args:
        units: `[E, M]` int64; images with the same unit draw alike.
        keys: `[E]` int64, one random key per episode.
    """
    return randomness.uniform(randomness.fold(keys[:, None], purpose, units), count).unbind(-1)


def units_of(is_fine: bool, fine: Tensor) -> Tensor:
    """`fine` `[E, M]` itself, or the same unit for all images of an episode."""
    return fine if is_fine else torch.zeros_like(fine)
