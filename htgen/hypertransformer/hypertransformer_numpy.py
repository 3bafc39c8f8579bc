"""The generator with NumPy: `htgen.hypertransformer.hypertransformer` as it is used, without torch, dropout,
gradients and queries.

What the modules of torch say of each part holds here: `encoder_numpy`, `transformer_numpy` and
`layer_writers_numpy` have the names of their counterparts, in the same order. Tests compare both over all
settings.

Axis legend: E episodes, n ways, S support images, H x W pixels, C channels (last), F features,
P placeholders, T tokens, D token width.
"""

from collections.abc import Mapping
from functools import partial

import numpy as np

from htgen.arrays import Floats, Integers
from htgen.cnn.executor_numpy import channels_last, conv_block, head_features, moments, normalise
from htgen.config.model import ModelConfig
from htgen.hypertransformer.encoder_numpy import SharedFeatures, SupportView
from htgen.hypertransformer.layer_writers_numpy import LogitsWriter, conv_writer
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

    def generate(self, images: Floats, labels: Integers, slots: Integers) -> dict[str, Floats]:
        """The CNNs of E support sets.

        Args:
            images: `[E, S, C, H, W]`, -1..1.
            labels: `[E, S]`, 0..n-1; negative = unlabelled.
            slots: `[E, n]`, which of the generator's label slots stands for each class.

        Returns:
            Tensors `[E, ...]` by the names of exported files (`htgen.cnn.bundle`).
        """
        without_views = images.shape[1]
        images, labels, _ = add_views(images, labels, None, self.config.views, slots.shape[1])
        x = channels_last(images)
        label_ids = np.take_along_axis(slots, np.maximum(labels, 0), axis=1)
        label_ids = np.where(labels < 0, self.config.max_way, label_ids)
        shared = [] if self.shared is None else [self.shared(x)]
        view = SupportView(labels, slots, label_ids, shared, images.shape[1] // without_views)
        tensors: dict[str, Floats] = {}
        for generator, conv in zip(self.convs, self.spec.convs, strict=True):
            weights = generator(x, view)
            tensors[f"{conv.name}.weight"] = weights["kernel"]
            if "bias" in weights:
                tensors[f"{conv.name}.bias"] = weights["bias"]
            tensors[f"{conv.name}.norm.weight"] = weights["query_gamma"]
            tensors[f"{conv.name}.norm.bias"] = weights["query_beta"]
            norm = partial(self._normalise, conv.name, weights, tensors)
            x = conv_block(x, weights["kernel"], weights.get("bias"), conv, self.spec, norm)
        features = head_features(x, self.spec)
        tensors["logits.weight"], tensors["logits.bias"] = self.logits(x, features, view)
        return tensors

    def _normalise(
        self, name: str, weights: dict[str, Floats], tensors: dict[str, Floats], x: Floats
    ) -> Floats:
        """Norm of support activations `[E, S, H, W, C]`; their statistics are entered in `tensors`."""
        stats = tensors[f"{name}.norm.mean"], tensors[f"{name}.norm.var"] = moments(x)
        return normalise(x, stats, weights["gamma"], weights["beta"])
