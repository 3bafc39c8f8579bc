"""Sizes that follow from a config. No torch here.

The generator (`htgen.hypertransformer.hypertransformer`), its counterpart without torch
(`htgen.hypertransformer.hypertransformer_numpy`) and the count of its work (`htgen.bench.cost`) have them
from here.
"""

from collections.abc import Iterator
from math import ceil
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from htgen.config.model import ModelConfig


LOCAL_CONVS = 2
"""Convs of the local features of a convolutional layer; the logits layer has one."""

LAYER_NORM_EPSILON = 1e-6

LEAKY_SLOPE = 0.1
"""Of the MLPs in transformers."""


class ConvSize(NamedTuple):
    """A convolution of square images; `size` is the side of its output in pixels."""

    in_channels: int
    kernel: int
    stride: int
    size: int


def resolve_width(width: float, token_width: int, heads: int) -> int:
    """A configured width: up to 3.0 a fraction of the token width, else absolute; a multiple of `heads`."""
    absolute = width * token_width if width <= 3.0 else width
    return ceil(round(absolute / heads, 6)) * heads  # 1.1 * 50 is a little more than 55


def token_widths(topology: str, sample_width: int, weight_width: int) -> tuple[int, int]:
    """Widths to which sample and weight tokens are padded: one for both where they share a sequence."""
    if topology == "separate":
        return sample_width, weight_width
    return (max(sample_width, weight_width),) * 2


def is_learned(config: "ModelConfig", index: int, count: int) -> bool:
    """Whether block `index` of `count` is learned instead of generated."""
    return config.weights.learns(index, count)


def shared_padding(config: "ModelConfig") -> int:
    """Zero padding of the shared features' convolutions, in pixels."""
    return 1 if config.shared.padding == "same" else 0


def shared_convs(config: "ModelConfig") -> Iterator[ConvSize]:
    """The convolutions of the shared features."""
    shared = config.shared
    size, channels = config.image_size, int(config.image_channels)
    for index in range(shared.layers):
        stride = 2 if index < shared.layers - 1 else 1
        size = (size + 2 * shared_padding(config) - 3) // stride + 1
        yield ConvSize(channels, 3, stride, size)
        channels = shared.width


def local_width(config: "ModelConfig", in_channels: int, out_channels: int) -> int:
    """Features of each convolution of the local features of a layer with these channels."""
    return max(in_channels, out_channels) if config.local.width is None else config.local.width


def local_convs(channels: int, size: int, width: int, layers: int) -> Iterator[ConvSize]:
    """The convolutions of local features that fit images of this size; a large kernel shrinks to the image.

    Args:
        channels, size: of the activations that they read.
        width: features of each; 0 = no convolutions.
        layers: how many there shall be.
    """
    for index in range(layers if width else 0):
        kernel = min(3, size) if index == 0 else 3
        if size < kernel:
            return
        stride = 2 if index < layers - 1 else 1
        size = (size - kernel) // stride + 1
        yield ConvSize(channels, kernel, stride, size)
        channels = width
