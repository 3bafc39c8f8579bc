"""The weight decoder, part 5: output tokens -> weights of one CNN layer (as in the reference system).

Each output token holds a slice of the weights; `SliceWriter` in `layer_writers.py` cuts it out.

An allocation says how many slices a layer is written in, how long a slice is, and how the slices
become weights: by methods and indices that tensors and NumPy arrays share. A new one is one class here,
entered in `ALLOCATIONS`, and its name in the config (see docs/explanation/extending.md).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from htgen.cnn.spec import ConvSpec

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor

    from htgen.config.model import WeightsConfig

    Array = TypeVar("Array", Tensor, npt.NDArray[Any])
else:
    Array = TypeVar("Array")


class ConvAllocation(Protocol):
    """How the weights of one convolutional block are laid out in slices."""

    @property
    def slices(self) -> int:
        """Number of weight placeholders."""
        ...

    @property
    def slice_size(self) -> int:
        """Numbers per slice."""
        ...

    def decode(self, slices: Array) -> dict[str, Array]:
        """`[E, slices, slice_size]` -> kernel `[E, O, C, k, k]`; bias, gamma, beta `[E, O]` if generated."""
        ...


@dataclass(frozen=True)
class OutputAllocation:
    """The paper's: one slice per output channel, with that channel's kernel and, if generated, its
    bias and its norm scale and shift.

    A kernel's numbers are in the order `[C, k, k]`; with `channels_last`, `[k, k, C]`.
    """

    conv: ConvSpec
    bias: bool = False
    norm: bool = False
    channels_last: bool = False

    @property
    def slices(self) -> int:
        """Number of weight placeholders."""
        return self.conv.out_channels

    @property
    def slice_size(self) -> int:
        """Numbers per slice."""
        return self.conv.kernel**2 * self.conv.in_channels + self.bias + 2 * self.norm

    def decode(self, slices: Array) -> dict[str, Array]:
        """`[E, slices, slice_size]` -> kernel `[E, O, C, k, k]`; bias, gamma, beta `[E, O]` if generated."""
        conv = self.conv
        kernel_size = conv.kernel**2 * conv.in_channels
        kernel = slices[..., :kernel_size]  # [E, O, C * k * k]
        if self.channels_last:
            kernel = swapped(kernel, conv.in_channels)
        shape = (*slices.shape[:2], conv.in_channels, conv.kernel, conv.kernel)
        names = ["bias"] * self.bias + ["gamma", "beta"] * self.norm
        extra = {name: slices[..., kernel_size + index] for index, name in enumerate(names)}
        return {"kernel": kernel.reshape(shape), **extra}


@dataclass(frozen=True)
class SpatialAllocation:
    """One slice per kernel position, with the weights between all channels there.

    They are in the order `[O, C]`; with `inputs_first`, `[C, O]`.
    """

    conv: ConvSpec
    inputs_first: bool = False

    @property
    def slices(self) -> int:
        """Number of weight placeholders."""
        return self.conv.kernel**2

    @property
    def slice_size(self) -> int:
        """Numbers per slice."""
        return self.conv.in_channels * self.conv.out_channels

    def decode(self, slices: Array) -> dict[str, Array]:
        """`[E, slices, slice_size]` -> kernel `[E, O, C, k, k]`."""
        conv = self.conv
        if self.inputs_first:
            slices = swapped(slices, conv.out_channels)
        kernel = slices.swapaxes(1, 2)  # [E, O * C, k * k]
        shape = (len(kernel), conv.out_channels, conv.in_channels, conv.kernel, conv.kernel)
        return {"kernel": kernel.reshape(shape)}


@dataclass(frozen=True)
class LogitsAllocation:
    """The logits layer: one slice per class, with the class's weights and bias.

    Weights are in the order of the layer's inputs, `[C, H, W]`; where `channels` are given, `[H, W, C]`.
    """

    features: int
    channels: int | None = None

    @property
    def slice_size(self) -> int:
        """Numbers per slice."""
        return self.features + 1

    def decode(self, slices: Array) -> Mapping[str, Array]:
        """`[E, n, features + 1]` -> weight `[E, n, features]`, bias `[E, n]`."""
        weight = slices[..., :-1]
        return {"weight": self.to_cnn(weight), "bias": slices[..., -1]}

    def to_cnn(self, weight: Array) -> Array:
        """Numbers `[..., features]` in the order of the layer's inputs, of numbers in that of slices."""
        return weight if self.channels is None else swapped(weight, self.channels)

    def from_cnn(self, inputs: Array) -> Array:
        """The other way."""
        return inputs if self.channels is None else swapped(inputs, self.features // self.channels)


def swapped(x: Array, last: int) -> Array:
    """`[E, N, a * last]` to `[E, N, last * a]`: what was counted last is counted first."""
    shape = x.shape
    return x.reshape(*shape[:2], -1, last).swapaxes(2, 3).reshape(shape)


ALLOCATIONS: dict[str, Callable[[ConvSpec, "WeightsConfig", bool], ConvAllocation]] = {
    "output": lambda conv, weights, as_reference: OutputAllocation(
        conv, weights.generate_bias, weights.generate_norm, as_reference
    ),
    "spatial": lambda conv, _, as_reference: SpatialAllocation(conv, as_reference),
}
"""By name: of a convolution, its config, and whether numbers are in the reference's order."""
