"""The transformer, part 4, with NumPy: `htgen.hypertransformer.transformer` as it is used, without torch
and masks.

What `htgen.hypertransformer.transformer` says of each part holds here; the parts have the same names and
order.

Axis legend: E episodes, T tokens, U sources, D token width.
"""

import itertools
import math

import numpy as np

from htgen.arrays import Floats
from htgen.cnn.executor_numpy import softmax
from htgen.hypertransformer.parameters import Parameters
from htgen.hypertransformer.transformer_plan import (
    LAYER_NORM_EPSILON,
    MLP_LEAKY_SLOPE,
    AttentionPlan,
    LayerPlan,
    MlpPlan,
    TransformerPlan,
)

CACHED_WEIGHTS = 250_000
"""Of attention, that are found at a time: few enough to stay in the processor's cache."""


FEW_QUERIES = 32
"""So few at a time take longer than one episode and head after the other."""


def linear(parameters: Parameters, *names: str) -> tuple[Floats, Floats]:
    """Weight `[inputs, sum of outputs]` and bias of linear layers that read the same, side by side."""
    layers = [parameters.below(name) for name in names]
    weight = np.concatenate([layer("weight") for layer in layers])
    bias = np.concatenate([layer("bias") for layer in layers])
    return np.ascontiguousarray(weight.T), bias


def apply(layer: tuple[Floats, Floats], x: Floats) -> Floats:
    """The output of `linear` layers, side by side."""
    out: Floats = x @ layer[0]
    out += layer[1]
    return out


class Attention:
    """Queries `[E, T, D]` over sources `[E, U, D']`, or over themselves, -> `[E, T, D]`.

    Attributes:
        seen: None, or a list to which each call adds its weights, `[E, heads, T, U]`, for people who ask.
    """

    seen: list[Floats] | None = None

    def __init__(self, plan: AttentionPlan, parameters: Parameters, over_itself: bool) -> None:
        self.heads, self.activation, self.key_width = plan.heads, plan.activation, plan.key_width
        if over_itself:
            self.own = linear(parameters, "query", "key", "value")
        else:
            self.own, self.source = linear(parameters, "query"), linear(parameters, "key", "value")
        for part in self.own:
            part[..., : self.key_width] *= (self.key_width // self.heads) ** -0.5  # of the attention logits
        self.output = linear(parameters, "output")

    def __call__(self, x: Floats, source: Floats | None = None, keep: int | None = None) -> Floats:
        """With `keep`, only the first queries are answered."""
        weight, bias = self.own
        wide = self.key_width
        if source is None and keep is None:
            own = apply(self.own, x)
            query, both = own[..., :wide], own[..., wide:]
        else:
            query = apply((weight[:, :wide], bias[:wide]), x[:, :keep])
            others = (weight[:, wide:], bias[wide:]) if source is None else self.source
            both = apply(others, x if source is None else source)
        heads = self._heads(query), self._heads(both[..., :wide]), self._heads(both[..., wide:])
        out = self._answered(*heads).swapaxes(1, 2)
        return apply(self.output, out.reshape(len(x), out.shape[1], -1))

    def _answered(self, query: Floats, key: Floats, value: Floats) -> Floats:
        """Values `[E, heads, U, width]` by what queries `[E, heads, T, width]` find in keys, some queries at
        a time: -> `[E, heads, T, width]`."""
        episodes, heads, queries, _ = query.shape
        step = max(1, CACHED_WEIGHTS // (episodes * heads * key.shape[2]))
        if self.seen is not None:
            step = queries  # whoever asks is told of all at once
        elif step < min(FEW_QUERIES, queries) and episodes * heads > 1:
            found = np.empty((episodes, heads, queries, value.shape[3]), query.dtype)
            for one in itertools.product(range(episodes), range(heads)):
                alone = tuple(slice(number, number + 1) for number in one)
                found[alone] = self._answered(query[alone], key[alone], value[alone])
            return found
        parts: list[Floats] = []
        for start in range(0, queries, step):
            weights: Floats = query[:, :, start : start + step] @ key.swapaxes(2, 3)
            if self.activation == "softmax":
                softmax(weights, out=weights)
            else:
                weights = 0.5 + 0.5 * np.tanh(0.5 * weights)
            if self.seen is not None:
                self.seen.append(weights)
            parts.append(weights @ value)
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)

    def _heads(self, x: Floats) -> Floats:
        """`[E, T, width] -> [E, heads, T, width / heads]`, a view."""
        episodes, tokens, width = x.shape
        return x.reshape(episodes, tokens, self.heads, width // self.heads).swapaxes(1, 2)


_erf = np.vectorize(math.erf, otypes=[np.float64])


class Mlp:
    """Two linear layers, with a nonlinearity between them or none."""

    def __init__(self, plan: MlpPlan, parameters: Parameters) -> None:
        self.expand, self.contract = linear(parameters, "expand"), linear(parameters, "contract")
        self.nonlinearity = plan.nonlinearity

    def __call__(self, x: Floats) -> Floats:
        x = apply(self.expand, x)
        if self.nonlinearity == "relu":
            np.maximum(x, 0, out=x)
        elif self.nonlinearity == "gelu":
            x *= (0.5 + 0.5 * _erf(x * 0.5**0.5)).astype(x.dtype)
        elif self.nonlinearity == "lrelu":
            np.maximum(x, x * MLP_LEAKY_SLOPE, out=x)
        return apply(self.contract, x)


class LayerNorm:
    """Of a residual connection: the sum of two `[E, T, D]`."""

    def __init__(self, parameters: Parameters) -> None:
        self.weight, self.bias = parameters("weight"), parameters("bias")
        width = len(self.weight)
        self.average = np.full((width, 1), 1 / width, self.weight.dtype)  # a product is the fastest mean

    def __call__(self, x: Floats, change: Floats) -> Floats:
        x = x + change
        x -= x @ self.average
        x /= np.sqrt((x * x) @ self.average + LAYER_NORM_EPSILON)
        x *= self.weight
        x += self.bias
        return x


class Layer:
    """Self-attention, cross-attention (decoder layers only), MLP (if it has one)."""

    def __init__(self, plan: LayerPlan, parameters: Parameters) -> None:
        def norm(name: str) -> LayerNorm:
            return LayerNorm(parameters.below(f"{name}_norm"))

        self.plan = plan
        self.attention = Attention(plan.attention, parameters.below("attention"), over_itself=True)
        self.attention_norm = norm("attention")
        if plan.cross is not None:
            self.cross = Attention(plan.cross, parameters.below("cross"), over_itself=False)
            self.cross_norm = norm("cross")
        if plan.mlp is not None:
            self.mlp, self.mlp_norm = Mlp(plan.mlp, parameters.below("mlp")), norm("mlp")

    def __call__(self, x: Floats, placeholders: int, memory: Floats | None = None) -> Floats:
        """`[E, T, D] -> [E, T, D]`, or `[E, P, D]` where only the `placeholders`, P, are wanted."""
        keep = placeholders if self.plan.placeholders_only else None
        x = self.attention_norm(x[:, :keep], self.attention(x, keep=keep))
        if self.plan.cross is not None:
            x = self.cross_norm(x, self.cross(x, memory))
        if self.plan.mlp is not None:
            x = self.mlp_norm(x, self.mlp(x))
        return x


class Transformer:
    """Processes placeholders `[E, P, D]` in view of samples `[E, S, D']`."""

    def __init__(self, plan: TransformerPlan, parameters: Parameters) -> None:
        self.joined = plan.topology.joined
        self.encoder, self.decoder = (
            [Layer(layer, parameters.below(f"{name}.{index}")) for index, layer in enumerate(layers)]
            for name, layers in (("encoder", plan.encoder), ("decoder", plan.decoder))
        )

    def __call__(self, placeholders: Floats, samples: Floats) -> Floats:
        count = placeholders.shape[1]
        if self.joined:
            x = memory = np.concatenate([placeholders, samples], axis=1)  # [E, P + S, D]
        else:
            x, memory = placeholders, samples
        for layer in self.encoder:
            memory = layer(memory, count)
        if not self.decoder:
            return memory
        for layer in self.decoder:
            x = layer(x, count, memory)
        return x
