"""The generator with NumPy: `htgen.model` as it is used, without torch, dropout, gradients and queries.

What `htgen.model` says of each part holds here; the parts have the same names and stand in the same order:
`htgen.tokens`, `htgen.transformer`, `htgen.model`. Tests compare both over all settings.

Axis legend: E episodes, n ways, S support images, H x W pixels, C channels (last), F features,
P placeholders, T tokens, D token width.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from htgen.cnn_spec import ConvSpec
from htgen.config import ModelConfig, TransformerConfig
from htgen.decoder import ALLOCATIONS, LogitsAllocation
from htgen.numpy_cnn import (
    Floats,
    Moments,
    add,
    channels_last,
    conv_block,
    convolve,
    head_features,
    moments,
    normalise,
    softmax,
)
from htgen.shapes import cnn_spec
from htgen.sizes import (
    LAYER_NORM_EPSILON,
    LOCAL_CONVS,
    LEAKY_SLOPE,
    ConvSize,
    is_learned,
    local_convs,
    local_width,
    resolve_width,
    shared_convs,
    shared_padding,
    token_widths,
)
from htgen.views import add_views

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Parameters:
    """The arrays of a generator, taken by name as the parts are built.

    Attributes:
        arrays: by the names of `HyperTransformer.state_dict`.
        prefix: of the names that are taken.
        shapes: of all that was asked for; what is not there, or has another shape, is given as zeros.
    """

    arrays: Mapping[str, Floats]
    prefix: str = ""
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def below(self, name: str) -> "Parameters":
        """Those of a part."""
        return Parameters(self.arrays, f"{self.prefix}{name}.", self.shapes)

    def __call__(self, name: str, *shape: int) -> Floats:
        """The parameter of this name and shape."""
        name = self.prefix + name
        self.shapes[name] = shape
        found = self.arrays.get(name)
        return found if found is not None and found.shape == shape else np.zeros(shape, np.float32)


def linear(parameters: Parameters, inputs: int, *outputs: tuple[str, int]) -> tuple[Floats, Floats]:
    """Weight `[inputs, sum of outputs]` and bias of linear layers that read the same, side by side."""
    layers = [(parameters.below(name), width) for name, width in outputs]
    weight = np.concatenate([layer("weight", width, inputs) for layer, width in layers])
    bias = np.concatenate([layer("bias", width) for layer, width in layers])
    return np.ascontiguousarray(weight.T), bias


def apply(layer: tuple[Floats, Floats], x: Floats) -> Floats:
    """The output of `linear` layers, side by side."""
    out: Floats = x @ layer[0]
    out += layer[1]
    return out


# ------------------------------------------------------------------------------------- htgen.tokens


class Conv:
    """A learned convolution, `[E, S, H, W, C] -> [E, S, H', W', width]`."""

    def __init__(self, parameters: Parameters, size: ConvSize, width: int, padding: int = 0) -> None:
        kernel = parameters("weight", width, size.in_channels, size.kernel, size.kernel)
        self.kernel = np.ascontiguousarray(kernel.transpose(2, 3, 1, 0))[None]
        self.bias = parameters("bias", width)[None]
        self.stride, self.padding = size.stride, padding

    def __call__(self, x: Floats) -> Floats:
        samples = x.shape[:2]
        x = x.reshape(1, -1, *x.shape[2:])
        x = add(convolve(x, self.kernel, self.stride, self.padding), self.bias)
        return x.reshape(*samples, *x.shape[2:])


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
            np.maximum(x, 0, out=x)
            if self.norms:
                gamma, beta = (p[None].repeat(len(x), axis=0) for p in self.norms[index])
                x = normalise(x, moments(x), gamma, beta)
        return x.mean(axis=(2, 3))


class LocalFeatures:
    """`[E, S, H, W, C] -> [E, S, width]` of each conv."""

    def __init__(self, parameters: Parameters, sizes: Iterable[ConvSize], width: int, nonlinear: bool) -> None:
        self.nonlinear = nonlinear
        self.convs = [Conv(parameters.below(f"convs.{i}"), size, width) for i, size in enumerate(sizes)]
        self.width = width * len(self.convs)

    def __call__(self, x: Floats) -> list[Floats]:
        pooled = []
        for conv in self.convs:
            x = conv(x)
            active = np.maximum(x, 0)
            pooled.append((active if self.nonlinear else x).mean(axis=(2, 3)))
            x = active
        return pooled


# -------------------------------------------------------------------------------- htgen.transformer


class Attention:
    """Queries `[E, T, D]` over sources `[E, U, D']` -> `[E, T, D]`."""

    def __init__(
        self, parameters: Parameters, config: TransformerConfig, width: int, source_width: int
    ) -> None:
        self.heads, self.activation = config.heads, config.activation
        self.key_width = resolve_width(config.key_width, width, self.heads)
        value_width = resolve_width(config.value_width, width, self.heads)
        weight, bias = linear(parameters, width, ("query", self.key_width))
        factor = (self.key_width // self.heads) ** -0.5  # of the attention logits
        self.query = weight * factor, bias * factor
        self.source = linear(parameters, source_width, ("key", self.key_width), ("value", value_width))
        self.output = linear(parameters, value_width, ("output", width))

    def __call__(self, x: Floats, source: Floats) -> Floats:
        query, both = apply(self.query, x), apply(self.source, source)
        query, key, value = (
            t.reshape(*t.shape[:2], self.heads, -1).swapaxes(1, 2)
            for t in (query, both[..., : self.key_width], both[..., self.key_width :])
        )  # [E, heads, T or U, width / heads]
        logits = query @ key.swapaxes(2, 3)
        weights = softmax(logits) if self.activation == "softmax" else 0.5 + 0.5 * np.tanh(0.5 * logits)
        out = (weights @ value).swapaxes(1, 2)
        return apply(self.output, out.reshape(*out.shape[:2], -1))


_erf = np.vectorize(math.erf, otypes=[np.float64])


class Mlp:
    """Two-layer MLP; without nonlinearity when `is_linear`."""

    def __init__(
        self, parameters: Parameters, config: TransformerConfig, width: int, inner: int, is_linear: bool
    ) -> None:
        self.expand = linear(parameters, width, ("expand", inner))
        self.contract = linear(parameters, inner, ("contract", width))
        self.nonlinearity = None if is_linear else config.nonlinearity

    def __call__(self, x: Floats) -> Floats:
        x = apply(self.expand, x)
        if self.nonlinearity == "relu":
            np.maximum(x, 0, out=x)
        elif self.nonlinearity == "gelu":
            x *= (0.5 + 0.5 * _erf(x * 0.5**0.5)).astype(x.dtype)
        elif self.nonlinearity == "lrelu":
            np.maximum(x, x * LEAKY_SLOPE, out=x)
        return apply(self.contract, x)


class LayerNorm:
    """Of a residual connection: the sum of two `[E, T, D]`."""

    def __init__(self, parameters: Parameters, width: int) -> None:
        self.weight, self.bias = parameters("weight", width), parameters("bias", width)

    def __call__(self, x: Floats, change: Floats) -> Floats:
        x = x + change
        width = x.shape[2]
        x -= np.add.reduce(x, axis=2, keepdims=True) / width
        variance = np.add.reduce(x * x, axis=2, keepdims=True) / width
        x *= 1 / np.sqrt(variance + LAYER_NORM_EPSILON)
        x *= self.weight
        x += self.bias
        return x


class Layer:
    """Self-attention, cross-attention (decoder layers only), MLP (if it has an inner width)."""

    def __init__(
        self,
        parameters: Parameters,
        config: TransformerConfig,
        width: int,
        is_last: bool,
        cross_width: int | None = None,
    ) -> None:
        def attention(name: str, source_width: int) -> tuple[Attention, LayerNorm]:
            norm = LayerNorm(parameters.below(f"{name}_norm"), width)
            return Attention(parameters.below(name), config, width, source_width), norm

        self.attention, self.attention_norm = attention("attention", width)
        self.cross = None if cross_width is None else attention("cross", cross_width)
        self.mlp: tuple[Mlp, LayerNorm] | None = None
        if inner := resolve_width(config.inner_width, width, config.heads):
            is_linear = config.skip_last_nonlinearity and is_last
            mlp = Mlp(parameters.below("mlp"), config, width, inner, is_linear)
            self.mlp = mlp, LayerNorm(parameters.below("mlp_norm"), width)

    def __call__(self, x: Floats, memory: Floats | None = None, keep: int | None = None) -> Floats:
        source, x = x, x[:, :keep]
        x = self.attention_norm(x, self.attention(x, source))
        if self.cross is not None and memory is not None:
            cross, norm = self.cross
            x = norm(x, cross(x, memory))
        if self.mlp is not None:
            mlp, norm = self.mlp
            x = norm(x, mlp(x))
        return x


class Transformer:
    """Processes placeholders `[E, P, D]` in view of samples `[E, S, D']`."""

    def __init__(
        self, parameters: Parameters, config: TransformerConfig, sample_width: int, weight_width: int
    ) -> None:
        self.topology = config.topology
        last = config.layers - 1

        def layers(name: str, width: int, count: int, cross_width: int | None = None) -> list[Layer]:
            below = (parameters.below(f"{name}.{index}") for index in range(count))
            return [Layer(p, config, width, i == last, cross_width) for i, p in enumerate(below)]

        self.encoder = layers("encoder", sample_width, config.layers)
        decoders = 0 if self.topology == "joint" else config.layers
        self.decoder = layers("decoder", weight_width, decoders, sample_width)

    def __call__(self, placeholders: Floats, samples: Floats) -> Floats:
        count = placeholders.shape[1]
        if self.topology == "separate":
            x, memory = placeholders, samples
        else:
            x = memory = np.concatenate([placeholders, samples], axis=1)
        is_joint = self.topology == "joint"
        for layer in self.encoder:
            memory = layer(memory, keep=count if is_joint and layer is self.encoder[-1] else None)
        if is_joint:
            return memory
        for layer in self.decoder:
            x = layer(x, memory, keep=count if layer is self.decoder[-1] else None)
        return x


# ------------------------------------------------------------------------------------- htgen.model


@dataclass(frozen=True)
class SupportView:
    """What every layer's generator sees: labels `[E, S]`, slots `[E, n]`, label ids `[E, S]`, and the
    shared features `[E, S, F]` as a list of none or one."""

    labels: Integers
    slots: Integers
    label_ids: Integers
    shared: list[Floats]


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

    def __call__(self, support: Floats, features: Floats, view: SupportView) -> tuple[Floats, Floats]:
        """Weight `[E, n, F]` and bias `[E, n]`, in view of activations and logits inputs `[E, S, F]`."""
        own = [features] if self.mode != "default" else []
        tokens = [*self.local(support), *own, *view.shared]
        parts = self.allocation.decode(self.slices(tokens, view, view.slots))
        weight, bias = parts["weight"], parts["bias"]
        if self.prototypes is not None:
            sharpness, scale = self.prototypes
            member = (view.labels[:, None] == np.arange(view.slots.shape[1])[:, None]).astype(features.dtype)
            means = class_means(features, member)
            for _ in range(self.refinements):
                means = refine_means(means, sharpness, features, view.labels, member)
            squares = (means * means).sum(axis=2)
            shared_mean, shared_square = means.mean(axis=1, keepdims=True), squares.mean(axis=1, keepdims=True)
            weight = 2 * sharpness * (means - shared_mean) + scale * weight
            bias = -sharpness * (squares - shared_square) + scale * bias
        return weight, bias


def class_means(features: Floats, weight: Floats) -> Floats:
    """Means of feature vectors, weighted for each class: `[E, S, F], [E, n, S] -> [E, n, F]`."""
    total = weight.sum(axis=2, keepdims=True)
    return (weight @ features) / np.maximum(total, np.finfo(total.dtype).tiny)


def refine_means(
    means: Floats, sharpness: Floats, features: Floats, labels: Integers, member: Floats
) -> Floats:
    """One step of soft k-means; `member` `[E, n, S]` is 1 for the labelled samples of each class."""
    distance = (means * means).sum(axis=2, keepdims=True) - 2 * means @ features.swapaxes(1, 2)
    soft = softmax(-sharpness * distance.swapaxes(1, 2)).swapaxes(1, 2)
    return class_means(features, member + soft * (labels < 0)[:, None])


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
        images, labels, _ = add_views(images, labels, None, self.config.views, slots.shape[1])
        x = channels_last(images)
        label_ids = np.take_along_axis(slots, np.maximum(labels, 0), axis=1)
        label_ids = np.where(labels < 0, self.config.max_way, label_ids)
        shared = [] if self.shared is None else [self.shared(x)]
        view = SupportView(labels, slots, label_ids, shared)
        tensors: dict[str, Floats] = {}
        for generator, conv in zip(self.convs, self.spec.convs, strict=True):
            weights = generator(x, view)
            collected: list[Moments] = []

            def norm(y: Floats, weights: dict[str, Floats] = weights) -> Floats:
                collected.append(moments(y))
                return normalise(y, collected[-1], weights["gamma"], weights["beta"])

            x = conv_block(x, weights["kernel"], weights.get("bias"), conv, self.spec, norm)
            tensors[f"{conv.name}.weight"] = weights["kernel"]
            if "bias" in weights:
                tensors[f"{conv.name}.bias"] = weights["bias"]
            tensors[f"{conv.name}.norm.weight"] = weights["query_gamma"]
            tensors[f"{conv.name}.norm.bias"] = weights["query_beta"]
            tensors[f"{conv.name}.norm.mean"], tensors[f"{conv.name}.norm.var"] = collected[-1]
        features = head_features(x, self.spec)
        tensors["logits.weight"], tensors["logits.bias"] = self.logits(x, features, view)
        return tensors
