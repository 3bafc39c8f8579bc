"""The weight decoder, part 5: output tokens -> weights of one CNN layer (as in the reference system).

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
    bias and its norm scale and shift."""

    conv: ConvSpec
    bias: bool = False
    norm: bool = False

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
        shape = (*slices.shape[:2], conv.in_channels, conv.kernel, conv.kernel)
        names = ["bias"] * self.bias + ["gamma", "beta"] * self.norm
        extra = {name: slices[..., kernel_size + index] for index, name in enumerate(names)}
        return {"kernel": slices[..., :kernel_size].reshape(shape), **extra}


@dataclass(frozen=True)
class SpatialAllocation:
    """One slice per kernel position, with the weights between all channels there."""

    conv: ConvSpec

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
        kernel = slices.swapaxes(1, 2)  # [E, O * C, k * k]
        shape = (len(kernel), conv.out_channels, conv.in_channels, conv.kernel, conv.kernel)
        return {"kernel": kernel.reshape(shape)}


@dataclass(frozen=True)
class LogitsAllocation:
    """The logits layer: one slice per class, with the class's weights and bias."""

    features: int

    @property
    def slice_size(self) -> int:
        """Numbers per slice."""
        return self.features + 1

    def decode(self, slices: Array) -> Mapping[str, Array]:
        """`[E, n, features + 1]` -> weight `[E, n, features]`, bias `[E, n]`."""
        return {"weight": slices[..., :-1], "bias": slices[..., -1]}


ALLOCATIONS: dict[str, Callable[[ConvSpec, "WeightsConfig"], ConvAllocation]] = {
    "output": lambda conv, weights: OutputAllocation(conv, weights.generate_bias, weights.generate_norm),
    "spatial": lambda conv, _: SpatialAllocation(conv),
}
