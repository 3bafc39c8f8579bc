"""The shapes of CNN that a generator can write, by name. No torch here.

A shape is a function from the model section of a config to the description of a CNN. A new one is one
function, entered in `SHAPES`; its name is then a value of `model.cnn.shape` (see docs/extending.md).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from htgen.cnn_spec import CnnSpec, maxpool_spec, strided_spec

if TYPE_CHECKING:
    from htgen.config import ModelConfig

Shape = Callable[["ModelConfig"], CnnSpec]
"""Describes a CNN. Settings that it cannot follow are a ValueError `key: reason`, with the key in `model`."""


def cnn_spec(config: "ModelConfig") -> CnnSpec:
    """The description of the CNN that a generator of this config writes."""
    return SHAPES[config.cnn.shape](config)


def maxpool_4_layer(config: "ModelConfig") -> CnnSpec:
    """The paper's."""
    cnn = config.cnn
    if cnn.stride not in (None, 1):
        raise ValueError("cnn.stride: maxpool-4-layer has stride 1; leave it out")
    return maxpool_spec(
        image_size=config.image_size,
        image_channels=config.image_channels,
        channels=cnn.channels,
        activation=cnn.activation,
        norm=cnn.norm,
        pools=cnn.pools,
        kernel=cnn.kernel,
        norm_first=cnn.norm_first,
    )


def strided(config: "ModelConfig", blocks: int) -> CnnSpec:
    """Strided convolutions and global average pooling."""
    cnn = config.cnn
    if cnn.pools != (1, 2, 3, 4):
        raise ValueError("cnn.pools: only maxpool-4-layer has pools")
    return strided_spec(
        image_size=config.image_size,
        image_channels=config.image_channels,
        channels=cnn.channels,
        activation=cnn.activation,
        norm=cnn.norm,
        blocks=blocks,
        kernel=cnn.kernel,
        stride=cnn.stride or 2,
        norm_first=cnn.norm_first,
    )


SHAPES: dict[str, Shape] = {
    "maxpool-4-layer": maxpool_4_layer,
    "3-layer": lambda config: strided(config, 3),
    "4-layer": lambda config: strided(config, 4),
}
