"""What a CNN looks like: the names and shapes of its layers. No torch here.

This description is the contract between the weight decoder, the executors and the exported file. Fields with
a default are left out of files that do not use them.
"""

import re
from collections.abc import Iterator
from dataclasses import MISSING, asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any, Literal, get_args

from htgen.errors import ModelError

Activation = Literal["none", "relu", "relu6", "lrelu"]

Norm = Literal["support", "batch"]

Pooling = Literal["max", "average"]

NormFirst = Literal[False, True, "after-pool"]

Step = Literal["conv", "bias", "add", "activation", "pool", "norm"]

ORDER: tuple[Step, ...] = ("conv", "bias", "add", "activation", "pool", "norm")
"""What a block does, unless its CNN has `norm_first`."""

NORM_FIRST: tuple[Step, ...] = ("conv", "bias", "norm", "add", "activation", "pool")
"""What a block does in a CNN with `norm_first`."""

NORM_AFTER_POOL: tuple[Step, ...] = ("conv", "bias", "pool", "norm", "add", "activation")
"""What a block does in a CNN whose `norm_first` is `after-pool`."""

CNN_LEAKY_SLOPE = 0.01
"""Slope of the CNN's leaky ReLU in the reference system."""

NORM_EPSILON = 1e-3
"""Added to variances. Large enough that a channel that is silent on the support set stays quiet."""

LEAST_LENGTH = 1e-12
"""Of features that are scaled to length 1: shorter ones are divided by this."""

LARGEST_ACTIVATION = 2**28
"""Numbers in the output of a convolution for one image; each takes four bytes."""

MOST_MULTIPLY_ADDS = 10**12
"""Of a CNN for one image: minutes."""

_ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass(frozen=True)
class ConvSpec:
    """One convolutional block: a convolution and what follows it; `CnnSpec.order` says in which order.

    Attributes:
        name: prefix of its tensors in files, e.g. `conv1`.
        pool: whether there is a 2x2 pool; an odd last row or column is dropped.
        same_padding: zero padding of half the kernel on each side; otherwise none.
        in_size, out_size: sides of its input and output in pixels.
        bias: whether the convolution has a bias. Files say so by their tensors.
        groups: of input channels; each has its own output channels. As many as channels: depthwise.
        activation: None for the CNN's.
        norm: whether there is a norm. Without one its scale and shift are part of kernel and bias.
        pooling: what the pool takes of four pixels.
        add: name of the earlier block whose output is added (a residual connection); empty for none.
        padded_behind: with `same_padding` one row and one column of zeros less before the image than behind
            it, as TensorFlow pads images of an even side for a stride of 2.
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
    bias: bool = False
    groups: int = 1
    activation: Activation | None = None
    norm: bool = True
    pooling: Pooling = "max"
    add: str = ""
    padded_behind: bool = False

    @property
    def padding(self) -> int:
        """Zero padding behind the last row and column, and before the first ones unless `padded_behind`."""
        return self.kernel // 2 if self.same_padding else 0

    @property
    def padding_before(self) -> int:
        """Zero padding before the first row and column."""
        return self.padding - self.padded_behind

    @property
    def conv_size(self) -> int:
        """Side of the convolution's output, before pooling."""
        padded = self.in_size + self.padding_before + self.padding
        return (padded - self.kernel) // self.stride + 1

    @property
    def pooled_size(self) -> int:
        """Side of the block's output, as it follows from the other sizes."""
        return self.conv_size // 2 if self.pool else self.conv_size

    @property
    def kernel_shape(self) -> tuple[int, int, int, int]:
        """`[O, C / groups, k, k]`."""
        return self.out_channels, self.in_channels // self.groups, self.kernel, self.kernel

    @property
    def multiply_adds(self) -> int:
        """Of the convolution, for one image."""
        outputs, inputs, *_ = self.kernel_shape
        return self.conv_size**2 * self.kernel**2 * inputs * outputs

    def at_size(self, in_size: int) -> "ConvSpec":
        """The same block for images of another side in pixels."""
        conv = replace(self, in_size=in_size)
        return replace(conv, out_size=conv.pooled_size)


_DEFAULTS = {field.name: field.default for field in fields(ConvSpec) if field.default is not MISSING}


@dataclass(frozen=True)
class CnnSpec:
    """A whole CNN: convolutional blocks, then one linear logits layer `logits` over `way` classes.

    Attributes:
        image_size, image_channels: the input `[image_channels, image_size, image_size]`.
        convs: the convolutional blocks in order.
        activation: `none`, `relu`, `relu6` (at most 6), or `lrelu` with slope 0.01.
        norm: `support` = mean and variance of the support set, also for queries and kept in exported
            files; `batch` = those of the batch at hand, always (the reference; transductive).
        head: `flatten` or `average` (global average pooling) before the logits layer.
        norm_first: True: conv -> norm -> activation -> pool; `after-pool`: conv -> pool -> norm ->
            activation; False: conv -> activation -> pool -> norm.
        unit_features: whether the inputs of the logits layer are scaled to length 1.
    """

    image_size: int
    image_channels: int
    convs: tuple[ConvSpec, ...]
    activation: Activation
    norm: Norm
    head: Literal["flatten", "average"]
    norm_first: NormFirst = False
    unit_features: bool = False

    @property
    def feature_count(self) -> int:
        """Number of inputs of the logits layer."""
        channels, size = self.image_channels, self.image_size
        if self.convs:
            channels, size = self.convs[-1].out_channels, self.convs[-1].out_size
        return channels * (size**2 if self.head == "flatten" else 1)

    @property
    def largest_activation(self) -> int:
        """Numbers in the largest output of a convolution, for one image."""
        return max((conv.conv_size**2 * conv.out_channels for conv in self.convs), default=self.feature_count)

    @property
    def after_trunk(self) -> "CnnSpec":
        """The logits layer alone, as a CNN without convolutions: its images are the features `[F, 1, 1]`."""
        return CnnSpec(1, self.feature_count, (), self.activation, self.norm, "flatten")

    @property
    def order(self) -> tuple[Step, ...]:
        """All that a block can do, in order. The sum of a residual connection is taken before the
        activation, and so before any pool."""
        if self.norm_first == "after-pool":
            return NORM_AFTER_POOL
        return NORM_FIRST if self.norm_first else ORDER

    def steps(self, conv: ConvSpec) -> tuple[Step, ...]:
        """What one of its blocks does, in order."""
        left_out = {
            "bias": not conv.bias,
            "add": not conv.add,
            "activation": self.activation_of(conv) == "none",
            "pool": not conv.pool,
            "norm": not conv.norm,
        }
        return tuple(step for step in self.order if not left_out.get(step))

    def activation_of(self, conv: ConvSpec) -> Activation:
        """A block's own activation, or the CNN's."""
        return self.activation if conv.activation is None else conv.activation

    @property
    def added(self) -> frozenset[str]:
        """Names of the blocks whose output is added to that of a later one."""
        return frozenset(conv.add for conv in self.convs if conv.add)

    def multiply_adds(self, way: int) -> int:
        """Multiply-adds of convolutions and logits layer for one image."""
        return sum(conv.multiply_adds for conv in self.convs) + way * self.feature_count

    def at_size(self, image_size: int) -> "CnnSpec":
        """The CNN of the same weights for images of another side in pixels.

        Raises:
            ModelError: images of that size do not survive it, or its logits layer reads another number of
                features then.
        """
        convs, size = [], image_size
        for conv in self.convs:
            convs.append(conv.at_size(size))
            size = convs[-1].out_size
        spec = replace(self, image_size=image_size, convs=tuple(convs))
        if [*spec.faults()] or spec.feature_count != self.feature_count:
            raise ModelError(
                f"this CNN's weights are not for images of {image_size} x {image_size} pixels",
                f"images of {self.image_size} x {self.image_size} pixels",
            )
        return spec

    def faults(self) -> Iterator[str]:
        """What is impossible in the description, one sentence each; it may come from a foreign file."""
        return iter(self._all_faults)

    @cached_property
    def _all_faults(self) -> tuple[str, ...]:
        """Found once for each object, not for each value: 1 equals True, and has other faults."""
        return (*self._find_faults(),)

    def _find_faults(self) -> Iterator[str]:
        if not self.convs:
            yield "there are no convolutions"
        if self.activation not in _ACTIVATIONS or self.norm not in get_args(Norm):
            yield f"unknown activation '{self.activation}' or norm '{self.norm}'"
        if self.head not in ("flatten", "average"):
            yield f"unknown head '{self.head}'"
        if type(self.norm_first) is not bool and self.norm_first != "after-pool":
            yield "norm_first must be true, false or 'after-pool'"
        elif self.norm_first == "after-pool" and self.added:
            yield "there are no additions with norm_first 'after-pool'"
        if not type(self.image_size) is type(self.image_channels) is int:
            yield "sizes of images must be whole numbers"
        if type(self.unit_features) is not bool:
            yield "unit_features must be true or false"
        names = [conv.name for conv in self.convs]
        if not all(isinstance(name, str) for name in names):
            yield "names of layers must be texts"
            return
        if len({*names, "logits"}) <= len(names) or not all(map(_NAME.fullmatch, names)):
            yield "names of layers must be different words, and none 'logits'"
        size, channels = self.image_size, self.image_channels
        outputs: dict[str, tuple[int, int]] = {}  # side and channels of each block's output
        can_be_counted = bool(self.convs)
        for conv in self.convs:
            for fault in _faults_of(conv, size, channels, outputs):
                can_be_counted = False
                yield fault
            size, channels = outputs[conv.name] = conv.out_size, conv.out_channels
        if can_be_counted and (
            self.largest_activation > LARGEST_ACTIVATION or self.multiply_adds(1) > MOST_MULTIPLY_ADDS
        ):
            yield "its layers are larger than those of any CNN that htgen runs"

    def to_dict(self) -> dict[str, Any]:
        """Plain containers, for metadata of files. Biases are left to the tensors
        (`htgen.cnn.weights.with_biases`)."""
        convs = [
            {
                key: value
                for key, value in asdict(conv).items()
                if key != "bias" and (key not in _DEFAULTS or value != _DEFAULTS[key])
            }
            for conv in self.convs
        ]
        fields = {**asdict(self), "convs": convs}
        if not self.unit_features:
            del fields["unit_features"]
        return fields

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


def _faults_of(
    conv: ConvSpec, size: int, channels: int, earlier: dict[str, tuple[int, int]]
) -> Iterator[str]:
    """What is impossible in one block.

    Args:
        size, channels: of what it reads.
        earlier: side and channels of the outputs of the blocks before it, by name.
    """
    channels_and_sides = (conv.in_channels, conv.out_channels, conv.in_size, conv.out_size)
    sizes = (*channels_and_sides, conv.kernel, conv.stride, conv.groups)
    if any(type(number) is not int or number < 1 for number in sizes):
        yield f"{conv.name} does not fit the layer before it, or its own sizes"
        return
    switches = (conv.same_padding, conv.pool, conv.bias, conv.norm, conv.padded_behind)
    if any(type(switch) is not bool for switch in switches):
        yield f"same_padding, pool, bias, norm and padded_behind of {conv.name} must be true or false"
        return
    if conv.padded_behind and not conv.padding:
        yield f"{conv.name} has no padding that could be behind"
    if (conv.in_size, conv.in_channels, conv.out_size) != (size, channels, conv.pooled_size):
        yield f"{conv.name} does not fit the layer before it, or its own sizes"
    if conv.in_channels % conv.groups or conv.out_channels % conv.groups:
        yield f"{conv.name} has channels that {conv.groups} groups cannot share"
    if conv.activation not in (None, *_ACTIVATIONS) or conv.pooling not in get_args(Pooling):
        yield f"unknown activation '{conv.activation}' or pooling '{conv.pooling}' of {conv.name}"
    added = earlier.get(conv.add) if isinstance(conv.add, str) else None
    if conv.add != "" and added != (conv.conv_size, conv.out_channels):
        yield f"{conv.name} adds '{conv.add}', which is no earlier block with an output of its size"
