"""HyperTransformer: support images in, the weights of a CNN out, layer by layer.

The only place that joins the writers of the layers (`layer_writers`) with the CNN executor
(`htgen.cnn.executor`). Source: Zhmoginov, Sandler, Vladymyrov, "HyperTransformer", ICML 2022, section 3.

Axis legend: E episodes, n ways, S support and Q query images, N = S + Q, C channels, H x W pixels,
F features, P placeholders, D token width.
"""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from htgen.cnn.batch_norm import batch_norm, moments, normalise
from htgen.cnn.executor import conv_block, head_features, linear
from htgen.cnn.layout import channels_last, join
from htgen.cnn.weights import ConvWeights, GeneratedWeights, Moments
from htgen.config.model import ModelConfig
from htgen.errors import ModelError
from htgen.hypertransformer.encoder import SharedFeatures, SupportView
from htgen.hypertransformer.layer_writers import LogitsWriter, conv_writer
from htgen.hypertransformer.plan import generator_plan
from htgen.hypertransformer.views import add_views


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


class HyperTransformer(nn.Module):
    """The generator.

    Args:
        config: see `htgen.config.model.ModelConfig`.

    Attributes:
        plan: what its parts are.
        spec: the CNN that it writes.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.plan = plan = generator_plan(config)
        self.spec = plan.spec
        self.shared = None if plan.shared is None else SharedFeatures(plan.shared)
        self.convs = nn.ModuleList(conv_writer(conv) for conv in plan.convs)
        self.logits = LogitsWriter(plan.logits)
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
        return [] if self.shared is None else [self.shared(images, ignore)]

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
