"""The generator with NumPy: `htgen.hypertransformer.hypertransformer` as it is used, without torch, dropout,
gradients and queries.

What the modules of torch say of each part holds here: `encoder_numpy`, `transformer_numpy` and
`layer_writers_numpy` have the names of their counterparts, in the same order. Tests compare both over all
settings.

Axis legend: E episodes, n ways, S support images, H x W pixels, C channels (last), F features,
P placeholders, T tokens, D token width.
"""

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass
from functools import partial

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
from htgen.hypertransformer.views import AS_IT_IS, WARPS, add_views, warp


@dataclass(frozen=True)
class Written:
    """CNNs, and the class means of each, if there are such; see `WrittenLogits`."""

    weights: CnnWeights[Floats]
    means: Floats | None
    counts: Floats | None


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
        kind = np.promote_types(next(iter(arrays.values())).dtype, np.float32)  # of 16 bits, 32
        self.codes = LabelCodes(config.max_way, kind) if config.has_codes else None

    def generate(
        self, images: Floats, labels: Integers, slots: Integers, known: "KnownFeatures | None" = None
    ) -> CnnWeights[Floats]:
        """The CNNs of E support sets.

        Args:
            images: `[E, S, C, H, W]`, -1..1.
            labels: `[E, S]`, 0..n-1; negative = unlabelled.
            slots: `[E, n]`, which of the generator's label slots stands for each class.
            known: the shared features of the images, if they are known already.

        Raises:
            ModelError: there are more classes than it knows, and there are no class means.
        """
        check_way(self.config, slots.shape[1])
        if slots.shape[1] <= self.config.most_at_once:
            return self.write(images, labels, slots, known).weights
        episodes = [slice(index, index + 1) for index in range(len(images))]
        ones = [self.write(images[one], labels[one], slots[one]).weights for one in episodes]
        return CnnWeights.joined(self.spec, ones, np.concatenate)

    def write(
        self, images: Floats, labels: Integers, slots: Integers, known: "KnownFeatures | None" = None
    ) -> Written:
        """The same with the class means; of one episode, where more classes than are shown at once."""
        without_views = images.shape[1]
        images, labels, _ = add_views(images, labels, None, self.config.views, slots.shape[1])
        x = channels_last(images)
        label_ids = np.take_along_axis(slots, np.maximum(labels, 0), axis=1)
        label_ids = np.where(labels < 0, self.config.max_way, label_ids)
        views = images.shape[1] // without_views
        shared = [] if self.shared is None else [self.shared(x) if known is None else known(views)]
        codes = None if self.codes is None else self.codes.of_slots(slots)
        view = SupportView(labels, slots, label_ids, shared, views, codes)
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
        last = self.logits(x, head_features(x, self.spec), view)
        return Written(CnnWeights(tuple(blocks), last.weight, last.bias), last.means, last.counts)

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


class SharedOnce:
    """Shared features of one support set's images, found once for all CNNs of choices of them.

    Args:
        images: `[S, C, H, W]`.
    """

    def __init__(self, shared: SharedFeatures, images: Floats) -> None:
        self._shared, self._images = shared, images
        self._found: dict[int, Floats] = {}

    def of(self, choice: Integers) -> "KnownFeatures":
        """Those of E choices of the images, `[E, S']` positions."""
        return partial(self._features, choice)

    def _features(self, choice: Integers, views: int) -> Floats:
        """`[E, views * S', F]`, of all images by the first warp first."""
        if views not in self._found:
            seen = (
                self._images[None]
                if views == 1
                else warp(self._images[None], (AS_IT_IS, *WARPS[: views - 1]))
            )
            found = self._shared(channels_last(seen))[0]  # [views * S, F]
            self._found[views] = found.reshape(views, len(self._images), -1)
        chosen = self._found[views][:, choice].swapaxes(0, 1)  # [E, views, S', F]
        return chosen.reshape(len(choice), -1, chosen.shape[3])


KnownFeatures = Callable[[int], Floats]
"""How many views there are of each image -> shared features `[E, views * S, F]`."""
