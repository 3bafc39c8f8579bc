"""The generator with NumPy: `htgen.hypertransformer.hypertransformer` as it is used, without torch, dropout,
gradients and queries.

What the modules of torch say of each part holds here: `encoder_numpy`, `transformer_numpy` and
`layer_writers_numpy` have the names of their counterparts, in the same order. Tests compare both over all
settings.

Axis legend: E episodes, n ways, S support images, H x W pixels, C channels (last), F features,
P placeholders, T tokens, D token width.
"""

from collections.abc import Mapping
from copy import copy

import numpy as np

from htgen.arrays import Floats, Integers
from htgen.cnn.executor_numpy import (
    after_norm,
    before_norm,
    channels_last,
    head_features,
    moments,
    normalise,
)
from htgen.cnn.weights import BlockWeights, CnnWeights
from htgen.config.model import ModelConfig
from htgen.hypertransformer.encoder_numpy import LabelCodes, SharedFeatures, SupportView
from htgen.hypertransformer.layer_writers_numpy import LogitsWriter, conv_writer
from htgen.hypertransformer.many_classes import check_way, spread
from htgen.hypertransformer.parameters import Parameters
from htgen.hypertransformer.plan import generator_plan
from htgen.hypertransformer.views import add_views


class HyperTransformer:
    """The generator.

    Args:
        config: see `htgen.config.model.ModelConfig`.
        arrays: parameters, of the names and shapes of `plan.shapes`.

    Attributes:
        plan: what its parts are.
        spec: the CNN that it writes.
    """

    def __init__(self, config: ModelConfig, arrays: Mapping[str, Floats]) -> None:
        self.config, self.plan = config, generator_plan(config)
        plan, parameters = self.plan, Parameters(arrays)
        self.spec = plan.spec
        self.shared = None if plan.shared is None else SharedFeatures(plan.shared, parameters.below("shared"))
        self.convs = [
            conv_writer(conv, parameters.below(f"convs.{index}")) for index, conv in enumerate(plan.convs)
        ]
        self.logits = LogitsWriter(plan.logits, parameters.below("logits"))
        kind = next(iter(arrays.values())).dtype
        self.codes = LabelCodes(config.max_way, kind) if config.has_codes else None

    def generate(self, images: Floats, labels: Integers, slots: Integers) -> CnnWeights[Floats]:
        """The CNNs of E support sets.

        Args:
            images: `[E, S, C, H, W]`, -1..1.
            labels: `[E, S]`, 0..n-1; negative = unlabelled.
            slots: `[E, n]`, which of the generator's label slots stands for each class.

        Raises:
            ModelError: there are more classes than it knows, and there are no class means.
        """
        check_way(self.config, slots.shape[1])
        if slots.shape[1] <= self.config.most_at_once:
            return self._generate(images, labels, slots)
        episodes = [slice(index, index + 1) for index in range(len(images))]
        ones = [self._generate(images[one], labels[one], slots[one]) for one in episodes]
        return CnnWeights.joined(self.spec, ones, np.concatenate)

    def _generate(self, images: Floats, labels: Integers, slots: Integers) -> CnnWeights[Floats]:
        """The same; of one episode where there are more classes than are shown at once."""
        without_views = images.shape[1]
        images, labels, _ = add_views(images, labels, None, self.config.views, slots.shape[1])
        x = channels_last(images)
        label_ids = np.take_along_axis(slots, np.maximum(labels, 0), axis=1)
        label_ids = np.where(labels < 0, self.config.max_way, label_ids)
        shared = [] if self.shared is None else [self.shared(x)]
        codes = None if self.codes is None else self.codes.of_slots(slots)
        view = SupportView(labels, slots, label_ids, shared, images.shape[1] // without_views, codes)
        seen: Integers | slice = slice(None)
        shown = view
        if view.way > self.config.most_at_once:
            seen, shown = view.of_classes(spread(view.way, self.config.most_at_once), self.config.max_way)
        blocks = []
        outputs: dict[str, Floats] = {}
        for writer, conv in zip(self.convs, self.spec.convs, strict=True):
            written, addend = writer(x[:, seen], shown), outputs.get(conv.add)
            x = before_norm(self.spec, conv, written.kernel, written.bias, x, addend)
            stats = None
            if written.support is not None:
                stats = moments(x)
                x = normalise(x, stats, written.support.gamma, written.support.beta)
            x = after_norm(self.spec, conv, x, addend)
            if conv.name in self.spec.added:
                outputs[conv.name] = x
            blocks.append(written.finished(stats))
        weight, bias = self.logits(x, head_features(x, self.spec), view)
        return CnnWeights(tuple(blocks), weight, bias)

    def trunk(self) -> tuple[BlockWeights[Floats], ...]:
        """The blocks of a generator with a trunk, for one episode; see `plan.has_trunk`."""
        parts = [{name: base[None] for name, base in conv.bases.items()} for conv in self.convs]
        return tuple(BlockWeights(part["kernel"], part.get("bias"), None) for part in parts)

    def after_trunk(self) -> "HyperTransformer":
        """The rest of a generator with a trunk: its images are the features `[F, 1, 1]` that the trunk finds,
        and the weights of its CNNs are those of the logits layer alone."""
        rest = copy(self)
        rest.convs, rest.spec = [], self.spec.after_trunk
        return rest
