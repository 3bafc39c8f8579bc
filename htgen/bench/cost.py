"""How much work it is: multiply-adds counted from a config alone. No torch here.

Counted are the products of sums, which are nearly all of the arithmetic: convolutions, linear layers,
attention, class means and the logits layer, each exactly as `htgen.hypertransformer.hypertransformer` runs
it. Not counted is what touches each number once or a few times (norms, activations, pools, softmax,
augmentation, the optimiser), and neither are loss terms that only training knows (warm-up heads, the shared
head).

Backward rule: a product `y = a b` needs, for each factor that has a gradient, one further product of
the same size. So backward is twice forward, except that inputs without gradient cost nothing: the
images, which enter the first convolution, its local features and the shared features, and the class
memberships of the prototypes.

Axis legend: n ways, S support and Q query images, T tokens, D token width.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from htgen.cnn.spec import CnnSpec, ConvSpec
from htgen.config.model import ModelConfig, TransformerConfig, cnn_spec
from htgen.episodes.shape import EpisodeSize
from htgen.errors import ModelError
from htgen.hypertransformer.plan import (
    LOCAL_CONVS,
    ConvSize,
    is_learned,
    local_convs,
    local_width,
    resolve_width,
    shared_convs,
    token_widths,
)
from htgen.hypertransformer.views import copies_of_each

Kind = Literal["shared features", "local features", "transformer", "cnn", "prototypes"]


@dataclass(frozen=True)
class Part:
    """One part of the work.

    Attributes:
        block: where in the network: `images`, the name of a convolution such as `conv1`, or `logits`.
        kind: what is done there.
        layer: of a transformer, which one: `encoder 1`, `decoder 1`, ...; otherwise empty.
        forward, backward: multiply-adds.
    """

    block: str
    kind: Kind
    layer: str
    forward: int
    backward: int

    @property
    def name(self) -> str:
        """E.g. `conv1 transformer encoder 2`."""
        return " ".join(word for word in (self.block, self.kind, self.layer) if word)

    @property
    def total(self) -> int:
        """Forward and backward."""
        return self.forward + self.backward


@dataclass(frozen=True)
class Cost:
    """Multiply-adds of one piece of work, by part, in the order in which it is done."""

    parts: tuple[Part, ...]

    @property
    def forward(self) -> int:
        """Of all parts, without backward."""
        return sum(part.forward for part in self.parts)

    @property
    def backward(self) -> int:
        """Of all parts."""
        return sum(part.backward for part in self.parts)

    @property
    def total(self) -> int:
        """Forward and backward."""
        return self.forward + self.backward

    def by_kind(self) -> dict[str, int]:
        """Forward and backward of each kind of part, the logits layer apart from the convolutions."""
        sums: dict[str, int] = {}
        for part in self.parts:
            name = "logits layer" if (part.block, part.kind) == ("logits", "cnn") else part.kind
            sums[name] = sums.get(name, 0) + part.total
        return sums


def training_cost(config: ModelConfig, size: EpisodeSize) -> Cost:
    """One training episode: a CNN is generated, classifies the queries, and gradients go all the way back.

    Raises:
        ModelError: the config uses something whose work is not known here.
    """
    return Cost(tuple(_episode_parts(config, size)))


def generation_cost(config: ModelConfig, way: int, shot: int = 1) -> Cost:
    """One CNN, generated from `way` classes of `shot` images; no backward.

    Copies that `model.views` adds count like further images.

    Raises:
        ModelError: the config uses something whose work is not known here.
    """
    images = way * shot * (1 + copies_of_each(shot, config.views))
    parts = list(_episode_parts(config, EpisodeSize(way, images, 0)))
    if config.weights.plda:  # not in training; into its coordinates, and back
        features = cnn_spec(config).feature_count
        products = (images + way) * features**2 + way * features
        parts.append(Part("logits", "prototypes", "plda", products, 0))
    return Cost(tuple(Part(p.block, p.kind, p.layer, p.forward, 0) for p in parts if p.forward))


def prediction_cost(config: ModelConfig, way: int) -> Cost:
    """One image, classified by a CNN that is there already; no backward."""
    return Cost(tuple(_cnn_parts(cnn_spec(config), way)))


def _cnn_parts(spec: CnnSpec, way: int) -> Iterator[Part]:
    for conv in spec.convs:
        yield Part(conv.name, "cnn", "", conv.multiply_adds, 0)
    yield Part("logits", "cnn", "", way * spec.feature_count, 0)


def _episode_parts(config: ModelConfig, size: EpisodeSize) -> Iterator[Part]:
    spec = cnn_spec(config)
    shared = config.shared
    images, features = size.support + size.query, 0
    if shared.layers:
        features = shared.width
        first, *others = _products(shared_convs(config), shared.width)
        products = [size.support * first, size.support * sum(others)]
        yield Part("images", "shared features", "", sum(products), products[0] + 2 * products[1])

    for index, conv in enumerate(spec.convs):
        on_images = index == 0  # which have no gradient
        if not is_learned(config, index, len(spec.convs)):
            width = local_width(config, conv.in_channels, conv.out_channels)
            convs = local_convs(conv.in_channels, conv.in_size, width, LOCAL_CONVS)
            local = _products(convs, width)
            if local:
                yield _local_part(conv.name, local, size.support, on_images)
            count, slice_size = _slices(config, conv)
            yield from _transformer_parts(
                config, conv.name, size.support, features + width * len(local), count, slice_size
            )
        products_here = images * conv.multiply_adds
        yield Part(conv.name, "cnn", "", products_here, products_here * (1 if on_images else 2))

    last, mode = spec.convs[-1], config.local.logits
    feature_width = features + (spec.feature_count if mode != "default" else 0)
    if mode != "passthrough":
        width = local_width(config, last.out_channels, last.out_channels)
        local = _products(local_convs(last.out_channels, last.out_size, width, 1), width)
        if local:
            yield _local_part("logits", local, size.support, False)
        feature_width += width * len(local)
    yield from _transformer_parts(
        config, "logits", size.support, feature_width, size.way, spec.feature_count + 1
    )
    if config.weights.prototypes:
        means = size.way * size.support * spec.feature_count
        refined = 2 * config.weights.refine_prototypes * means  # distances and new means
        yield Part("logits", "prototypes", "", means + refined, means + 2 * refined)
    logits = size.query * size.way * spec.feature_count
    yield Part("logits", "cnn", "", logits, 2 * logits)


# ------------------------------------------------------------------------------------------- convolutions


def _products(convs: Iterable[ConvSize], width: int) -> list[int]:
    """Of one image, in each convolution with `width` output channels."""
    return [conv.size**2 * conv.kernel**2 * conv.in_channels * width for conv in convs]


def _local_part(block: str, convs: list[int], support: int, on_images: bool) -> Part:
    first, others = support * convs[0], support * sum(convs[1:])
    backward = (1 if on_images else 2) * first + 2 * others
    return Part(block, "local features", "", first + others, backward)


# ------------------------------------------------------------------------------------------- transformers


def _slices(config: ModelConfig, conv: ConvSpec) -> tuple[int, int]:
    """Number and size of the weight slices of a convolution (`htgen.hypertransformer.decoder`)."""
    weights = config.weights
    if weights.allocation == "output":
        extra = weights.generate_bias + 2 * weights.generate_norm
        return conv.out_channels, conv.kernel**2 * conv.in_channels + extra
    if weights.allocation == "spatial":
        return conv.kernel**2, conv.in_channels * conv.out_channels
    raise ModelError(
        f"the work of weights.allocation '{weights.allocation}' is not known to htgen.bench.cost"
    )


def _transformer_parts(
    config: ModelConfig, block: str, samples: int, feature_width: int, placeholders: int, slice_size: int
) -> Iterator[Part]:
    """The layers of one transformer (`htgen.hypertransformer.transformer.Transformer`)."""
    settings = config.transformer
    sample_width, weight_width = token_widths(
        settings.topology, config.embedding_dim + feature_width, config.embedding_dim + slice_size
    )
    encoded, decoded = samples, placeholders
    if settings.topology != "separate":
        encoded = decoded = placeholders + samples

    def part(layer: str, products: int) -> Part:
        return Part(block, "transformer", layer, products, 2 * products)

    # Of the last layer only the placeholders are wanted.
    is_joint = settings.topology == "joint"
    for index in range(1, settings.layers + 1):
        wanted = placeholders if is_joint and index == settings.layers else encoded
        products = _attention(settings, wanted, sample_width, encoded, sample_width)
        yield part(f"encoder {index}", products + _mlp(settings, wanted, sample_width))
    if is_joint:
        return
    for index in range(1, settings.layers + 1):
        wanted = placeholders if index == settings.layers else decoded
        products = _attention(settings, wanted, weight_width, decoded, weight_width)
        products += _attention(settings, wanted, weight_width, encoded, sample_width)
        yield part(f"decoder {index}", products + _mlp(settings, wanted, weight_width))


def _attention(settings: TransformerConfig, tokens: int, width: int, sources: int, source_width: int) -> int:
    key, value = (resolve_width(w, width, settings.heads) for w in (settings.key_width, settings.value_width))
    projections = tokens * width * key + sources * source_width * (key + value) + tokens * value * width
    return projections + tokens * sources * (key + value)


def _mlp(settings: TransformerConfig, tokens: int, width: int) -> int:
    return 2 * tokens * width * resolve_width(settings.inner_width, width, settings.heads)
