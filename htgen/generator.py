"""Using a trained generator: support images in, a CNN out.

The public way to generate; the command line uses nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from htgen.bundle import Bundle, ImageLike, prepare_images, softmax
from htgen.checkpoint import GeneratorFile, file_hash
from htgen.errors import DataError, ModelError
from htgen.generated_cnn import GeneratedCNN
from htgen.generator_files import DEFAULT_GENERATOR, generator_path
from htgen.images import Preprocessing
from htgen.model import GeneratedWeights
from htgen.temperature import Temperature

EPISODES_PER_BATCH = 16
UNLABELED = -1

STRANGER = 0.05
"""An image whose own class gets less than this, when it is left out, disagrees with its class. Chosen on the
validation characters: nearly all swapped images get less, and few of the others."""
ALIKE = 0.25
"""Classes whose images get at least this for each other, in the mean, look alike."""


@dataclass(frozen=True)
class Support:
    """A preprocessed support set.

    Attributes:
        images: `[S, C, H, W]`, -1..1.
        labels: `[S]`, index into `classes`, or -1 for an image without a label.
        classes: class names, sorted.
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]

    @property
    def shot(self) -> float:
        """Labelled images per class, in the mean."""
        return float((self.labels != UNLABELED).sum()) / len(self.classes)


@dataclass(frozen=True)
class LeaveOneOut:
    """Each support image classified by a CNN that was generated without it.

    Attributes:
        labels: `[S]`, the class each image was given, as an index into `classes`.
        probabilities: `[S, n]`, what its classes were found to be.
        classes: class names.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    classes: tuple[str, ...]

    @property
    def predictions(self) -> np.ndarray:
        """`[S]`, the class each image was found to be."""
        return self.probabilities.argmax(axis=1)

    @property
    def accuracy(self) -> float:
        """Fraction of images found to be of the class they were given, 0..1."""
        return float((self.labels == self.predictions).mean())

    def strangers(self) -> list[int]:
        """Images that disagree with their own class, by position: mislabelled ones are nearly always here."""
        own = self.probabilities[np.arange(len(self.labels)), self.labels]
        return np.flatnonzero(own < STRANGER).tolist()


@dataclass(frozen=True)
class LookAlike:
    """Two classes that a generator can hardly tell apart.

    Attributes:
        first, second: their names.
        confusion: mean probability that images of each get for the other, 0..1.
    """

    first: str
    second: str
    confusion: float


def look_alikes(labels: np.ndarray, probabilities: np.ndarray, classes: tuple[str, ...]) -> list[LookAlike]:
    """Pairs of classes whose images get each other's probability, the most alike first.

    Args:
        labels: `[S]`, indices into `classes`; every class occurs.
        probabilities: `[S, n]`.
        classes: class names.
    """
    means = np.stack([probabilities[labels == index].mean(axis=0) for index in range(len(classes))])
    confusion = (means + means.T) / 2
    pairs = [
        LookAlike(classes[first], classes[second], float(confusion[first, second]))
        for first, second in zip(*np.triu_indices(len(classes), 1), strict=True)
        if confusion[first, second] >= ALIKE
    ]
    return sorted(pairs, key=lambda pair: -pair.confusion)


class Generator:
    """A trained generator, ready to write CNNs.

    Args:
        file: the generator as stored.
        sha256: the hash of its file, which exported CNNs carry.

    Attributes:
        name: e.g. `glyph-8`.
        max_way: most classes that a CNN can have.
        preprocessing: how images become its input, and that of its CNNs. For drawings it has all steps of
            `htgen.ink.DRAWING_STEPS`; assign `generator.preprocessing.without("crop")` to leave one out.
    """

    def __init__(self, file: GeneratorFile, sha256: str) -> None:
        self.file = file
        self.name = file.name
        self.sha256 = sha256
        self.max_way = file.model.max_way
        self.preprocessing: Preprocessing = file.preprocessing.for_real_images()
        self.model = file.build()

    @property
    def knows_unlabeled(self) -> bool:
        """Whether support images without labels help it: it moves class means by them, or has seen such."""
        seen = self.file.provenance.get("config", {}).get("episodes", {}).get("unlabeled", 0) != 0
        return seen or self.file.model.weights.refine_prototypes > 0

    @property
    def temperature(self) -> Temperature:
        """By which the logits of its CNNs are divided (`htgen calibrate`)."""
        return Temperature.of(self.file.provenance)

    def generate(
        self,
        support_images: Sequence[ImageLike],
        labels: Sequence[str | int] | np.ndarray | Tensor,
        unlabeled_images: Sequence[ImageLike] = (),
    ) -> GeneratedCNN:
        """Write a CNN for the classes of a support set.

        Args:
            support_images: paths, Pillow images, or uint8 arrays `[H, W]` or `[H, W, C]`, of any size.
            labels: the class name of each image, as text or numbers. The CNN's classes are the distinct
                names as text, sorted.
            unlabeled_images: further images of these classes whose class is not known; they help a
                generator that was trained with such images.

        Raises:
            DataError: an image cannot be read, there are fewer than two classes, or not one label per image.
            ModelError: there are more classes than the generator knows.
        """
        support = self.prepare(support_images, labels, unlabeled_images)
        return GeneratedCNN(self.generate_bundle(support))

    def prepare(
        self,
        support_images: Sequence[ImageLike],
        labels: Sequence[str | int] | np.ndarray | Tensor,
        unlabeled_images: Sequence[ImageLike] = (),
    ) -> "Support":
        """Read and preprocess a support set once, to use it several times. Arguments as in `generate`."""
        given = np.asarray(labels.cpu() if isinstance(labels, Tensor) else labels)
        if given.ndim != 1:
            raise DataError(f"labels of shape {list(given.shape)}", "one label for each support image")
        names = [str(label) for label in given.tolist()]
        if len(support_images) != len(names):
            raise DataError(f"{len(support_images)} support images but {len(names)} labels")
        classes = tuple(sorted(set(names)))
        if len(classes) < 2:
            raise DataError(
                f"the support set has {len(classes)} classes; a classifier needs at least 2",
                "images of a second class",
            )
        if len(classes) > self.max_way:
            raise ModelError(
                f"the support set has {len(classes)} classes; '{self.name}' knows {self.max_way} at most",
                "fewer classes, or a generator trained with a larger model.max_way",
            )
        index = {name: i for i, name in enumerate(classes)}
        ids = [index[name] for name in names] + [UNLABELED] * len(unlabeled_images)
        pixels = prepare_images([*support_images, *unlabeled_images], self.preprocessing)
        return Support(torch.from_numpy(pixels), torch.tensor(ids), classes)

    @torch.inference_mode()
    def generate_bundle(self, support: "Support") -> Bundle:
        """Write a CNN, as it is saved to a file."""
        slots = torch.arange(len(support.classes))
        weights = self.model.generate(support.images[None], support.labels[None], slots[None])
        return self._export(weights, support)

    @torch.inference_mode()
    def leave_one_out(self, support: "Support") -> LeaveOneOut | None:
        """Estimate the accuracy: classify each labelled image by a CNN that was generated without it.

        Returns:
            None when a class has a single image, which cannot be left out, and with norm `batch`, where an
            image alone is not answered as it is among others.
        """
        labeled = support.labels != UNLABELED
        if self.model.spec.norm == "batch" or support.labels[labeled].bincount().min() < 2:
            return None
        count = len(support.labels)
        temperature = self.temperature.at(support.shot)
        positions = torch.arange(count)
        others = positions[None].expand(count, -1)[~torch.eye(count, dtype=torch.bool)].view(count, -1)
        found = []
        for chunk in positions[labeled].split(EPISODES_PER_BATCH):
            rest = others[chunk]
            slots = torch.arange(len(support.classes)).expand(len(chunk), -1)
            left_out = support.images[chunk][:, None]
            logits = self.model(support.images[rest], support.labels[rest], left_out, slots)
            found.append((logits[:, 0] / temperature).softmax(dim=1))
        return LeaveOneOut(support.labels[labeled].numpy(), torch.cat(found).numpy(), support.classes)

    def look_alikes(self, support: "Support", check: LeaveOneOut | None) -> list[LookAlike]:
        """Classes that can hardly be told apart.

        Args:
            check: what `leave_one_out` returned. Without it, the CNN's answers for its own support images are
                taken, which tell only classes that are almost the same.
        """
        if check is not None:
            return look_alikes(check.labels, check.probabilities, check.classes)
        labeled = support.labels != UNLABELED
        logits = self.generate_bundle(support).logits(support.images[labeled].numpy())
        return look_alikes(support.labels[labeled].numpy(), softmax(logits), support.classes)

    def _export(self, weights: GeneratedWeights, support: "Support") -> Bundle:
        counts = {name: int((support.labels == i).sum()) for i, name in enumerate(support.classes)}
        tensors: dict[str, Tensor] = {}
        spec = self.model.spec
        for conv, written, stats in zip(spec.convs, weights.convs, weights.stats, strict=True):
            tensors[f"{conv.name}.weight"] = written.kernel
            if written.bias is not None:
                tensors[f"{conv.name}.bias"] = written.bias
            tensors[f"{conv.name}.norm.weight"] = written.query_gamma
            tensors[f"{conv.name}.norm.bias"] = written.query_beta
            tensors[f"{conv.name}.norm.mean"] = stats.mean
            tensors[f"{conv.name}.norm.var"] = stats.variance
        # Part of the layer: whoever runs the CNN, by whatever means, gets the calibrated probabilities.
        temperature = self.temperature.at(support.shot)
        tensors["logits.weight"] = weights.logits_weight / temperature
        tensors["logits.bias"] = weights.logits_bias / temperature
        arrays = {name: tensor[0].float().numpy().copy() for name, tensor in tensors.items()}
        return Bundle(
            spec,
            support.classes,
            self.preprocessing,
            arrays,
            {"name": self.name, "sha256": self.sha256},
            counts,
        )


def load_generator(name_or_path: str | Path = DEFAULT_GENERATOR) -> Generator:
    """Load a generator: one that ships, by name; a generator file; or the best of a run folder.

    Raises:
        ModelError: there is none, or it is damaged.
    """
    path = generator_path(name_or_path)
    return Generator(GeneratorFile.read(path), file_hash(path.read_bytes()))
