"""Shapes of trunks: CNNs of depthwise and pointwise convolutions, without norms. No torch here.

A norm with fixed statistics is a part of the kernel and the bias before it, so these have none.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

from htgen.cnn.spec import Activation, CnnSpec, ConvSpec

Separable = tuple[int, int, int]
"""Output channels, number of blocks, and stride of the first one."""

Inverted = tuple[int, int, int, int]
"""Of a block: channels of its depthwise convolution, kernel, stride, and output channels."""

EFFICIENTNET_LITE0 = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""Number of blocks, kernel, stride of the first one, expansion and output channels (M. Tan, Q. Le,
"EfficientNet", ICML 2019, table 1; the `Lite` variant has ReLU6 and no squeeze-and-excitation)."""

_STEM, _HEAD = 32, 1280

_BLOCKS = sum(blocks for blocks, *_ in EFFICIENTNET_LITE0)


class _Chain:
    """Convolutions one after the other, each with a bias and without a norm."""

    def __init__(self, image_size: int, image_channels: int) -> None:
        self.convs: list[ConvSpec] = []
        self.size, self.channels = image_size, image_channels

    def add(
        self,
        name: str,
        outputs: int,
        kernel: int = 1,
        stride: int = 1,
        *,
        groups: int = 1,
        activation: Activation | None = None,
        add: str = "",
        as_tensorflow: bool = False,
    ) -> None:
        conv = ConvSpec(
            name=name,
            in_channels=self.channels,
            out_channels=outputs,
            kernel=kernel,
            stride=stride,
            same_padding=True,
            pool=False,
            in_size=self.size,
            out_size=0,  # follows from the others
            bias=True,
            groups=groups,
            activation=activation,
            norm=False,
            add=add,
            padded_behind=as_tensorflow and stride == 2 and self.size % 2 == 0,
        )
        self.convs.append(conv.at_size(self.size))
        self.size, self.channels = self.convs[-1].out_size, outputs

    def add_inverted(self, number: int, block: Inverted) -> None:
        """An inverted residual (M. Sandler and others, "MobileNetV2", CVPR 2018): a pointwise convolution to
        many channels, unless there are so many, a depthwise one, and a pointwise one without an activation;
        the block before, if there is one, is added where it has the same shape.

        Args:
            number: of the block, from 0.
        """
        wide, kernel, stride, outputs = block
        before = self.convs[-1].name if number and stride == 1 and self.channels == outputs else ""
        if wide != self.channels:
            self.add(f"expand{number}", wide)
        self.add(f"depth{number}", wide, kernel, stride, groups=wide, as_tensorflow=True)
        self.add(f"project{number}", outputs, activation="none", add=before)

    def spec(self, image_size: int, image_channels: int, activation: Activation) -> CnnSpec:
        """The whole CNN, with global average pooling."""
        return CnnSpec(image_size, image_channels, tuple(self.convs), activation, "support", "average")


def separable(
    image_size: int,
    image_channels: int,
    stem: Iterable[int],
    groups: Iterable[Separable],
    unit_features: bool = False,
) -> CnnSpec:
    """Strided 3x3 convolutions, then blocks of a depthwise 3x3 and a pointwise convolution, all with ReLU.

    As MobileNet (A. Howard and others, 2017); but the input of a block is added before its last activation
    where that has the same shape.

    Args:
        stem: output channels of the first convolutions.
        groups: of the blocks.
        unit_features: whether features are scaled to length 1.
    """
    chain = _Chain(image_size, image_channels)
    for number, outputs in enumerate(stem, start=1):
        chain.add(f"stem{number}", outputs, 3, 2)
    number, before = 0, ""
    for outputs, blocks, first_stride in groups:
        for stride in (first_stride, *[1] * (blocks - 1)):
            number += 1
            is_same = stride == 1 and chain.channels == outputs and before
            chain.add(f"depth{number}", chain.channels, 3, stride, groups=chain.channels)
            chain.add(f"point{number}", outputs, add=before if is_same else "")
            before = f"point{number}"
    return replace(chain.spec(image_size, image_channels, "relu"), unit_features=unit_features)


def inverted(
    image_size: int,
    image_channels: int,
    stem: int,
    blocks: Iterable[Inverted],
    features: int,
    unit_features: bool = False,
) -> CnnSpec:
    """A strided 3x3 convolution, inverted residuals, and a pointwise convolution to the features, with ReLU.

    Args:
        stem: output channels of the first convolution.
        features: output channels of the last one.
        unit_features: whether features are scaled to length 1.
    """
    chain = _Chain(image_size, image_channels)
    chain.add("stem", stem, 3, 2, as_tensorflow=True)
    for number, block in enumerate(blocks):
        chain.add_inverted(number, block)
    chain.add("head", features)
    return replace(chain.spec(image_size, image_channels, "relu"), unit_features=unit_features)


def efficientnet_lite0(image_size: int, image_channels: int, last: int | Literal["head"] = "head") -> CnnSpec:
    """EfficientNet-Lite0, to be read with the weights that its authors published.

    Its inputs are (pixel - 127) / 128, those of a CNN here pixel / 128 - 1: the first block adds the rest.

    Args:
        last: the block after which it is cut, 1 to 15 (the first one is 0); or `head`, for all of it, whose
            features are scaled to length 1.
    """
    chain = _Chain(image_size, image_channels)
    chain.add("shift", image_channels, groups=image_channels, activation="none")
    chain.add("stem", _STEM, 3, 2, as_tensorflow=True)
    number = 0
    for blocks, kernel, first_stride, expansion, outputs in EFFICIENTNET_LITE0:
        for stride in (first_stride, *[1] * (blocks - 1)):
            chain.add_inverted(number, (chain.channels * expansion, kernel, stride, outputs))
            if number == last:
                return chain.spec(image_size, image_channels, "relu6")
            number += 1
    chain.add("head", _HEAD)
    return replace(chain.spec(image_size, image_channels, "relu6"), unit_features=True)
