"""Every width, count and parameter shape of a generator, decided from its config alone. No torch here.

A `GeneratorPlan` is read by the modules of torch (`htgen.hypertransformer.hypertransformer`), by those with
NumPy (`htgen.hypertransformer.hypertransformer_numpy`) and by the count of the work (`htgen.bench.cost`).
Its parts have the names and the order of the modules: sample encoder, transformer, writers of the layers.
`shapes` of a part are those of its parameters, by the names and in the order of `state_dict`.
"""

import math
from typing import NamedTuple

from htgen.cnn.spec import CnnSpec, ConvSpec
from htgen.config.model import ModelConfig, WeightsConfig, cnn_spec
from htgen.errors import ConfigError
from htgen.hypertransformer.decoder import ALLOCATIONS, ConvAllocation, LogitsAllocation
from htgen.hypertransformer.encoder_plan import LocalPlan, SharedPlan, local_plan, shared_plan
from htgen.hypertransformer.parameters import Shapes
from htgen.hypertransformer.transformer_plan import TransformerPlan, transformer_plan

MOST_PARAMETERS = 2**29
"""Of a generator; training takes sixteen bytes and more for each."""

# ---------------------------------------------------------------------------------- writers of the layers


class SlicesPlan(NamedTuple):
    """Everything between the features of the samples and the weight slices of one layer.

    Attributes:
        most_at_once: classes that the transformer can be shown.
        labels: rows of the label table: of each class, of no label, and with codes (of the map) an offset.
        placeholders: number of weight placeholders; with codes, that of the logits layer's map and offset.
        slice_size: numbers per slice.
        embedding: width of label and weight embeddings.
    """

    most_at_once: int
    labels: int
    placeholders: int
    slice_size: int
    embedding: int
    transformer: TransformerPlan

    def shapes(self, name: str) -> Shapes:
        """Of its parameters, below this name."""
        own: Shapes = {
            f"{name}.labels": (self.labels, self.embedding),
            f"{name}.placeholders": (self.placeholders, self.embedding),
        }
        return own | self.transformer.shapes(f"{name}.transformer")


def slices_plan(config: ModelConfig, feature_width: int, placeholders: int, slice_size: int) -> SlicesPlan:
    """The way to slices for samples with `feature_width` features."""
    embedding = config.embedding_dim
    widths = embedding + feature_width, embedding + slice_size
    transformer = transformer_plan(config.transformer, *widths, config.conventions == "reference")
    most, labels = config.most_at_once, config.max_way + 1 + config.has_codes
    return SlicesPlan(most, labels, placeholders, slice_size, embedding, transformer)


class LearnedConvPlan(NamedTuple):
    """A convolutional block that is learned.

    Attributes:
        norm: names of its norm parameters.
        bases: names of its kernels, of all images, or of support images and of queries; and of its bias if it
            has one.
    """

    conv: ConvSpec
    norm: tuple[str, ...]
    bases: tuple[str, ...]

    def shapes(self, name: str) -> Shapes:
        """Of its parameters, below this name."""
        return _learned_shapes(name, self)


class ConvWriterPlan(NamedTuple):
    """A convolutional block that is generated.

    Attributes:
        norm: names of its norm parameters that are learned.
        bases: names of generated parts to which a learned one is added; `query_...` for queries alone.
        base_scale: initial scale of what is generated there; None = none.
        local: None for no local features.
    """

    conv: ConvSpec
    norm: tuple[str, ...]
    bases: tuple[str, ...]
    base_scale: float | None
    allocation: ConvAllocation
    local: LocalPlan | None
    slices: SlicesPlan

    def shapes(self, name: str) -> Shapes:
        """Of its parameters, below this name."""
        shapes = _learned_shapes(name, self)
        if self.base_scale is not None:
            shapes[f"{name}.scale"] = ()
        if self.local is not None:
            shapes |= self.local.shapes(f"{name}.local")
        return shapes | self.slices.shapes(f"{name}.slices")


def _learned_shapes(name: str, plan: LearnedConvPlan | ConvWriterPlan) -> Shapes:
    """Of the norm parameters, kernels and other parts that are learned."""
    shapes: Shapes = {f"{name}.{norm}": (plan.conv.out_channels,) for norm in plan.norm}
    for part in plan.bases:
        shapes[f"{name}.base_{part}"] = base_shape(plan.conv, part)
    return shapes


def base_shape(conv: ConvSpec, part: str) -> tuple[int, ...]:
    """Of a learned part of a block: `[O, C / groups, k, k]` of a kernel, `[O]` of the others."""
    return conv.kernel_shape if part.endswith("kernel") else (conv.out_channels,)


class LogitsPlan(NamedTuple):
    """The logits layer.

    Attributes:
        feature_count: number of its inputs.
        sees_inputs: whether these are among the features of a sample.
        inputs_first: whether they come before the local features.
        inputs_dropout: of these inputs as features.
        bases: names of the learned weight and bias that are added to what is generated, if any.
        from_class_means: whether it starts from class means.
        base_scale: initial scale of what is added to a layer from class means; None = nothing is.
        refinements: steps of soft k-means.
        plda: whether class means are corrected.
        allocation, slices: how the transformer writes it; None = it does not.
    """

    feature_count: int
    sees_inputs: bool
    inputs_first: bool
    inputs_dropout: float
    bases: tuple[str, ...]
    from_class_means: bool
    base_scale: float | None
    refinements: int
    plda: bool
    allocation: LogitsAllocation | None
    local: LocalPlan | None
    slices: SlicesPlan | None

    def base_shape(self, part: str) -> tuple[int, ...]:
        """Of a learned part, for all label slots: `[N, F]` of the weight, `[N]` of the bias."""
        assert self.slices is not None
        rows = self.slices.placeholders
        return (rows, self.feature_count) if part.endswith("weight") else (rows,)

    def shapes(self, name: str) -> Shapes:
        """Of its parameters, below this name."""
        shapes: Shapes = {}
        if self.from_class_means:
            shapes[f"{name}.log_sharpness"] = ()
        if self.base_scale is not None:
            shapes[f"{name}.scale"] = ()
        for part in self.bases:
            shapes[f"{name}.base_{part}"] = self.base_shape(part)
        if self.local is not None:
            shapes |= self.local.shapes(f"{name}.local")
        if self.slices is not None:
            shapes |= self.slices.shapes(f"{name}.slices")
        if self.plda:
            count = self.feature_count
            shapes |= {
                f"{name}.plda.centre": (count,),
                f"{name}.plda.directions": (count, count),
                f"{name}.plda.prior_counts": (count,),
            }
        return shapes


def conv_plan(config: ModelConfig, index: int, spec: CnnSpec) -> LearnedConvPlan | ConvWriterPlan:
    """Block `index` of a CNN."""
    conv, count = spec.convs[index], len(spec.convs)
    weights = config.weights
    norm: tuple[str, ...] = ("gamma", "beta") if conv.norm else ()
    if config.cnn.separate_query_norm:
        norm += ("query_gamma", "query_beta")
    if weights.learns(index, count):
        return LearnedConvPlan(conv, norm, _with_copies(config, ("kernel", *["bias"] * conv.bias)))
    allocation = ALLOCATIONS[weights.allocation](conv, weights, config.conventions == "reference")
    local = local_plan(config, conv.in_channels, conv.in_size, conv.out_channels)
    features = _feature_width(config, local)
    return ConvWriterPlan(
        conv,
        () if weights.generate_norm else norm,
        _with_copies(config, _bases(weights)),
        weights.base_scale if weights.base is True else None,
        allocation,
        local,
        slices_plan(config, features, allocation.slices, allocation.slice_size),
    )


def _bases(weights: WeightsConfig) -> tuple[str, ...]:
    """Names of the generated parts of a block to which learned ones are added."""
    if weights.base != "all":
        return ("kernel",) if weights.base else ()
    return ("kernel",) + ("bias",) * weights.generate_bias + ("gamma", "beta") * weights.generate_norm


def _with_copies(config: ModelConfig, bases: tuple[str, ...]) -> tuple[str, ...]:
    """The names of learned parts, and those of their copies for queries if there are any."""
    has_copies = config.cnn.separate_query_norm == "kernels"
    return bases + tuple(f"query_{name}" for name in bases if has_copies)


def logits_plan(config: ModelConfig, conv: ConvSpec, feature_count: int) -> LogitsPlan:
    """The logits layer after a block, which reads `feature_count` numbers."""
    mode, weights = config.local.logits, config.weights
    if weights.prototypes == "alone":
        return _class_means_alone(weights, feature_count)
    local = None
    if mode != "passthrough":
        local = local_plan(config, conv.out_channels, conv.out_size, conv.out_channels, of_logits=True)
    sees_inputs, as_reference = mode != "default", config.conventions == "reference"
    allocation = LogitsAllocation(feature_count, conv.out_channels if as_reference else None)
    features = _feature_width(config, local) + (feature_count if sees_inputs else 0)
    bases = _with_copies(config, ("weight", "bias"))[-2:]  # support images pass no logits layer
    return LogitsPlan(
        feature_count,
        sees_inputs,
        as_reference,
        config.local.dropout if as_reference else 0.0,
        bases if weights.base == "all" else (),
        bool(weights.prototypes),
        weights.base_scale if weights.prototypes else None,
        weights.refine_prototypes,
        weights.plda,
        allocation,
        local,
        slices_plan(config, features, config.max_way + config.has_codes, allocation.slice_size),
    )


def _class_means_alone(weights: WeightsConfig, feature_count: int) -> LogitsPlan:
    """A logits layer to which no transformer adds anything."""
    return LogitsPlan(
        feature_count=feature_count,
        sees_inputs=False,
        inputs_first=False,
        inputs_dropout=0.0,
        bases=(),
        from_class_means=True,
        base_scale=None,
        refinements=weights.refine_prototypes,
        plda=weights.plda,
        allocation=None,
        local=None,
        slices=None,
    )


def _feature_width(config: ModelConfig, local: LocalPlan | None) -> int:
    """Of the shared and the local features of a sample."""
    return (config.shared.width if config.shared.layers else 0) + (local.width if local is not None else 0)


# ---------------------------------------------------------------------------------------- all of it


class GeneratorPlan(NamedTuple):
    """A generator: the CNN `spec` that it writes, the shared features (if any), a writer for each layer."""

    spec: CnnSpec
    shared: SharedPlan | None
    convs: tuple[LearnedConvPlan | ConvWriterPlan, ...]
    logits: LogitsPlan

    @property
    def has_trunk(self) -> bool:
        """Whether its convolutions are the same for every support set, whatever is in it.

        Then the inputs of the logits layer are computed once for each image (`trunk_features`).
        """
        are_fixed = all(isinstance(conv, LearnedConvPlan) and not conv.conv.norm for conv in self.convs)
        return are_fixed and self.shared is None and self.logits.local is None

    @property
    def shapes(self) -> Shapes:
        """Shapes of all parameters and buffers of a generator, by name."""
        shapes: Shapes = {} if self.shared is None else self.shared.shapes("shared")
        for index, conv in enumerate(self.convs):
            shapes |= conv.shapes(f"convs.{index}")
        return shapes | self.logits.shapes("logits")

    def check_size(self) -> None:
        """Refuse what fits into no memory, before any is taken.

        Raises:
            ConfigError: there would be more than `MOST_PARAMETERS`.
        """
        count = sum(map(math.prod, self.shapes.values()))
        if count > MOST_PARAMETERS:
            raise ConfigError(
                f"the generator would have {count} parameters; at most {MOST_PARAMETERS} can be",
                "fewer channels, or smaller widths in model.shared, model.local and model.transformer",
            )


def generator_plan(config: ModelConfig) -> GeneratorPlan:
    """The plan of a generator of this config."""
    spec = cnn_spec(config)
    convs = tuple(conv_plan(config, index, spec) for index in range(len(spec.convs)))
    logits = logits_plan(config, spec.convs[-1], spec.feature_count)
    return GeneratorPlan(spec, shared_plan(config), convs, logits)
