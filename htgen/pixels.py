"""How stored pixels become CNN inputs: the one definition that training, export and prediction share."""

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

    Pixels = TypeVar("Pixels", Tensor, np.ndarray[Any, Any])
else:
    Pixels = TypeVar("Pixels")


def scale_pixels(pixels: Pixels) -> Pixels:
    """Map pixel values 0..255 to -1..1 as `x / 128 - 1`, the paper's input scaling.

    Args:
        pixels: floating-point numpy array or torch tensor of any shape.
    """
    return pixels / 128.0 - 1.0
