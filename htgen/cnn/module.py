"""An exported CNN as a plain `torch.nn.Module`, for programs that use torch anyway."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from htgen.arrays import Floats
from htgen.cnn.bundle import Bundle, Prediction, to_predictions
from htgen.cnn.executor import head_features, last_activations
from htgen.cnn.executor_numpy import softmax
from htgen.cnn.weights import BlockWeights, CnnWeights
from htgen.images.inputs import ImageLike, batches, prepare_images


class Norm(nn.Module):
    """Scale and shift `[C]`, and the support set's mean and variance `[C]`."""

    mean: Tensor
    var: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(bias)
        self.register_buffer("mean", mean)
        self.register_buffer("var", var)


class Block(nn.Module):
    """Weights of one convolutional block: kernel `[O, C / groups, k, k]`, bias `[O]` if any, norm if any."""

    def __init__(self, weights: BlockWeights[Tensor]) -> None:
        super().__init__()
        norm = weights.norm
        self.weight = nn.Parameter(weights.kernel)
        self.bias = None if weights.bias is None else nn.Parameter(weights.bias)
        self.norm = None if norm is None else Norm(*norm.values())


class GeneratedCNN(nn.Module):
    """A CNN that a generator wrote. Parameters carry gradients, so it can be fine-tuned.

    It runs by the very functions by which the generator runs its CNNs (`htgen.cnn.executor`), as one
    episode, so that both give the same logits up to the rounding of float32. The names in its `state_dict`
    are those of the file.

    Args:
        bundle: the exported CNN.

    Attributes:
        classes: class names in the order of the logits.
        preprocessing: how images become its input.
        bundle: what it was made from; fine-tuning does not change it.
    """

    def __init__(self, bundle: Bundle) -> None:
        super().__init__()
        self.bundle = bundle
        self.spec = bundle.spec
        self.classes = bundle.classes
        self.preprocessing = bundle.preprocessing
        weights = bundle.weights.map(lambda array: torch.from_numpy(array.copy()))
        for conv, block in zip(bundle.spec.convs, weights.blocks, strict=True):
            self.add_module(conv.name, Block(block))
        self.logits = nn.Linear(bundle.spec.feature_count, len(bundle.classes))
        self.logits.weight = nn.Parameter(weights.logits_weight)
        self.logits.bias = nn.Parameter(weights.logits_bias)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Prepared images `[N, C, H, W]`, -1..1 -> logits `[N, classes]`."""
        tensors = dict(self.named_parameters()) | dict(self.named_buffers())
        weights = CnnWeights.from_tensors(self.spec, tensors).map(lambda tensor: tensor[None])
        x = last_activations(self.spec, weights.blocks, x[:, None])  # [N, E = 1, C, H, W]
        return self.logits(head_features(x, self.spec)[0])

    @torch.no_grad()
    def predict(self, images: Sequence[ImageLike]) -> list[Prediction]:
        """Classify images: paths, Pillow images, or uint8 arrays `[H, W]` or `[H, W, C]`, of any size.

        Raises:
            DataError: an image cannot be read.
        """
        predictions = []
        for batch in batches(images):
            prepared = prepare_images(batch, self.preprocessing)
            logits: Floats = self(torch.from_numpy(prepared).to(self.logits.weight.device)).cpu().numpy()
            predictions += to_predictions(softmax(logits), self.classes)
        return predictions

    def save(self, path: str | Path) -> int:
        """Write the CNN with the weights that it has now, and no estimate if they were changed; see
        `Bundle.save`.

        Raises:
            ModelError: fine-tuning has left weights that are no numbers.
            OutputError: it cannot be written; a file that was there is kept.
        """
        tensors = {name: tensor.detach().cpu().float().numpy() for name, tensor in self.state_dict().items()}
        is_same = all(np.array_equal(tensors[name], known) for name, known in self.bundle.tensors.items())
        estimate = self.bundle.estimate if is_same else None
        return replace(self.bundle, tensors=tensors, estimate=estimate).save(path)


def load_cnn(path: str | Path) -> GeneratedCNN:
    """Load a CNN that `htgen generate` wrote.

    Raises:
        ModelError: the file is missing, damaged, or no htgen CNN.
    """
    return GeneratedCNN(Bundle.load(path))
