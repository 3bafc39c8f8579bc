"""Every width and layer of a transformer, decided from its config and its token widths. No torch here.

A new topology is a row of `TOPOLOGIES`, and its name in the config (see docs/explanation/extending.md).
"""

from math import ceil
from typing import Literal, NamedTuple

from htgen.config.model import TransformerConfig
from htgen.errors import ModelError
from htgen.hypertransformer.parameters import Shapes, linear_shapes, norm_shapes

LAYER_NORM_EPSILON = 1e-6

MLP_LEAKY_SLOPE = 0.1
"""Of the MLPs."""


class Topology(NamedTuple):
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


class AttentionPlan(NamedTuple):
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


class MlpPlan(NamedTuple):
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


class LayerPlan(NamedTuple):
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


class TransformerPlan(NamedTuple):
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


def resolve_width_as_reference(width: float, token_width: int, heads: int, rounded: bool) -> int:
    """The same in the reference: cut to a whole number, and then, if `rounded`, a fraction is rounded up.

    Raises:
        ModelError: it is no multiple of `heads`.
    """
    is_fraction = width <= 3.0
    whole = int(width * token_width if is_fraction else width)
    if is_fraction and rounded:
        return ceil(whole / heads) * heads
    if whole % heads:
        raise ModelError(
            f"model.transformer: {heads} heads cannot share a width of {whole} (tokens have {token_width})",
            "another width, or model.conventions: htgen, which rounds it up",
        )
    return whole


def transformer_plan(
    settings: TransformerConfig, sample_width: int, weight_width: int, as_reference: bool = False
) -> TransformerPlan:
    """The transformer of a layer whose tokens have at least these widths.

    Args:
        as_reference: widths are those of the reference (`resolve_width_as_reference`).

    Raises:
        ModelError: the heads cannot share one of the reference's widths.
    """
    topology = TOPOLOGIES[settings.topology]
    if topology.joined:
        sample_width = weight_width = max(sample_width, weight_width)

    def resolve(setting: float, width: int) -> int:
        if as_reference:
            return resolve_width_as_reference(setting, width, settings.heads, topology.joined)
        return resolve_width(setting, width, settings.heads)

    def nonlinearity(is_decoder: bool, is_last: bool) -> Literal["relu", "gelu", "lrelu"] | None:
        if settings.decoder_nonlinearity == "relu" and is_decoder:
            return "relu"
        ignores_skip = settings.decoder_nonlinearity == "relu" and topology.has_decoder
        is_linear = settings.skip_last_nonlinearity and is_last and not ignores_skip
        return None if is_linear else settings.nonlinearity

    def attention(width: int, source_width: int) -> AttentionPlan:
        key, value = (resolve(setting, width) for setting in (settings.key_width, settings.value_width))
        return AttentionPlan(width, source_width, key, value, settings.heads, settings.activation)

    def layers(width: int, memory_width: int | None, is_end: bool) -> tuple[LayerPlan, ...]:
        inner = resolve(settings.inner_width, width)
        cross = None if memory_width is None else attention(width, memory_width)
        plans = []
        for index in range(settings.layers):
            is_last = index == settings.layers - 1
            mlp = MlpPlan(width, inner, nonlinearity(cross is not None, is_last)) if inner else None
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
