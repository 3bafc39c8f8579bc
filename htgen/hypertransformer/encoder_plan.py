"""The sample encoder of a generator, decided from its config alone. No torch here.

Part of `htgen.hypertransformer.plan`.
"""

from typing import Literal, NamedTuple

from htgen.config.model import ModelConfig
from htgen.hypertransformer.parameters import Shapes, norm_shapes

LOCAL_CONVS = 2
"""Convs of the local features of a convolutional layer; the logits layer has one."""


class ConvPlan(NamedTuple):
    """A learned convolution of square images.

    Attributes:
        padding: zeros before the first and behind the last row and column.
        size: side of its output in pixels.
    """

    in_channels: int
    out_channels: int
    kernel: int
    stride: int
    padding: tuple[int, int]
    size: int

    def shapes(self, name: str) -> Shapes:
        """Of its parameters, below this name."""
        weight = (self.out_channels, self.in_channels, self.kernel, self.kernel)
        return {f"{name}.weight": weight, f"{name}.bias": (self.out_channels,)}


class SharedPlan(NamedTuple):
    """The shared features: `convs`, each with a norm if there is `norm` (see the config); `width` numbers."""

    convs: tuple[ConvPlan, ...]
    width: int
    norm: Literal[False, True, "scale"]
    dropout: float

    def shapes(self, name: str) -> Shapes:
        """Of its parameters, below this name."""
        shapes: Shapes = {}
        for index, conv in enumerate(self.convs):
            shapes |= conv.shapes(f"{name}.convs.{index}")
        for index in range(len(self.convs) if self.norm else 0):
            shapes |= norm_shapes(f"{name}.norms.{index}", self.width)
        return shapes


def shared_plan(config: ModelConfig) -> SharedPlan | None:
    """The shared features, or None for none."""
    shared = config.shared
    if not shared.layers:
        return None
    size, channels = config.image_size, int(config.image_channels)
    convs = []
    for index in range(shared.layers):
        stride = 2 if index < shared.layers - 1 else 1
        padding = _same_padding(config, size, stride) if shared.padding == "same" else (0, 0)
        size = (size + sum(padding) - 3) // stride + 1
        convs.append(ConvPlan(channels, shared.width, 3, stride, padding, size))
        channels = shared.width
    return SharedPlan(tuple(convs), shared.width, shared.norm, shared.dropout)


def _same_padding(config: ModelConfig, size: int, stride: int) -> tuple[int, int]:
    """Zeros around images for 3x3 convolutions whose output has `size / stride` pixels, rounded up.

    The reference adds no more than that takes, of an odd number the larger part behind.
    """
    if config.conventions == "reference" and stride == 2 and size % 2 == 0:
        return 0, 1
    return 1, 1


class LocalPlan(NamedTuple):
    """The local features of a layer: `convs`, pooled after the ReLU if `nonlinear`, and `width` numbers."""

    convs: tuple[ConvPlan, ...]
    width: int
    nonlinear: bool
    dropout: float

    def shapes(self, name: str) -> Shapes:
        """Of its parameters, below this name."""
        shapes: Shapes = {}
        for index, conv in enumerate(self.convs):
            shapes |= conv.shapes(f"{name}.convs.{index}")
        return shapes


def local_plan(
    config: ModelConfig, channels: int, size: int, out_channels: int, of_logits: bool = False
) -> LocalPlan | None:
    """The local features of a layer, or None for none.

    Convolutions that no longer fit are left out. A kernel larger than the image shrinks to it.

    Args:
        channels, size: of the activations that they read.
        out_channels: of the layer.
        of_logits: for the logits layer, which has one convolution of kernel 3.
    """
    width = max(channels, out_channels) if config.local.width is None else config.local.width
    if width == 0:
        return None
    layers, kernel = (1, 3) if of_logits else (LOCAL_CONVS, config.local.kernel or config.cnn.kernel)
    kernels = [min(kernel, size)] + [kernel] * (layers - 1)
    if size < kernel and config.conventions == "reference":
        kernels = [size] * layers  # so that of one pixel there are two convolutions
    convs: list[ConvPlan] = []
    for index, side in enumerate(kernels):
        if size < side:
            break
        stride = 2 if index < layers - 1 else 1
        size = (size - side) // stride + 1
        convs.append(ConvPlan(channels, width, side, stride, (0, 0), size))
        channels = width
    nonlinear = bool(config.local.nonlinear) if of_logits else config.local.nonlinear is True
    return LocalPlan(tuple(convs), width * len(convs), nonlinear, config.local.dropout)
