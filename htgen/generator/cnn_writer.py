"""What writes the CNNs of a generator: kernels, the last layer, and the class means that it can grow by."""

from dataclasses import replace
from functools import partial

import numpy as np

from htgen.arrays import Floats, Integers
from htgen.cnn.class_means import ClassMeans
from htgen.cnn.executor_numpy import last_features, one_by_one
from htgen.cnn.spec import CnnSpec
from htgen.cnn.weights import CnnWeights
from htgen.episodes.shape import UNLABELED
from htgen.generator.last_layer import LastLayer
from htgen.generator.self_check import Writer
from htgen.generator.support import Support
from htgen.generator.temperature import Temperature
from htgen.hypertransformer.hypertransformer_numpy import HyperTransformer, SharedOnce


class CnnWriter:
    """Writes CNNs, calibrated for the shot of their support sets.

    With a trunk, whose convolutions are the same for every task, images pass it once, and what is written for
    each task is the rest.

    Args:
        model: the generator.
        temperature: by which logits are divided.
    """

    def __init__(self, model: HyperTransformer, temperature: Temperature) -> None:
        self._model, self._temperature = model, temperature
        has_trunk = model.plan.has_trunk and model.config.views == 1
        self._trunk = model.trunk() if has_trunk else None
        self._rest = model.after_trunk() if has_trunk else model

    @property
    def spec(self) -> CnnSpec:
        """Of the CNNs that `of_choices` writes."""
        return self._rest.spec

    @property
    def writes_means_alone(self) -> bool:
        """Whether its CNNs are the same for every support set but for a last layer of class means."""
        return self._trunk is not None and self._model.plan.logits.slices is None

    @property
    def last_layer(self) -> LastLayer:
        """How class means become the last layer; it must start from class means."""
        return LastLayer(self._model.logits, self._temperature)

    def features(self, images: Floats) -> Floats | None:
        """What the trunk finds in images `[S, C, H, W]`: `[S, F, 1, 1]`; None without a trunk."""
        if self._trunk is None:
            return None
        found = one_by_one(partial(last_features, self._model.spec, self._trunk), images)
        return found[:, :, None, None]

    def write(self, support: Support) -> tuple[CnnWeights[Floats], ClassMeans | None]:
        """The weights of a CNN, as those of one episode, and its class means, if there are such."""
        slots = np.arange(len(support.classes))[None]
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # told by the CNN, if at all
            written = self._rest.write(support.inputs[None], support.labels[None], slots)
        weights = self._calibrated(written.weights, support.shot)
        if self._trunk is not None:
            weights = replace(weights, blocks=self._trunk)
        if written.means is None or written.counts is None or self._model.spec.norm == "batch":
            return weights, None
        means = ClassMeans(written.means[0].astype(np.float32), written.counts[0].astype(np.float32))
        if self.writes_means_alone and (support.labels != UNLABELED).all():
            # Of each class by itself, so that it does not depend on the others in any bit.
            places = range(len(support.classes))
            own = [support.inputs[support.labels == place, :, 0, 0] for place in places]
            counts = np.array([len(features) for features in own], np.float32)
            means = ClassMeans(np.stack([self.last_layer.mean(features) for features in own]), counts)
            weight, bias = self.last_layer.of(means, support.shot)
            weights = replace(weights, logits_weight=weight[None], logits_bias=bias[None])
        return weights, means

    def of_choices(self, support: Support) -> Writer:
        """What writes CNNs of choices of the inputs of a support set; without the trunk, if any."""
        shared = self._rest.shared
        is_alone = shared is not None and not shared.by_support  # no image's features depend on the others
        once = SharedOnce(shared, support.inputs) if shared is not None and is_alone else None

        def write(choice: Integers | None) -> CnnWeights[Floats]:
            images, labels, known = support.inputs[None], support.labels[None], None
            if choice is not None:
                images, labels = support.inputs[choice], support.labels[choice]
                known = None if once is None else once.of(choice)
            slots = np.tile(np.arange(len(support.classes)), (len(images), 1))
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # told by the CNN, if at all
                weights = self._rest.generate(images, labels, slots, known)
            return self._calibrated(weights, support.shot)

        return write

    def _calibrated(self, weights: CnnWeights[Floats], shot: float) -> CnnWeights[Floats]:
        """With the logits layer divided by the temperature of a shot.

        It is part of the layer: whoever runs the CNN, by whatever means, gets the calibrated probabilities.
        """
        temperature = self._temperature.at(shot)
        weight, bias = weights.logits_weight / temperature, weights.logits_bias / temperature
        return replace(weights, logits_weight=weight, logits_bias=bias)
