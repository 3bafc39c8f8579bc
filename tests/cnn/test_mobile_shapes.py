"""Trunks of depthwise convolutions: EfficientNet-Lite0 by the layers of torch, and the one of the package."""

import importlib.util

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.trunks import TRUNKS, trunk_config
from torch import nn

from htgen.cnn import executor, executor_numpy
from htgen.cnn.layout import SIDE_BY_SIDE
from htgen.cnn.mobile_shapes import EFFICIENTNET_LITE0, efficientnet_lite0, inverted
from htgen.cnn.shapes import SHAPES, CnnConfig
from htgen.cnn.spec import CnnSpec
from htgen.cnn.weights import BlockWeights
from htgen.config.model import ModelConfig
from htgen.generator.weight_package import EFFICIENTNET_LITE0 as PACKAGE
from htgen.generator.weight_package import efficientnet_blocks

IS_INSTALLED = importlib.util.find_spec(PACKAGE.module) is not None


class Same(nn.Module):
    """A convolution padded as TensorFlow does, and its norm."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kernel, stride = self.conv.kernel_size[0], self.conv.stride[0]
        side = x.shape[-1]
        wanted = max((-(-side // stride) - 1) * stride + kernel - side, 0)
        return self.norm(self.conv(F.pad(x, [wanted // 2, wanted - wanted // 2] * 2)))


class Lite0(nn.Module):
    """EfficientNet-Lite0 as its paper has it, with norms that are not folded."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, channels, blocks = Same(3, 32, 3, 2), 32, []
        for count, kernel, stride, expansion, outputs in EFFICIENTNET_LITE0:
            for index in range(count):
                wide = channels * expansion
                parts = [Same(channels, wide, 1, 1)] if expansion > 1 else []
                parts += [
                    Same(wide, wide, kernel, stride if index == 0 else 1, wide),
                    Same(wide, outputs, 1, 1),
                ]
                blocks.append(nn.ModuleList(parts))
                channels = outputs
        self.blocks, self.head = nn.ModuleList(blocks), Same(channels, 1280, 1, 1)

    def forward(self, x: torch.Tensor, last: int | None = None) -> torch.Tensor:
        x = F.relu6(self.stem(x))
        for number, (*first, project) in enumerate(self.blocks):
            kept = x
            for part in first:
                x = F.relu6(part(x))
            x = project(x)
            x = x + kept if x.shape == kept.shape else x
            if number == last:
                return x.mean((2, 3))
        return F.normalize(F.relu6(self.head(x)).mean((2, 3)), dim=1)

    def load(self, tensors: dict[str, torch.Tensor]) -> None:
        """The weights under the names that the package has."""
        places = [("_conv_stem", "_bn0", self.stem), ("_conv_head", "_bn1", self.head)]
        for number, parts in enumerate(self.blocks):
            names = [("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")]
            for (conv, norm), part in zip(names[-len(parts) :], parts, strict=True):
                places.append((f"_blocks.{number}.{conv}", f"_blocks.{number}.{norm}", part))
        for conv, norm, part in places:
            part.conv.weight.data = tensors[f"{conv}.weight"]
            for name in ("weight", "bias", "running_mean", "running_var"):
                getattr(part.norm, name).data = tensors[f"{norm}.{name}"]

    def named(self) -> dict[str, np.ndarray]:
        """The inverse of `load`, for weights that are its own."""
        found = {}

        def keep(conv: str, norm: str, part: Same) -> None:
            found[f"{conv}.weight"] = part.conv.weight.detach().numpy()
            for name in ("weight", "bias", "running_mean", "running_var"):
                found[f"{norm}.{name}"] = getattr(part.norm, name).detach().numpy()

        keep("_conv_stem", "_bn0", self.stem)
        keep("_conv_head", "_bn1", self.head)
        for number, parts in enumerate(self.blocks):
            names = [("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")]
            for (conv, norm), part in zip(names[-len(parts) :], parts, strict=True):
                keep(f"_blocks.{number}.{conv}", f"_blocks.{number}.{norm}", part)
        return found


def random_network() -> Lite0:
    torch.manual_seed(0)
    network = Lite0().eval()
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.weight.data.uniform_(0.5, 1.5)
            part.bias.data.normal_(0, 0.3)
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.1, 0.5)
    return network


def both(spec: CnnSpec, tensors: dict[str, np.ndarray], images: np.ndarray) -> list[np.ndarray]:
    """The features by NumPy and by torch."""
    blocks = [block.map(lambda part: part[None]) for block in efficientnet_blocks(spec, tensors)]
    with_numpy = executor_numpy.last_features(spec, blocks, images[None])[0]
    as_tensors = [block.map(torch.from_numpy) for block in blocks]
    x = SIDE_BY_SIDE.channels_last(torch.from_numpy(images[None]))
    with_torch = executor.head_features(executor.last_activations(spec, as_tensors, x), spec)[0]
    return [with_numpy, with_torch.numpy()]


@pytest.mark.parametrize(("side", "last"), [(64, "head"), (53, "head"), (64, 11), (65, 4)])
def test_efficientnet_is_that_of_the_paper(side, last):
    network, spec = random_network(), efficientnet_lite0(side, 3, last)
    assert [*spec.faults()] == []
    images = np.random.default_rng(0).uniform(-1, 1, (2, 3, side, side)).astype(np.float32)
    with torch.no_grad():  # (pixels - 127) / 128, of pixels / 128 - 1
        wanted = network(torch.from_numpy(images) + 1 / 128, None if last == "head" else last).numpy()
    for found in both(spec, network.named(), images):
        np.testing.assert_allclose(found, wanted, atol=1e-4 * max(1, np.abs(wanted).max()))


@pytest.mark.skipif(not IS_INSTALLED, reason=f"the package {PACKAGE.name} (htgen[photo]) is not installed")
def test_the_weights_of_the_package_make_its_network():
    root = importlib.util.find_spec(PACKAGE.module).submodule_search_locations[0]
    stored = torch.load(f"{root}/{PACKAGE.file}", weights_only=True)
    network = Lite0().eval()
    network.load(stored)
    read = PACKAGE.read()
    assert all(np.array_equal(read[name], tensor.numpy()) for name, tensor in stored.items() if name in read)
    assert {name for name in stored if not name.endswith("num_batches_tracked")} == set(read)
    images = np.random.default_rng(0).uniform(-1, 1, (1, 3, 96, 96)).astype(np.float32)
    with torch.no_grad():
        wanted = network(torch.from_numpy(images) + 1 / 128).numpy()
    for found in both(efficientnet_lite0(96, 3), read, images):
        np.testing.assert_allclose(found, wanted, atol=1e-4)


@pytest.mark.parametrize("side", [32, 37])
def test_inverted_residuals_widen_filter_and_narrow_and_are_added_to_what_they_read(side):
    """As in section 3 of the paper, with padding as TensorFlow counts it; the first block adds nothing."""
    blocks, features = ((4, 3, 1, 4), (12, 5, 2, 6), (12, 3, 1, 6), (9, 3, 1, 8)), 7
    spec = inverted(side, 3, 4, blocks, features)
    torch.manual_seed(0)
    parts = [(torch.randn(conv.kernel_shape), torch.randn(conv.out_channels)) for conv in spec.convs]
    images = torch.rand(2, 3, side, side) * 2 - 1
    left = iter(parts)

    def conv(x: torch.Tensor, kernel: int, stride: int = 1, is_depthwise: bool = False) -> torch.Tensor:
        weight, bias = next(left)
        assert weight.shape[2] == kernel
        wanted = max((-(-x.shape[-1] // stride) - 1) * stride + kernel - x.shape[-1], 0)
        x = F.pad(x, [wanted // 2, wanted - wanted // 2] * 2)
        return F.conv2d(x, weight, bias, stride, groups=x.shape[1] if is_depthwise else 1)

    x = F.relu(conv(images, 3, 2))
    for number, (wide, kernel, stride, outputs) in enumerate(blocks):
        kept, x = x, F.relu(conv(x, 1)) if wide != x.shape[1] else x
        x = conv(F.relu(conv(x, kernel, stride, True)), 1)
        assert x.shape[1] == outputs
        x = x + kept if number and x.shape == kept.shape else x
    wanted = F.relu(conv(x, 1)).mean((2, 3)).numpy()

    whole = [BlockWeights(kernel[None], bias[None], None) for kernel, bias in parts]
    arrays = [block.map(lambda part: part.numpy()) for block in whole]
    for found in (
        executor.head_features(
            executor.last_activations(spec, whole, SIDE_BY_SIDE.channels_last(images[None])), spec
        )[0].numpy(),
        executor_numpy.last_features(spec, arrays, images.numpy()[None])[0],
    ):
        np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("shape", TRUNKS)
def test_a_trunk_is_learned_as_a_whole_and_follows_no_settings(shape):
    spec = SHAPES[shape](CnnConfig(shape=shape), 64, 3)
    layers = len(spec.convs)
    assert trunk_config(shape, 64, layers).weights.learned_layers == layers
    with pytest.raises(ValueError, match="which no generator writes"):
        trunk_config(shape, 64, layers - 1)
    with pytest.raises(ValueError, match="has its own; leave it out"):
        ModelConfig.model_validate({"cnn": {"shape": shape, "channels": 12}})


def test_blocks_of_one_shape_add_what_they_read():
    spec = SHAPES["separable"](CnnConfig(shape="separable"), 96, 3)
    added = {conv.name: conv.add for conv in spec.convs if conv.add}
    places = {conv.name: index for index, conv in enumerate(spec.convs)}
    for name, earlier in added.items():
        assert places[name] - places[earlier] == 2  # a depthwise convolution lies between
    assert len(added) == (2 - 1) + (4 - 1) + (4 - 1)
