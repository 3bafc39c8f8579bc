"""The writers of one CNN layer: sample encoder, transformer and weight decoder put together."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from htgen.cnn.executor import linear
from htgen.cnn.spec import ConvSpec
from htgen.cnn.weights import Affine, WrittenBlock
from htgen.config.model import ModelConfig
from htgen.hypertransformer.class_means import membership, nearest_mean, refine_means, weighted_means
from htgen.hypertransformer.decoder import ALLOCATIONS, LogitsAllocation
from htgen.hypertransformer.encoder import LocalFeatures, SupportView, local_features, per_sample
from htgen.hypertransformer.plan import LOCAL_CONVS, token_widths
from htgen.hypertransformer.transformer import Transformer


class SliceWriter(nn.Module):
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


class ConvWriter(nn.Module):
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
        self.slices: SliceWriter | None = None
        self.local: LocalFeatures | None = None
        if learned:
            return
        if weights.base:
            self.scale = nn.Parameter(torch.tensor(weights.base_scale))
        self.allocation = ALLOCATIONS[weights.allocation](conv, weights)
        self.local = local_features(config, conv.in_channels, conv.in_size, channels, LOCAL_CONVS)
        self.feature_dropout = nn.Dropout(config.local.dropout)
        width = shared_width + (self.local.width if self.local is not None else 0)
        self.slices = SliceWriter(config, width, self.allocation.slices, self.allocation.slice_size)

    def forward(self, support: Tensor, view: SupportView) -> WrittenBlock[Tensor]:
        """Weights of this block for E episodes.

        Args:
            support: activations of the support images that enter the block, `[S, E, C, H, W]`.
        """
        episodes = support.shape[1]
        parts: dict[str, Tensor] = {}
        if self.slices is not None:
            features = list(view.shared)
            if self.local is not None:
                features.insert(0, self.feature_dropout(per_sample(self.local, support)))
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
        query = None
        if self.query_gamma is not None and self.query_beta is not None:
            query = Affine(self.query_gamma.expand(episodes, -1), self.query_beta.expand(episodes, -1))
        return WrittenBlock(parts["kernel"], parts.get("bias"), Affine(gamma, beta), query)


class Plda(nn.Module):
    """Coordinates in which class means are corrected by what training classes were like
    (`htgen.hypertransformer.class_means`).

    Not trained: `htgen.evaluation.plda` sets its tensors; until then it changes nothing. Training does
    without.
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


class LogitsWriter(nn.Module):
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
            self.local = local_features(config, conv.out_channels, conv.out_size, conv.out_channels, 1)
        self.feature_dropout = nn.Dropout(config.local.dropout)
        width = shared_width + (self.local.width if self.local is not None else 0)
        width += feature_count if self.mode != "default" else 0
        self.slices = SliceWriter(config, width, config.max_way, self.allocation.slice_size)
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
            tokens.insert(0, self.feature_dropout(per_sample(self.local, support)))
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
        ignore = view.ignore
        member = membership(view.labels, torch.arange(view.way, device=view.labels.device), ignore)
        member = member.to(seen.dtype)
        unlabeled = view.labels < 0 if ignore is None else (view.labels < 0) & ~ignore
        prior_counts = None if plda is None else plda.prior_counts
        means, counts = weighted_means(seen, member)
        weight, bias = nearest_mean(means, counts / view.copies, sharpness, prior_counts)
        for _ in range(self.refinements):
            probabilities = torch.softmax(linear(seen, weight, bias), dim=2)
            means, counts = refine_means(seen, member, probabilities, unlabeled)
            weight, bias = nearest_mean(means, counts / view.copies, sharpness, prior_counts)
        return (weight, bias) if plda is None else plda.back(weight, bias)
