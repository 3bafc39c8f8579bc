"""Every width and layer of a transformer, decided from its config and its token widths. No torch here.

A new topology is a row of `TOPOLOGIES`, and its name in the config (see docs/extending.md).
"""

from dataclasses import dataclass
from math import ceil
from typing import Literal

from htgen.config.model import TransformerConfig
from htgen.hypertransformer.parameters import Shapes, linear_shapes, norm_shapes

LAYER_NORM_EPSILON = 1e-6

MLP_LEAKY_SLOPE = 0.1
"""Of the MLPs."""


@dataclass(frozen=True)
class Topology:
    """Which layers a transformer has, and what goes through them.

    Attributes:
        joined: placeholders and samples are one sequence, which encoder and decoder read; otherwise the
            samples go to the encoder and the placeholders to the decoder.
        has_decoder: whether a decoder follows, with cross-attention to what the encoder returns.
    """

    joined: bool
    has_decoder: bool


TOPOLOGIES = {
    "joint": Topology(joined=True, has_decoder=False),
    "encoder-decoder": Topology(joined=True, has_decoder=True),
    "separate": Topology(joined=False, has_decoder=True),
}


@dataclass(frozen=True)
class AttentionPlan:
    """Multi-head attention of queries of `width` over sources of `source_width`.

    `key_width` and `value_width` are those of all heads together.
    """

    width: int
    source_width: int
    key_width: int
    value_width: int
    heads: int
    activation: Literal["softmax", "sigmoid"]

    def shapes(self, name: str) -> Shapes:
        """Of its parameters, below this name."""
        return {
            **linear_shapes(f"{name}.query", self.width, self.key_width),
            **linear_shapes(f"{name}.key", self.source_width, self.key_width),
            **linear_shapes(f"{name}.value", self.source_width, self.value_width),
            **linear_shapes(f"{name}.output", self.value_width, self.width),
        }


@dataclass(frozen=True)
class MlpPlan:
    """Two linear layers, with a nonlinearity between them or none."""

    width: int
    inner_width: int
    nonlinearity: Literal["relu", "gelu", "lrelu"] | None

    def shapes(self, name: str) -> Shapes:
        """Of its parameters, below this name."""
        return {
            **linear_shapes(f"{name}.expand", self.width, self.inner_width),
            **linear_shapes(f"{name}.contract", self.inner_width, self.width),
        }


@dataclass(frozen=True)
class LayerPlan:
    """A layer of a transformer.

    Attributes:
        width: of its tokens.
        cross: in decoders, the attention to what the encoder returns.
        mlp: None for none.
        placeholders_only: nothing reads what it makes of the samples, so it is not computed.
    """

    width: int
    attention: AttentionPlan
    cross: AttentionPlan | None
    mlp: MlpPlan | None
    dropout: float
    placeholders_only: bool

    def shapes(self, name: str) -> Shapes:
        """Of its parameters, below this name."""
        shapes: Shapes = {}
        for key, part in (("attention", self.attention), ("cross", self.cross), ("mlp", self.mlp)):
            if part is not None:
                shapes |= part.shapes(f"{name}.{key}") | norm_shapes(f"{name}.{key}_norm", self.width)
        return shapes


@dataclass(frozen=True)
class TransformerPlan:
    """A transformer; its token widths are equal where placeholders and samples are one sequence."""

    topology: Topology
    sample_width: int
    weight_width: int
    encoder: tuple[LayerPlan, ...]
    decoder: tuple[LayerPlan, ...]

    def shapes(self, name: str) -> Shapes:
        """Of its parameters, below this name."""
        shapes: Shapes = {}
        for stack, layers in (("encoder", self.encoder), ("decoder", self.decoder)):
            for index, layer in enumerate(layers):
                shapes |= layer.shapes(f"{name}.{stack}.{index}")
        return shapes


def resolve_width(width: float, token_width: int, heads: int) -> int:
    """A configured width: up to 3.0 a fraction of the token width, else absolute; a multiple of `heads`."""
    absolute = width * token_width if width <= 3.0 else width
    return ceil(round(absolute / heads, 6)) * heads  # 1.1 * 50 is a little more than 55


def transformer_plan(settings: TransformerConfig, sample_width: int, weight_width: int) -> TransformerPlan:
    """The transformer of a layer whose tokens have at least these widths."""
    topology = TOPOLOGIES[settings.topology]
    if topology.joined:
        sample_width = weight_width = max(sample_width, weight_width)

    def attention(width: int, source_width: int) -> AttentionPlan:
        key, value = (
            resolve_width(w, width, settings.heads) for w in (settings.key_width, settings.value_width)
        )
        return AttentionPlan(width, source_width, key, value, settings.heads, settings.activation)

    def layers(width: int, memory_width: int | None, is_end: bool) -> tuple[LayerPlan, ...]:
        inner = resolve_width(settings.inner_width, width, settings.heads)
        cross = None if memory_width is None else attention(width, memory_width)
        plans = []
        for index in range(settings.layers):
            is_last = index == settings.layers - 1
            nonlinearity = None if settings.skip_last_nonlinearity and is_last else settings.nonlinearity
            mlp = MlpPlan(width, inner, nonlinearity) if inner else None
            own = attention(width, width)
            plans.append(LayerPlan(width, own, cross, mlp, settings.dropout, is_end and is_last))
        return tuple(plans)

    return TransformerPlan(
        topology,
        sample_width,
        weight_width,
        encoder=layers(sample_width, None, not topology.has_decoder),
        decoder=layers(weight_width, sample_width, True) if topology.has_decoder else (),
    )
