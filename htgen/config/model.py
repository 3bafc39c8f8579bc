"""The generator and the CNN that it writes: section `model` of the config. No torch here."""

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from htgen.cnn.shapes import SHAPES, CnnConfig
from htgen.cnn.spec import LARGEST_ACTIVATION, CnnSpec, ConvSpec
from htgen.schema import MOST_IMAGES, Faults, Positive, Section, Width, refuse

CODE_SETS = 2**20
"""With labels: codes, the sets of orthogonal codes that training episodes draw from."""


MOST_CODES = 256
"""With labels: codes, the classes that a transformer is shown at once; memory grows with their square."""


class SharedFeaturesConfig(Section):
    """The small conv net that reads support images once per episode."""

    layers: Literal[0, 2, 3, 4] = 4
    """0 = none."""
    width: Width = 32
    """Channels, and features per image."""
    padding: Literal["same", "valid"] = "same"
    """Of the convolutions; see model.conventions for the sides that `same` pads."""
    norm: Literal[False, True, "scale"] = False
    """After each ReLU: batch norm by the support set (true), or a learned scale and shift of each channel
    (scale), which is what the norm of `2-layer-bn` and `3-layer-bn` amounts to in the reference."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """On the features, in training."""


class LocalFeaturesConfig(Section):
    """Learned convs over the activations that enter each layer."""

    width: Annotated[int, Field(ge=0, le=4096)] | None = None
    """Features per conv; null = the larger of the layer's input and output channels; 0 = none."""
    kernel: Literal[1, 3, 5, 7] | None = 3
    """Side of the kernels; null = model.cnn.kernel, as in the reference. The logits layer's is always 3."""
    nonlinear: Literal[False, True, "logits"] = False
    """Average after the ReLU instead of before it; logits = for the logits layer alone, as the reference."""
    logits: Literal["default", "passthrough", "mix"] = "default"
    """For the logits layer: convs over the last activations, the inputs of the logits layer, or both."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """On the features, in training."""


class TransformerConfig(Section):
    """The transformer of each layer. Widths up to 3.0 are fractions of the token width."""

    topology: Literal["joint", "encoder-decoder", "separate"] = "joint"
    """One encoder over samples and weights together; the same to a decoder too; or samples to the encoder
    and weights to the decoder."""
    layers: Annotated[int, Field(ge=1, le=64)] = 3
    """Of the encoder, and as many of the decoder if there is one."""
    heads: Annotated[int, Field(ge=1, le=256)] = 2
    """Of every attention."""
    key_width: Annotated[float, Field(gt=0, le=4096)] = 1.0
    """Of queries and keys, all heads together; rounded up to a multiple of the heads."""
    value_width: Annotated[float, Field(gt=0, le=4096)] = 1.0
    """Of values; likewise."""
    inner_width: Annotated[float, Field(ge=0, le=65_536)] = 1.0
    """Of the MLP; likewise; 0 = no MLP."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """After attention and MLP; see model.dropout_as."""
    activation: Literal["softmax", "sigmoid"] = "softmax"
    """Of the attention logits."""
    nonlinearity: Literal["relu", "gelu", "lrelu"] = "relu"
    """Of the MLP; lrelu has slope 0.1."""
    skip_last_nonlinearity: bool = False
    """Make the last layer's MLP linear."""
    decoder_nonlinearity: Literal["same", "relu"] = "same"
    """Of the decoder's MLPs. relu = always ReLU, and skip_last_nonlinearity changes nothing where there is a
    decoder, as in the reference."""

    @model_validator(mode="after")
    def _widths_are_not_lost(self) -> "TransformerConfig":
        # Widths are rounded to six digits per head; tokens are at least 1 wide.
        faults = [
            (name, f"{width} is too small to be a width; at least 0.01")
            for name in ("key_width", "value_width", "inner_width")
            if 0 < (width := getattr(self, name)) < 1e-6 * self.heads
        ]
        refuse(faults)
        return self


class WeightsConfig(Section):
    """How tokens become weights."""

    allocation: Literal["output", "spatial"] = "output"
    """One slice per output channel (the paper's), or per kernel position."""
    generate_bias: bool = False
    """Generate a bias for every convolution."""
    generate_norm: bool = False
    """Generate scale and shift of every norm; otherwise they are learned."""
    base: Literal[False, True, "all"] = False
    """Convolutions: add what is generated, times a learned scale, to learned task-independent kernels. all =
    without the scale; biases, norms and the logits layer have such a learned part too (the reference's)."""
    base_scale: Positive = 0.1
    """Initial value of that scale."""
    prototypes: Literal[False, True, "alone"] = False
    """Start the logits layer from the class means of the support activations; alone = no transformer adds
    anything to it."""
    refine_prototypes: Annotated[int, Field(ge=0, le=1000)] = 0
    """Steps of soft k-means by which unlabelled support images move the class means; needs prototypes."""
    plda: bool = False
    """Correct the class means, and weigh features, by how classes and their samples vary in training
    (probabilistic linear discriminant analysis, measured at each validation); needs prototypes."""
    plda_floor: Positive = 1.0
    """Noise that `plda` reckons with beside what was measured, relative to it: new classes are different."""
    learned_layers: Annotated[int, Field(ge=-100, le=100)] = 0
    """The first N convolutions (last N when negative) are learned instead of generated."""

    def learns(self, index: int, count: int) -> bool:
        """Whether block `index` of `count` is learned instead of generated."""
        learned = self.learned_layers
        return index < learned or index >= count - max(0, -learned)


class ModelConfig(Section):
    """The generator and the CNN that it writes."""

    max_way: Annotated[int, Field(ge=2, le=MOST_IMAGES)] = 20
    """Label slots: most classes that a generated CNN can have. With labels: codes it can have any number,
    and so many of them have orthogonal codes."""
    labels: Literal["table", "codes"] = "table"
    """What stands for a class: a learned row for each of max_way slots; or a learned map of a code, drawn for
    each training episode, so that a generated CNN can have any number of classes."""
    image_size: Annotated[int, Field(ge=8, le=4096)] = 28
    """Side of the images in pixels, as in the store."""
    image_channels: Literal[1, 3] = 1
    """1 = grey, 3 = colour, as in the store."""
    views: Annotated[int, Field(ge=1, le=1000)] = 1
    """In use, not in training: with fewer support images per class, on average, turned and scaled copies of
    all are shown too."""
    conventions: Literal["htgen", "reference"] = "htgen"
    """How numbers are laid out, rounded and initialised; reference = as the published TensorFlow code does
    (see docs/reference/parity.md)."""
    dropout_as: Literal["htgen", "reference"] = "htgen"
    """When cnn.dropout and transformer.dropout apply: in training only (htgen); or, as in the reference, the
    CNN's in evaluation and validation only, the transformer's in training, evaluation and validation. No
    generator in use, and no exported CNN, has dropout."""
    embedding_dim: Width = 32
    """Width of label and weight embeddings."""
    cnn: CnnConfig = CnnConfig()
    shared: SharedFeaturesConfig = SharedFeaturesConfig()
    local: LocalFeaturesConfig = LocalFeaturesConfig()
    transformer: TransformerConfig = TransformerConfig()
    weights: WeightsConfig = WeightsConfig()

    @property
    def slot_sets(self) -> int:
        """How many sets of max_way label slots there are."""
        return CODE_SETS if self.has_codes else 1

    @property
    def most_at_once(self) -> int:
        """Classes that a transformer is shown at once."""
        return MOST_CODES if self.has_codes else self.max_way

    @property
    def has_codes(self) -> bool:
        """Whether codes stand for classes, of which there can be any number then."""
        return self.labels == "codes"

    @model_validator(mode="after")
    def _fits_together(self) -> "ModelConfig":
        faults = []
        if self.weights.refine_prototypes and not self.weights.prototypes:
            faults.append(("weights.refine_prototypes", "there are no class means without prototypes"))
        if self.weights.plda and not self.weights.prototypes:
            faults.append(("weights.plda", "there are no class means without prototypes"))
        if self.weights.allocation == "spatial" and (
            self.weights.generate_bias or self.weights.generate_norm
        ):
            reason = (
                "spatial slices hold no per-channel numbers, so generate_bias and generate_norm need "
                "allocation: output"
            )
            faults.append(("weights.allocation", reason))
        reads_nothing = self.local.width == 0 and self.shared.layers == 0 and self.local.logits == "default"
        if reads_nothing and self.weights.prototypes != "alone":
            faults.append(("local.width", "0 without shared features leaves tokens that see no image"))
        if self.labels == "codes" and self.weights.base == "all":
            faults.append(("weights.base", "all learns a logits layer by slot, which labels: codes has not"))
        norms_have_base = self.cnn.separate_query_norm == "kernels" and self.weights.base == "all"
        if self.cnn.separate_query_norm and self.weights.generate_norm and not norms_have_base:
            faults.append(("cnn.separate_query_norm", "norm parameters are either learned or generated"))
        if (
            self.shared.layers
            and self.shared.padding == "valid"
            and self.image_size < 2**self.shared.layers * 2 - 1
        ):
            side = 2**self.shared.layers * 2 - 1
            reason = f"{self.shared.layers} layers of valid convs need images of {side} pixels or more"
            faults.append(("shared.padding", reason))
        try:
            convs = cnn_spec(self).convs
        except Faults as found:
            faults += found.pairs
        else:
            for index, conv in enumerate(convs):
                is_plain = conv.groups == 1 and not conv.add and conv.norm
                if not is_plain and not self.weights.learns(index, len(convs)):
                    reason = (
                        f"{conv.name} of {self.cnn.shape} has groups, adds a block or has no norm, which no "
                        "generator writes"
                    )
                    faults.append(("cnn.shape", reason))
            if abs(self.weights.learned_layers) > len(convs):
                faults.append(("weights.learned_layers", f"the CNN has {len(convs)} convolutions"))
            if (largest := self._largest_activation(convs)) > LARGEST_ACTIVATION:
                made = f"{self.image_size} pixels make layers of {largest} numbers an image"
                reason = f"{made}; at most {LARGEST_ACTIVATION} can be"
                faults.append(("image_size", reason))
            if min(conv.out_size for conv in convs) < 1:
                blocks = f"{len(convs)} blocks of {self.cnn.shape}"
                faults.append(("image_size", f"{self.image_size} pixels do not survive {blocks}"))
        refuse(faults)
        return self

    def _largest_activation(self, convs: tuple[ConvSpec, ...]) -> int:
        """Numbers in the largest output of a layer for one image: of the CNN, or of what reads its images."""
        channels = max(self.cnn.channels, self.local.width or 0)
        shared = self.shared.width * ((self.image_size + 1) // 2) ** 2 if self.shared.layers else 0
        return max(shared, *(channels * max(conv.in_size, conv.conv_size) ** 2 for conv in convs))


SINCE_0_1_0 = (
    "labels",
    "conventions",
    "dropout_as",
    "cnn.count_ignored",
    "local.kernel",
    "transformer.decoder_nonlinearity",
)
"""Keys that htgen 0.1.0 did not have."""


def model_record(config: ModelConfig) -> dict[str, Any]:
    """The section in plain JSON values, as files of generators hold it.

    Keys that an earlier version did not have are left out where they have their default: a file that is read
    and written again has the same bytes.
    """
    record, default = config.model_dump(mode="json"), ModelConfig().model_dump(mode="json")
    for path in SINCE_0_1_0:
        *sections, key = path.split(".")
        values, usual = record, default
        for section in sections:
            values, usual = values[section], usual[section]
        if values[key] == usual[key]:
            del values[key]
    return record


def cnn_spec(config: ModelConfig) -> CnnSpec:
    """The description of the CNN that a generator of this config writes."""
    spec = SHAPES[config.cnn.shape](config.cnn, config.image_size, config.image_channels)
    if not config.weights.generate_bias:
        return spec
    biases = (not config.weights.learns(index, len(spec.convs)) for index in range(len(spec.convs)))
    convs = (replace(conv, bias=conv.bias or bias) for conv, bias in zip(spec.convs, biases, strict=True))
    return replace(spec, convs=tuple(convs))
