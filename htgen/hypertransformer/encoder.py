"""The sample encoder, part 3: one token per support image, of its label and its features.

Features are those of the image, the same for all layers (shared), and those of the activations that enter a
layer (local), as in the reference system.

Axis legend: E episodes, S support images, n ways, F features, D token width.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from htgen.cnn.batch_norm import batch_norm
from htgen.cnn.fused import convolve
from htgen.cnn.layout import IMAGES_LAST, layout_for, layout_of
from htgen.cnn.spec import NORM_EPSILON
from htgen.hypertransformer import label_codes
from htgen.hypertransformer.encoder_plan import ConvPlan, LocalPlan, SharedPlan
from htgen.hypertransformer.label_codes import cosine_matrix, sign_keys


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


class ChannelScale(nn.Module):
    """A scale and a shift of each channel: batch norm by statistics that stay 0 and 1, as the reference's."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, ignore: Tensor | None) -> Tensor:
        scale = self.weight * (1 + NORM_EPSILON) ** -0.5
        return torch.addcmul(self.bias[:, None, None], x, scale[:, None, None])


class Conv(nn.Conv2d):
    """A learned convolution `[B, C, H, W] -> [B, O, H', W']`; padding may be larger behind than before."""

    def __init__(self, plan: ConvPlan) -> None:
        before, behind = plan.padding
        super().__init__(plan.in_channels, plan.out_channels, plan.kernel, stride=plan.stride, padding=before)
        self.more_behind = behind - before

    def forward(self, x: Tensor) -> Tensor:
        if self.more_behind:
            x = F.pad(x, (0, self.more_behind, 0, self.more_behind))
        return super().forward(x)

    def fused(self, x: Tensor, slope: float) -> Tensor:
        """The same with an activation, for images last: `[S, E, C, H, W] -> [S, E, O, H', W']`."""
        before, stride = int(self.padding[0]), self.stride[0]
        padding = before, before + self.more_behind
        return convolve(x, self.weight, self.bias, stride=stride, padding=padding, slope=slope)


def _convs(plans: tuple[ConvPlan, ...]) -> nn.ModuleList:
    return nn.ModuleList(Conv(plan) for plan in plans)


class SharedFeatures(nn.Module):
    """Features of the support images, computed once per episode: `[S, E, C, H, W] -> [E, S, F]`.

    3x3 convs, ReLU after each, stride 2 on all but the last, optional norm after each ReLU (batch norm
    of the episode's support set, or a scale and shift), global average pooling, dropout.
    """

    def __init__(self, plan: SharedPlan) -> None:
        super().__init__()
        self.convs = _convs(plan.convs)
        norm = ChannelScale if plan.norm == "scale" else ChannelNorm
        self.norms = nn.ModuleList(norm(plan.width) for _ in range(len(plan.convs) if plan.norm else 0))
        self.dropout = nn.Dropout(plan.dropout)

    def forward(self, images: Tensor, ignore: Tensor | None) -> Tensor:
        """`ignore` `[E, S]` is True for images that do not count in norms."""
        if layout_of(images) is IMAGES_LAST:
            return self._fused(images, ignore)
        counts, layout = images.shape[:2], layout_for(images.device)
        x = layout.as_batch(images)
        for index, conv in enumerate(self.convs):
            x = F.relu(conv(x))
            if index == 0:
                x = layout.convolved_batch(x)
            if self.norms:
                x = self.norms[index](x.unflatten(0, counts), ignore).flatten(0, 1)
        features: Tensor = self.dropout(global_average(x).unflatten(0, counts).transpose(0, 1))
        return features

    def _fused(self, x: Tensor, ignore: Tensor | None) -> Tensor:
        for index, conv in enumerate(self.convs):
            assert isinstance(conv, Conv)
            x = conv.fused(x, slope=0.0)
            if self.norms:
                x = self.norms[index](x, ignore)
        features: Tensor = self.dropout(x.mean(dim=(3, 4)).transpose(0, 1))
        return features


class LocalFeatures(nn.Module):
    """Features of the activations that enter a layer: `[S, E, C, H, W] -> [E, S, F]`.

    Learned 3x3 `valid` convs, stride 2 on all but the last; each conv's output before the ReLU (after
    it, when `nonlinear`) is averaged over positions, and all are concatenated. Dropout at the end.
    """

    def __init__(self, plan: LocalPlan) -> None:
        super().__init__()
        self.nonlinear = plan.nonlinear
        self.convs = _convs(plan.convs)
        self.dropout = nn.Dropout(plan.dropout)

    def forward(self, activations: Tensor) -> Tensor:
        if layout_of(activations) is IMAGES_LAST:
            return self._fused(activations)
        pooled = []
        x = layout_for(activations.device).as_batch(activations)
        for conv in self.convs:
            x = conv(x)
            active = F.relu(x)
            pooled.append(global_average(active if self.nonlinear else x))
            x = active
        together = torch.cat(pooled, dim=1).unflatten(0, activations.shape[:2])  # [S, E, F]
        features: Tensor = self.dropout(together.transpose(0, 1))
        return features

    def _fused(self, x: Tensor) -> Tensor:
        pooled = []
        for conv in self.convs:
            assert isinstance(conv, Conv)
            x = conv.fused(x, slope=0.0 if self.nonlinear else 1.0)
            pooled.append(x.mean(dim=(3, 4)))
            if not self.nonlinear:
                x = F.relu(x)
        features: Tensor = self.dropout(torch.cat(pooled, dim=2).transpose(0, 1))
        return features


@dataclass(frozen=True)
class SupportView:
    """What the writer of every layer sees of the support set.

    Attributes:
        labels: `[E, S]`, 0..n-1; negative = unlabelled.
        slots: `[E, n]`, the label slot of each class.
        label_ids: `[E, S]`, row of the label table: the class's slot, or the last row for no label.
        ignore: `[E, S]` bool or None, True for samples that are not to be seen.
        shared: shared features `[E, S, F]`, as a list of none or one.
        copies: how often each image is there, itself and its views (`htgen.hypertransformer.views`).
        codes: codes of the classes, `[E, n, K]` (`htgen.hypertransformer.label_codes`); None with a table.
    """

    labels: Tensor
    slots: Tensor
    label_ids: Tensor
    ignore: Tensor | None
    shared: list[Tensor]
    copies: int = 1
    codes: Tensor | None = None

    @property
    def way(self) -> int:
        """Classes per episode."""
        return self.slots.shape[1]

    def of_classes(self, classes: Sequence[int], unlabeled_slot: int) -> "tuple[Tensor, SupportView]":
        """What is seen of some classes of one episode, which get the first slots, and of the unlabelled.

        Returns:
            Which of the samples these are, `[S']`, and what is seen of them.
        """
        slots = torch.arange(len(classes), device=self.labels.device)[None]
        places = slots.new_full((self.way + 1,), -2)
        places[list(classes)], places[-1] = slots[0], -1
        labels = places[self.labels.clamp(min=-1)]  # [1, S]; -1 is the last place
        samples = (labels[0] > -2).nonzero()[:, 0]
        labels = labels[:, samples]
        return samples, replace(
            self,
            labels=labels,
            slots=slots,
            label_ids=labels.masked_fill(labels < 0, unlabeled_slot),
            ignore=None if self.ignore is None else self.ignore[:, samples],
            shared=[features[:, samples] for features in self.shared],
            codes=None if self.codes is None else self.codes[:, list(classes)],
        )


def sample_tokens(labels: Tensor, features: list[Tensor], view: SupportView, width: int) -> Tensor:
    """A token for each support image, `[E, S, D]`: its label, its features, and zeros up to `width`.

    Args:
        labels: the label table of the layer, `[max_way + 1, embedding]`; with codes, a map of them with a
            row for no label and an offset, `[max_way + 2, embedding]`.
        features: `[E, S, *]` each.
    """
    if view.codes is None:
        embedded = labels[view.label_ids]
    else:
        classes = view.codes @ labels[:-2] + labels[-1]  # [E, n, embedding]
        rows = torch.cat([classes, labels[-2].expand(len(classes), 1, -1)], dim=1)
        places = view.labels.masked_fill(view.labels < 0, view.way)[:, :, None]
        embedded = rows.gather(1, places.expand(-1, -1, rows.shape[2]))
    tokens = torch.cat([embedded, *features], dim=2)
    return F.pad(tokens, (0, width - tokens.shape[2]))


class LabelCodes(label_codes.LabelCodes[Tensor], nn.Module):
    """Codes of `width` numbers for label slots, without parameters."""

    def __init__(self, width: int) -> None:
        nn.Module.__init__(self)
        self.register_buffer("cosines", torch.tensor(cosine_matrix(width)), persistent=False)
        self.register_buffer("keys", torch.tensor(sign_keys(width)), persistent=False)
        self.register_buffer("signs", torch.tensor([1.0, -1.0]), persistent=False)
