"""The sample encoder, part 3, with NumPy: `htgen.hypertransformer.encoder` without torch.

Axis legend: E episodes, S support images, H x W pixels, C channels (last), F features, D token width.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from htgen.arrays import Floats, Integers
from htgen.cnn.executor_numpy import add, by_images, convolve, global_average, moments, normalise, pad
from htgen.cnn.weights import Moments
from htgen.hypertransformer import label_codes
from htgen.hypertransformer.encoder_plan import ConvPlan, LocalPlan, SharedPlan
from htgen.hypertransformer.label_codes import cosine_matrix, sign_keys
from htgen.hypertransformer.parameters import Parameters


class Conv:
    """A learned convolution of `[E, S, H, W, C]`."""

    def __init__(self, plan: ConvPlan, parameters: Parameters) -> None:
        self.plan = plan
        self.kernel = np.ascontiguousarray(parameters("weight").transpose(2, 3, 1, 0))[None]
        self.bias = parameters("bias")[None]

    def __call__(self, x: Floats) -> Floats:
        """With ReLU, `[E, S, H', W', O]`."""
        plan = self.plan

        def convolve_with_relu(part: Floats) -> Floats:
            out = add(convolve(pad(part, *plan.padding), self.kernel, plan.stride), self.bias)
            return np.maximum(out, 0, out=out)

        samples, patch = x.shape[:2], plan.kernel**2 * plan.in_channels
        x = by_images(convolve_with_relu, x.reshape(1, -1, *x.shape[2:]), plan.size**2 * patch)
        return x.reshape(*samples, *x.shape[2:])

    def averaged(self, x: Floats) -> Floats:
        """Without ReLU and averaged over positions, `[E, S, O]`: the product of the averaged patches."""
        shares = _patch_shares(x.shape[2], self.plan.kernel, self.plan.stride, self.plan.size)
        patches: Floats = shares.astype(x.dtype) @ x.reshape(*x.shape[:2], -1, x.shape[4])
        patches = patches.reshape(*x.shape[:2], -1)
        return patches @ self.kernel.reshape(patches.shape[2], -1) + self.bias


@lru_cache(maxsize=32)
def _patch_shares(side: int, kernel: int, stride: int, size: int) -> npt.NDArray[np.float64]:
    """The share of each pixel in the average patch, `[k * k, H * W]`."""
    reach = stride * (size - 1) + 1
    shares = np.zeros((kernel, kernel, side, side))
    for row in range(kernel):
        for column in range(kernel):
            shares[row, column, row : row + reach : stride, column : column + reach : stride] = size**-2
    return shares.reshape(kernel**2, side**2)


def _convs(plans: tuple[ConvPlan, ...], parameters: Parameters) -> list[Conv]:
    return [Conv(plan, parameters.below(f"convs.{index}")) for index, plan in enumerate(plans)]


class SharedFeatures:
    """Features of the support images: `[E, S, H, W, C] -> [E, S, F]`."""

    def __init__(self, plan: SharedPlan, parameters: Parameters) -> None:
        self.convs = _convs(plan.convs, parameters)
        self.by_support = plan.norm is True
        norms = [parameters.below(f"norms.{index}") for index in range(len(plan.convs) if plan.norm else 0)]
        self.norms = [(norm("weight"), norm("bias")) for norm in norms]

    def __call__(self, x: Floats) -> Floats:
        for index, conv in enumerate(self.convs):
            x = conv(x)
            if self.norms:
                gamma, beta = (p[None].repeat(len(x), axis=0) for p in self.norms[index])
                stats = moments(x) if self.by_support else Moments(np.zeros_like(gamma), np.ones_like(gamma))
                x = normalise(x, stats, gamma, beta)
        return global_average(x)


class LocalFeatures:
    """Features of the activations that enter a layer: `[E, S, H, W, C] -> [E, S, O]` of each conv."""

    def __init__(self, plan: LocalPlan, parameters: Parameters) -> None:
        self.nonlinear = plan.nonlinear
        self.convs = _convs(plan.convs, parameters)

    def __call__(self, x: Floats) -> list[Floats]:
        pooled = []
        for conv in self.convs:
            if not self.nonlinear:
                pooled.append(conv.averaged(x))
            if self.nonlinear or conv is not self.convs[-1]:
                x = conv(x)
            if self.nonlinear:
                pooled.append(global_average(x))
        return pooled


@dataclass(frozen=True)
class SupportView:
    """What the writer of every layer sees: labels `[E, S]`, slots `[E, n]`, label ids `[E, S]`, the shared
    features `[E, S, F]` as a list of none or one, how often each image is there, and codes of the classes
    `[E, n, K]` or None."""

    labels: Integers
    slots: Integers
    label_ids: Integers
    shared: list[Floats]
    copies: int
    codes: Floats | None = None

    @property
    def way(self) -> int:
        """Classes per episode."""
        return self.slots.shape[1]

    def of_classes(self, classes: Sequence[int], unlabeled_slot: int) -> "tuple[Integers, SupportView]":
        """What is seen of some classes of one episode, which get the first slots, and of the unlabelled.

        Returns:
            Which of the samples these are, `[S']`, and what is seen of them.
        """
        places = np.full(self.way + 1, -2)
        places[list(classes)], places[-1] = np.arange(len(classes)), -1
        labels = places[np.maximum(self.labels, -1)]  # [1, S]; -1 is the last place
        samples = np.flatnonzero(labels[0] > -2)
        labels = labels[:, samples]
        return samples, replace(
            self,
            labels=labels,
            slots=np.arange(len(classes))[None],
            label_ids=np.where(labels < 0, unlabeled_slot, labels),
            shared=[features[:, samples] for features in self.shared],
            codes=None if self.codes is None else self.codes[:, list(classes)],
        )


def sample_tokens(labels: Floats, features: list[Floats], view: SupportView, width: int) -> Floats:
    """A token for each support image, `[E, S, D]`: its label, its features, and zeros up to `width`.

    Args:
        labels: the label table of the layer, `[max_way + 1, embedding]`; with codes, a map of them with a
            row for no label and an offset, `[max_way + 2, embedding]`.
        features: `[E, S, *]` each.
    """
    if view.codes is None:
        embedded = labels[view.label_ids]
    else:
        classes = view.codes @ labels[:-2] + labels[-1]  # [E, n, embedding]
        rows = np.concatenate([classes, labels[-2][None, None].repeat(len(classes), axis=0)], axis=1)
        places = np.where(view.labels < 0, classes.shape[1], view.labels)[:, :, None]
        embedded = np.take_along_axis(rows, places, axis=1)
    parts = [embedded, *features]
    missing = width - sum(part.shape[2] for part in parts)
    padding = np.zeros((*view.labels.shape, missing), parts[0].dtype)
    return np.concatenate([*parts, padding], axis=2)


class LabelCodes(label_codes.LabelCodes[npt.NDArray[Any]]):
    """Codes of `width` numbers of type `kind` for label slots."""

    def __init__(self, width: int, kind: npt.DTypeLike) -> None:
        self.cosines = cosine_matrix(width).astype(kind)
        self.keys = sign_keys(width)
        self.signs = np.array([1, -1], kind)
