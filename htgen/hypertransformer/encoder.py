"""What the transformer reads: features of support images and activations (as in the reference system)."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from htgen.cnn.batch_norm import batch_norm
from htgen.cnn.layout import layout_for
from htgen.config.model import ModelConfig
from htgen.hypertransformer.plan import ConvSize, local_convs, local_width


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
        counts, layout = images.shape[:2], layout_for(images.device)
        x = layout.as_batch(images)
        for index, conv in enumerate(self.convs):
            x = F.relu(conv(x))
            if index == 0:
                x = layout.convolved_batch(x)
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


@dataclass(frozen=True)
class SupportView:
    """What every layer's generator sees of the support set.

    Attributes:
        labels: `[E, S]`, 0..n-1; negative = unlabelled.
        slots: `[E, n]`, the label slot of each class.
        label_ids: `[E, S]`, row of the label table: the class's slot, or the last row for no label.
        ignore: `[E, S]` bool or None, True for samples that are not to be seen.
        shared: shared features `[E, S, F]`, as a list of none or one.
        copies: how often each image is there, itself and its views (`htgen.hypertransformer.views`).
    """

    labels: Tensor
    slots: Tensor
    label_ids: Tensor
    ignore: Tensor | None
    shared: list[Tensor]
    copies: int = 1

    @property
    def way(self) -> int:
        """Classes per episode."""
        return self.slots.shape[1]


def local_features(
    config: ModelConfig, in_channels: int, size: int, out_channels: int, layers: int
) -> LocalFeatures | None:
    width = local_width(config, in_channels, out_channels)
    if width == 0:
        return None
    return LocalFeatures(local_convs(in_channels, size, width, layers), width, config.local.nonlinear)


def per_sample(features: nn.Module, support: Tensor) -> Tensor:
    """Apply a feature extractor to activations `[S, E, C, H, W]` -> `[E, S, F]`."""
    out: Tensor = features(layout_for(support.device).as_batch(support))
    return out.unflatten(0, support.shape[:2]).transpose(0, 1)
