"""Every width, count and parameter shape of a generator, decided from its config alone. No torch here.

A `GeneratorPlan` is read by the modules of torch (`htgen.hypertransformer.hypertransformer`), by those with
NumPy (`htgen.hypertransformer.hypertransformer_numpy`) and by the count of the work (`htgen.bench.cost`).
Its parts have the names and the order of the modules: sample encoder, transformer, writers of the layers.
`shapes` of a part are those of its parameters, by the names and in the order of `state_dict`.
"""

import math
from dataclasses import dataclass
from typing import Literal

from htgen.cnn.spec import CnnSpec, ConvSpec
from htgen.config.model import ModelConfig, WeightsConfig, cnn_spec
from htgen.errors import ConfigError
from htgen.hypertransformer.decoder import ALLOCATIONS, ConvAllocation, LogitsAllocation
from htgen.hypertransformer.parameters import Shapes, norm_shapes
from htgen.hypertransformer.transformer_plan import TransformerPlan, transformer_plan

MOST_PARAMETERS = 2**29
"""Of a generator; training takes sixteen bytes and more for each."""

LOCAL_CONVS = 2
"""Convs of the local features of a convolutional layer; the logits layer has one."""

# ----------------------------------------------------------------------------------------- sample encoder


@dataclass(frozen=True)
class ConvPlan:
    """A learned convolution of square images.

    Attributes:
        padding: zeros before the first and behind the last row and column.
        size: side of its output in pixels.
    """

    in_channels: int
    out_channels: int
    kernel: int
    stride: int
    padding: tuple[int, int]
    size: int

    def shapes(self, name: str) -> Shapes:
        """Of its parameters, below this name."""
        weight = (self.out_channels, self.in_channels, self.kernel, self.kernel)
        return {f"{name}.weight": weight, f"{name}.bias": (self.out_channels,)}


@dataclass(frozen=True)
class SharedPlan:
    """The shared features: `convs`, each with a norm if there is `norm` (see the config); `width` numbers."""

    convs: tuple[ConvPlan, ...]
    width: int
    norm: Literal[False, True, "scale"]
    dropout: float

    def shapes(self, name: str) -> Shapes:
        """Of its parameters, below this name."""
        shapes: Shapes = {}
        for index, conv in enumerate(self.convs):
            shapes |= conv.shapes(f"{name}.convs.{index}")
        for index in range(len(self.convs) if self.norm else 0):
            shapes |= norm_shapes(f"{name}.norms.{index}", self.width)
        return shapes


def shared_plan(config: ModelConfig) -> SharedPlan | None:
    """The shared features, or None for none."""
    shared = config.shared
    if not shared.layers:
        return None
    size, channels = config.image_size, int(config.image_channels)
    convs = []
    for index in range(shared.layers):
        stride = 2 if index < shared.layers - 1 else 1
        padding = _same_padding(config, size, stride) if shared.padding == "same" else (0, 0)
        size = (size + sum(padding) - 3) // stride + 1
        convs.append(ConvPlan(channels, shared.width, 3, stride, padding, size))
        channels = shared.width
    return SharedPlan(tuple(convs), shared.width, shared.norm, shared.dropout)


def _same_padding(config: ModelConfig, size: int, stride: int) -> tuple[int, int]:
    """Zeros around images for 3x3 convolutions whose output has `size / stride` pixels, rounded up.

    The reference adds no more than that takes, of an odd number the larger part behind.
    """
    if config.conventions == "reference" and stride == 2 and size % 2 == 0:
        return 0, 1
    return 1, 1


@dataclass(frozen=True)
class LocalPlan:
    """The local features of a layer: `convs`, pooled after the ReLU if `nonlinear`, and `width` numbers."""

    convs: tuple[ConvPlan, ...]
    width: int
    nonlinear: bool
    dropout: float

    def shapes(self, name: str) -> Shapes:
        """Of its parameters, below this name."""
        shapes: Shapes = {}
        for index, conv in enumerate(self.convs):
            shapes |= conv.shapes(f"{name}.convs.{index}")
        return shapes


def local_plan(
    config: ModelConfig, channels: int, size: int, out_channels: int, of_logits: bool = False
) -> LocalPlan | None:
    """The local features of a layer, or None for none.

    Convolutions that no longer fit are left out. A kernel larger than the image shrinks to it.

    Args:
        channels, size: of the activations that they read.
        out_channels: of the layer.
        of_logits: for the logits layer, which has one convolution of kernel 3.
    """
    width = max(channels, out_channels) if config.local.width is None else config.local.width
    if width == 0:
        return None
    layers, kernel = (1, 3) if of_logits else (LOCAL_CONVS, config.local.kernel or config.cnn.kernel)
    kernels = [min(kernel, size)] + [kernel] * (layers - 1)
    if size < kernel and config.conventions == "reference":
        kernels = [size] * layers  # so that of one pixel there are two convolutions
    convs: list[ConvPlan] = []
    for index, side in enumerate(kernels):
        if size < side:
            break
        stride = 2 if index < layers - 1 else 1
        size = (size - side) // stride + 1
        convs.append(ConvPlan(channels, width, side, stride, (0, 0), size))
        channels = width
    nonlinear = bool(config.local.nonlinear) if of_logits else config.local.nonlinear is True
    return LocalPlan(tuple(convs), width * len(convs), nonlinear, config.local.dropout)


# ---------------------------------------------------------------------------------- writers of the layers


@dataclass(frozen=True)
class SlicesPlan:
    """Everything between the features of the samples and the weight slices of one layer.

    Attributes:
        labels: rows of the label table: of each class, of no label, and with codes (of the map) an offset.
        placeholders: number of weight placeholders; with codes, that of the logits layer's map and offset.
        slice_size: numbers per slice.
        embedding: width of label and weight embeddings.
    """

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
    return SlicesPlan(config.max_way + 1 + config.has_codes, placeholders, slice_size, embedding, transformer)


@dataclass(frozen=True)
class LearnedConvPlan:
    """A convolutional block that is learned.

    Attributes:
        norm: names of its norm parameters.
        bases: names of its kernels: of all images, or of support images and of queries.
    """

    conv: ConvSpec
    norm: tuple[str, ...]
    bases: tuple[str, ...]

    def shapes(self, name: str) -> Shapes:
        """Of its parameters, below this name."""
        return _learned_shapes(name, self)


@dataclass(frozen=True)
class ConvWriterPlan:
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
    """Of a learned part of a block: `[O, C, k, k]` of a kernel, `[O]` of the others."""
    if part.endswith("kernel"):
        return (conv.out_channels, conv.in_channels, conv.kernel, conv.kernel)
    return (conv.out_channels,)


@dataclass(frozen=True)
class LogitsPlan:
    """The logits layer.

    Attributes:
        feature_count: number of its inputs.
        sees_inputs: whether these are among the features of a sample.
        inputs_first: whether they come before the local features.
        inputs_dropout: of these inputs as features.
        bases: names of the learned weight and bias that are added to what is generated, if any.
        base_scale: initial scale of what is added to a layer from class means; None = no such layer.
        refinements: steps of soft k-means.
        plda: whether class means are corrected.
    """

    feature_count: int
    sees_inputs: bool
    inputs_first: bool
    inputs_dropout: float
    bases: tuple[str, ...]
    base_scale: float | None
    refinements: int
    plda: bool
    allocation: LogitsAllocation
    local: LocalPlan | None
    slices: SlicesPlan

    def base_shape(self, part: str) -> tuple[int, ...]:
        """Of a learned part, for all label slots: `[N, F]` of the weight, `[N]` of the bias."""
        rows = self.slices.placeholders
        return (rows, self.feature_count) if part.endswith("weight") else (rows,)

    def shapes(self, name: str) -> Shapes:
        """Of its parameters, below this name."""
        shapes: Shapes = {}
        if self.base_scale is not None:
            shapes |= {f"{name}.log_sharpness": (), f"{name}.scale": ()}
        for part in self.bases:
            shapes[f"{name}.base_{part}"] = self.base_shape(part)
        if self.local is not None:
            shapes |= self.local.shapes(f"{name}.local")
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
    norm: tuple[str, ...] = ("gamma", "beta")
    if config.cnn.separate_query_norm:
        norm += ("query_gamma", "query_beta")
    if weights.learns(index, count):
        return LearnedConvPlan(conv, norm, _with_copies(config, ("kernel",)))
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
        weights.base_scale if weights.prototypes else None,
        weights.refine_prototypes,
        weights.plda,
        allocation,
        local,
        slices_plan(config, features, config.max_way + config.has_codes, allocation.slice_size),
    )


def _feature_width(config: ModelConfig, local: LocalPlan | None) -> int:
    """Of the shared and the local features of a sample."""
    return (config.shared.width if config.shared.layers else 0) + (local.width if local is not None else 0)


# ---------------------------------------------------------------------------------------- all of it


@dataclass(frozen=True)
class GeneratorPlan:
    """A generator: the CNN `spec` that it writes, the shared features (if any), a writer for each layer."""

    spec: CnnSpec
    shared: SharedPlan | None
    convs: tuple[LearnedConvPlan | ConvWriterPlan, ...]
    logits: LogitsPlan

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
