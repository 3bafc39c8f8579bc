"""The writers of one CNN layer with NumPy: `htgen.hypertransformer.layer_writers` without torch."""

import numpy as np

from htgen.arrays import Floats, Integers
from htgen.cnn.executor_numpy import softmax
from htgen.cnn.spec import ConvSpec
from htgen.cnn.weights import Affine, WrittenBlock
from htgen.config.model import ModelConfig
from htgen.hypertransformer.class_means import membership, nearest_mean, refine_means, weighted_means
from htgen.hypertransformer.decoder import ALLOCATIONS, LogitsAllocation
from htgen.hypertransformer.encoder_numpy import LocalFeatures, SupportView
from htgen.hypertransformer.parameters import Parameters
from htgen.hypertransformer.plan import LOCAL_CONVS, local_convs, local_width, token_widths
from htgen.hypertransformer.transformer_numpy import Transformer


class SliceWriter:
    """Everything up to the weight slices of a layer."""

    def __init__(
        self,
        parameters: Parameters,
        config: ModelConfig,
        feature_width: int,
        placeholders: int,
        slice_size: int,
    ) -> None:
        self.embedding, self.slice_size = config.embedding_dim, slice_size
        self.labels = parameters("labels", config.max_way + 1, self.embedding)
        self.sample_width, width = token_widths(
            config.transformer.topology, self.embedding + feature_width, self.embedding + slice_size
        )
        embeddings = parameters("placeholders", placeholders, self.embedding)
        self.placeholders = np.pad(embeddings, ((0, 0), (0, width - self.embedding)))
        self.transformer = Transformer(
            parameters.below("transformer"), config.transformer, self.sample_width, width
        )

    def __call__(
        self, features: list[Floats], view: SupportView, placeholder_ids: Integers | None = None
    ) -> Floats:
        """Weight slices `[E, P, slice_size]`."""
        parts = [self.labels[view.label_ids], *features]
        missing = self.sample_width - sum(part.shape[2] for part in parts)
        padding = np.zeros((*view.labels.shape, missing), parts[0].dtype)
        samples = np.concatenate([*parts, padding], axis=2)
        if placeholder_ids is None:
            placeholders = self.placeholders[None].repeat(len(samples), axis=0)
        else:
            placeholders = self.placeholders[placeholder_ids]
        tokens = self.transformer(placeholders, samples)
        return tokens[:, :, self.embedding : self.embedding + self.slice_size]


class ConvWriter:
    """Writes the weights of one convolutional block, or holds them when the block is learned."""

    def __init__(
        self, parameters: Parameters, config: ModelConfig, conv: ConvSpec, shared_width: int, learned: bool
    ) -> None:
        weights, channels = config.weights, conv.out_channels
        self.norm: dict[str, Floats] = {}
        if learned or not weights.generate_norm:
            names = ["gamma", "beta"] + ["query_gamma", "query_beta"] * config.cnn.separate_query_norm
            self.norm = {name: parameters(name, channels) for name in names}
        self.base_kernel = self.scale = self.slices = None
        if learned or weights.base:
            shape = (channels, conv.in_channels, conv.kernel, conv.kernel)
            self.base_kernel = parameters("base_kernel", *shape)
        if learned:
            return
        if weights.base:
            self.scale = parameters("scale")
        self.allocation = ALLOCATIONS[weights.allocation](conv, weights)
        width = local_width(config, conv.in_channels, channels)
        sizes = local_convs(conv.in_channels, conv.in_size, width, LOCAL_CONVS)
        self.local = LocalFeatures(parameters.below("local"), sizes, width, config.local.nonlinear)
        self.slices = SliceWriter(
            parameters.below("slices"),
            config,
            shared_width + self.local.width,
            self.allocation.slices,
            self.allocation.slice_size,
        )

    def __call__(self, support: Floats, view: SupportView) -> WrittenBlock[Floats]:
        """Weights of this block in view of activations `[E, S, H, W, C]`."""
        parts: dict[str, Floats] = {}
        if self.slices is not None:
            parts = self.allocation.decode(self.slices([*self.local(support), *view.shared], view))
            if self.scale is not None:
                parts = {name: part * self.scale for name, part in parts.items()}
                if "gamma" in parts:
                    parts["gamma"] += 1
        if self.base_kernel is not None:
            none = np.zeros((len(support), 1, 1, 1, 1), support.dtype)
            parts["kernel"] = self.base_kernel + parts.get("kernel", none)
        parts |= {name: p[None].repeat(len(support), axis=0) for name, p in self.norm.items()}
        query = Affine(parts["query_gamma"], parts["query_beta"]) if "query_gamma" in parts else None
        own = Affine(parts["gamma"], parts["beta"])
        return WrittenBlock(parts["kernel"], parts.get("bias"), own, query)


class Plda:
    """Coordinates in which class means are corrected by what training classes were like."""

    def __init__(self, parameters: Parameters, count: int) -> None:
        self.centre = parameters("centre", count)
        self.directions = parameters("directions", count, count)
        self.prior_counts = parameters("prior_counts", count)

    def coordinates(self, features: Floats) -> Floats:
        """Of inputs of the logits layer, `[E, S, F] -> [E, S, F]`."""
        shifted: Floats = features - self.centre
        return shifted @ self.directions

    def back(self, weight: Floats, bias: Floats) -> tuple[Floats, Floats]:
        """A layer that reads coordinates -> one that reads features: weight `[E, n, F]`, bias `[E, n]`."""
        weight = weight @ self.directions.T
        bias = bias - weight @ self.centre
        return weight, bias


class LogitsWriter:
    """Writes a logits layer: one slice per class."""

    def __init__(
        self, parameters: Parameters, config: ModelConfig, conv: ConvSpec, count: int, shared_width: int
    ) -> None:
        self.mode, self.refinements = config.local.logits, config.weights.refine_prototypes
        self.allocation = LogitsAllocation(count)
        width = 0
        if self.mode != "passthrough":
            width = local_width(config, conv.out_channels, conv.out_channels)
        sizes = local_convs(conv.out_channels, conv.out_size, width, 1)
        self.local = LocalFeatures(parameters.below("local"), sizes, width, config.local.nonlinear)
        width = shared_width + self.local.width + (count if self.mode != "default" else 0)
        self.slices = SliceWriter(
            parameters.below("slices"), config, width, config.max_way, self.allocation.slice_size
        )
        self.prototypes: tuple[Floats, Floats] | None = None
        if config.weights.prototypes:
            self.prototypes = np.exp(parameters("log_sharpness")), parameters("scale")
        self.plda = Plda(parameters.below("plda"), count) if config.weights.plda else None

    def __call__(self, support: Floats, features: Floats, view: SupportView) -> tuple[Floats, Floats]:
        """Weight `[E, n, F]` and bias `[E, n]`, in view of activations and logits inputs `[E, S, F]`."""
        own = [features] if self.mode != "default" else []
        tokens = [*self.local(support), *own, *view.shared]
        parts = self.allocation.decode(self.slices(tokens, view, view.slots))
        weight, bias = parts["weight"], parts["bias"]
        if self.prototypes is not None:
            sharpness, scale = self.prototypes
            base_weight, base_bias = self._from_class_means(features, view, sharpness)
            weight, bias = base_weight + scale * weight, base_bias + scale * bias
        return weight, bias

    def _from_class_means(
        self, features: Floats, view: SupportView, sharpness: Floats
    ) -> tuple[Floats, Floats]:
        """A logits layer that answers with the class whose mean is nearest."""
        seen = features if self.plda is None else self.plda.coordinates(features)
        member = membership(view.labels, np.arange(view.slots.shape[1]), None).astype(seen.dtype)
        copies, prior_counts = np.float32(view.copies), None if self.plda is None else self.plda.prior_counts
        means, counts = weighted_means(seen, member)
        weight, bias = nearest_mean(means, counts / copies, sharpness, prior_counts)
        for _ in range(self.refinements):
            probabilities = softmax(seen @ weight.swapaxes(1, 2) + bias[:, None])
            means, counts = refine_means(seen, member, probabilities, view.labels < 0)
            weight, bias = nearest_mean(means, counts / copies, sharpness, prior_counts)
        return (weight, bias) if self.plda is None else self.plda.back(weight, bias)
