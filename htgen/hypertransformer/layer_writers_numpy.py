"""The writers of the CNN's layers with NumPy: `htgen.hypertransformer.layer_writers` without torch."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from htgen.arrays import Floats
from htgen.cnn.executor_numpy import softmax
from htgen.cnn.weights import WrittenBlock
from htgen.hypertransformer.class_means import class_mean_layer, layer_of_means, membership
from htgen.hypertransformer.encoder_numpy import LocalFeatures, SupportView, sample_tokens
from htgen.hypertransformer.parameters import Parameters
from htgen.hypertransformer.plan import ConvWriterPlan, LearnedConvPlan, LogitsPlan, SlicesPlan
from htgen.hypertransformer.plda_coordinates import PldaCoordinates
from htgen.hypertransformer.transformer_numpy import Transformer


class SliceWriter:
    """Features of the samples in, the weight slices of one layer out."""

    def __init__(self, plan: SlicesPlan, parameters: Parameters) -> None:
        self.plan = plan
        self.labels = parameters("labels")
        missing = plan.transformer.weight_width - plan.embedding
        self.placeholders = np.pad(parameters("placeholders"), ((0, 0), (0, missing)))  # [P, D]
        self.transformer = Transformer(plan.transformer, parameters.below("transformer"))

    def __call__(self, features: list[Floats], view: SupportView, by_class: bool = False) -> Floats:
        """Weight slices `[E, P, slice_size]`."""
        plan = self.plan
        samples = sample_tokens(self.labels, features, view, plan.transformer.sample_width)  # [E, S, D]
        placeholders = self._of_classes(view) if by_class else self.placeholders[None].repeat(len(samples), 0)
        tokens = self.transformer(placeholders, samples)
        return tokens[:, :, plan.embedding : plan.embedding + plan.slice_size]

    def _of_classes(self, view: SupportView) -> Floats:
        """Placeholders `[E, n, D]`; with codes, these are mapped, and there is an offset."""
        if view.codes is None:
            return self.placeholders[view.slots]
        return view.codes @ self.placeholders[:-1] + self.placeholders[-1]


def _with_learned_norm(parts: dict[str, Floats], norm: dict[str, Floats]) -> WrittenBlock[Floats]:
    """Weights for E episodes: what was written, by name, and the norm parameters that all share."""
    episodes = len(parts["kernel"])
    parts = parts | {name: parameter[None].repeat(episodes, axis=0) for name, parameter in norm.items()}
    return WrittenBlock.of_parts(parts)


class LearnedConv:
    """Holds the weights of one convolutional block that is learned."""

    def __init__(self, plan: LearnedConvPlan, parameters: Parameters) -> None:
        self.norm = {name: parameters(name) for name in plan.norm}
        self.bases = {name: parameters(f"base_{name}") for name in plan.bases}

    def __call__(self, support: Floats, view: SupportView) -> WrittenBlock[Floats]:
        """The same weights for each of the E episodes of `support` `[E, S, H, W, C]`."""
        parts = {name: base[None].repeat(len(support), axis=0) for name, base in self.bases.items()}
        return _with_learned_norm(parts, self.norm)


class ConvWriter:
    """Writes the weights of one convolutional block."""

    def __init__(self, plan: ConvWriterPlan, parameters: Parameters) -> None:
        self.plan = plan
        self.norm = {name: parameters(name) for name in plan.norm}
        self.bases = {name: parameters(f"base_{name}") for name in plan.bases}
        self.scale = None if plan.base_scale is None else parameters("scale")
        self.local = None if plan.local is None else LocalFeatures(plan.local, parameters.below("local"))
        self.slices = SliceWriter(plan.slices, parameters.below("slices"))

    def __call__(self, support: Floats, view: SupportView) -> WrittenBlock[Floats]:
        """Weights of this block in view of activations `[E, S, H, W, C]`."""
        local = [] if self.local is None else self.local(support)
        parts = self.plan.allocation.decode(self.slices([*local, *view.shared], view))
        if self.scale is not None:
            parts = {name: part * self.scale for name, part in parts.items()}
            if "gamma" in parts:
                parts["gamma"] += 1
        whole = dict(parts)
        for name, base in self.bases.items():
            whole[name] = base + parts[name.removeprefix("query_")]
        return _with_learned_norm(whole, self.norm)


def conv_writer(plan: LearnedConvPlan | ConvWriterPlan, parameters: Parameters) -> LearnedConv | ConvWriter:
    """The writer, or the holder, of a convolutional block."""
    if isinstance(plan, LearnedConvPlan):
        return LearnedConv(plan, parameters)
    return ConvWriter(plan, parameters)


class Plda(PldaCoordinates[npt.NDArray[Any]]):
    """Coordinates in which class means are corrected (`htgen.hypertransformer.plda_coordinates`)."""

    def __init__(self, parameters: Parameters) -> None:
        self.centre = parameters("centre")
        self.directions = parameters("directions")
        self.prior_counts = parameters("prior_counts")


@dataclass(frozen=True)
class WrittenLogits:
    """Weight `[E, n, F]` and bias `[E, n]`; and the class means, if there are such, that they start from.

    Attributes:
        means: `[E, n, F]`; with PLDA in its coordinates.
        counts: `[E, n]`, of how many images each is.
    """

    weight: Floats
    bias: Floats
    means: Floats | None = None
    counts: Floats | None = None


class LogitsWriter:
    """Writes a logits layer: one slice per class."""

    def __init__(self, plan: LogitsPlan, parameters: Parameters) -> None:
        self.plan = plan
        self.local = None if plan.local is None else LocalFeatures(plan.local, parameters.below("local"))
        self.slices = None
        if plan.slices is not None:
            self.slices = SliceWriter(plan.slices, parameters.below("slices"))
        if plan.from_class_means:
            self.sharpness = np.exp(parameters("log_sharpness"))
        if plan.base_scale is not None:
            self.scale = parameters("scale")
        self.bases = [parameters(f"base_{name}") for name in plan.bases]
        self.plda = Plda(parameters.below("plda")) if plan.plda else None

    def __call__(self, support: Floats, features: Floats, view: SupportView) -> WrittenLogits:
        """The layer, in view of activations and logits inputs `[E, S, F]`."""
        if self.slices is None or self.plan.allocation is None or view.way > self.slices.plan.most_at_once:
            return self._from_class_means(features, view)
        local = [] if self.local is None else self.local(support)
        inputs = [self.plan.allocation.from_cnn(features)] if self.plan.sees_inputs else []
        tokens = [*inputs, *local] if self.plan.inputs_first else [*local, *inputs]
        slices = self.slices([*tokens, *view.shared], view, by_class=True)  # [E, n, F + 1]
        parts = self.plan.allocation.decode(slices)
        weight, bias = parts["weight"], parts["bias"]
        if self.bases:
            base_weight, base_bias = self.bases
            weight, bias = weight + base_weight[view.slots], bias + base_bias[view.slots]
        if self.plan.base_scale is None:
            return WrittenLogits(weight, bias)
        base = self._from_class_means(features, view)
        return replace(base, weight=base.weight + self.scale * weight, bias=base.bias + self.scale * bias)

    def of_means(self, means: Floats, counts: Floats) -> tuple[Floats, Floats]:
        """The layer of class means alone, of means `[E, n, F]` and counts `[E, n]` as it gives them."""
        return layer_of_means(means, counts, self.sharpness, self.plda)

    def _from_class_means(self, features: Floats, view: SupportView) -> WrittenLogits:
        """A logits layer that answers with the class whose mean is nearest."""
        classes = np.arange(view.way)
        written = class_mean_layer(
            features,
            membership(view.labels, classes, None).astype(features.dtype),
            view.labels < 0,
            sharpness=self.sharpness,
            copies=view.copies,
            plda=self.plda,
            refinements=self.plan.refinements,
            classify=lambda seen, weight, bias: softmax(seen @ weight.swapaxes(1, 2) + bias[:, None]),
        )
        return WrittenLogits(*written)
