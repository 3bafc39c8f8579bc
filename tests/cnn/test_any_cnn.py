"""CNNs of all that a description can say: both executors, the module and the file against slow loops."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.cnns import any_spec, any_weights
from torch import Tensor

from htgen.cnn import executor, executor_numpy
from htgen.cnn.bundle import Bundle
from htgen.cnn.c_float import float_code
from htgen.cnn.c_whole import whole_code
from htgen.cnn.layout import BY_EPISODE, LAYOUTS, SIDE_BY_SIDE
from htgen.cnn.module import GeneratedCNN, load_cnn
from htgen.cnn.spec import CnnSpec, ConvSpec
from htgen.cnn.weights import CnnWeights, tensor_shapes
from htgen.errors import ModelError
from htgen.images.preprocessing import Preprocessing

EPISODES, IMAGES, WAY = 2, 3, 4
SEEDS = range(80)


def any_images(spec: CnnSpec, seed: int, *lead: int) -> np.ndarray:
    side = spec.image_size
    return np.random.default_rng(seed).uniform(-1, 1, (*lead, spec.image_channels, side, side))


def slow_logits(spec: CnnSpec, weights: CnnWeights, images: Tensor) -> Tensor:
    """One CNN's logits of images `[N, C, H, W]`, step by step in the order that the description gives."""
    x, outputs = images, {}
    for conv, block in zip(spec.convs, weights.blocks, strict=True):
        for step in spec.steps(conv):
            if step == "conv":
                x = slow_convolution(x, block.kernel, conv)
            elif step == "bias":
                x = x + block.bias.view(1, -1, 1, 1)
            elif step == "norm":
                mean, variance = block.norm.mean, block.norm.variance
                if spec.norm == "batch":
                    variance, mean = torch.var_mean(x, dim=(0, 2, 3), correction=0)
                scale = block.norm.gamma / (variance + 1e-3) ** 0.5
                x = (x - mean.view(1, -1, 1, 1)) * scale.view(1, -1, 1, 1) + block.norm.beta.view(1, -1, 1, 1)
            elif step == "add":
                x = x + outputs[conv.add]
            elif step == "activation":
                kind = spec.activation if conv.activation is None else conv.activation
                x = torch.where(x < 0, 0.01 * x if kind == "lrelu" else torch.zeros_like(x), x)
                x = torch.where(x > 6, torch.full_like(x, 6), x) if kind == "relu6" else x
            else:
                parts = [x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)]
                side = x.shape[2] // 2
                four = torch.stack([part[:, :, :side, :side] for part in parts])
                x = four.amax(0) if conv.pooling == "max" else four.mean(0)
        outputs[conv.name] = x
    features = x.flatten(1) if spec.head == "flatten" else x.mean((2, 3))
    if spec.unit_features:
        features = features / ((features**2).sum(1, keepdim=True) ** 0.5).clamp(1e-12)
    return features @ weights.logits_weight.T + weights.logits_bias


def slow_convolution(x: Tensor, kernel: Tensor, conv: ConvSpec) -> Tensor:
    """Every output channel by itself, from the channels of its group; every position by itself."""
    behind = conv.kernel // 2 if conv.same_padding else 0
    x = F.pad(x, [behind - 1 if conv.padded_behind else behind, behind] * 2)
    inputs, outputs = conv.in_channels // conv.groups, conv.out_channels // conv.groups
    side = (x.shape[2] - conv.kernel) // conv.stride + 1
    out = torch.zeros(len(x), conv.out_channels, side, side, dtype=x.dtype)
    for o in range(conv.out_channels):
        first = o // outputs * inputs
        for row in range(side):
            for column in range(side):
                top, left = row * conv.stride, column * conv.stride
                window = x[:, first : first + inputs, top : top + conv.kernel, left : left + conv.kernel]
                out[:, o, row, column] = (window * kernel[o]).sum((1, 2, 3))
    return out


def of_episode(weights: CnnWeights, index: int) -> CnnWeights:
    return weights.map(lambda tensor: torch.from_numpy(tensor[index]))


@pytest.mark.parametrize("norm", ["support", "batch"])
@pytest.mark.parametrize("seed", SEEDS)
def test_both_executors_are_the_slow_one(seed, norm, monkeypatch):
    spec = any_spec(seed, norm)
    assert [*spec.faults()] == []
    weights, images = any_weights(spec, seed, EPISODES), any_images(spec, seed, EPISODES, IMAGES)
    wanted = torch.stack(
        [slow_logits(spec, of_episode(weights, e), torch.from_numpy(images[e])) for e in range(EPISODES)]
    )
    with_numpy = torch.from_numpy(executor_numpy.run(spec, weights, images))
    torch.testing.assert_close(with_numpy, wanted, rtol=1e-7, atol=1e-7)
    tensors = weights.map(torch.from_numpy)
    for layout in (SIDE_BY_SIDE, BY_EPISODE):
        monkeypatch.setitem(LAYOUTS, "cpu", layout)
        found = executor.run(spec, tensors, torch.from_numpy(images))
        torch.testing.assert_close(found, wanted, rtol=1e-7, atol=1e-7)
        shared = tensors.map(lambda tensor: tensor[:1].expand(EPISODES, *tensor.shape[1:]))
        together = executor.run(spec, shared, torch.from_numpy(images))
        torch.testing.assert_close(together[0], wanted[0], rtol=1e-7, atol=1e-7)


def test_the_seeds_have_all_that_can_be_said():
    convs = [(spec, conv) for spec in map(any_spec, SEEDS) for conv in spec.convs]
    for field in ("bias", "norm", "pool", "same_padding", "padded_behind", "pooling", "activation"):
        assert len({getattr(conv, field) for _, conv in convs}) == (5 if field == "activation" else 2)
    assert {spec.unit_features for spec, _ in convs} == {True, False}
    kinds = {
        (min(c.groups, 2), c.groups == c.in_channels == c.out_channels) for _, c in convs if c.groups > 1
    }
    assert kinds == {(2, True), (2, False)}
    assert {("add" in spec.steps(conv), conv.pool, spec.norm_first) for spec, conv in convs} >= {
        (True, pool, first) for pool in (False, True) for first in (False, True)
    }


@pytest.mark.parametrize("seed", SEEDS)
def test_the_file_the_module_and_the_count_agree_with_the_description(seed, tmp_path):
    spec = any_spec(seed)
    tensors = any_weights(spec, seed, dtype=np.float32).to_tensors(spec)
    bundle = Bundle(
        spec,
        tuple(f"class {i}" for i in range(WAY)),
        Preprocessing(spec.image_size, spec.image_channels, "none", "pad"),
        tensors,
    )
    bundle.save(tmp_path / "cnn.safetensors")
    again = Bundle.load(tmp_path / "cnn.safetensors")
    assert again.spec == spec
    assert again.to_bytes() == bundle.to_bytes()
    images = any_images(spec, seed, IMAGES).astype(np.float32)
    cnn = load_cnn(tmp_path / "cnn.safetensors")
    assert set(cnn.state_dict()) == set(tensors)
    with torch.no_grad():
        answers = cnn(torch.from_numpy(images))
    torch.testing.assert_close(answers, torch.from_numpy(again.logits(images)), rtol=2e-3, atol=2e-3)
    # Products of a convolution, counted as the numbers that each of its outputs is a sum of.
    x, products = torch.zeros(1, spec.image_channels, spec.image_size, spec.image_size), 0
    for conv in spec.convs:
        x = slow_convolution(x, torch.ones(*conv.kernel_shape), conv)
        products += x.numel() * conv.kernel**2 * conv.in_channels // conv.groups
        x = x[:, :, : conv.out_size, : conv.out_size]
    assert spec.multiply_adds(WAY) == products + WAY * spec.feature_count


def folded_block(name: str, inputs: int, outputs: int, **changes) -> ConvSpec:
    fields = {"kernel": 1, "stride": 1, "same_padding": True, "pool": False, "in_size": 0, "out_size": 0}
    fields |= {"bias": True, "norm": False, "activation": "relu6"}
    return ConvSpec(name, inputs, outputs, **(fields | changes))


def trunk(size: int) -> CnnSpec:
    """A stem and two inverted residual blocks, as MobileNet V2 and EfficientNet-Lite have them."""
    spec = CnnSpec(
        size,
        3,
        (
            folded_block("stem", 3, 8, kernel=3, stride=2),
            folded_block("expand1", 8, 16),
            folded_block("depth1", 16, 16, kernel=5, groups=16, stride=2),
            folded_block("project1", 16, 8, activation="none"),
            folded_block("expand2", 8, 32),
            folded_block("depth2", 32, 32, kernel=3, groups=32),
            folded_block("project2", 32, 8, activation="none", add="project1"),
            folded_block("last", 8, 40),
        ),
        "relu6",
        "support",
        "average",
    )
    return spec.at_size(size)


class InvertedResiduals(torch.nn.Module):
    """The same by the layers of torch, with norms that are not folded yet."""

    def __init__(self) -> None:
        super().__init__()
        nn = torch.nn
        sizes = [(3, 8, 3, 2, 1), (8, 16, 1, 1, 1), (16, 16, 5, 2, 16), (16, 8, 1, 1, 1)]
        sizes += [(8, 32, 1, 1, 1), (32, 32, 3, 1, 32), (32, 8, 1, 1, 1), (8, 40, 1, 1, 1)]
        self.convs = nn.ModuleList(
            nn.Conv2d(i, o, k, s, k // 2, groups=g, bias=False) for i, o, k, s, g in sizes
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(o) for _, o, *_ in sizes)
        self.fc = nn.Linear(40, WAY)
        with torch.no_grad():
            for norm in self.norms:
                for tensor in (norm.weight, norm.bias, norm.running_mean):
                    tensor.normal_(0.5)
                norm.running_var.uniform_(0.5, 2)

    def forward(self, x: Tensor) -> Tensor:
        for index, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            x = norm(conv(x))
            if index not in (3, 6):
                x = F.relu6(x)
            if index == 3:
                kept = x
            if index == 6:
                x = x + kept
        return self.fc(x.mean((2, 3)))

    def folded(self) -> CnnWeights:
        blocks = []
        for conv, norm in zip(self.convs, self.norms, strict=True):
            scale = norm.weight / (norm.running_var + norm.eps).sqrt()
            bias = norm.bias - norm.running_mean * scale
            blocks.append((conv.weight * scale[:, None, None, None], bias))
        values = [*sum(blocks, ()), self.fc.weight, self.fc.bias]
        spec = trunk(32)
        return CnnWeights.from_tensors(spec, dict(zip(tensor_shapes(spec, WAY), values, strict=True)))


def test_a_trunk_of_inverted_residuals_is_torchs_at_several_sizes():
    torch.manual_seed(0)
    plain = InvertedResiduals().eval()
    spec = trunk(32)
    with torch.no_grad():
        weights = plain.folded()
        for size in (32, 47, 64):
            sized = spec.at_size(size)
            assert tensor_shapes(sized, WAY) == tensor_shapes(spec, WAY)
            assert sized.convs[0].out_size == (size + 1) // 2
            images = torch.randn(2, 3, size, size)
            wanted = plain(images)
            found = executor.run(sized, weights.map(lambda t: t[None]), images[None])[0]
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
            arrays = weights.map(lambda t: t[None].numpy())
            with_numpy = executor_numpy.run(sized, arrays, images[None].numpy())[0]
            torch.testing.assert_close(torch.from_numpy(with_numpy), wanted, rtol=1e-4, atol=1e-4)


def test_weights_of_another_size_are_refused():
    spec = trunk(32)
    assert spec.at_size(32) == spec
    with pytest.raises(ModelError, match="images of 0 x 0"):
        spec.at_size(0)
    flat = replace(spec, head="flatten")
    assert flat.at_size(31).feature_count == flat.feature_count
    with pytest.raises(ModelError, match="images of 64 x 64"):
        flat.at_size(64)


def test_a_trunk_can_be_fine_tuned():
    torch.manual_seed(0)
    spec = trunk(32)
    with torch.no_grad():
        tensors = {
            name: tensor.numpy() for name, tensor in InvertedResiduals().folded().to_tensors(spec).items()
        }
    bundle = Bundle(spec, tuple("abcd"), Preprocessing(32, 3, "none", "pad"), tensors)
    cnn = GeneratedCNN(bundle)
    F.cross_entropy(cnn(torch.randn(4, 3, 32, 32)), torch.arange(4)).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in cnn.parameters())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"groups": 3}, "3 groups"),
        ({"groups": 0}, "does not fit"),
        ({"groups": -1}, "does not fit"),
        ({"groups": True}, "does not fit"),
        ({"groups": 2.0}, "does not fit"),
        ({"kernel": 0}, "does not fit"),
        ({"kernel": 99, "same_padding": False}, "does not fit"),
        ({"stride": -1}, "does not fit"),
        ({"activation": "tanh"}, "unknown activation 'tanh'"),
        ({"activation": ["relu"]}, "unknown activation"),
        ({"pooling": "median"}, "pooling 'median'"),
        ({"norm": "no"}, "true or false"),
        ({"pool": 1}, "true or false"),
        ({"add": "later"}, "no earlier block"),
        ({"add": "conv2"}, "no earlier block"),
        ({"add": "conv1", "out_channels": 8}, "no earlier block"),
        ({"add": 0}, "no earlier block"),
        ({"add": "conv1", "stride": 2, "out_size": 2}, "no earlier block"),
    ],
)
def test_blocks_that_cannot_be_are_refused(changes, says):
    def block(name: str, inputs: int, **fields) -> ConvSpec:
        shape = {"kernel": 3, "stride": 1, "same_padding": True, "pool": False, "in_size": 8, "out_size": 8}
        return ConvSpec(name, inputs, 4, **(shape | fields))

    convs = (
        block("conv0", 1, pool=True, out_size=4),
        block("conv1", 4, in_size=4, out_size=4, activation="none"),
    )
    good = block("conv2", 4, in_size=4, out_size=4, add="conv1", groups=2)
    spec = CnnSpec(
        8, 1, (*convs, good, block("later", 4, in_size=4, out_size=4)), "relu", "support", "average"
    )
    assert [*spec.faults()] == []
    bad = replace(good, **changes)
    faults = [*replace(spec, convs=(*spec.convs[:2], bad, spec.convs[3])).faults()]
    assert any(says in fault for fault in faults), faults


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"groups": 8, "out_channels": 8}, "groups of expand1"),
        ({"activation": "none"}, "activation none of expand1"),
        ({"pool": True, "pooling": "average"}, "average pool of expand1"),
        ({"add": "stem", "out_channels": 8}, "sum of expand1 and stem"),
        ({"norm": False}, "expand1, which has no norm"),
        ({"kernel": 3, "padded_behind": True}, "padding of expand1"),
    ],
)
def test_what_has_no_c_in_float_has_one_in_whole_numbers(changes, says):
    stem = folded_block("stem", 3, 8, activation=None, norm=True)
    expand = replace(folded_block("expand1", 8, 16, activation=None, norm=True), **changes)
    spec = CnnSpec(16, 3, (stem, expand), "relu", "support", "average").at_size(16)
    tensors = any_weights(spec, 0, dtype=np.float32).to_tensors(spec)
    bundle = Bundle(spec, tuple("abcd"), Preprocessing(16, 3, "none", "pad"), tensors)
    with pytest.raises(ModelError, match=says):
        float_code(bundle, "cnn")
    assert "cnn_classify" in whole_code(bundle, "cnn").text


def test_descriptions_of_plain_blocks_say_no_more_than_they_did():
    spec = CnnSpec(8, 1, (ConvSpec("conv1", 1, 4, 3, 1, True, True, 8, 4),), "relu", "support", "flatten")
    fields = {"name", "in_channels", "out_channels", "kernel", "stride", "same_padding", "pool"}
    assert set(spec.to_dict()["convs"][0]) == fields | {"in_size", "out_size"}
    assert CnnSpec.from_dict(spec.to_dict()) == spec
