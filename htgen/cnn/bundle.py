"""The exported CNN: one safetensors file that holds all that prediction needs, and its use with NumPy.

This is the small deployment path: it imports neither torch nor any part of the generator. The file
holds the weights under plain names, and in its metadata (one entry, `htgen`, sorted JSON) the CNN's
description, the class names, the preprocessing, and which generator made it:

    conv1.weight             [O, C, k, k]    C divided by groups, if there are groups
    conv1.bias               [O]             if the block has one
    conv1.norm.weight, .bias [O]             scale and shift, if the block has a norm
    conv1.norm.mean, .var    [O]             statistics of the support set, frozen
    ...
    logits.weight            [classes, features]
    logits.bias              [classes]
    classes.means            [classes, features]   of which it is made, if it is, so that it can grow
    classes.counts           [classes]             and of how many images

Kernels have 32 bits a weight, or 8 with a scale for each output channel (`htgen.eight_bits`); then biases
have 16, where these are exact.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from htgen.arrays import Floats
from htgen.cnn.class_means import ClassMeans
from htgen.cnn.executor_numpy import run, softmax
from htgen.cnn.one_image_numpy import OneImage, can_run
from htgen.cnn.score import Score
from htgen.cnn.spec import CnnSpec
from htgen.cnn.weights import CnnWeights, tensor_names, tensor_shapes, with_biases
from htgen.eight_bits import narrowed, widened
from htgen.errors import ModelError
from htgen.files import write_bytes
from htgen.images.gaps import Gaps
from htgen.images.inputs import ImageLike, batches, prepare_images
from htgen.images.preprocessing import Preprocessing
from htgen.tensor_files import decode, encode, unusable, warn_without_checksum
from htgen.version import __version__

FORMAT = "htgen-cnn"

MEANS, COUNTS = "classes.means", "classes.counts"
"""Tensors of files that are no weights of the CNN."""


@dataclass(frozen=True)
class Prediction:
    """The answer for one image.

    Attributes:
        label: the most probable class.
        probabilities: class -> probability, most probable first; they sum to 1.
    """

    label: str
    probabilities: dict[str, float]

    @property
    def probability(self) -> float:
        """Probability of `label`, 0..1."""
        return self.probabilities[self.label]


@dataclass(frozen=True)
class Bundle:
    """A generated CNN with everything that it needs.

    Attributes:
        spec: its layers.
        classes: class names; the order is that of the logits.
        preprocessing: how images become its input.
        tensors: weights and norm statistics, float32, by their names (docs/reference/files.md).
        generator: name and sha256 of the generator that made it.
        support: number of support images of each class, for information.
        estimate: of the support images, each classified by a CNN that was made without it, how many are
            right; None where that is not known.
        gaps: class -> how far apart the parts of its support drawings lie at most; without the classes of
            which that is not known.
        photographs: the classes of which no support image is plainly a drawing; none of a CNN of drawings.
        has_8_bits: whether files hold its kernels with 8 bits a weight; the tensors are what these can hold.
        trunk: what is known of a trunk that others trained: its `source` and `licence`, among others.
        means: the class means that its logits layer is made of; None where there are none, and in files that
            were written before there were any.
        grown: how many classes were `added` and `dropped` after its convolutions were written, if any were.
    """

    spec: CnnSpec
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    tensors: Mapping[str, Floats]
    generator: Mapping[str, str] = field(default_factory=dict)
    support: Mapping[str, int] = field(default_factory=dict)
    estimate: Score | None = None
    gaps: Mapping[str, Gaps] = field(default_factory=dict)
    has_8_bits: bool = False
    trunk: Mapping[str, str] = field(default_factory=dict)
    means: ClassMeans | None = None
    grown: Mapping[str, int] = field(default_factory=dict)
    photographs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for fault in self._faults():
            raise ModelError(f"the CNN's description is wrong: {fault}", "a file that `htgen generate` wrote")

    def _faults(self) -> Iterator[str]:
        """What is wrong, one sentence each."""
        names = self.classes
        if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names) or len(names) < 2:
            yield "class names must be two or more different texts"
        yield from self.spec.faults()
        image = (self.spec.image_size, self.spec.image_channels)
        if image != (self.preprocessing.size, self.preprocessing.channels):
            yield "the preprocessing makes other images than the CNN reads"
        expected = tensor_shapes(self.spec, len(names))
        variances = _variances(self.spec)
        for name in sorted(expected.keys() | self.tensors):
            tensor, wanted = self.tensors.get(name), expected.get(name)
            if tensor is None or tensor.shape != wanted:
                there = "missing" if tensor is None else tuple(tensor.shape)
                yield f"{name} is {there}, expected {wanted or 'none of that name'}"
            elif tensor.dtype != np.float32:
                yield f"{name} must hold float32 numbers"
            elif fault := unusable(tensor):
                yield f"{name} holds {fault}"
            elif name in variances and tensor.min() < 0:
                yield f"{name} must hold variances, none below 0"
        if not all(isinstance(text, str) for text in (*self.generator, *self.generator.values())):
            yield "the generator must be described in texts"
        if not all(isinstance(text, str) for text in (*self.trunk, *self.trunk.values())):
            yield "the trunk must be described in texts"
        if self.means is not None:
            yield from self.means.faults(len(names), self.spec.feature_count)
        if not all(type(count) is int and count >= 0 for count in self.grown.values()):
            yield "classes that were added or dropped must be counted"
        if not set(self.photographs) <= set(names):
            yield "classes of photographs must be classes"

    @cached_property
    def weights(self) -> CnnWeights[Floats]:
        """The tensors by layer."""
        return CnnWeights.from_tensors(self.spec, self.tensors)

    @property
    def parameter_count(self) -> int:
        """Numbers in all tensors."""
        return sum(tensor.size for tensor in self.tensors.values())

    def with_classes_like(self, earlier: Sequence[str]) -> "Bundle":
        """The same CNN with its classes in another order: those of an earlier one first, then the new ones.

        So a program goes on with the indices that it knows.

        Raises:
            ModelError: it lacks one of the earlier classes.
        """
        missing = [name for name in earlier if name not in self.classes]
        if missing:
            raise ModelError(
                f"the CNN has no class '{missing[0]}', which the earlier one has",
                "a CNN of all earlier classes, or other indices: leave --like out",
            )
        order = [self.classes.index(name) for name in earlier]
        order += [index for index, name in enumerate(self.classes) if name not in earlier]
        tensors = {key: t[order] if key.startswith("logits.") else t for key, t in self.tensors.items()}
        classes, means = tuple(self.classes[index] for index in order), self.means
        return replace(
            self, classes=classes, tensors=tensors, means=None if means is None else means.of(order)
        )

    def to_bytes(self) -> bytes:
        """The file's content; the same CNN gives the same bytes."""
        header: dict[str, Any] = {
            "htgen": __version__,
            "cnn": self.spec.to_dict(),
            "classes": list(self.classes),
            "preprocessing": self.preprocessing.to_dict(),
            "generator": dict(self.generator),
            "support": dict(self.support),
        }
        if self.estimate is not None:
            header["estimate"] = self.estimate.to_dict()
        if self.gaps:
            header["gaps"] = {name: gaps.to_list() for name, gaps in self.gaps.items()}
            if all(gaps.is_enclosed is not None for gaps in self.gaps.values()):
                header["enclosed"] = [name for name, gaps in self.gaps.items() if gaps.is_enclosed]
        if self.photographs:
            header["photographs"] = list(self.photographs)
        if self.trunk:
            header["trunk"] = dict(self.trunk)
        if self.grown:
            header["grown"] = dict(self.grown)
        tensors: dict[str, Any] = dict(self.tensors)
        if self.has_8_bits:
            blocks = tensor_names(self.spec).blocks
            biases = [block.bias for block in blocks if block.bias]
            tensors = narrowed(tensors, [block.kernel for block in blocks], biases)
        if self.means is not None:
            tensors = tensors | {MEANS: self.means.means, COUNTS: self.means.counts}
        return encode(FORMAT, header, tensors)

    def save(self, path: str | Path) -> int:
        """Write the file and return its size in bytes.

        Raises:
            OutputError: it cannot be written; a file that was there is kept.
        """
        data = self.to_bytes()
        write_bytes(path, data)
        return len(data)

    @staticmethod
    def load(path: str | Path) -> "Bundle":
        """Read the file.

        Raises:
            ModelError: it is missing, damaged, or no htgen CNN that this version reads.
        """
        bundle, has_checksum = read_cnn(path)
        if not has_checksum:
            warn_without_checksum(path)
        return bundle

    def predict(self, images: Sequence[ImageLike]) -> list[Prediction]:
        """Classify images.

        Args:
            images: paths, Pillow images, or uint8 arrays `[H, W]` or `[H, W, C]`, of any size. What Pillow
                opened, and nobody changed, is read as its file would be: turned as its EXIF entry says.

        Raises:
            DataError: an image cannot be read.
        """
        prepared = (prepare_images(batch, self.preprocessing) for batch in batches(images))
        return [prediction for x in prepared for prediction in self.classify(x)]

    def classify(self, x: Floats) -> list[Prediction]:
        """Classify prepared images `[N, C, H, W]`."""
        return to_predictions(softmax(self.logits(x)), self.classes)

    def logits(self, x: Floats) -> Floats:
        """Run the CNN: prepared images `[N, C, H, W]` -> logits `[N, classes]`.

        Raises:
            ModelError: an answer is no number, because the weights are too large.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            if len(x) == 1 and self._one_image is not None:
                logits = self._one_image(x[0])[None]
            else:
                logits = run(self.spec, self._as_episode, x[None])[0]
        if not np.isfinite(logits).all():
            raise ModelError("the CNN's weights are so large that its answers are no numbers", "another CNN")
        return logits

    @cached_property
    def _one_image(self) -> OneImage | None:
        """The same CNN for one image, which is faster; None where there is none."""
        return OneImage(self.spec, self.weights) if can_run(self.spec, self.weights) else None

    @cached_property
    def _as_episode(self) -> CnnWeights[Floats]:
        """The tensors as those of one episode, with an axis in front."""
        return self.weights.map(lambda tensor: tensor[None])


def read_cnn(path: str | Path) -> tuple[Bundle, bool]:
    """As `Bundle.load`, and whether the file has a checksum; the caller says so where it has none."""
    remedy = "a file that `htgen generate` wrote, of a generator and of your images"
    file = decode(path, FORMAT, "an htgen CNN", remedy)
    header = file.header
    try:
        stored = dict(file.tensors)
        means, counts = (stored.pop(name, None) for name in (MEANS, COUNTS))
        tensors = widened(stored)
        bundle = Bundle(
            with_biases(CnnSpec.from_dict(header["cnn"]), tensors),
            tuple(header["classes"]),
            Preprocessing.from_dict(header["preprocessing"]),
            tensors,
            header["generator"],
            header["support"],
            None if "estimate" not in header else Score.from_dict(header["estimate"]),
            _gaps_of(header.get("gaps", {}), header.get("enclosed")),
            len(tensors) < len(stored),
            header.get("trunk", {}),
            None if means is None or counts is None else ClassMeans(means, counts),
            header.get("grown", {}),
            tuple(header.get("photographs", ())),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"{path} is not an htgen CNN, or it is damaged ({error})", remedy) from error
    return bundle, file.has_checksum


def _gaps_of(gaps: Mapping[str, list[float]], enclosed: list[str] | None) -> dict[str, Gaps]:
    """What a file says of the classes' drawings: their gaps, and around which a line is."""
    return {
        name: replace(Gaps.from_list(values), is_enclosed=None if enclosed is None else name in enclosed)
        for name, values in gaps.items()
    }


@lru_cache(maxsize=32)
def _variances(spec: CnnSpec) -> frozenset[str]:
    """The names of the tensors that are variances."""
    return frozenset(block.norm.variance for block in tensor_names(spec).blocks if block.norm)


def to_predictions(probabilities: Floats, classes: Sequence[str]) -> list[Prediction]:
    """`[N, classes]` -> one `Prediction` per image."""
    predictions = []
    for row in probabilities:
        order = np.argsort(-row, kind="stable")
        ranked = {classes[i]: float(row[i]) for i in order}
        predictions.append(Prediction(classes[order[0]], ranked))
    return predictions
