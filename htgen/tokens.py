"""What the transformer reads: features of support images and activations (as in the reference system)."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from htgen.batch_norm import batch_norm
from htgen.cnn import as_batch, episodes_side_by_side
from htgen.sizes import ConvSize


def global_average(x: Tensor) -> Tensor:
    """`[B, C, H, W] -> [B, C]`."""
    return x.mean(dim=(2, 3))


class ChannelNorm(nn.Module):
    """Batch norm over the support set of each episode by itself: `[S, E, C, H, W]` to the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, ignore: Tensor | None) -> Tensor:
        return batch_norm(x, len(x), self.weight, self.bias, ignore)[0]


class SharedFeatures(nn.Module):
    """Features of the support images, computed once per episode: `[S, E, C, H, W] -> [E, S, width]`.

    3x3 convs, ReLU after each, stride 2 on all but the last, optional batch norm (of the episode's
    support set) after each ReLU, global average pooling.
    """

    def __init__(self, convs: Iterable[ConvSize], width: int, padding: int, norm: bool) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(conv.in_channels, width, conv.kernel, stride=conv.stride, padding=padding)
            for conv in convs
        )
        self.norms = nn.ModuleList(ChannelNorm(width) for _ in range(len(self.convs) if norm else 0))

    def forward(self, images: Tensor, ignore: Tensor | None) -> Tensor:
        """`ignore` `[E, S]` is True for images that do not count in norms."""
        counts = images.shape[:2]
        x = as_batch(images)
        for index, conv in enumerate(self.convs):
            x = F.relu(conv(x))
            if index == 0 and not episodes_side_by_side(x.device):
                # Of a single channel no one can tell whether it is last; what comes after wants to know.
                x = x.contiguous(memory_format=torch.channels_last)
            if self.norms:
                x = self.norms[index](x.unflatten(0, counts), ignore).flatten(0, 1)
        return global_average(x).unflatten(0, counts).transpose(0, 1)


class LocalFeatures(nn.Module):
    """Features of the activations that enter a layer: `[B, C, H, W] -> [B, width * convs]`.

    Learned 3x3 `valid` convs, stride 2 on all but the last; each conv's output before the ReLU (after
    it, when `nonlinear`) is averaged over positions, and all are concatenated. Convs that no longer
    fit are left out; a kernel larger than the input shrinks to it.
    """

    def __init__(self, convs: Iterable[ConvSize], width: int, nonlinear: bool) -> None:
        super().__init__()
        self.nonlinear = nonlinear
        self.convs = nn.ModuleList(
            nn.Conv2d(conv.in_channels, width, conv.kernel, stride=conv.stride) for conv in convs
        )
        self.width = width * len(self.convs)

    def forward(self, activations: Tensor) -> Tensor:
        pooled = []
        x = activations
        for conv in self.convs:
            x = conv(x)
            active = F.relu(x)
            pooled.append(global_average(active if self.nonlinear else x))
            x = active
        return torch.cat(pooled, dim=1)
