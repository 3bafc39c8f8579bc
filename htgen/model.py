"""HyperTransformer: support images in, the weights of a CNN out, layer by layer.

The only place that joins the parts: sample encoder (`tokens`), `transformer`, weight `decoder` and
CNN executor (`cnn`). Source: Zhmoginov, Sandler, Vladymyrov, "HyperTransformer", ICML 2022, section 3.

Axis legend: E episodes, n ways, S support and Q query images, N = S + Q, C channels, H x W pixels,
F features, P placeholders, D token width.
"""

from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from htgen.batch_norm import Moments, batch_norm, moments, normalise
from htgen.cnn import ConvWeights, as_batch, channels_last, conv_block, head_features, join
from htgen.cnn_spec import ConvSpec
from htgen.config import ModelConfig
from htgen.decoder import ALLOCATIONS, LogitsAllocation
from htgen.errors import ModelError
from htgen.plda import corrected_means, precisions
from htgen.shapes import cnn_spec
from htgen.sizes import (
    LOCAL_CONVS,
    is_learned,
    local_convs,
    local_width,
    shared_convs,
    shared_padding,
    token_widths,
)
from htgen.tokens import LocalFeatures, SharedFeatures
from htgen.transformer import Transformer
from htgen.views import add_views


@dataclass(frozen=True)
class GeneratedWeights:
    """The CNNs of E episodes.

    Attributes:
        convs: weights of each block.
        stats: support-set statistics of each block, for `normalise`.
        logits_weight: `[E, n, F]`.
        logits_bias: `[E, n]`.
    """

    convs: list[ConvWeights]
    stats: list[Moments]
    logits_weight: Tensor
    logits_bias: Tensor


@dataclass(frozen=True)
class SupportView:
    """What every layer's generator sees of the support set.

    Attributes:
        labels: `[E, S]`, 0..n-1; negative = unlabelled.
        slots: `[E, n]`, the label slot of each class.
        label_ids: `[E, S]`, row of the label table: the class's slot, or the last row for no label.
        ignore: `[E, S]` bool or None, True for samples that are not to be seen.
        shared: shared features `[E, S, F]`, as a list of none or one.
        copies: how often each image is there, itself and its views (`htgen.views`).
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


@dataclass(frozen=True)
class EpisodeOutput:
    """All that comes of running episodes; training losses look at more than the logits.

    Attributes:
        weights: the generated CNNs.
        logits: `[E, Q, n]` of the query images.
        view: the support set as the generators saw it.
        activations: after each block, `[S + Q, E, C, H, W]`, support images first.
    """

    weights: GeneratedWeights
    logits: Tensor
    view: SupportView
    activations: list[Tensor]


class SliceGenerator(nn.Module):
    """Sample encoder, placeholders and transformer of one layer: everything up to its weight slices.

    Args:
        feature_width: width of the features of a sample.
        placeholders: number of weight slices.
        slice_size: numbers per slice.
    """

    def __init__(self, config: ModelConfig, feature_width: int, placeholders: int, slice_size: int) -> None:
        super().__init__()
        embedding = config.embedding_dim
        self.slice_size = slice_size
        self.labels = nn.Parameter(torch.randn(config.max_way + 1, embedding))
        self.placeholders = nn.Parameter(torch.randn(placeholders, embedding))
        transformer = config.transformer
        self.sample_width, self.weight_width = token_widths(
            transformer.topology, embedding + feature_width, embedding + slice_size
        )
        self.transformer = Transformer(
            topology=transformer.topology,
            sample_width=self.sample_width,
            weight_width=self.weight_width,
            layers=transformer.layers,
            heads=transformer.heads,
            key_width=transformer.key_width,
            value_width=transformer.value_width,
            inner_width=transformer.inner_width,
            dropout=transformer.dropout,
            activation=transformer.activation,
            nonlinearity=transformer.nonlinearity,
            skip_last_nonlinearity=transformer.skip_last_nonlinearity,
        )

    def forward(
        self, features: list[Tensor], view: SupportView, placeholder_ids: Tensor | None = None
    ) -> Tensor:
        """Weight slices `[E, P, slice_size]`.

        Args:
            features: feature vectors of the samples, `[E, S, *]` each, to be concatenated.
            placeholder_ids: `[E, P]`, which placeholders to use; None for all.
        """
        samples = torch.cat([self.labels[view.label_ids], *features], dim=2)
        samples = F.pad(samples, (0, self.sample_width - samples.shape[2]))
        placeholders = (
            self.placeholders.expand(len(samples), -1, -1)
            if placeholder_ids is None
            else self.placeholders[placeholder_ids]
        )
        embedding = placeholders.shape[2]
        placeholders = F.pad(placeholders, (0, self.weight_width - embedding))
        tokens = self.transformer(placeholders, samples, view.ignore)
        return tokens[:, :, embedding : embedding + self.slice_size]


class ConvGenerator(nn.Module):
    """Writes the weights of one convolutional block, or holds them when the block is learned."""

    def __init__(self, config: ModelConfig, conv: ConvSpec, shared_width: int, learned: bool) -> None:
        super().__init__()
        weights = config.weights
        channels = conv.out_channels
        self.gamma = self.beta = self.query_gamma = self.query_beta = None
        if learned or not weights.generate_norm:
            self.gamma = nn.Parameter(torch.ones(channels))
            self.beta = nn.Parameter(torch.zeros(channels))
            if config.cnn.separate_query_norm:
                self.query_gamma = nn.Parameter(torch.ones(channels))
                self.query_beta = nn.Parameter(torch.zeros(channels))
        self.base_kernel = self.scale = None
        if learned or weights.base:
            kernel = torch.empty(channels, conv.in_channels, conv.kernel, conv.kernel)
            self.base_kernel = nn.Parameter(nn.init.kaiming_normal_(kernel))
        self.slices: SliceGenerator | None = None
        self.local: LocalFeatures | None = None
        if learned:
            return
        if weights.base:
            self.scale = nn.Parameter(torch.tensor(weights.base_scale))
        self.allocation = ALLOCATIONS[weights.allocation](conv, weights)
        self.local = _local_features(config, conv.in_channels, conv.in_size, channels, LOCAL_CONVS)
        self.feature_dropout = nn.Dropout(config.local.dropout)
        width = shared_width + (self.local.width if self.local is not None else 0)
        self.slices = SliceGenerator(config, width, self.allocation.slices, self.allocation.slice_size)

    def forward(self, support: Tensor, view: SupportView) -> ConvWeights:
        """Weights of this block for E episodes.

        Args:
            support: activations of the support images that enter the block, `[S, E, C, H, W]`.
        """
        episodes = support.shape[1]
        parts: dict[str, Tensor] = {}
        if self.slices is not None:
            features = list(view.shared)
            if self.local is not None:
                features.insert(0, self.feature_dropout(_per_sample(self.local, support)))
            parts = self.allocation.decode(self.slices(features, view))
        if self.base_kernel is not None:
            base = self.base_kernel.expand(episodes, -1, -1, -1, -1)
            if "kernel" in parts and self.scale is not None:
                parts = {name: part * self.scale for name, part in parts.items()}
                base = base + parts["kernel"]
            parts = {**parts, "kernel": base}
        gamma, beta = parts.get("gamma"), parts.get("beta")
        if gamma is not None and self.scale is not None:
            gamma = gamma + 1  # a correction of the neutral scale, as kernels are of their base
        if self.gamma is not None and self.beta is not None:
            gamma, beta = self.gamma.expand(episodes, -1), self.beta.expand(episodes, -1)
        assert gamma is not None
        assert beta is not None
        query_gamma, query_beta = gamma, beta
        if self.query_gamma is not None and self.query_beta is not None:
            query_gamma = self.query_gamma.expand(episodes, -1)
            query_beta = self.query_beta.expand(episodes, -1)
        return ConvWeights(parts["kernel"], parts.get("bias"), gamma, beta, query_gamma, query_beta)


class Plda(nn.Module):
    """Coordinates in which class means are corrected by what training classes were like (`htgen.plda`).

    Not trained: `htgen.measure_plda` sets its tensors; until then it changes nothing. Training does without.
    """

    centre: Tensor
    directions: Tensor
    prior_counts: Tensor

    def __init__(self, feature_count: int) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(feature_count))
        self.register_buffer("directions", torch.eye(feature_count))
        self.register_buffer("prior_counts", torch.zeros(feature_count))

    def coordinates(self, features: Tensor) -> Tensor:
        """Of inputs of the logits layer, `[E, S, F] -> [E, S, F]`."""
        return (features - self.centre) @ self.directions

    def back(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """A layer that reads coordinates -> one that reads features: weight `[E, n, F]`, bias `[E, n]`."""
        weight = weight @ self.directions.T
        return weight, bias - (weight @ self.centre[:, None]).squeeze(2)


class LogitsGenerator(nn.Module):
    """Writes a logits layer: one slice per class.

    Args:
        conv: the block whose output the layer reads.
        feature_count: number of the layer's inputs.
    """

    def __init__(self, config: ModelConfig, conv: ConvSpec, feature_count: int, shared_width: int) -> None:
        super().__init__()
        self.mode = config.local.logits
        self.refinements = config.weights.refine_prototypes
        self.allocation = LogitsAllocation(feature_count)
        self.local = None
        if self.mode != "passthrough":
            self.local = _local_features(config, conv.out_channels, conv.out_size, conv.out_channels, 1)
        self.feature_dropout = nn.Dropout(config.local.dropout)
        width = shared_width + (self.local.width if self.local is not None else 0)
        width += feature_count if self.mode != "default" else 0
        self.slices = SliceGenerator(config, width, config.max_way, self.allocation.slice_size)
        self.log_sharpness = self.scale = None
        if config.weights.prototypes:
            # 2 s mu_c . x - s |mu_c|^2 = s |x|^2 - s |x - mu_c|^2: a nearest-mean classifier. Normed
            # features have about unit variance, so distances grow with their number.
            self.log_sharpness = nn.Parameter(torch.tensor(4.0 / feature_count).log())
            self.scale = nn.Parameter(torch.tensor(config.weights.base_scale))
        self.plda = Plda(feature_count) if config.weights.plda else None

    def forward(self, support: Tensor, features: Tensor, view: SupportView) -> tuple[Tensor, Tensor]:
        """Weight `[E, n, F]` and bias `[E, n]`.

        Args:
            support: activations of the support images after the block, `[S, E, C, H, W]`.
            features: the same as inputs of the logits layer, `[E, S, F]`.
        """
        tokens = list(view.shared)
        if self.mode != "default":
            tokens.insert(0, features)
        if self.local is not None:
            tokens.insert(0, self.feature_dropout(_per_sample(self.local, support)))
        parts = self.allocation.decode(self.slices(tokens, view, view.slots))
        weight, bias = parts["weight"], parts["bias"]
        if self.log_sharpness is not None and self.scale is not None:
            base_weight, base_bias = self._from_class_means(features, view, self.log_sharpness.exp())
            weight, bias = base_weight + self.scale * weight, base_bias + self.scale * bias
        return weight, bias

    def _from_class_means(
        self, features: Tensor, view: SupportView, sharpness: Tensor
    ) -> tuple[Tensor, Tensor]:
        """A logits layer that answers with the class whose mean is nearest."""
        plda = None if self.training else self.plda
        seen = features if plda is None else plda.coordinates(features)
        member = membership(view.labels, view.way, view.ignore).to(seen.dtype)
        means, counts = weighted_means(seen, member)
        weight, bias = nearest_mean(means, counts / view.copies, sharpness, plda)
        for _ in range(self.refinements):
            means, counts = refine_means(seen, member, linear(seen, weight, bias), view.labels, view.ignore)
            weight, bias = nearest_mean(means, counts / view.copies, sharpness, plda)
        return (weight, bias) if plda is None else plda.back(weight, bias)


class HyperTransformer(nn.Module):
    """The generator.

    Args:
        config: see `htgen.config.ModelConfig`.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.spec = cnn_spec(config)
        shared = config.shared
        self.shared = (
            SharedFeatures(shared_convs(config), shared.width, shared_padding(config), shared.norm)
            if shared.layers
            else None
        )
        self.shared_dropout = nn.Dropout(shared.dropout)
        shared_width = shared.width if shared.layers else 0
        count = len(self.spec.convs)
        self.convs = nn.ModuleList(
            ConvGenerator(config, conv, shared_width, learned=is_learned(config, index, count))
            for index, conv in enumerate(self.spec.convs)
        )
        self.logits = LogitsGenerator(config, self.spec.convs[-1], self.spec.feature_count, shared_width)
        self.cnn_dropout = nn.Dropout(config.cnn.dropout)

    def forward(
        self,
        support_images: Tensor,
        support_labels: Tensor,
        query_images: Tensor,
        slots: Tensor,
        ignore: Tensor | None = None,
    ) -> Tensor:
        """Logits `[E, Q, n]` of the query images; see `run` for the arguments."""
        return self.run(support_images, support_labels, query_images, slots, ignore).logits

    def generate(
        self, support_images: Tensor, support_labels: Tensor, slots: Tensor, ignore: Tensor | None = None
    ) -> GeneratedWeights:
        """The CNNs alone; see `run` for the arguments."""
        return self.run(support_images, support_labels, support_images[:, :0], slots, ignore).weights

    def execute(self, weights: GeneratedWeights, images: Tensor) -> Tensor:
        """Logits `[E, N, n]` of images `[E, N, C, H, W]` from CNNs that are already there."""
        x = channels_last(images)
        for conv, stats, spec in zip(weights.convs, weights.stats, self.spec.convs, strict=True):
            x = conv_block(x, conv, spec, self.spec, partial(self._normalise_queries, conv, stats))
        features = head_features(x, self.spec)
        return linear(features, weights.logits_weight, weights.logits_bias)

    def run(
        self,
        support_images: Tensor,
        support_labels: Tensor,
        query_images: Tensor,
        slots: Tensor,
        ignore: Tensor | None = None,
    ) -> EpisodeOutput:
        """Generate a CNN for each support set, and classify the query images with it.

        Args:
            support_images: `[E, S, C, H, W]`, -1..1.
            support_labels: `[E, S]`, 0..n-1; negative = unlabelled.
            query_images: `[E, Q, C, H, W]`, -1..1.
            slots: `[E, n]`, which of the generator's label slots stands for each class.
            ignore: `[E, S]` bool, True for support images that are not to be seen.
        """
        self._check(support_images, slots)
        without_views = support_images.shape[1]
        if not self.training and self.config.views > 1:
            support_images, support_labels, ignore = add_views(
                support_images, support_labels, ignore, self.config.views, slots.shape[1]
            )
        support = support_images.shape[1]
        # Support and query images pass each layer together: its weights are the same for both.
        x = channels_last(torch.cat([support_images, query_images], dim=1))
        label_ids = slots.gather(1, support_labels.clamp(min=0))
        label_ids = label_ids.masked_fill(support_labels < 0, self.config.max_way)
        view = SupportView(
            support_labels,
            slots,
            label_ids,
            ignore,
            self.shared_features(x[:support], ignore),
            support // without_views,
        )

        conv_weights, activations = [], []
        conv_stats: list[Moments] = []
        for generator, spec in zip(self.convs, self.spec.convs, strict=True):
            weights = generator(x[:support], view)
            norm = partial(self._normalise, support, ignore, weights, conv_stats)
            x = conv_block(x, weights, spec, self.spec, norm)
            conv_weights.append(weights)
            activations.append(x)

        features = head_features(x, self.spec)  # [E, N, F]
        weight, bias = self.logits(x[:support], features[:, :support], view)
        logits = linear(self.cnn_dropout(features[:, support:]), weight, bias)
        return EpisodeOutput(
            GeneratedWeights(conv_weights, conv_stats, weight, bias), logits, view, activations
        )

    def shared_features(self, images: Tensor, ignore: Tensor | None = None) -> list[Tensor]:
        """Shared features of support images `[S, E, C, H, W]` as a list of one `[E, S, F]`, or none."""
        return [] if self.shared is None else [self.shared_dropout(self.shared(images, ignore))]

    def _normalise(
        self, support: int, ignore: Tensor | None, weights: ConvWeights, collected: list[Moments], x: Tensor
    ) -> Tensor:
        """Norm of support and query activations `[N, E, C, H, W]`, in one step where both are alike.

        The support set's statistics are appended to `collected`.
        """
        by_support, separate = self.spec.norm == "support", weights.query_gamma is not weights.gamma
        if by_support and separate:  # the queries' gradient reaches the support images through the statistics
            stats = moments(x[:support], ignore)
            normed = normalise(x[:support], stats, weights.gamma, weights.beta)
        else:
            together = x if by_support else x[:support]
            normed, stats = batch_norm(together, support, weights.gamma, weights.beta, ignore)
        collected.append(stats)
        if len(normed) == len(x):
            return normed
        queries = self._normalise_queries(weights, stats, x[support:])
        return join(normed, queries)

    def _normalise_queries(self, weights: ConvWeights, stats: Moments, x: Tensor) -> Tensor:
        """Norm of query activations alone, given the support set's statistics."""
        if self.spec.norm == "batch":
            return batch_norm(x, len(x), weights.query_gamma, weights.query_beta)[0]
        return normalise(x, stats, weights.query_gamma, weights.query_beta)

    def _check(self, support_images: Tensor, slots: Tensor) -> None:
        expected = (self.spec.image_channels, self.spec.image_size, self.spec.image_size)
        found = tuple(support_images.shape[2:])
        if found != expected:
            raise ModelError(
                f"the generator reads images of shape {list(expected)} [C, H, W], got {list(found)}"
            )
        if slots.shape[1] > self.config.max_way:
            raise ModelError(
                f"{slots.shape[1]} classes are more than the {self.config.max_way} that this generator knows",
                "fewer classes, or a generator trained with a larger max_way",
            )


def weighted_means(features: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Means of samples `[E, S, F]`, weighted for each class `[E, n, S]`: `[E, n, F]`; sums of weights.

    The mean of nothing is zero.
    """
    total = weight.sum(dim=2)
    return (weight @ features) / total.masked_fill(total == 0, 1)[:, :, None], total


def nearest_mean(
    means: Tensor, counts: Tensor, sharpness: Tensor, plda: Plda | None
) -> tuple[Tensor, Tensor]:
    """A logits layer `s |x|^2 - s |x - mu_c|^2 = 2 s mu_c . x - s |mu_c|^2` with the sharpness `s`.

    Args:
        means: `[E, n, F]`.
        counts: `[E, n]`, of how many samples they are; views of an image are no further samples.
        plda: corrects the means and weighs their coordinates.

    Returns:
        Weight `[E, n, F]`, bias `[E, n]`. What all classes have in common changes no probability; it is left
        out, so that logits are small, and so is their rounding.
    """
    weighted = means
    if plda is not None:
        means = corrected_means(means, counts, plda.prior_counts)
        weighted = means * precisions(counts, plda.prior_counts)
    squares = (weighted * means).sum(dim=2)
    weight = 2 * sharpness * (weighted - weighted.mean(dim=1, keepdim=True))
    return weight, -sharpness * (squares - squares.mean(dim=1, keepdim=True))


def refine_means(
    features: Tensor, member: Tensor, logits: Tensor, labels: Tensor, ignore: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Class means that count the unlabelled samples too: one step of soft k-means.

    Each unlabelled sample belongs to every class by its probability; labelled ones belong to their own (Ren
    et al., "Meta-learning for semi-supervised few-shot classification", ICLR 2018, eq. 3).

    Args:
        features: of all samples, `[E, S, F]`.
        member: `[E, n, S]`, which labelled samples are of which class.
        logits: `[E, S, n]`, of all samples.
        labels, ignore: `[E, S]`.

    Returns:
        Means `[E, n, F]` and the number of samples in each `[E, n]`; without unlabelled samples, those of
        the labelled ones.
    """
    unlabeled = labels < 0 if ignore is None else (labels < 0) & ~ignore
    soft = torch.softmax(logits, dim=2).transpose(1, 2) * unlabeled[:, None, :]  # [E, n, S]
    return weighted_means(features, member + soft)


def membership(labels: Tensor, way: int, ignore: Tensor | None) -> Tensor:
    """Which labelled samples are of which class: `[E, S] -> [E, n, S]` bool."""
    member = labels[:, None, :] == torch.arange(way, device=labels.device)[:, None]
    return member if ignore is None else member & ~ignore[:, None, :]


def linear(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`[E, N, F] x [E, n, F] + [E, n] -> [E, N, n]`."""
    return torch.baddbmm(bias[:, None, :], features, weight.transpose(1, 2))


def _local_features(
    config: ModelConfig, in_channels: int, size: int, out_channels: int, layers: int
) -> LocalFeatures | None:
    width = local_width(config, in_channels, out_channels)
    if width == 0:
        return None
    return LocalFeatures(local_convs(in_channels, size, width, layers), width, config.local.nonlinear)


def _per_sample(features: nn.Module, support: Tensor) -> Tensor:
    """Apply a feature extractor to activations `[S, E, C, H, W]` -> `[E, S, F]`."""
    out: Tensor = features(as_batch(support))
    return out.unflatten(0, support.shape[:2]).transpose(0, 1)
