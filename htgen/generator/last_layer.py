"""The last layer of a generator's CNNs, made of class means alone. No torch here."""

from dataclasses import dataclass

import numpy as np

from htgen.arrays import Floats
from htgen.cnn.class_means import ClassMeans
from htgen.cnn.executor_numpy import softmax
from htgen.generator.temperature import Temperature
from htgen.hypertransformer.class_means import nearest_mean
from htgen.hypertransformer.layer_writers_numpy import LogitsWriter


@dataclass(frozen=True)
class LastLayer:
    """How class means become a logits layer.

    Attributes:
        writer: the part of the generator that says so; it starts from class means.
        temperature: by which logits are divided.
    """

    writer: LogitsWriter
    temperature: Temperature

    def coordinates(self, features: Floats) -> Floats:
        """In which class means are held, of inputs of the layer `[S, F]`."""
        return features if self.writer.plda is None else self.writer.plda.coordinates(features)

    def mean(self, features: Floats) -> Floats:
        """The class mean `[F]` of inputs of the layer `[S, F]` of one class."""
        return self.coordinates(features.mean(axis=0, dtype=np.float64).astype(np.float32)[None])[0]

    def of(self, means: ClassMeans, shot: float) -> tuple[Floats, Floats]:
        """Weight `[n, F]` and bias `[n]` for class means, calibrated for a shot."""
        weight, bias = self.writer.of_means(means.means[None], means.counts[None])
        temperature = self.temperature.at(shot)
        return (weight[0] / temperature).astype(np.float32), (bias[0] / temperature).astype(np.float32)

    def probabilities(self, means: ClassMeans, shot: float, coordinates: Floats) -> Floats:
        """What the layer for class means says of one image `[F]`, given in `coordinates`: `[n]`."""
        plda = self.writer.plda
        prior_counts = None if plda is None else plda.prior_counts
        weight, bias = nearest_mean(
            means.means[None], means.counts[None], self.writer.sharpness, prior_counts
        )
        logits = (weight[0] @ coordinates + bias[0]) / self.temperature.at(shot)
        return softmax(logits[None, None])[0, 0]
