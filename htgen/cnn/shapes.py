"""The shapes of CNN that a generator can write, by name. No torch here.

A shape is a function from the section `model.cnn` and the size of images to the description of a CNN. A new
one is one function, entered in `SHAPES`; its name is then a value of `model.cnn.shape`
(see docs/explanation/extending.md).
"""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from htgen.cnn.mobile_shapes import efficientnet_lite0, inverted, separable
from htgen.cnn.spec import CnnSpec, ConvSpec
from htgen.schema import Faults, Section, Width, ascending


def _known_shape(name: str) -> str:
    if name not in SHAPES:
        known = ", ".join(f"'{shape}'" for shape in SHAPES)
        raise PydanticCustomError("shape", "input should be one of {known}", {"known": known})
    return name


class CnnConfig(Section):
    """The CNN that is generated."""

    shape: Annotated[str, AfterValidator(_known_shape)] = "maxpool-4-layer"
    """`maxpool-4-layer` is the paper's; the others are strided and end in global average pooling. Those with
    depthwise convolutions (separable, inverted, efficientnet) are fixed trunks: all their layers are
    learned."""
    channels: Width = 8
    """Output channels of every convolution."""
    pools: Annotated[
        tuple[Annotated[int, Field(ge=1, le=4)], ...], Field(strict=False), AfterValidator(ascending)
    ] = (1, 2, 3, 4)
    """maxpool-4-layer: which blocks pool; the paper's all do."""
    kernel: Literal[1, 3, 5, 7] = 3
    """Side of the kernels."""
    stride: Annotated[int, Field(ge=1, le=64)] | None = None
    """Stride of the convolutions of 3-layer and 4-layer; null = 2. maxpool-4-layer always has 1."""
    activation: Literal["relu", "lrelu"] = "relu"
    """lrelu has slope 0.01."""
    norm: Literal["support", "batch"] = "support"
    """Statistics of the support set, or of the batch at hand (the reference's, transductive)."""
    norm_first: Literal[False, True, "after-pool"] = False
    """conv -> norm -> activation -> pool (true), or conv -> pool -> norm -> activation (after-pool, the
    reference's), instead of conv -> activation -> pool -> norm."""
    count_ignored: bool = False
    """Support images that are hidden count in norms all the same, as in the reference."""
    separate_query_norm: Literal[False, True, "kernels"] = False
    """Learn a second scale and shift of every norm for query images; exported CNNs have these. kernels = a
    second copy of all that is learned of the CNN, kernels too, as in the reference."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Before the logits layer; see model.dropout_as."""

    @model_validator(mode="before")
    @classmethod
    def _as_in_0_1(cls, values: Any) -> Any:
        """`last_pool` of configs and generators of htgen 0.1."""
        if not isinstance(values, dict) or not isinstance(values.get("last_pool"), bool):
            return values
        values = dict(values)
        return {"pools": (1, 2, 3, 4) if values.pop("last_pool") else (1, 2, 3), **values}


Shape = Callable[[CnnConfig, int, int], CnnSpec]
"""Describes a CNN, given the section `model.cnn`, the side of its images in pixels and their channels.
Settings that it cannot follow are `Faults`, with their key paths in `model`."""


def maxpool_4_layer(cnn: CnnConfig, image_size: int, image_channels: int) -> CnnSpec:
    """The paper's: blocks of `same` conv, activation, 2x2 max-pool and norm; flattened features.

    Without the last pool a 28x28 image keeps 3x3 positions for the logits layer instead of 1x1: more weights
    there, no more work in the convolutions.
    """
    if cnn.stride not in (None, 1):
        raise Faults(("cnn.stride", "maxpool-4-layer has stride 1; leave it out"))
    convs = _chain(cnn, image_size, image_channels, 4, stride=1, same_padding=True, pools=cnn.pools)
    return CnnSpec(image_size, image_channels, convs, cnn.activation, cnn.norm, "flatten", cnn.norm_first)


def strided(cnn: CnnConfig, image_size: int, image_channels: int, blocks: int) -> CnnSpec:
    """The reference's `3-layer` and `4-layer` CNNs: strided `valid` convs, global average pooling."""
    if cnn.pools != (1, 2, 3, 4):
        raise Faults(("cnn.pools", "only maxpool-4-layer has pools"))
    stride = cnn.stride or 2
    convs = _chain(cnn, image_size, image_channels, blocks, stride=stride, same_padding=False, pools=())
    return CnnSpec(image_size, image_channels, convs, cnn.activation, cnn.norm, "average", cnn.norm_first)


def _chain(
    cnn: CnnConfig,
    image_size: int,
    image_channels: int,
    blocks: int,
    *,
    stride: int,
    same_padding: bool,
    pools: tuple[int, ...],
) -> tuple[ConvSpec, ...]:
    """Blocks of the same channels and kernels, `conv1` and on; those in `pools` pool."""
    convs: list[ConvSpec] = []
    size, channels = image_size, image_channels
    for number in range(1, blocks + 1):
        conv = ConvSpec(
            name=f"conv{number}",
            in_channels=channels,
            out_channels=cnn.channels,
            kernel=cnn.kernel,
            stride=stride,
            same_padding=same_padding,
            pool=number in pools,
            in_size=size,
            out_size=0,  # follows from the others
        )
        convs.append(conv.at_size(size))
        size, channels = convs[-1].out_size, cnn.channels
    return tuple(convs)


def _trunk(
    cnn: CnnConfig, image_size: int, image_channels: int, describe: Callable[[int, int], CnnSpec]
) -> CnnSpec:
    """A shape that says all by itself."""
    own = {"shape", "norm", "count_ignored", "dropout"}
    changed = [name for name in cnn.model_fields_set - own if getattr(cnn, name) != _DEFAULTS[name]]
    if changed:
        raise Faults(*((f"cnn.{name}", f"{cnn.shape} has its own; leave it out") for name in sorted(changed)))
    return describe(image_size, image_channels)


_DEFAULTS = {name: field.default for name, field in CnnConfig.model_fields.items()}

SHAPES: dict[str, Shape] = {
    "maxpool-4-layer": maxpool_4_layer,
    "3-layer": partial(strided, blocks=3),
    "4-layer": partial(strided, blocks=4),
    "separable-small": partial(
        _trunk, describe=partial(separable, stem=(16, 32), groups=((48, 2, 1), (96, 4, 2), (240, 3, 2)))
    ),
    "separable": partial(
        _trunk,
        describe=partial(
            separable,
            stem=(24, 64),
            groups=((96, 2, 1), (192, 4, 2), (480, 4, 2)),
            unit_features=True,
        ),
    ),
    "inverted": partial(
        _trunk,
        describe=partial(
            inverted,
            stem=32,
            blocks=(
                *((32, 3, 1, 16), (64, 3, 2, 24), (96, 3, 1, 24), (96, 5, 2, 40), (160, 5, 1, 40)),
                *((160, 3, 2, 80), (320, 3, 1, 80), (320, 3, 1, 80)),
                *((320, 5, 1, 112), (448, 5, 1, 112), (448, 5, 1, 112), (448, 5, 2, 192), (768, 5, 1, 192)),
            ),
            features=480,
            unit_features=True,
        ),
    ),
    "inverted-small": partial(
        _trunk,
        describe=partial(
            inverted,
            stem=16,
            blocks=(
                *((16, 3, 1, 16), (48, 3, 2, 24), (48, 3, 1, 24), (72, 3, 2, 40), (80, 3, 1, 40)),
                *((120, 3, 2, 80), (160, 3, 1, 80), (240, 5, 2, 112), (224, 5, 1, 112)),
            ),
            features=240,
            unit_features=True,
        ),
    ),
    "efficientnet-lite0": partial(_trunk, describe=efficientnet_lite0),
    "efficientnet-lite0-11": partial(_trunk, describe=partial(efficientnet_lite0, last=11)),
}
