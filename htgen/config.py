"""The typed configuration: what may be set, its defaults, and what each value means.

How configs are read is in `htgen.config_files`, what is said of wrong ones in `htgen.config_faults`. No torch
here, so that listing presets is instant.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from htgen.shapes import SHAPES, cnn_spec

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Count = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]


def _known_shape(name: str) -> str:
    if name not in SHAPES:
        known = ", ".join(f"'{shape}'" for shape in SHAPES)
        raise PydanticCustomError("shape", "input should be one of {known}", {"known": known})
    return name


def _known_name(name: str) -> str:
    # It becomes a folder below runs/.
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise PydanticCustomError(
            "name", "input should be letters, digits, '.', '_' and '-', beginning with a letter or digit"
        )
    return name


def _ascending(numbers: tuple[int, ...]) -> tuple[int, ...]:
    if list(numbers) != sorted(set(numbers)):
        raise PydanticCustomError("ascending", "input should be each number at most once, in ascending order")
    return numbers


def _number_or_range(minimum: int) -> Any:
    """Type of a whole number from `minimum` on, or of an inclusive range of such; YAML's is a list."""

    def check(value: Any) -> Any:
        pair = tuple(value) if isinstance(value, list | tuple) else (value, value)
        if len(pair) != 2 or any(type(v) is not int or v < minimum for v in pair):
            raise PydanticCustomError(
                "range",
                "input should be a whole number from {minimum} on, or a range [low, high] of two such",
                {"minimum": minimum},
            )
        return pair if isinstance(value, list | tuple) else value

    return BeforeValidator(check)


CountOrRange = Annotated[int | tuple[int, int], _number_or_range(1)]
NaturalOrRange = Annotated[int | tuple[int, int], _number_or_range(0)]


def section_below(section: type[BaseModel], key: Any) -> type[BaseModel] | None:
    """The section that is below a key, if it is one."""
    field = section.model_fields.get(key)
    inner = None if field is None else field.annotation
    return inner if isinstance(inner, type) and issubclass(inner, BaseModel) else None


class _Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    @model_validator(mode="before")
    @classmethod
    def _empty_sections_are_their_defaults(cls, values: Any) -> Any:
        if isinstance(values, dict):
            return {k: v for k, v in values.items() if v is not None or section_below(cls, k) is None}
        return values


Precision = Literal["auto", "float32", "bfloat16"]


class DataConfig(_Section):
    """Which classes to learn from."""

    store: str = "data/omniglot"
    """Folder of a store made by `htgen prepare-data`."""
    train: str = "lake:train"
    """Classes to train on, as scheme:part or ranges of class ids."""
    val: str = "lake:val"
    """Classes that choose the best checkpoint."""


class EpisodeConfig(_Section):
    """What an episode looks like. Counts are numbers, or inclusive ranges [low, high] drawn per step."""

    way: CountOrRange = 20
    """Classes per episode."""
    shot: CountOrRange = 1
    """Labelled support images per class; ranges are drawn log-uniformly."""
    query: CountOrRange = 3
    """Query images per class."""
    unlabeled: NaturalOrRange = 0
    """Support images per class that come without their label."""
    support_size: Count | None = None
    """Labelled support images in all, instead of shot; the first (size mod way) classes get one more."""
    query_size: Count | None = None
    """Query images in all, instead of query; likewise."""
    balanced: bool = True
    """Same counts for every class; otherwise support and query are cut from one shuffled batch."""
    remove_labeled: Fraction = 0.0
    """Hide labelled support images, each with a probability drawn per episode up to this."""
    remove_unlabeled: Fraction = 0.0
    """The same for unlabelled ones."""
    related: Fraction = 0.0
    """Share of episodes whose classes come from one group (alphabet), or from a few, drawn until they hold
    enough classes. The group is what a class name has before its last `/`."""

    @model_validator(mode="after")
    def _ranges_ascend(self) -> "EpisodeConfig":
        faults = []
        for name in ("way", "shot", "query", "unlabeled"):
            value = getattr(self, name)
            if isinstance(value, tuple) and value[0] > value[1]:
                faults.append(f"{name}: the range {list(value)} is upside down")
        ways = self.way if isinstance(self.way, tuple) else (self.way, self.way)
        if min(ways) < 2:
            faults.append("way: an episode needs at least 2 classes")
        if self.remove_unlabeled and self.unlabeled == 0:
            faults.append("remove_unlabeled: changes nothing while unlabeled is 0")
        if self.support_size is not None and self.support_size < max(ways):
            faults.append("support_size: every class needs a labelled image")
        if faults:
            raise ValueError("\n".join(faults))
        return self


class AlikeConfig(_Section):
    """Changes that all images of an episode, or of each class, get alike. Probabilities; 0 = never."""

    per_class: bool = False
    """Draw once per class of an episode; otherwise once per episode."""
    rotate: Fraction = 0.0
    """Turn by an angle of -angle..angle."""
    angle: Annotated[float, Field(gt=0, le=180)] = 180.0
    """Degrees."""
    resize: Fraction = 0.0
    """Shrink to 70..100 % of the side."""
    roll: Fraction = 0.0
    """Move by up to 30 % of the side along both axes, round the edges."""
    smooth: Fraction = 0.0
    """Mean of 3x3 pixels."""
    contrast: Fraction = 0.0
    """A tanh curve whose steepness is drawn from 0.5..2.5."""
    negate: Fraction = 0.0
    """Exchange dark and bright."""

    @model_validator(mode="after")
    def _nothing_is_idle(self) -> "AlikeConfig":
        faults = []
        if self.angle != 180.0 and not self.rotate:
            faults.append("angle: changes nothing while rotate is 0")
        if self.per_class and not any(
            (self.rotate, self.resize, self.roll, self.smooth, self.contrast, self.negate)
        ):
            faults.append("per_class: changes nothing while all probabilities are 0")
        if faults:
            raise ValueError("\n".join(faults))
        return self


class PhotoConfig(_Section):
    """Changes of photographs; magnitudes are limits of uniform distributions, 0 = off."""

    per_image: bool = False
    """Draw for every image; otherwise once per episode."""
    flip: Fraction = 0.0
    """Probability of swapping left and right."""
    crop: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Keep a random square of 1-crop..1 times the side, enlarged to the full size."""
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Fraction of the colour circle."""
    brightness: Fraction = 0.0
    """Fraction of the full range, added or taken away."""
    contrast: Fraction = 0.0
    """Distances from the image's mean change by a factor of 1-contrast..1+contrast."""

    @model_validator(mode="after")
    def _nothing_is_idle(self) -> "PhotoConfig":
        if self.per_image and not any((self.flip, self.crop, self.hue, self.brightness, self.contrast)):
            raise ValueError("per_image: changes nothing while everything else is 0")
        return self


class NewClassesConfig(_Section):
    """Warps that all images of a class share, which makes new classes of old ones; 0 = off."""

    mirror: bool = False
    """Swap left and right in half of the classes."""
    rotation: Annotated[float, Field(ge=0, le=180)] = 0.0
    """Degrees."""
    scale: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Relative size, per axis."""
    shear: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Tangent of the shear angle."""
    elastic: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Standard deviation of a smooth displacement, as a fraction of the image side."""


class AugmentConfig(_Section):
    """Changes of images; magnitudes are limits of uniform distributions, 0 = off."""

    rotate90: Literal[False, True, "class", "episode"] = False
    """Turn whole classes (class, or true), or whole episodes, by a random multiple of 90 degrees."""
    rotation: Annotated[float, Field(ge=0, le=180)] = 0.0
    """Degrees, per image."""
    scale: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Relative size, per image and axis."""
    shear: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Tangent of the shear angle, per image."""
    shift: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Fraction of the image side, per image and axis."""
    elastic: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Standard deviation of a smooth displacement, as a fraction of the image side."""
    chimeras: Fraction = 0.0
    """Share of classes made of two: on one side of a line their images are those of another class."""
    new_classes: NewClassesConfig = NewClassesConfig()
    alike: AlikeConfig = AlikeConfig()
    photo: PhotoConfig = PhotoConfig()


class ValidationAugmentConfig(AugmentConfig):
    """Changes of validation images. Off by default: a generator is used on images as they are."""

    as_training: bool = False
    """As in the section augment; the rest of this section must be left out."""

    @model_validator(mode="after")
    def _said_once(self) -> "ValidationAugmentConfig":
        if self.as_training and self.model_dump(exclude={"as_training"}) != AugmentConfig().model_dump():
            raise ValueError("as_training: the section's other values would change nothing; leave them out")
        return self

    def resolve(self, training: AugmentConfig) -> AugmentConfig:
        """What validation images get, given the section of the training images."""
        if self.as_training:
            return training
        return AugmentConfig(**{name: getattr(self, name) for name in AugmentConfig.model_fields})


class CnnConfig(_Section):
    """The CNN that is generated."""

    shape: Annotated[str, AfterValidator(_known_shape)] = "maxpool-4-layer"
    """`maxpool-4-layer` is the paper's; the others are strided and end in global average pooling."""
    channels: Count = 8
    """Output channels of every convolution."""
    pools: Annotated[
        tuple[Annotated[int, Field(ge=1, le=4)], ...], Field(strict=False), AfterValidator(_ascending)
    ] = (1, 2, 3, 4)
    """maxpool-4-layer: which blocks pool; the paper's all do."""
    kernel: Literal[1, 3, 5, 7] = 3
    """Side of the kernels."""
    stride: Count | None = None
    """Stride of the convolutions of 3-layer and 4-layer; null = 2. maxpool-4-layer always has 1."""
    activation: Literal["relu", "lrelu"] = "relu"
    """lrelu has slope 0.01."""
    norm: Literal["support", "batch"] = "support"
    """Statistics of the support set, or of the batch at hand (the reference's, transductive)."""
    norm_first: bool = False
    """conv -> norm -> activation -> pool, instead of conv -> activation -> pool -> norm."""
    separate_query_norm: bool = False
    """Learn a second scale and shift of every norm for query images; exported CNNs have these."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Before the logits layer, in training."""

    @model_validator(mode="before")
    @classmethod
    def _as_in_0_1(cls, values: Any) -> Any:
        """`last_pool` of configs and generators of htgen 0.1."""
        if not isinstance(values, dict) or not isinstance(values.get("last_pool"), bool):
            return values
        values = dict(values)
        return {"pools": (1, 2, 3, 4) if values.pop("last_pool") else (1, 2, 3), **values}


class SharedFeaturesConfig(_Section):
    """The small conv net that reads support images once per episode."""

    layers: Literal[0, 2, 3, 4] = 4
    """0 = none."""
    width: Count = 32
    """Channels, and features per image."""
    padding: Literal["same", "valid"] = "same"
    """Of the convolutions."""
    norm: bool = False
    """Batch norm after each ReLU."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """On the features, in training."""


class LocalFeaturesConfig(_Section):
    """Learned convs over the activations that enter each layer."""

    width: Natural | None = None
    """Features per conv; null = the larger of the layer's input and output channels; 0 = none."""
    nonlinear: bool = False
    """Pool after the ReLU instead of before it."""
    logits: Literal["default", "passthrough", "mix"] = "default"
    """For the logits layer: convs over the last activations, the inputs of the logits layer, or both."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """On the features, in training."""


class TransformerConfig(_Section):
    """The transformer of each layer. Widths up to 3.0 are fractions of the token width."""

    topology: Literal["joint", "encoder-decoder", "separate"] = "joint"
    """One encoder over samples and weights together; the same to a decoder too; or samples to the encoder
    and weights to the decoder."""
    layers: Count = 3
    """Of the encoder, and as many of the decoder if there is one."""
    heads: Count = 2
    """Of every attention."""
    key_width: Positive = 1.0
    """Of queries and keys, all heads together; rounded up to a multiple of the heads."""
    value_width: Positive = 1.0
    """Of values; likewise."""
    inner_width: Annotated[float, Field(ge=0)] = 1.0
    """Of the MLP; likewise; 0 = no MLP."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """After attention and MLP, in training."""
    activation: Literal["softmax", "sigmoid"] = "softmax"
    """Of the attention logits."""
    nonlinearity: Literal["relu", "gelu", "lrelu"] = "relu"
    """Of the MLP; lrelu has slope 0.1."""
    skip_last_nonlinearity: bool = False
    """Make the last layer's MLP linear."""

    @model_validator(mode="after")
    def _widths_are_not_lost(self) -> "TransformerConfig":
        # Widths are rounded to six digits per head; tokens are at least 1 wide.
        faults = [
            f"{name}: {width} is too small to be a width; at least 0.01"
            for name in ("key_width", "value_width", "inner_width")
            if 0 < (width := getattr(self, name)) < 1e-6 * self.heads
        ]
        if faults:
            raise ValueError("\n".join(faults))
        return self


class WeightsConfig(_Section):
    """How tokens become weights."""

    allocation: Literal["output", "spatial"] = "output"
    """One slice per output channel (the paper's), or per kernel position."""
    generate_bias: bool = False
    """Generate a bias for every convolution."""
    generate_norm: bool = False
    """Generate scale and shift of every norm; otherwise they are learned."""
    base: bool = False
    """Convolutions: add what is generated, times a learned scale, to learned task-independent kernels."""
    base_scale: Positive = 0.1
    """Initial value of that scale."""
    prototypes: bool = False
    """Start the logits layer from the class means of the support activations."""
    refine_prototypes: Natural = 0
    """Steps of soft k-means by which unlabelled support images move the class means; needs prototypes."""
    plda: bool = False
    """Correct the class means, and weigh features, by how classes and their samples vary in training
    (probabilistic linear discriminant analysis, measured at each validation); needs prototypes."""
    plda_floor: Positive = 1.0
    """Noise that `plda` reckons with beside what was measured, relative to it: new classes are different."""
    learned_layers: int = 0
    """The first N convolutions (last N when negative) are learned, without bias, instead of generated."""


class ModelConfig(_Section):
    """The generator and the CNN that it writes."""

    max_way: Annotated[int, Field(ge=2)] = 20
    """Most classes that a generated CNN can have."""
    image_size: Annotated[int, Field(ge=8)] = 28
    """Side of the images in pixels, as in the store."""
    image_channels: Literal[1, 3] = 1
    """1 = grey, 3 = colour, as in the store."""
    views: Count = 1
    """In use, not in training: with fewer support images per class, on average, turned and scaled copies of
    all are shown too."""
    embedding_dim: Count = 32
    """Width of label and weight embeddings."""
    cnn: CnnConfig = CnnConfig()
    shared: SharedFeaturesConfig = SharedFeaturesConfig()
    local: LocalFeaturesConfig = LocalFeaturesConfig()
    transformer: TransformerConfig = TransformerConfig()
    weights: WeightsConfig = WeightsConfig()

    @model_validator(mode="after")
    def _fits_together(self) -> "ModelConfig":
        faults = []
        if self.weights.refine_prototypes and not self.weights.prototypes:
            faults.append("weights.refine_prototypes: there are no class means without prototypes")
        if self.weights.plda and not self.weights.prototypes:
            faults.append("weights.plda: there are no class means without prototypes")
        if self.weights.allocation == "spatial" and (
            self.weights.generate_bias or self.weights.generate_norm
        ):
            faults.append(
                "weights.allocation: spatial slices hold no per-channel numbers, so generate_bias and "
                "generate_norm need allocation: output"
            )
        if self.local.width == 0 and self.shared.layers == 0 and self.local.logits == "default":
            faults.append("local.width: 0 without shared features leaves tokens that see no image")
        if self.cnn.separate_query_norm and self.weights.generate_norm:
            faults.append("cnn.separate_query_norm: norm parameters are either learned or generated")
        if (
            self.shared.layers
            and self.shared.padding == "valid"
            and self.image_size < 2**self.shared.layers * 2 - 1
        ):
            faults.append(
                f"shared.padding: {self.shared.layers} layers of valid convs need images of "
                f"{2**self.shared.layers * 2 - 1} pixels or more"
            )
        try:
            convs = cnn_spec(self).convs
        except ValueError as error:
            faults.append(str(error))
        else:
            if abs(self.weights.learned_layers) > len(convs):
                faults.append(f"weights.learned_layers: the CNN has {len(convs)} convolutions")
            if min(conv.out_size for conv in convs) < 1:
                faults.append(
                    f"image_size: {self.image_size} pixels do not survive {len(convs)} blocks of "
                    f"{self.cnn.shape}"
                )
        if faults:
            raise ValueError("\n".join(faults))
        return self


class OptimizerConfig(_Section):
    """Optimiser and learning-rate schedule."""

    name: Literal["adamw", "sgd"] = "adamw"
    """AdamW, or plain stochastic gradient descent."""
    lr: Positive = 1e-3
    """Peak learning rate."""
    schedule: Literal["cosine", "exponential", "constant"] = "cosine"
    """How the learning rate goes on after the warm-up."""
    warmup: Natural = 200
    """Steps of linear rise to the peak."""
    final: Fraction = 0.01
    """cosine: the last learning rate, as a fraction of the peak."""
    decay_rate: Annotated[float, Field(gt=0, le=1)] = 0.95
    """exponential: factor per decay_steps."""
    decay_steps: Count = 100_000
    """exponential: see decay_rate."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """Of matrices and kernels; embeddings, norms, biases and scales are left alone."""
    clip: Annotated[float, Field(ge=0)] = 1.0
    """Largest gradient norm; 0 = no clipping."""


class TrainConfig(_Section):
    """The training loop."""

    steps: Count = 10_000
    """Optimiser steps in all."""
    minutes: Positive | None = None
    """Train for so long, instead of for `steps`; a cosine schedule then follows the clock. No such run can be
    repeated exactly."""
    episodes_per_step: Count = 16
    """Episodes whose mean loss makes one step."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the target that is spread evenly over the classes of the episode."""
    l2: Annotated[float, Field(ge=0)] = 0.0
    """Weight of half the sum of squares of CNN kernels and logits weights in the loss."""
    variation_penalty: Annotated[float, Field(ge=0)] = 0.0
    """Weight of sum(generated^2) / sum(base^2) in the loss; needs model.weights.base."""
    head_steps: Natural = 0
    """Steps over which the loss slides from warm-up heads behind each convolution to the real logits."""
    shared_head: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the loss of a linear classifier of all training classes on the shared features."""
    pretrain_shared: bool = False
    """Train the shared features alone, with the shared head's loss."""
    restore_shared: str | None = None
    """Run folder (its averaged ones, if it averages) or generator file whose shared features a new run starts
    from."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay per step of averaged weights, which are then the ones validated and shipped; 0 = off."""
    log_every: Count = 100
    """Steps between lines of metrics.jsonl."""
    val_every: Count = 500
    """Steps between validations."""
    val_tasks: Annotated[int, Field(ge=2)] = 200
    """Episodes per validation."""
    save_every: Count = 500
    """Steps between checkpoints."""
    precision: Precision = "auto"
    """auto = TF32 products on a GPU, float32 on the CPU; bfloat16 = mixed precision (autocast)."""


class Config(_Section):
    """A whole training run."""

    name: Annotated[str, AfterValidator(_known_name)] = "run"
    """Name of the generator that the run makes: letters, digits, '.', '_' and '-'."""
    description: str = ""
    """One line for `htgen configs`."""
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] = 0
    """Of initial weights, episodes and dropout."""
    data: DataConfig = DataConfig()
    episodes: EpisodeConfig = EpisodeConfig()
    validation: EpisodeConfig = EpisodeConfig(query=5)
    augment: AugmentConfig = AugmentConfig()
    augment_validation: ValidationAugmentConfig = ValidationAugmentConfig()
    model: ModelConfig = ModelConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    train: TrainConfig = TrainConfig()

    @model_validator(mode="after")
    def _fits_together(self) -> "Config":
        faults = []
        for section in ("episodes", "validation"):
            way = getattr(self, section).way
            largest = way[1] if isinstance(way, tuple) else way
            if largest > self.model.max_way:
                faults.append(f"{section}.way: {largest} classes, but model.max_way is {self.model.max_way}")
            if self.model.transformer.topology == "separate":
                faults += [
                    f"{section}.{name}: samples cannot be removed with model.transformer.topology: separate"
                    for name in ("remove_labeled", "remove_unlabeled")
                    if getattr(getattr(self, section), name)
                ]
        for section in ("augment", "augment_validation"):
            if getattr(self, section).photo.hue and self.model.image_channels == 1:
                faults.append(f"{section}.photo.hue: grey images have no hue; model.image_channels: 3 has")
        if self.train.variation_penalty and not self.model.weights.base:
            faults.append("train.variation_penalty: there is no variation without model.weights.base")
        elif self.train.variation_penalty and abs(self.model.weights.learned_layers) == len(
            cnn_spec(self.model).convs
        ):
            faults.append("train.variation_penalty: model.weights.learned_layers leaves nothing to generate")
        if not self.model.shared.layers:
            faults += [
                f"train.{name}: there are no shared features with model.shared.layers: 0"
                for name in ("shared_head", "pretrain_shared", "restore_shared")
                if getattr(self.train, name)
            ]
        if self.train.pretrain_shared:
            faults += [
                f"train.{name}: pretrain_shared trains no CNN, so it would change nothing"
                for name in ("head_steps", "label_smoothing", "l2", "variation_penalty")
                if getattr(self.train, name)
            ]
        if faults:
            raise ValueError("\n".join(faults))
        return self
