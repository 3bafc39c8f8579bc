"""How much work it is: multiply-adds counted from the plan of a generator. No torch here.

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

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from htgen.cnn.spec import CnnSpec
from htgen.config.model import ModelConfig, cnn_spec
from htgen.episodes.shape import EpisodeSize
from htgen.hypertransformer.encoder_plan import ConvPlan, LocalPlan, SharedPlan
from htgen.hypertransformer.plan import (
    ConvWriterPlan,
    GeneratorPlan,
    LogitsPlan,
    generator_plan,
)
from htgen.hypertransformer.transformer_plan import AttentionPlan, LayerPlan, TransformerPlan
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
    """One training episode: a CNN is generated, classifies the queries, and gradients go all the way back."""
    return Cost(tuple(_episode_parts(generator_plan(config), size)))


def generation_cost(config: ModelConfig, way: int, shot: int = 1) -> Cost:
    """One CNN, generated from `way` classes of `shot` images; no backward.

    Copies that `model.views` adds count like further images.
    """
    plan = generator_plan(config)
    images = way * shot * (1 + copies_of_each(shot, config.views))
    parts = list(_episode_parts(plan, EpisodeSize(way, images, 0)))
    if plan.logits.plda:  # not in training; into its coordinates, and back
        features = plan.logits.feature_count
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


def _episode_parts(plan: GeneratorPlan, size: EpisodeSize) -> Iterator[Part]:
    if plan.shared is not None:
        yield _features_part("images", plan.shared, size.support, on_images=True)
    for index, writer in enumerate(plan.convs):
        conv, on_images = writer.conv, index == 0  # images have no gradient
        if isinstance(writer, ConvWriterPlan):
            if writer.local is not None:
                yield _features_part(conv.name, writer.local, size.support, on_images)
            placeholders = writer.slices.placeholders
            yield from _transformer_parts(conv.name, writer.slices.transformer, size.support, placeholders)
        products = (size.support + size.query) * conv.multiply_adds
        yield Part(conv.name, "cnn", "", products, products * (1 if on_images else 2))
    yield from _logits_parts(plan.logits, size)


def _logits_parts(plan: LogitsPlan, size: EpisodeSize) -> Iterator[Part]:
    if plan.local is not None:
        yield _features_part("logits", plan.local, size.support, on_images=False)
    if plan.slices is not None:
        yield from _transformer_parts("logits", plan.slices.transformer, size.support, size.way)
    if plan.from_class_means:
        means = size.way * size.support * plan.feature_count
        refined = 2 * plan.refinements * means  # distances and new means
        yield Part("logits", "prototypes", "", means + refined, means + 2 * refined)
    logits = size.query * size.way * plan.feature_count
    yield Part("logits", "cnn", "", logits, 2 * logits)


# ------------------------------------------------------------------------------------------- convolutions


def _feature_products(conv: ConvPlan) -> int:
    """Of one image."""
    return conv.size**2 * conv.kernel**2 * conv.in_channels * conv.out_channels


def _features_part(block: str, plan: SharedPlan | LocalPlan, support: int, on_images: bool) -> Part:
    """Shared or local features of the support images."""
    kind: Kind = "shared features" if isinstance(plan, SharedPlan) else "local features"
    first, *others = (support * _feature_products(conv) for conv in plan.convs)
    backward = (1 if on_images else 2) * first + 2 * sum(others)
    return Part(block, kind, "", first + sum(others), backward)


# ------------------------------------------------------------------------------------------- transformers


def _transformer_parts(block: str, plan: TransformerPlan, samples: int, placeholders: int) -> Iterator[Part]:
    encoded, decoded = samples, placeholders
    if plan.topology.joined:
        encoded = decoded = placeholders + samples
    for kind, layers, tokens in (("encoder", plan.encoder, encoded), ("decoder", plan.decoder, decoded)):
        for index, layer in enumerate(layers, start=1):
            wanted = placeholders if layer.placeholders_only else tokens
            products = _layer(layer, wanted, tokens, encoded)
            yield Part(block, "transformer", f"{kind} {index}", products, 2 * products)


def _layer(plan: LayerPlan, wanted: int, tokens: int, memory: int) -> int:
    """Of `wanted` of the `tokens`, with cross-attention, if there is, to the tokens of `memory`."""
    products = _attention(plan.attention, wanted, tokens)
    if plan.cross is not None:
        products += _attention(plan.cross, wanted, memory)
    if plan.mlp is not None:
        products += 2 * wanted * plan.mlp.width * plan.mlp.inner_width
    return products


def _attention(plan: AttentionPlan, queries: int, sources: int) -> int:
    key, value = plan.key_width, plan.value_width
    projections = queries * plan.width * (key + value) + sources * plan.source_width * (key + value)
    return projections + queries * sources * (key + value)
