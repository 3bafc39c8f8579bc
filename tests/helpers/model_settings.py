"""Settings of the model that cover every value and every pair of values, and episodes for them."""

import itertools
import random
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from htgen.config.model import ModelConfig
from htgen.hypertransformer.hypertransformer import HyperTransformer

WAY, MAX_WAY, QUERY = 3, 5, 3
SLOTS = [[4, 0, 2], [1, 3, 0]]
CODE_SLOTS = [[4, 0, 2], [7, 3, 5 * 2**20 + 1]]

# ----------------------------------------------------------------------------------------- settings

SHAPES: dict[str, dict[str, Any]] = {
    "maxpool": {"shape": "maxpool-4-layer"},
    "maxpool, last unpooled": {"shape": "maxpool-4-layer", "pools": [1, 2, 3]},
    "maxpool, third unpooled": {"shape": "maxpool-4-layer", "pools": [1, 2, 4]},
    "3-layer": {"shape": "3-layer"},
    "3-layer, stride 1": {"shape": "3-layer", "stride": 1},
    "4-layer": {"shape": "4-layer"},
    "4-layer, stride 1": {"shape": "4-layer", "stride": 1},
}

MAIN: dict[str, list[Any]] = {
    "transformer.topology": ["joint", "encoder-decoder", "separate"],
    "weights.allocation": ["output", "spatial"],
}
FEATURES: dict[str, list[Any]] = {
    "shared.layers": [0, 2, 3, 4],
    "shared.padding": ["same", "valid"],
    "shared.norm": [False, True, "scale"],
    "local.width": [None, 0, 4],
    "local.kernel": [3, None],
    "local.nonlinear": [False, True, "logits"],
    "local.logits": ["default", "passthrough", "mix"],
}
OTHERS: dict[str, list[Any]] = {
    "labels": ["table", "codes"],
    "conventions": ["htgen", "reference"],
    "transformer.layers": [1, 2],
    "transformer.heads": [1, 2, 3],
    "transformer.key_width": [1.0, 0.5, 6.0],
    "transformer.value_width": [1.0, 0.3, 5.0],
    "transformer.inner_width": [1.0, 0.0, 3.0, 7.0],
    "transformer.activation": ["softmax", "sigmoid"],
    "transformer.nonlinearity": ["relu", "gelu", "lrelu"],
    "transformer.skip_last_nonlinearity": [False, True],
    "transformer.decoder_nonlinearity": ["same", "relu"],
    "weights.generate_bias": [False, True],
    "weights.generate_norm": [False, True],
    "weights.base": [False, True, "all"],
    "weights.prototypes": [False, True],
    "weights.refine_prototypes": [0, 1, 2],
    "weights.plda": [False, True],
    "weights.learned_layers": [0, 1, -2],
    "cnn": list(SHAPES),
    "cnn.channels": [3, 5],
    "cnn.kernel": [3, 1, 5],
    "cnn.activation": ["relu", "lrelu"],
    "cnn.norm": ["support", "batch"],
    "cnn.norm_first": [False, True, "after-pool"],
    "cnn.count_ignored": [False, True],
    "cnn.separate_query_norm": [False, True, "kernels"],
    "image_channels": [1, 3],
    "episode.counts": ["equal", "unequal"],
    "episode.unlabeled": [False, True],
    "episode.ignore": [False, True],
}
AXES = MAIN | FEATURES | OTHERS

Settings = dict[str, Any]
Part = frozenset[tuple[str, Any]]


def allowed(settings: Settings) -> bool:
    """Whether the values given so far make sense together."""

    def has(**values: Any) -> bool:
        return all(settings.get(key.replace("__", "."), "unset") == value for key, value in values.items())

    return not (
        has(weights__allocation="spatial", weights__generate_bias=True)
        or has(weights__allocation="spatial", weights__generate_norm=True)
        or has(shared__layers=0, local__width=0)  # blind conv layers; the logits layer may still see
        or has(shared__layers=0, shared__padding="valid")  # no effect
        or has(shared__layers=0, shared__norm=True)  # no effect
        or has(shared__layers=0, shared__norm="scale")
        or has(local__width=0, local__nonlinear=True)  # no effect
        or has(local__width=0, local__nonlinear="logits")
        or has(local__width=0, local__kernel=None)
        or has(transformer__topology="joint", transformer__decoder_nonlinearity="relu")  # no effect
        or has(transformer__inner_width=0.0, transformer__decoder_nonlinearity="relu")
        or has(episode__ignore=False, cnn__count_ignored=True)
        or _heads_do_not_fit(settings)
        or has(transformer__inner_width=0.0, transformer__skip_last_nonlinearity=True)  # no effect
        or has(cnn__separate_query_norm=True, weights__generate_norm=True)
        or has(cnn__separate_query_norm="kernels", weights__generate_norm=True, weights__base=False)
        or has(cnn__separate_query_norm="kernels", weights__generate_norm=True, weights__base=True)
        or has(weights__prototypes=False, weights__refine_prototypes=1)  # nothing to refine
        or has(weights__prototypes=False, weights__refine_prototypes=2)
        or has(weights__prototypes=False, weights__plda=True)
        or has(labels="codes", weights__base="all")
        or has(labels="codes", cnn__separate_query_norm="kernels", weights__generate_norm=True)  # needs base
        or has(cnn="4-layer", cnn__kernel=5)  # wants large images
    )


def _heads_do_not_fit(settings: Settings) -> bool:
    """Whether the reference's widths, which are rounded for fractions in a joint sequence alone, may not be
    multiples of the heads."""
    unrounded = (
        settings.get("transformer.topology") == "separate"
        or settings.get("transformer.value_width") == 5.0
        or settings.get("transformer.inner_width") == 7.0
    )
    return (
        unrounded and settings.get("conventions") == "reference" and settings.get("transformer.heads", 1) > 1
    )


def parts_to_cover() -> set[Part]:
    """Every pair of values, and every triple of topology, allocation and one of the features."""
    parts = set()
    for one, two in itertools.combinations(AXES, 2):
        parts |= {frozenset({(one, x), (two, y)}) for x, y in itertools.product(AXES[one], AXES[two])}
    for feature, values in FEATURES.items():
        axes = [*MAIN, feature]
        for chosen in itertools.product(*MAIN.values(), values):
            parts.add(frozenset(zip(axes, chosen, strict=True)))
    return {part for part in parts if allowed(dict(part))}


def covering_settings() -> list[Settings]:
    """Greedily chosen settings that together contain every part."""
    chance = random.Random(0)
    missing = parts_to_cover()
    chosen = []
    while missing:
        candidates = []
        # The largest parts first: few settings hold them.
        largest = max(map(len, missing))
        seeds = sorted((sorted(map(repr, p)), p) for p in missing if len(p) == largest)
        for _ in range(6):
            settings = dict(chance.choice(seeds)[1])
            open_axes = [axis for axis in AXES if axis not in settings]
            chance.shuffle(open_axes)
            for axis in open_axes:
                options = [v for v in AXES[axis] if allowed({**settings, axis: v})]
                chance.shuffle(options)
                pairs = {
                    v: sum(frozenset({(axis, v), item}) in missing for item in settings.items())
                    for v in options
                }
                settings[axis] = max(options, key=pairs.__getitem__)
            candidates.append((parts_of(settings) & missing, settings))
        best, settings = max(candidates, key=lambda candidate: len(candidate[0]))
        missing -= best
        chosen.append(settings)
    return chosen


def parts_of(settings: Settings) -> set[Part]:
    """The pairs and triples that these settings contain."""
    parts = {frozenset(pair) for pair in itertools.combinations(settings.items(), 2)}
    if settings.keys() >= MAIN.keys():
        main = [(axis, settings[axis]) for axis in MAIN]
        parts |= {frozenset([*main, (axis, settings[axis])]) for axis in FEATURES if axis in settings}
    return parts


def model_config(settings: Settings) -> ModelConfig:
    """The smallest images that survive; everything else as the settings say."""
    values: dict[str, Any] = {
        "max_way": MAX_WAY,
        "embedding_dim": 4,
        "cnn": {**SHAPES[settings["cnn"]]},
        "shared": {"width": 3},
    }
    for axis, value in settings.items():
        section, _, key = axis.partition(".")
        if section == "episode" or axis == "cnn":
            continue
        if key:
            values.setdefault(section, {})[key] = value
        else:
            values[section] = value
    cnn, shared = values["cnn"], values["shared"]
    if cnn["shape"] == "maxpool-4-layer":
        size = 16 if "pools" in cnn else 18  # 18: a pool meets an odd size
    else:
        size = 1 if settings["cnn"] == "4-layer" else 2
        for _ in range(3 if cnn["shape"] == "3-layer" else 4):
            size = (size - 1) * cnn.get("stride", 2) + cnn.get("kernel", 3)
    if shared.get("layers", 4) and shared.get("padding") == "valid":
        size = max(size, {2: 7, 3: 15, 4: 31}[shared["layers"]])
    values.setdefault("image_size", max(size, 8))
    return ModelConfig.model_validate(values)


EXTRA: list[Settings] = [
    {"weights.learned_layers": 4},  # the paper's logits-only model
    {"weights.learned_layers": -4, "weights.generate_norm": True},
    {"weights.learned_layers": -3, "cnn": "3-layer", "weights.base": True},
    {"weights.learned_layers": 2, "cnn": "3-layer", "weights.generate_bias": True},
    {"cnn.kernel": 7, "cnn": "maxpool, last unpooled"},
    {"cnn.stride": 3, "cnn": "3-layer", "image_size": 30},
    {"shared.layers": 0, "local.width": 0, "local.logits": "mix", "cnn": "maxpool, last unpooled"},
    {"shared.layers": 0, "local.width": 0, "local.logits": "passthrough", "cnn": "3-layer"},
    {"transformer.heads": 3, "transformer.key_width": 3.0, "transformer.value_width": 3.1},
    {  # dropout is for training
        "cnn.dropout": 0.5,
        "shared.dropout": 0.5,
        "local.dropout": 0.5,
        "transformer.dropout": 0.5,
    },
    {"cnn.dropout": 0.5, "transformer.dropout": 0.5, "dropout_as": "reference"},  # for training and measuring
    {"cnn.separate_query_norm": "kernels", "weights.learned_layers": 2},
    {
        "cnn.separate_query_norm": "kernels",
        "weights.base": "all",
        "weights.generate_bias": True,
        "weights.generate_norm": True,
    },
    {"image_size": 28},
    {"views": 4, "weights.prototypes": True},
    {"views": 9, "episode.unlabeled": True, "episode.ignore": True, "episode.counts": "unequal"},
]
SMALL: Settings = {"cnn": "maxpool", "cnn.channels": 3, "shared.layers": 2, "transformer.layers": 1}
CASES = [*covering_settings(), *(SMALL | settings for settings in EXTRA)]


# ------------------------------------------------------------------------------------------ episodes


@dataclass
class Batch:
    """Episodes as the model takes them, and the labels of their queries."""

    support: Tensor
    labels: Tensor
    query: Tensor
    slots: Tensor
    ignore: Tensor | None
    query_labels: Tensor

    def one(self, index: int) -> "Batch":
        """Episode `index` as a batch of one."""
        cut = slice(index, index + 1)
        ignore = None if self.ignore is None else self.ignore[cut]
        return Batch(
            *(t[cut] for t in (self.support, self.labels, self.query, self.slots)),
            ignore,
            self.query_labels[cut],
        )

    def __len__(self) -> int:
        return len(self.support)


def make_batch(config: ModelConfig, settings: Settings, seed: int) -> Batch:
    """Two episodes that differ in everything but the number of images; classes are in random order."""
    made = torch.Generator().manual_seed(seed)
    counts = [[3, 1, 2], [1, 1, 4]] if settings.get("episode.counts") == "unequal" else [[2, 2, 2]] * 2
    rows = []
    for episode in counts:
        row = [c for c, n in enumerate(episode) for _ in range(n)]
        row += [-1, -1] if settings.get("episode.unlabeled") else []
        rows.append(torch.tensor(row)[torch.randperm(len(row), generator=made)])
    labels = torch.stack(rows)
    ignore = None
    if settings.get("episode.ignore"):
        ignore = torch.zeros(labels.shape, dtype=torch.bool)
        ignore[0, 1] = ignore[1, 0] = ignore[1, 4] = True
    image = (config.image_channels, config.image_size, config.image_size)
    return Batch(
        support=torch.randn(*labels.shape, *image, generator=made, dtype=torch.float64),
        labels=labels,
        query=torch.randn(2, QUERY, *image, generator=made, dtype=torch.float64),
        slots=torch.tensor(CODE_SLOTS if config.labels == "codes" else SLOTS),
        ignore=ignore,
        query_labels=torch.stack([torch.randperm(QUERY, generator=made) % WAY for _ in range(2)]),
    )


def make_model(config: ModelConfig, seed: int, dtype: torch.dtype = torch.float64) -> HyperTransformer:
    """A model with no parameter at a neutral value."""
    torch.manual_seed(seed)
    model = HyperTransformer(config).to(dtype).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
        if (plda := model.logits.plda) is not None:
            plda.centre.normal_()
            plda.directions.add_(torch.randn_like(plda.directions), alpha=0.3)
            plda.prior_counts.exponential_()
    return model


def difference(found: Tensor, expected: Tensor) -> float:
    return ((found - expected).abs().max() / expected.abs().max().clamp(min=1)).item()


def describe(settings: Settings) -> str:
    named = [settings[axis] for axis in (*MAIN, "cnn") if axis in settings]
    return "-".join(named).replace(", ", "-").replace(" ", "-")
