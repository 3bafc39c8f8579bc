"""The transformer with NumPy: `htgen.hypertransformer.transformer` in evaluation mode, without torch and
without masks.

What `htgen.hypertransformer.transformer` says of each part holds here; the parts have the same names and
order.

Axis legend: E episodes, T tokens, U sources, D token width.
"""

import math

import numpy as np

from htgen.arrays import Floats
from htgen.cnn.executor_numpy import softmax
from htgen.config.model import TransformerConfig
from htgen.hypertransformer.parameters import Parameters
from htgen.hypertransformer.plan import LAYER_NORM_EPSILON, LEAKY_SLOPE, resolve_width


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


class Attention:
    """Queries `[E, T, D]` over sources `[E, U, D']`, or over themselves, -> `[E, T, D]`."""

    def __init__(
        self, parameters: Parameters, config: TransformerConfig, width: int, source_width: int | None = None
    ) -> None:
        self.heads, self.activation = config.heads, config.activation
        self.key_width = resolve_width(config.key_width, width, self.heads)
        value_width = resolve_width(config.value_width, width, self.heads)
        query, sources = ("query", self.key_width), (("key", self.key_width), ("value", value_width))
        if source_width is None:
            self.own = linear(parameters, width, query, *sources)
        else:
            self.own, self.source = (
                linear(parameters, width, query),
                linear(parameters, source_width, *sources),
            )
        for part in self.own:
            part[..., : self.key_width] *= (self.key_width // self.heads) ** -0.5  # of the attention logits
        self.output = linear(parameters, value_width, ("output", width))

    def __call__(self, x: Floats, source: Floats | None = None, keep: int | None = None) -> Floats:
        """With `keep`, only the first queries are answered."""
        own = apply(self.own, x)
        both = own[..., self.key_width :] if source is None else apply(self.source, source)
        query = self._heads(own[:, :keep, : self.key_width])
        key, value = self._heads(both[..., : self.key_width]), self._heads(both[..., self.key_width :])
        logits = query @ key.swapaxes(2, 3)
        weights = softmax(logits) if self.activation == "softmax" else 0.5 + 0.5 * np.tanh(0.5 * logits)
        out = (weights @ value).swapaxes(1, 2)
        return apply(self.output, out.reshape(len(x), out.shape[1], -1))

    def _heads(self, x: Floats) -> Floats:
        """`[E, T, width] -> [E, heads, T, width / heads]`, a view."""
        episodes, tokens, width = x.shape
        return x.reshape(episodes, tokens, self.heads, width // self.heads).swapaxes(1, 2)


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
        self.average = np.full((width, 1), 1 / width, self.weight.dtype)  # a product is the fastest mean

    def __call__(self, x: Floats, change: Floats) -> Floats:
        x = x + change
        x -= x @ self.average
        x /= np.sqrt((x * x) @ self.average + LAYER_NORM_EPSILON)
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
        def attention(name: str, source_width: int | None = None) -> tuple[Attention, LayerNorm]:
            norm = LayerNorm(parameters.below(f"{name}_norm"), width)
            return Attention(parameters.below(name), config, width, source_width), norm

        self.attention, self.attention_norm = attention("attention")
        self.cross = None if cross_width is None else attention("cross", cross_width)
        self.mlp: tuple[Mlp, LayerNorm] | None = None
        if inner := resolve_width(config.inner_width, width, config.heads):
            is_linear = config.skip_last_nonlinearity and is_last
            mlp = Mlp(parameters.below("mlp"), config, width, inner, is_linear)
            self.mlp = mlp, LayerNorm(parameters.below("mlp_norm"), width)

    def __call__(self, x: Floats, memory: Floats | None = None, keep: int | None = None) -> Floats:
        x = self.attention_norm(x[:, :keep], self.attention(x, keep=keep))
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
