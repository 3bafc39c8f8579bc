"""The shapes of CNN that a generator can write, by name. No torch here.

A shape is a function from the model section of a config to the description of a CNN. A new one is one
function, entered in `SHAPES`; its name is then a value of `model.cnn.shape` (see docs/extending.md).
"""

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from htgen.cnn.spec import Activation, CnnSpec, ConvSpec, Norm
from htgen.schema import Count, Faults, Section, ascending

if TYPE_CHECKING:
    from htgen.config.model import ModelConfig


def _known_shape(name: str) -> str:
    if name not in SHAPES:
        known = ", ".join(f"'{shape}'" for shape in SHAPES)
        raise PydanticCustomError("shape", "input should be one of {known}", {"known": known})
    return name


class CnnConfig(Section):
    """The CNN that is generated."""

    shape: Annotated[str, AfterValidator(_known_shape)] = "maxpool-4-layer"
    """`maxpool-4-layer` is the paper's; the others are strided and end in global average pooling."""
    channels: Count = 8
    """Output channels of every convolution."""
    pools: Annotated[
        tuple[Annotated[int, Field(ge=1, le=4)], ...], Field(strict=False), AfterValidator(ascending)
    ] = (1, 2, 3, 4)
    """maxpool-4-layer: which blocks pool; the paper's all do."""
    kernel: Literal[1, 3, 5, 7] = 3
    """Side of the kernels."""
    stride: Count | None = None
    """Stride of the convolutions of 3-layer and 4-layer; null = 2. maxpool-4-layer always has 1."""
    activation: Literal["relu", "lrelu"] = "relu"
    """lrelu has slope 0.01."""
    norm: Literal["support", "batch"] = "support"
    """Statistics of the support set, or of the batch at hand (the reference's, transductive)."""
    norm_first: bool = False
    """conv -> norm -> activation -> pool, instead of conv -> activation -> pool -> norm."""
    separate_query_norm: bool = False
    """Learn a second scale and shift of every norm for query images; exported CNNs have these."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Before the logits layer, in training."""

    @model_validator(mode="before")
    @classmethod
    def _as_in_0_1(cls, values: Any) -> Any:
        """`last_pool` of configs and generators of htgen 0.1."""
        if not isinstance(values, dict) or not isinstance(values.get("last_pool"), bool):
            return values
        values = dict(values)
        return {"pools": (1, 2, 3, 4) if values.pop("last_pool") else (1, 2, 3), **values}


def maxpool_spec(
    *,
    image_size: int,
    image_channels: int,
    channels: int,
    activation: Activation,
    norm: Norm,
    pools: Collection[int] = (1, 2, 3, 4),
    kernel: int = 3,
    blocks: int = 4,
    norm_first: bool = False,
) -> CnnSpec:
    """The paper's CNN: blocks of `same` conv, activation, 2x2 max-pool and norm; flattened features.

    Args:
        pools: which blocks pool, from 1. Without the last pool a 28x28 image keeps 3x3 positions for the
            logits layer instead of 1x1: more weights there, no more work in the convolutions.
    """
    convs = []
    size, in_channels = image_size, image_channels
    for index in range(blocks):
        pool = index + 1 in pools
        out_size = size // 2 if pool else size
        convs.append(
            ConvSpec(f"conv{index + 1}", in_channels, channels, kernel, 1, True, pool, size, out_size)
        )
        size, in_channels = out_size, channels
    return CnnSpec(image_size, image_channels, tuple(convs), activation, norm, "flatten", norm_first)


def strided_spec(
    *,
    image_size: int,
    image_channels: int,
    channels: int,
    activation: Activation,
    norm: Norm,
    blocks: int,
    kernel: int = 3,
    stride: int = 2,
    norm_first: bool = False,
) -> CnnSpec:
    """The reference's `3-layer` and `4-layer` CNNs: strided `valid` convs, global average pooling."""
    convs = []
    size, in_channels = image_size, image_channels
    for index in range(blocks):
        out_size = (size - kernel) // stride + 1
        convs.append(
            ConvSpec(f"conv{index + 1}", in_channels, channels, kernel, stride, False, False, size, out_size)
        )
        size, in_channels = out_size, channels
    return CnnSpec(image_size, image_channels, tuple(convs), activation, norm, "average", norm_first)


Shape = Callable[["ModelConfig"], CnnSpec]
"""Describes a CNN. Settings that it cannot follow are `Faults`, with their key paths in `model`."""


def cnn_spec(config: "ModelConfig") -> CnnSpec:
    """The description of the CNN that a generator of this config writes."""
    return SHAPES[config.cnn.shape](config)


def maxpool_4_layer(config: "ModelConfig") -> CnnSpec:
    """The paper's."""
    cnn = config.cnn
    if cnn.stride not in (None, 1):
        raise Faults(("cnn.stride", "maxpool-4-layer has stride 1; leave it out"))
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
        raise Faults(("cnn.pools", "only maxpool-4-layer has pools"))
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
