"""An exported CNN as a plain `torch.nn.Module`, for programs that use torch anyway."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from htgen.arrays import Floats
from htgen.cnn.batch_norm import moments, normalise
from htgen.cnn.bundle import Bundle, Prediction, to_predictions
from htgen.cnn.executor import conv_block, head_features
from htgen.cnn.executor_numpy import softmax
from htgen.cnn.spec import ConvSpec
from htgen.cnn.weights import ConvWeights, Moments
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
    """Weights of one convolutional block: kernel `[O, C, k, k]`, bias `[O]` or none, norm."""

    def __init__(self, weight: Tensor, bias: Tensor | None, norm: Norm) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = None if bias is None else nn.Parameter(bias)
        self.norm = norm


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
        tensors = {name: torch.from_numpy(array.copy()) for name, array in bundle.tensors.items()}
        for conv in bundle.spec.convs:
            norm = Norm(*(tensors[f"{conv.name}.norm.{part}"] for part in ("weight", "bias", "mean", "var")))
            block = Block(tensors[f"{conv.name}.weight"], tensors.get(f"{conv.name}.bias"), norm)
            self.add_module(conv.name, block)
        self.logits = nn.Linear(bundle.spec.feature_count, len(bundle.classes))
        self.logits.weight = nn.Parameter(tensors["logits.weight"])
        self.logits.bias = nn.Parameter(tensors["logits.bias"])
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Prepared images `[N, C, H, W]`, -1..1 -> logits `[N, classes]`."""
        x = x[:, None]  # [N, E = 1, C, H, W]
        for conv in self.spec.convs:
            x = self._block(x, conv)
        return self.logits(head_features(x, self.spec)[0])

    def _block(self, x: Tensor, conv: ConvSpec) -> Tensor:
        block = self.get_submodule(conv.name)
        assert isinstance(block, Block)
        norm = block.norm
        bias = None if block.bias is None else block.bias[None]
        gamma, beta = norm.weight[None], norm.bias[None]
        weights = ConvWeights(block.weight[None], bias, gamma, beta, gamma, beta)
        frozen = Moments(norm.mean[None], norm.var[None])

        def normalise_with_its_statistics(y: Tensor) -> Tensor:
            return normalise(y, frozen if self.spec.norm == "support" else moments(y), gamma, beta)

        return conv_block(x, weights, conv, self.spec, normalise_with_its_statistics)

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
        """Write the CNN with the weights that it has now; see `Bundle.save`.

        Raises:
            ModelError: fine-tuning has left weights that are no numbers.
            OutputError: it cannot be written; a file that was there is kept.
        """
        tensors = {name: tensor.detach().cpu().float().numpy() for name, tensor in self.state_dict().items()}
        return replace(self.bundle, tensors=tensors).save(path)


def load_cnn(path: str | Path) -> GeneratedCNN:
    """Load a CNN that `htgen generate` wrote.

    Raises:
        ModelError: the file is missing, damaged, or no htgen CNN.
    """
    return GeneratedCNN(Bundle.load(path))
