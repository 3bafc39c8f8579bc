"""The generator with NumPy: `htgen.model` as it is used, without torch, dropout, gradients and queries.

What `htgen.model` says of each part holds here; the parts have the same names and stand in the same order:
first those of `htgen.tokens`, then those of `htgen.model`. Tests compare both over all settings.

Axis legend: E episodes, n ways, S support images, H x W pixels, C channels (last), F features,
P placeholders, T tokens, D token width.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
import numpy.typing as npt

from htgen.cnn_spec import ConvSpec
from htgen.config import ModelConfig
from htgen.decoder import ALLOCATIONS, LogitsAllocation
from htgen.numpy_cnn import (
    Floats,
    add,
    by_images,
    channels_last,
    conv_block,
    convolve,
    global_average,
    head_features,
    moments,
    normalise,
    softmax,
)
from htgen.numpy_transformer import Parameters, Transformer
from htgen.plda import corrected_means, precisions
from htgen.shapes import cnn_spec
from htgen.sizes import (
    LOCAL_CONVS,
    ConvSize,
    is_learned,
    local_convs,
    local_width,
    shared_convs,
    shared_padding,
    token_widths,
)
from htgen.views import add_views

Integers = npt.NDArray[np.int64]


class Conv:
    """A learned convolution of `[E, S, H, W, C]`."""

    def __init__(self, parameters: Parameters, size: ConvSize, width: int, padding: int = 0) -> None:
        kernel = parameters("weight", width, size.in_channels, size.kernel, size.kernel)
        self.kernel = np.ascontiguousarray(kernel.transpose(2, 3, 1, 0))[None]
        self.bias = parameters("bias", width)[None]
        self.size, self.padding = size, padding

    def __call__(self, x: Floats) -> Floats:
        """With ReLU, `[E, S, H', W', width]`."""

        def convolve_with_relu(part: Floats) -> Floats:
            out = add(convolve(part, self.kernel, self.size.stride, self.padding), self.bias)
            return np.maximum(out, 0, out=out)

        samples, patch = x.shape[:2], self.size.kernel**2 * self.size.in_channels
        x = by_images(convolve_with_relu, x.reshape(1, -1, *x.shape[2:]), self.size.size**2 * patch)
        return x.reshape(*samples, *x.shape[2:])

    def averaged(self, x: Floats) -> Floats:
        """Without ReLU and averaged over positions, `[E, S, width]`: the product of the averaged patches."""
        shares = _patch_shares(x.shape[2], self.size.kernel, self.size.stride, self.size.size)
        patches: Floats = shares.astype(x.dtype) @ x.reshape(*x.shape[:2], -1, x.shape[4])
        patches = patches.reshape(*x.shape[:2], -1)
        return patches @ self.kernel.reshape(patches.shape[2], -1) + self.bias


@lru_cache(maxsize=32)
def _patch_shares(side: int, kernel: int, stride: int, size: int) -> npt.NDArray[np.float64]:
    """The share of each pixel in the average patch, `[k * k, H * W]`."""
    reach = stride * (size - 1) + 1
    shares = np.zeros((kernel, kernel, side, side))
    for row in range(kernel):
        for column in range(kernel):
            shares[row, column, row : row + reach : stride, column : column + reach : stride] = size**-2
    return shares.reshape(kernel**2, side**2)


class SharedFeatures:
    """`[E, S, H, W, C] -> [E, S, width]`."""

    def __init__(self, parameters: Parameters, config: ModelConfig) -> None:
        width, padding = config.shared.width, shared_padding(config)
        sizes = list(shared_convs(config))
        self.convs = [Conv(parameters.below(f"convs.{i}"), s, width, padding) for i, s in enumerate(sizes)]
        norms = [parameters.below(f"norms.{i}") for i in range(len(sizes) if config.shared.norm else 0)]
        self.norms = [(norm("weight", width), norm("bias", width)) for norm in norms]

    def __call__(self, x: Floats) -> Floats:
        for index, conv in enumerate(self.convs):
            x = conv(x)
            if self.norms:
                gamma, beta = (p[None].repeat(len(x), axis=0) for p in self.norms[index])
                x = normalise(x, moments(x), gamma, beta)
        return global_average(x)


class LocalFeatures:
    """`[E, S, H, W, C] -> [E, S, width]` of each conv."""

    def __init__(
        self, parameters: Parameters, sizes: Iterable[ConvSize], width: int, nonlinear: bool
    ) -> None:
        self.nonlinear = nonlinear
        self.convs = [Conv(parameters.below(f"convs.{i}"), size, width) for i, size in enumerate(sizes)]
        self.width = width * len(self.convs)

    def __call__(self, x: Floats) -> list[Floats]:
        pooled = []
        for conv in self.convs:
            if not self.nonlinear:
                pooled.append(conv.averaged(x))
            if self.nonlinear or conv is not self.convs[-1]:
                x = conv(x)
            if self.nonlinear:
                pooled.append(global_average(x))
        return pooled


@dataclass(frozen=True)
class SupportView:
    """What every layer's generator sees: labels `[E, S]`, slots `[E, n]`, label ids `[E, S]`, the shared
    features `[E, S, F]` as a list of none or one, and how often each image is there."""

    labels: Integers
    slots: Integers
    label_ids: Integers
    shared: list[Floats]
    copies: int


class SliceGenerator:
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


class ConvGenerator:
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
        self.slices = SliceGenerator(
            parameters.below("slices"),
            config,
            shared_width + self.local.width,
            self.allocation.slices,
            self.allocation.slice_size,
        )

    def __call__(self, support: Floats, view: SupportView) -> dict[str, Floats]:
        """Weights as in `htgen.cnn.ConvWeights`, by name, in view of activations `[E, S, H, W, C]`."""
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
        return {"query_gamma": parts["gamma"], "query_beta": parts["beta"], **parts}


class Plda:
    """Coordinates in which class means are corrected by what training classes were like (`htgen.plda`)."""

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


class LogitsGenerator:
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
        self.slices = SliceGenerator(
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
        member = (view.labels[:, None] == np.arange(view.slots.shape[1])[:, None]).astype(seen.dtype)
        means, counts = weighted_means(seen, member)
        weight, bias = nearest_mean(means, counts / np.float32(view.copies), sharpness, self.plda)
        for _ in range(self.refinements):
            logits = seen @ weight.swapaxes(1, 2) + bias[:, None]
            soft = softmax(logits).swapaxes(1, 2) * (view.labels < 0)[:, None]
            means, counts = weighted_means(seen, member + soft)
            weight, bias = nearest_mean(means, counts / np.float32(view.copies), sharpness, self.plda)
        return (weight, bias) if self.plda is None else self.plda.back(weight, bias)


def weighted_means(features: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Means of samples `[E, S, F]`, weighted for each class `[E, n, S]`: `[E, n, F]`; sums of weights."""
    total = weight.sum(axis=2)
    divisor: Floats = np.where(total == 0, np.ones_like(total), total)
    return (weight @ features) / divisor[:, :, None], total


def nearest_mean(
    means: Floats, counts: Floats, sharpness: Floats, plda: Plda | None
) -> tuple[Floats, Floats]:
    """Weight `[E, n, F]` and bias `[E, n]` from class means of so many samples; see `htgen.model`."""
    weighted = means
    if plda is not None:
        means = corrected_means(means, counts, plda.prior_counts)
        weighted = means * precisions(counts, plda.prior_counts)
    squares = (weighted * means).sum(axis=2)
    weight = 2 * sharpness * (weighted - weighted.mean(axis=1, keepdims=True))
    return weight, -sharpness * (squares - squares.mean(axis=1, keepdims=True))


class HyperTransformer:
    """The generator.

    Args:
        config: see `htgen.config.ModelConfig`.
        arrays: parameters, by the names of `htgen.model.HyperTransformer.state_dict`.

    Attributes:
        spec: the CNN that it writes.
        shapes: names and shapes of the parameters; an array that does not fit counts as zeros.
    """

    def __init__(self, config: ModelConfig, arrays: Mapping[str, Floats]) -> None:
        self.config, self.spec = config, cnn_spec(config)
        parameters = Parameters(arrays)
        self.shapes = parameters.shapes
        has_shared = config.shared.layers > 0
        self.shared = SharedFeatures(parameters.below("shared"), config) if has_shared else None
        width = config.shared.width if has_shared else 0
        convs = self.spec.convs
        self.convs = [
            ConvGenerator(
                parameters.below(f"convs.{i}"), config, conv, width, is_learned(config, i, len(convs))
            )
            for i, conv in enumerate(convs)
        ]
        count = self.spec.feature_count
        self.logits = LogitsGenerator(parameters.below("logits"), config, convs[-1], count, width)

    def generate(self, images: Floats, labels: Integers, slots: Integers) -> dict[str, Floats]:
        """The CNNs of E support sets.

        Args:
            images: `[E, S, C, H, W]`, -1..1.
            labels: `[E, S]`, 0..n-1; negative = unlabelled.
            slots: `[E, n]`, which of the generator's label slots stands for each class.

        Returns:
            Tensors `[E, ...]` by the names of exported files (`htgen.bundle`).
        """
        without_views = images.shape[1]
        images, labels, _ = add_views(images, labels, None, self.config.views, slots.shape[1])
        x = channels_last(images)
        label_ids = np.take_along_axis(slots, np.maximum(labels, 0), axis=1)
        label_ids = np.where(labels < 0, self.config.max_way, label_ids)
        shared = [] if self.shared is None else [self.shared(x)]
        view = SupportView(labels, slots, label_ids, shared, images.shape[1] // without_views)
        tensors: dict[str, Floats] = {}
        for generator, conv in zip(self.convs, self.spec.convs, strict=True):
            weights = generator(x, view)
            tensors[f"{conv.name}.weight"] = weights["kernel"]
            if "bias" in weights:
                tensors[f"{conv.name}.bias"] = weights["bias"]
            tensors[f"{conv.name}.norm.weight"] = weights["query_gamma"]
            tensors[f"{conv.name}.norm.bias"] = weights["query_beta"]
            norm = partial(self._normalise, conv.name, weights, tensors)
            x = conv_block(x, weights["kernel"], weights.get("bias"), conv, self.spec, norm)
        features = head_features(x, self.spec)
        tensors["logits.weight"], tensors["logits.bias"] = self.logits(x, features, view)
        return tensors

    def _normalise(
        self, name: str, weights: dict[str, Floats], tensors: dict[str, Floats], x: Floats
    ) -> Floats:
        """Norm of support activations `[E, S, H, W, C]`; their statistics are entered in `tensors`."""
        stats = tensors[f"{name}.norm.mean"], tensors[f"{name}.norm.var"] = moments(x)
        return normalise(x, stats, weights["gamma"], weights["beta"])
