"""The layout and the operations that GPUs take, run here on the CPU: the same answers and gradients."""

import pytest
import torch

from htgen.cnn.batch_norm import batch_norm, moments, normalise
from htgen.cnn.layout import BY_EPISODE, LAYOUTS, SIDE_BY_SIDE
from htgen.cnn.spec import ConvSpec
from htgen.config.files import dump_config
from htgen.config.model import ModelConfig
from htgen.hypertransformer.hypertransformer import HyperTransformer
from htgen.training.run_folder import RunFolder
from htgen.training.trainer import Trainer


def conv_spec(kernel=3, stride=1, same=True) -> ConvSpec:
    out = -(-6 // stride) if same else (6 - kernel) // stride + 1
    return ConvSpec("conv", 3, 4, kernel, stride, same, False, 6, out)


def gradients(value: torch.Tensor, *of: torch.Tensor) -> list[torch.Tensor]:
    slope = torch.randn(value.shape, generator=torch.Generator().manual_seed(1), dtype=value.dtype)
    return list(torch.autograd.grad((value * slope).sum(), of))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("kernel", "same"), [(3, True), (5, True), (1, True), (3, False)])
def test_products_of_patches_are_the_convolution(kernel, same, stride):
    spec = conv_spec(kernel, stride, same)
    images = torch.randn(2, 5, 3, 6, 6, dtype=torch.float64, requires_grad=True)  # [E, N, C, H, W]
    weight = torch.randn(2, 4, 3, kernel, kernel, dtype=torch.float64, requires_grad=True)
    want = SIDE_BY_SIDE.convolve(SIDE_BY_SIDE.channels_last(images), weight, spec)
    got = BY_EPISODE.convolve_by_products(BY_EPISODE.channels_last(images), weight, spec)
    torch.testing.assert_close(got, want)
    for mine, theirs in zip(gradients(got, images, weight), gradients(want, images, weight), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_a_kernel_that_all_share_is_the_same_kernel_in_every_group():
    images = torch.randn(3, 5, 3, 6, 6, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    spec = conv_spec()
    kernels = weight.expand(3, -1, -1, -1, -1)
    want = SIDE_BY_SIDE.convolve(SIDE_BY_SIDE.channels_last(images), kernels, spec)
    got = BY_EPISODE.convolve(BY_EPISODE.channels_last(images), kernels, spec)
    torch.testing.assert_close(got, want)
    for mine, theirs in zip(gradients(got, images, weight), gradients(want, images, weight), strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("counted", [2, 5])
@pytest.mark.parametrize("shared", [False, True], ids=["of_each_episode", "of_all"])
def test_norm_by_sums_is_the_plain_one(episodes_apart, counted, shared):
    x = BY_EPISODE.channels_last(3 + 2 * torch.randn(3, 5, 4, 6, 6, dtype=torch.float64)).requires_grad_()
    shape = (4,) if shared else (3, 4)
    gamma, beta = (torch.randn(shape, dtype=torch.float64, requires_grad=True) for _ in range(2))
    got, _ = batch_norm(x, counted, gamma, beta)
    assert "BatchNormBySums" in type(got.grad_fn).__name__
    want = normalise(x, moments(x[:counted]), gamma, beta)
    torch.testing.assert_close(got, want)
    for mine, theirs in zip(gradients(got, x, gamma, beta), gradients(want, x, gamma, beta), strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("learned", [0, 2, 3])
@pytest.mark.parametrize("norm", ["support", "batch"])
@pytest.mark.parametrize("shape", ["maxpool-4-layer", "3-layer"])
def test_a_generator_does_the_same_in_both_layouts(monkeypatch, learned, norm, shape):
    torch.manual_seed(0)
    config = ModelConfig.model_validate(
        {
            "max_way": 4,
            "cnn": {"channels": 4, "norm": norm, "shape": shape},
            "weights": {"learned_layers": learned, "base": True, "prototypes": True},
        }
    )
    model = HyperTransformer(config).double()
    support, query = torch.randn(3, 8, 1, 28, 28).double(), torch.randn(3, 6, 1, 28, 28).double()
    labels = torch.arange(4).repeat(2).expand(3, -1)
    slots = torch.stack([torch.randperm(4) for _ in range(3)])
    results = []
    for layout in (SIDE_BY_SIDE, BY_EPISODE):
        monkeypatch.setitem(LAYOUTS, "cpu", layout)
        logits = model(support, labels, query, slots)
        found = torch.autograd.grad(logits.square().mean(), [*model.parameters()], allow_unused=True)
        results.append([logits, *(g for g in found if g is not None)])
    assert len(results[0]) == len(results[1]) > 10
    for mine, theirs in zip(*results, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-9)


def test_gradients_are_laid_out_as_the_optimiser_wants_them(episodes_apart, config, tmp_path):
    with RunFolder(tmp_path / "run") as run:
        run.start(dump_config(config), overwrite=False)
        trainer = Trainer(config, run)
        trainer.train_step()
    assert all(p.grad is None or p.grad.stride() == p.stride() for p in trainer.trained.parameters())
