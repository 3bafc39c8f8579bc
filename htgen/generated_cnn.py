"""An exported CNN as a plain `torch.nn.Module`, for programs that use torch anyway."""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from htgen.bundle import (
    Bundle,
    Floats,
    ImageLike,
    Prediction,
    prepare_images,
    softmax,
    to_predictions,
)
from htgen.cnn_spec import LEAKY_SLOPE, NORM_EPSILON, ConvSpec


class GeneratedCNN(nn.Module):
    """A CNN that a generator wrote. Parameters carry gradients, so it can be fine-tuned.

    Args:
        bundle: the exported CNN.

    Attributes:
        classes: class names in the order of the logits.
        preprocessing: how images become its input.
        bundle: what it was made from.
    """

    def __init__(self, bundle: Bundle) -> None:
        super().__init__()
        self.bundle = bundle
        self.spec = bundle.spec
        self.classes = bundle.classes
        self.preprocessing = bundle.preprocessing
        tensors = {name: torch.from_numpy(array.copy()) for name, array in bundle.tensors.items()}
        for spec in bundle.spec.convs:
            conv = nn.Conv2d(
                spec.in_channels,
                spec.out_channels,
                spec.kernel,
                stride=spec.stride,
                padding=spec.padding,
                bias=f"{spec.name}.bias" in tensors,
            )
            norm = nn.BatchNorm2d(spec.out_channels, eps=NORM_EPSILON)
            conv.weight = nn.Parameter(tensors[f"{spec.name}.weight"])
            if conv.bias is not None:
                conv.bias = nn.Parameter(tensors[f"{spec.name}.bias"])
            norm.weight = nn.Parameter(tensors[f"{spec.name}.norm.weight"])
            norm.bias = nn.Parameter(tensors[f"{spec.name}.norm.bias"])
            norm.running_mean = tensors[f"{spec.name}.norm.mean"]
            norm.running_var = tensors[f"{spec.name}.norm.var"]
            self.add_module(spec.name, conv)
            self.add_module(f"{spec.name}_norm", norm)
        self.logits = nn.Linear(bundle.spec.feature_count, len(bundle.classes))
        self.logits.weight = nn.Parameter(tensors["logits.weight"])
        self.logits.bias = nn.Parameter(tensors["logits.bias"])
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Prepared images `[N, C, H, W]`, -1..1 -> logits `[N, classes]`."""
        for spec in self.spec.convs:
            x = self.get_submodule(spec.name)(x)
            if self.spec.norm_first:
                x = self._activate(self._normalise(x, spec))
                x = F.max_pool2d(x, 2) if spec.pool else x
            else:
                x = self._activate(x)
                x = F.max_pool2d(x, 2) if spec.pool else x
                x = self._normalise(x, spec)
        x = x.flatten(1) if self.spec.head == "flatten" else x.mean(dim=(2, 3))
        return self.logits(x)

    def _activate(self, x: Tensor) -> Tensor:
        return F.relu(x) if self.spec.activation == "relu" else F.leaky_relu(x, LEAKY_SLOPE)

    def _normalise(self, x: Tensor, conv: ConvSpec) -> Tensor:
        norm = self.get_submodule(f"{conv.name}_norm")
        assert isinstance(norm, nn.BatchNorm2d)
        if self.spec.norm == "support":
            return norm(x)
        return F.batch_norm(x, None, None, norm.weight, norm.bias, training=True, eps=NORM_EPSILON)

    @torch.no_grad()
    def predict(self, images: Sequence[ImageLike]) -> list[Prediction]:
        """Classify images: paths, Pillow images, or uint8 arrays `[H, W]` or `[H, W, C]`, of any size.

        Raises:
            DataError: an image cannot be read.
        """
        if len(images) == 0:
            return []
        x = torch.from_numpy(prepare_images(images, self.preprocessing))
        logits: Floats = self(x.to(self.logits.weight.device)).cpu().numpy()
        return to_predictions(softmax(logits), self.classes)

    def save(self, path: str | Path) -> int:
        """Write the CNN as it was generated; see `Bundle.save`."""
        return self.bundle.save(path)


def load_cnn(path: str | Path) -> GeneratedCNN:
    """Load a CNN that `htgen generate` wrote.

    Raises:
        ModelError: the file is missing, damaged, or no htgen CNN.
    """
    return GeneratedCNN(Bundle.load(path))
