"""The writers of the CNN's layers: sample encoder, transformer and weight decoder put together for each.

Axis legend: E episodes, n ways, S support images, C channels, H x W pixels, F features, P placeholders,
D token width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from htgen.cnn.executor import linear
from htgen.cnn.weights import WrittenBlock
from htgen.hypertransformer.class_means import class_mean_layer, membership
from htgen.hypertransformer.encoder import LocalFeatures, SupportView, sample_tokens
from htgen.hypertransformer.plan import (
    ConvWriterPlan,
    LearnedConvPlan,
    LogitsPlan,
    SlicesPlan,
    base_shape,
)
from htgen.hypertransformer.plda_coordinates import PldaCoordinates
from htgen.hypertransformer.transformer import Transformer


class SliceWriter(nn.Module):
    """Features of the samples in, the weight slices of one layer out."""

    def __init__(self, plan: SlicesPlan) -> None:
        super().__init__()
        self.plan = plan
        self.labels = nn.Parameter(torch.randn(plan.labels, plan.embedding))
        self.placeholders = nn.Parameter(torch.randn(plan.placeholders, plan.embedding))
        self.transformer = Transformer(plan.transformer)

    def forward(self, features: list[Tensor], view: SupportView, by_class: bool = False) -> Tensor:
        """Weight slices `[E, P, slice_size]`.

        Args:
            features: feature vectors of the samples, `[E, S, *]` each, to be concatenated.
            by_class: the placeholders are those of the classes of the episode, instead of all.
        """
        plan, widths = self.plan, self.plan.transformer
        samples = sample_tokens(self.labels, features, view, widths.sample_width)  # [E, S, D]
        placeholders = self._of_classes(view) if by_class else self.placeholders.expand(len(samples), -1, -1)
        placeholders = F.pad(placeholders, (0, widths.weight_width - plan.embedding))  # [E, P, D]
        tokens = self.transformer(placeholders, samples, view.ignore)
        return tokens[:, :, plan.embedding : plan.embedding + plan.slice_size]

    def _of_classes(self, view: SupportView) -> Tensor:
        """Placeholders `[E, n, embedding]`; with codes, these are mapped, and there is an offset."""
        if view.codes is None:
            return self.placeholders[view.slots]
        return view.codes @ self.placeholders[:-1] + self.placeholders[-1]


class _ConvBlock(nn.Module):
    """What is learned of a convolutional block, the same for all episodes."""

    def __init__(self, plan: LearnedConvPlan | ConvWriterPlan) -> None:
        super().__init__()
        for name in plan.norm:
            initial = torch.ones if name.endswith("gamma") else torch.zeros
            self.register_parameter(name, nn.Parameter(initial(plan.conv.out_channels)))
        for name in plan.bases:
            base = torch.zeros(base_shape(plan.conv, name))
            if name.endswith("kernel"):
                nn.init.kaiming_normal_(base)
            elif name.endswith("gamma"):
                nn.init.ones_(base)
            self.register_parameter(f"base_{name}", nn.Parameter(base))

    def _with_learned_norm(self, parts: dict[str, Tensor], norm: tuple[str, ...]) -> WrittenBlock[Tensor]:
        """Weights for E episodes from what was written, by name, and the norm parameters that are learned."""
        episodes = len(parts["kernel"])
        learned = {name: self.get_parameter(name).expand(episodes, -1) for name in norm}
        return WrittenBlock.of_parts({**parts, **learned})


class LearnedConv(_ConvBlock):
    """Holds the weights of one convolutional block that is learned."""

    def __init__(self, plan: LearnedConvPlan) -> None:
        super().__init__(plan)
        self.plan = plan

    def forward(self, support: Tensor, view: SupportView) -> WrittenBlock[Tensor]:
        """The same weights for each of the E episodes of `support` `[S, E, C, H, W]`."""
        bases = {name: self.get_parameter(f"base_{name}") for name in self.plan.bases}
        parts = {name: base.expand(support.shape[1], *base.shape) for name, base in bases.items()}
        return self._with_learned_norm(parts, self.plan.norm)


class ConvWriter(_ConvBlock):
    """Writes the weights of one convolutional block."""

    def __init__(self, plan: ConvWriterPlan) -> None:
        super().__init__(plan)
        self.plan = plan
        if plan.base_scale is not None:
            self.scale = nn.Parameter(torch.tensor(plan.base_scale))
        self.local = None if plan.local is None else LocalFeatures(plan.local)
        self.slices = SliceWriter(plan.slices)

    def forward(self, support: Tensor, view: SupportView) -> WrittenBlock[Tensor]:
        """Weights of this block for E episodes.

        Args:
            support: activations of the support images that enter the block, `[S, E, C, H, W]`.
        """
        local = [] if self.local is None else [self.local(support)]
        parts = self.plan.allocation.decode(self.slices([*local, *view.shared], view))
        if self.plan.base_scale is not None:
            parts = {name: part * self.scale for name, part in parts.items()}
            if "gamma" in parts:
                parts["gamma"] = parts["gamma"] + 1  # a correction of the neutral scale
        whole = dict(parts)
        for name in self.plan.bases:
            part = parts[name.removeprefix("query_")]
            whole[name] = self.get_parameter(f"base_{name}").expand_as(part) + part
        return self._with_learned_norm(whole, self.plan.norm)


def conv_writer(plan: LearnedConvPlan | ConvWriterPlan) -> LearnedConv | ConvWriter:
    """The module of a convolutional block."""
    return LearnedConv(plan) if isinstance(plan, LearnedConvPlan) else ConvWriter(plan)


class Plda(PldaCoordinates[Tensor], nn.Module):
    """Coordinates in which class means are corrected (`htgen.hypertransformer.plda_coordinates`), as buffers.

    Not trained: `htgen.evaluation.plda` measures them; until then they change nothing. Training does
    without.
    """

    def __init__(self, feature_count: int) -> None:
        nn.Module.__init__(self)
        self.register_buffer("centre", torch.zeros(feature_count))
        self.register_buffer("directions", torch.eye(feature_count))
        self.register_buffer("prior_counts", torch.zeros(feature_count))


INITIAL_SHARPNESS = 4.0
"""Of a classifier by class means, times the number of features."""


def initial_log_sharpness(feature_count: int) -> nn.Parameter:
    """Of a classifier by class means: normed features have about unit variance, so distances grow with their
    number.
    """
    return nn.Parameter(torch.tensor(INITIAL_SHARPNESS / feature_count).log())


class LogitsWriter(nn.Module):
    """Writes a logits layer: one slice per class."""

    def __init__(self, plan: LogitsPlan) -> None:
        super().__init__()
        self.plan = plan
        self.local = None if plan.local is None else LocalFeatures(plan.local)
        self.inputs_dropout = nn.Dropout(plan.inputs_dropout)
        self.slices = None if plan.slices is None else SliceWriter(plan.slices)
        if plan.from_class_means:
            self.log_sharpness = initial_log_sharpness(plan.feature_count)
        if plan.base_scale is not None:
            self.scale = nn.Parameter(torch.tensor(plan.base_scale))
        for name in plan.bases:
            base = torch.zeros(plan.base_shape(name))
            if name.endswith("weight"):
                nn.init.xavier_uniform_(base)
            self.register_parameter(f"base_{name}", nn.Parameter(base))
        self.plda = Plda(plan.feature_count) if plan.plda else None

    def forward(self, support: Tensor, features: Tensor, view: SupportView) -> tuple[Tensor, Tensor]:
        """Weight `[E, n, F]` and bias `[E, n]`.

        Args:
            support: activations of the support images after the block, `[S, E, C, H, W]`.
            features: the same as inputs of the logits layer, `[E, S, F]`.
        """
        if self.slices is None or self.plan.allocation is None or view.way > self.slices.plan.most_at_once:
            return self._from_class_means(features, view)
        tokens = [] if self.local is None else [self.local(support)]
        inputs = [self.plan.allocation.from_cnn(features)] if self.plan.sees_inputs else []
        if self.plan.inputs_first:
            tokens = [*(self.inputs_dropout(x) for x in inputs), *tokens]
        else:
            tokens += inputs
        slices = self.slices([*tokens, *view.shared], view, by_class=True)  # [E, n, F + 1]
        parts = self.plan.allocation.decode(slices)
        weight, bias = parts["weight"], parts["bias"]
        if self.plan.bases:
            learned_weight, learned_bias = (self.get_parameter(f"base_{name}") for name in self.plan.bases)
            weight, bias = weight + learned_weight[view.slots], bias + learned_bias[view.slots]
        if self.plan.base_scale is not None:
            base_weight, base_bias = self._from_class_means(features, view)
            weight, bias = base_weight + self.scale * weight, base_bias + self.scale * bias
        return weight, bias

    def _from_class_means(self, features: Tensor, view: SupportView) -> tuple[Tensor, Tensor]:
        """A logits layer that answers with the class whose mean is nearest."""
        classes = torch.arange(view.way, device=view.labels.device)
        unlabeled = view.labels < 0
        return class_mean_layer(
            features,
            membership(view.labels, classes, view.ignore).to(features.dtype),
            unlabeled if view.ignore is None else unlabeled & ~view.ignore,
            sharpness=self.log_sharpness.exp(),
            copies=view.copies,
            plda=None if self.training else self.plda,
            refinements=self.plan.refinements,
            classify=lambda seen, weight, bias: torch.softmax(linear(seen, weight, bias), dim=2),
        )[:2]
