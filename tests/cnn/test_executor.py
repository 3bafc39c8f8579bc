from math import prod

import pytest
import torch
import torch.nn.functional as F

from htgen.cnn.executor import after_norm, before_norm, head_features
from htgen.cnn.layout import SIDE_BY_SIDE
from htgen.cnn.shapes import SHAPES, CnnConfig
from htgen.cnn.spec import CnnSpec, ConvSpec
from htgen.cnn.weights import tensor_shapes
from htgen.errors import ModelError

EPISODES, IMAGES = 3, 5


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def paper_spec(**changes) -> CnnSpec:
    return SHAPES["maxpool-4-layer"](CnnConfig(**changes), 28, 1)


@pytest.mark.parametrize("in_channels", [1, 3, 8])
@pytest.mark.parametrize(
    ("kernel", "stride", "same"), [(3, 1, True), (3, 2, False), (5, 1, True), (1, 1, True)]
)
def test_each_episode_is_convolved_with_its_own_kernel(in_channels, kernel, stride, same):
    size = 11
    out = (size + (2 * (kernel // 2) if same else 0) - kernel) // stride + 1
    spec = ConvSpec("conv1", in_channels, 4, kernel, stride, same, False, size, out)
    x, kernels = (
        random(IMAGES, EPISODES, in_channels, size, size),
        random(EPISODES, 4, in_channels, kernel, kernel),
    )
    result = SIDE_BY_SIDE.convolve(x, kernels, spec)
    for e in range(EPISODES):
        expected = F.conv2d(x[:, e], kernels[e], stride=stride, padding=spec.padding)
        assert torch.allclose(result[:, e], expected, atol=1e-4)


@pytest.mark.parametrize("norm_first", [False, True, "after-pool"])
@pytest.mark.parametrize("activation", ["relu", "lrelu"])
@pytest.mark.parametrize("size", [10, 11])
def test_a_block_is_conv_bias_activation_pool_norm_in_any_order(norm_first, activation, size):
    spec = ConvSpec("conv1", 1, 4, 3, 1, True, True, size, size // 2)
    cnn = CnnSpec(size, 1, (spec,), activation, "support", "flatten", norm_first)
    x, kernels, bias = (
        random(IMAGES, EPISODES, 1, size, size),
        random(EPISODES, 4, 1, 3, 3),
        random(EPISODES, 4),
    )

    def norm(y):
        return -2 * y + 0.3  # any affine map; a negative scale tells the orders apart

    result = after_norm(cnn, spec, norm(before_norm(cnn, spec, kernels, bias, x)))
    for e in range(EPISODES):
        y = F.conv2d(x[:, e], kernels[e], bias[e], padding=1)
        y = norm(y) if norm_first is True else y
        y = F.max_pool2d(y, 2) if norm_first == "after-pool" else y
        y = norm(y) if norm_first == "after-pool" else y
        y = F.relu(y) if activation == "relu" else F.leaky_relu(y, 0.01)
        y = y if norm_first == "after-pool" else F.max_pool2d(y, 2)
        y = y if norm_first else norm(y)
        assert torch.allclose(result[:, e], y, atol=1e-5)


def test_features_are_flattened_or_averaged():
    x = random(IMAGES, EPISODES, 4, 3, 3)
    flat = head_features(x, paper_spec(channels=4, pools=(1, 2, 3)))
    assert flat.shape == (EPISODES, IMAGES, 36)
    assert torch.equal(flat[1, 2], x[2, 1].flatten())
    average = head_features(x, SHAPES["3-layer"](CnnConfig(channels=4), 28, 1))
    assert torch.allclose(average[1, 2], x[2, 1].mean((1, 2)))


def test_sizes_of_the_papers_cnn():
    spec = paper_spec()
    assert [c.out_size for c in spec.convs] == [14, 7, 3, 1]
    # 9*8 + 3 * 9*8*8 + 4 * 2*8 + 20 * (8 + 1), the figure given for 20 ways, without statistics.
    shapes = tensor_shapes(spec, 20)
    assert sum(prod(s) for name, s in shapes.items() if not name.endswith(("mean", "var"))) == 2044
    assert spec.feature_count == 8
    # 28^2*9*8 + 14^2*9*64 + 7^2*9*64 + 3^2*9*64 + 20*8
    assert spec.multiply_adds(20) == 56448 + 112896 + 28224 + 5184 + 160


def test_without_the_last_pool_features_keep_their_positions():
    spec = paper_spec(pools=(1, 2, 3))
    assert spec.feature_count == 72
    assert spec.convs[-1].out_size == 3
    assert spec.multiply_adds(20) - paper_spec().multiply_adds(20) == 20 * 64


def test_a_description_survives_its_dictionary():
    spec = paper_spec()
    assert CnnSpec.from_dict(spec.to_dict()) == spec
    with pytest.raises(ModelError):
        CnnSpec.from_dict({"convs": [{"name": "conv1"}]})
