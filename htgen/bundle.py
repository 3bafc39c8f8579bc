"""The exported CNN: one safetensors file that holds all that prediction needs, and its use with NumPy.

This is the small deployment path: it imports neither torch nor any part of the generator. The file
holds the weights under plain names, and in its metadata (one entry, `htgen`, sorted JSON) the CNN's
description, the class names, the preprocessing, and which generator made it:

    conv1.weight             [O, C, k, k]    and conv1.bias [O] when the generator writes biases
    conv1.norm.weight, .bias [O]             scale and shift
    conv1.norm.mean, .var    [O]             statistics of the support set, frozen
    ...
    logits.weight            [classes, features]
    logits.bias              [classes]
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from htgen.cnn_spec import LEAKY_SLOPE, NORM_EPSILON, CnnSpec, ConvSpec
from htgen.errors import DataError, ModelError
from htgen.files import write_bytes
from htgen.images import Preprocessing, load_image
from htgen.pixels import scale_pixels
from htgen.version import __version__

FORMAT = "htgen-cnn"
FORMAT_VERSION = 1
IMAGES_PER_BATCH = 256

Floats = npt.NDArray[np.float32]
ImageLike = str | Path | Image.Image | npt.NDArray[np.uint8]


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
        tensors: weights and norm statistics, by the names above, float32.
        generator: name and sha256 of the generator that made it.
        support: number of support images of each class, for information.
    """

    spec: CnnSpec
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    tensors: Mapping[str, Floats]
    generator: Mapping[str, str] = field(default_factory=dict)
    support: Mapping[str, int] = field(default_factory=dict)

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
        expected = tensor_shapes(self.spec, len(names), "conv1.bias" in self.tensors)
        found = {name: tuple(tensor.shape) for name, tensor in self.tensors.items()}
        for name in sorted(expected.keys() | found):
            if expected.get(name) != found.get(name):
                there, wanted = found.get(name, "missing"), expected.get(name, "none of that name")
                yield f"{name} is {there}, expected {wanted}"
            elif self.tensors[name].dtype != np.float32 or not np.isfinite(self.tensors[name]).all():
                yield f"{name} must hold finite float32 numbers"

    @property
    def parameter_count(self) -> int:
        """Numbers in all tensors."""
        return sum(tensor.size for tensor in self.tensors.values())

    def to_bytes(self) -> bytes:
        """The file's content; the same CNN gives the same bytes."""
        header = {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "htgen": __version__,
            "cnn": self.spec.to_dict(),
            "classes": list(self.classes),
            "preprocessing": self.preprocessing.to_dict(),
            "generator": dict(self.generator),
            "support": dict(self.support),
        }
        tensors = {name: np.ascontiguousarray(self.tensors[name]) for name in sorted(self.tensors)}
        return save(tensors, metadata={"htgen": json.dumps(header, sort_keys=True)})

    def save(self, path: str | Path) -> int:
        """Write the file and return its size in bytes.

        Raises:
            OutputError: it cannot be written; a file that was there is kept.
        """
        data = self.to_bytes()
        write_bytes(path, data)
        return len(data)

    @classmethod
    def load(cls, path: str | Path) -> "Bundle":
        """Read the file.

        Raises:
            ModelError: it is missing, damaged, or no htgen CNN that this version reads.
        """
        remedy = "a file that `htgen generate` wrote"
        try:
            with safe_open(path, framework="np") as file:
                header = json.loads((file.metadata() or {})["htgen"])
                if header["format"] != FORMAT:
                    raise ModelError(
                        f"{path} is not a htgen CNN but a file of format '{header['format']}'", remedy
                    )
                if header["version"] > FORMAT_VERSION:
                    raise ModelError(
                        f"{path} has format version {header['version']}, this htgen reads {FORMAT_VERSION}",
                        "a newer htgen",
                    )
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            return cls(
                CnnSpec.from_dict(header["cnn"]),
                tuple(header["classes"]),
                Preprocessing.from_dict(header["preprocessing"]),
                tensors,
                header["generator"],
                header["support"],
            )
        except FileNotFoundError:
            raise ModelError(f"there is no file {path}", remedy) from None
        except (SafetensorError, OSError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelError(f"{path} is not a htgen CNN, or it is damaged ({error})", remedy) from error

    def predict(self, images: Sequence[ImageLike]) -> list[Prediction]:
        """Classify images.

        Args:
            images: paths, Pillow images, or uint8 arrays `[H, W]` or `[H, W, C]`, of any size.

        Raises:
            DataError: an image cannot be read.
        """
        prepared = (prepare_images(batch, self.preprocessing) for batch in batches(images))
        return [prediction for x in prepared for prediction in self.classify(x)]

    def classify(self, x: Floats) -> list[Prediction]:
        """Classify prepared images `[N, C, H, W]`."""
        return to_predictions(softmax(self.logits(x)), self.classes)

    def logits(self, x: Floats) -> Floats:
        """Run the CNN: prepared images `[N, C, H, W]` -> logits `[N, classes]`."""
        for conv in self.spec.convs:
            x = self._block(x, conv)
        x = x.reshape(len(x), -1) if self.spec.head == "flatten" else x.mean(axis=(2, 3))
        return x @ self.tensors["logits.weight"].T + self.tensors["logits.bias"]

    def _block(self, x: Floats, conv: ConvSpec) -> Floats:
        x = _convolve(x, self.tensors[f"{conv.name}.weight"], conv)
        if (bias := self.tensors.get(f"{conv.name}.bias")) is not None:
            x = x + bias[:, None, None]
        if self.spec.norm_first:
            x = self._activate(self._normalise(x, conv))
            return _pool(x, conv) if conv.pool else x
        if conv.pool:  # first, as activations are monotone: a quarter of the work
            x = _pool(x, conv)
        return self._normalise(self._activate(x), conv)

    def _activate(self, x: Floats) -> Floats:
        return np.maximum(x, 0 if self.spec.activation == "relu" else x * np.float32(LEAKY_SLOPE))

    def _normalise(self, x: Floats, conv: ConvSpec) -> Floats:
        if self.spec.norm == "support":
            mean, variance = self.tensors[f"{conv.name}.norm.mean"], self.tensors[f"{conv.name}.norm.var"]
        else:
            mean, variance = x.mean(axis=(0, 2, 3)), x.var(axis=(0, 2, 3))
        scale = self.tensors[f"{conv.name}.norm.weight"] / np.sqrt(variance + np.float32(NORM_EPSILON))
        shift = self.tensors[f"{conv.name}.norm.bias"] - mean * scale
        return x * scale[:, None, None] + shift[:, None, None]


def tensor_shapes(spec: CnnSpec, classes: int, bias: bool) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors in an exported CNN."""
    shapes: dict[str, tuple[int, ...]] = {}
    for conv in spec.convs:
        channels = (conv.out_channels,)
        shapes[f"{conv.name}.weight"] = (conv.out_channels, conv.in_channels, conv.kernel, conv.kernel)
        if bias:
            shapes[f"{conv.name}.bias"] = channels
        for part in ("weight", "bias", "mean", "var"):
            shapes[f"{conv.name}.norm.{part}"] = channels
    shapes["logits.weight"] = (classes, spec.feature_count)
    shapes["logits.bias"] = (classes,)
    return shapes


def batches(images: Sequence[ImageLike]) -> Iterator[Sequence[ImageLike]]:
    """The images in parts that fit into memory.

    Raises:
        DataError: it is one image, not a list of them.
    """
    if isinstance(images, str | Path | Image.Image) or (isinstance(images, np.ndarray) and images.ndim < 3):
        raise DataError("expected a list of images, got a single one", "[image] in place of image")
    for start in range(0, len(images), IMAGES_PER_BATCH):
        yield images[start : start + IMAGES_PER_BATCH]


def prepare_images(images: Sequence[ImageLike], preprocessing: Preprocessing) -> Floats:
    """Read and preprocess images -> CNN input, float32 `[N, C, H, W]`, -1..1.

    Raises:
        DataError: an image cannot be read.
    """
    size, channels = preprocessing.size, preprocessing.channels
    pixels = np.empty((len(images), channels, size, size), dtype=np.float32)
    for index, image in enumerate(images):
        pixels[index] = preprocessing.apply(_open(image)).transpose(2, 0, 1)
    return scale_pixels(pixels)


def softmax(logits: Floats) -> Floats:
    """Probabilities over the last axis."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def to_predictions(probabilities: Floats, classes: Sequence[str]) -> list[Prediction]:
    """`[N, classes]` -> one `Prediction` per image."""
    predictions = []
    for row in probabilities:
        order = np.argsort(-row, kind="stable")
        ranked = {classes[i]: float(row[i]) for i in order}
        predictions.append(Prediction(classes[order[0]], ranked))
    return predictions


def _open(image: ImageLike) -> Image.Image:
    if isinstance(image, Image.Image):
        return image
    if isinstance(image, np.ndarray):
        is_shaped = image.ndim == 2 or (image.ndim == 3 and 1 <= image.shape[2] <= 4)
        if image.dtype != np.uint8 or not is_shaped or not image.size:
            raise DataError(
                "an image array must be uint8 [H, W], or [H, W, C] of 1 to 4 channels, got "
                f"{image.dtype} {list(image.shape)}"
            )
        return Image.fromarray(image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image)
    if not isinstance(image, str | Path):
        raise DataError(
            f"an image must be a path, a Pillow image or a uint8 array, got {type(image).__name__}"
        )
    return load_image(image)


def _convolve(x: Floats, kernel: Floats, conv: ConvSpec) -> Floats:
    """`[N, C, H, W] * [O, C, k, k] -> [N, O, H', W']`, as one matrix product per image."""
    if margin := conv.padding:  # np.pad takes longer than the rest for a single image
        padded = np.zeros((*x.shape[:2], conv.in_size + 2 * margin, conv.in_size + 2 * margin), x.dtype)
        padded[..., margin:-margin, margin:-margin] = x
        x = padded
    k, stride, size = conv.kernel, conv.stride, conv.conv_size
    patches = np.empty((len(x), conv.in_channels, k, k, size, size), dtype=x.dtype)
    reach = (size - 1) * stride + 1
    for row in range(k):
        for column in range(k):
            patches[:, :, row, column] = x[:, :, row : row + reach : stride, column : column + reach : stride]
    out = kernel.reshape(len(kernel), -1) @ patches.reshape(len(x), -1, size * size)
    return out.reshape(len(x), len(kernel), size, size)


def _pool(x: Floats, conv: ConvSpec) -> Floats:
    """2x2 max-pool; an odd last row or column is dropped."""
    side = conv.out_size * 2
    x = np.maximum(x[:, :, 0:side:2, :side], x[:, :, 1:side:2, :side])
    return np.maximum(x[..., 0::2], x[..., 1::2])
