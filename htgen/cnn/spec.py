"""What a generated CNN looks like: the names and shapes of its layers. No torch here.

This description is the contract between the weight decoder, the executor and the exported file.
"""

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from htgen.errors import ModelError

Activation = Literal["relu", "lrelu"]

Norm = Literal["support", "batch"]

LEAKY_SLOPE = 0.01
"""Slope of the CNN's leaky ReLU in the reference system."""

NORM_EPSILON = 1e-3
"""Added to variances. Large enough that a channel that is silent on the support set stays quiet."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass(frozen=True)
class ConvSpec:
    """One convolutional block: conv, activation, 2x2 max-pool (if any) and norm.

    Attributes:
        name: prefix of its tensors in files, e.g. `conv1`.
        pool: whether a 2x2 max-pool follows the activation.
        same_padding: zero padding that keeps the size at stride 1; otherwise none.
        out_size: side of its output in pixels.
    """

    name: str
    in_channels: int
    out_channels: int
    kernel: int
    stride: int
    same_padding: bool
    pool: bool
    in_size: int
    out_size: int

    @property
    def padding(self) -> int:
        """Zero padding on each side, in pixels."""
        return self.kernel // 2 if self.same_padding else 0

    @property
    def conv_size(self) -> int:
        """Side of the convolution's output, before pooling."""
        return (self.in_size + 2 * self.padding - self.kernel) // self.stride + 1


@dataclass(frozen=True)
class CnnSpec:
    """A whole CNN: convolutional blocks, then one linear logits layer `logits` over `way` classes.

    Attributes:
        image_size, image_channels: the input `[image_channels, image_size, image_size]`.
        convs: the convolutional blocks in order.
        activation: `relu`, or `lrelu` with slope 0.01.
        norm: `support` = mean and variance of the support set, also for queries and kept in exported
            files; `batch` = those of the batch at hand, always (the reference; transductive).
        head: `flatten` or `average` (global average pooling) before the logits layer.
        norm_first: conv -> norm -> activation -> pool; otherwise conv -> activation -> pool -> norm.
    """

    image_size: int
    image_channels: int
    convs: tuple[ConvSpec, ...]
    activation: Activation
    norm: Norm
    head: Literal["flatten", "average"]
    norm_first: bool = False

    @property
    def feature_count(self) -> int:
        """Number of inputs of the logits layer."""
        last = self.convs[-1]
        return last.out_channels * (last.out_size**2 if self.head == "flatten" else 1)

    def parameter_count(self, way: int) -> int:
        """Numbers in the generated CNN, norm scale and shift included, norm statistics not."""
        convs = sum(c.out_channels * (c.in_channels * c.kernel**2 + 2) for c in self.convs)
        return convs + way * (self.feature_count + 1)

    @property
    def largest_activation(self) -> int:
        """Numbers in the largest output of a convolution, for one image."""
        return max(conv.conv_size**2 * conv.out_channels for conv in self.convs)

    def multiply_adds(self, way: int) -> int:
        """Multiply-adds of convolutions and logits layer for one image."""
        convs = sum(c.conv_size**2 * c.kernel**2 * c.in_channels * c.out_channels for c in self.convs)
        return convs + way * self.feature_count

    def faults(self) -> Iterator[str]:
        """What is impossible in the description, one sentence each; it may come from a foreign file."""
        if not self.convs:
            yield "there are no convolutions"
        if self.activation not in get_args(Activation) or self.norm not in get_args(Norm):
            yield f"unknown activation '{self.activation}' or norm '{self.norm}'"
        if self.head not in ("flatten", "average"):
            yield f"unknown head '{self.head}'"
        names = [conv.name for conv in self.convs]
        if len({*names, "logits"}) <= len(names) or not all(map(_NAME.fullmatch, names)):
            yield "names of layers must be different words, and none 'logits'"
        size, channels = self.image_size, self.image_channels
        for conv in self.convs:
            out = (conv.conv_size // 2 if conv.pool else conv.conv_size) if conv.stride > 0 else 0
            if (conv.in_size, conv.in_channels, conv.out_size) != (size, channels, out) or out < 1:
                yield f"{conv.name} does not fit the layer before it, or its own sizes"
            size, channels = conv.out_size, conv.out_channels

    def to_dict(self) -> dict[str, Any]:
        """Plain containers, for metadata of files."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "CnnSpec":
        """The inverse of `to_dict`.

        Raises:
            ModelError: fields are missing or unknown.
        """
        try:
            return cls(**{**fields, "convs": tuple(ConvSpec(**conv) for conv in fields["convs"])})
        except (KeyError, TypeError) as error:
            raise ModelError(f"the CNN description is not one that this version reads ({error})") from error
