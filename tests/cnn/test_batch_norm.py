import pytest
import torch
import torch.nn.functional as F

from htgen.cnn.batch_norm import batch_norm, moments, normalise
from htgen.cnn.layout import SIDE_BY_SIDE
from htgen.cnn.spec import NORM_EPSILON
from htgen.cnn.weights import Moments

EPISODES, IMAGES, CHANNELS = 3, 5, 4


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


def activations() -> torch.Tensor:
    return SIDE_BY_SIDE.channels_last(random(EPISODES, IMAGES, CHANNELS, 6, 6) * 3 + 1)


def test_norm_is_batch_norm_per_episode():
    x, gamma, beta = activations(), random(EPISODES, CHANNELS), random(EPISODES, CHANNELS)
    result, _ = batch_norm(x, IMAGES, gamma, beta)
    for e in range(EPISODES):
        expected = F.batch_norm(x[:, e], None, None, gamma[e], beta[e], training=True, eps=NORM_EPSILON)
        assert torch.allclose(result[:, e], expected)


@pytest.mark.parametrize("counted", [1, 2, IMAGES])
@pytest.mark.parametrize("shared", [False, True])
def test_both_ways_agree_in_results_statistics_and_gradients(counted, shared):
    shape = (CHANNELS,) if shared else (EPISODES, CHANNELS)
    values = [t.requires_grad_() for t in (activations(), random(*shape), random(*shape))]
    x, gamma, beta = values
    stats = moments(x[:counted])
    expected = normalise(x, stats, gamma, beta)
    result, found = batch_norm(x, counted, gamma, beta)
    assert torch.allclose(result, expected)
    assert torch.allclose(found.mean, stats.mean)
    assert torch.allclose(found.variance, stats.variance)
    assert not found.mean.requires_grad
    weights = SIDE_BY_SIDE.channels_last(random(EPISODES, IMAGES, CHANNELS, 6, 6))
    by_autograd = torch.autograd.grad((expected * weights).sum(), values)
    for gradient, slow in zip(
        torch.autograd.grad((result * weights).sum(), values), by_autograd, strict=True
    ):
        assert torch.allclose(gradient, slow)


@pytest.mark.parametrize("counted", [2, IMAGES])
def test_scales_may_be_a_column_of_generated_weights(counted):
    x, slices = activations().requires_grad_(), random(EPISODES * CHANNELS, 7)
    column = slices[:, 5].view(EPISODES, CHANNELS)
    weights = SIDE_BY_SIDE.channels_last(random(EPISODES, IMAGES, CHANNELS, 6, 6))
    assert not column.is_contiguous()
    gradients = [
        torch.autograd.grad((batch_norm(x, counted, gamma, gamma)[0] * weights).sum(), x)[0]
        for gamma in (column, column.clone())
    ]
    assert torch.equal(*gradients)


def test_the_gradient_is_that_of_differences():
    x, gamma, beta = activations()[:, :1, :2, :2, :2], random(1, 2), random(1, 2)
    inputs = tuple(t.contiguous().requires_grad_() for t in (x, gamma, beta))
    assert torch.autograd.gradcheck(lambda *values: batch_norm(values[0], 2, *values[1:])[0], inputs)


def test_ignored_images_do_not_count():
    x = activations()
    gamma, beta = torch.ones(CHANNELS), torch.zeros(CHANNELS)
    ignore = torch.tensor([[False, True, False, False, True]] * EPISODES)
    without = moments(x[[0, 2, 3]])
    result, stats = batch_norm(x, IMAGES, gamma, beta, ignore)
    assert torch.allclose(stats.mean, without.mean)
    assert torch.allclose(stats.variance, without.variance)
    assert torch.allclose(result, normalise(x, without, gamma, beta))


def test_a_silent_channel_stays_finite():
    silent = Moments(torch.zeros(1, 2), torch.zeros(1, 2))
    assert normalise(torch.ones(1, 1, 2, 3, 3), silent, torch.ones(2), torch.zeros(2)).abs().max() < 100
    still, stats = batch_norm(torch.full((4, 1, 2, 3, 3), 7.0), 2, torch.ones(2), torch.zeros(2))
    assert torch.allclose(still, torch.zeros_like(still), atol=1e-4)
    assert torch.equal(stats.variance, torch.zeros(1, 2))


def test_reduced_precision_takes_the_plain_way():
    x = activations().to(torch.bfloat16)
    gamma, beta = torch.ones(CHANNELS), torch.zeros(CHANNELS)
    result, _ = batch_norm(x, 2, gamma, beta)
    assert torch.allclose(
        result.double(), batch_norm(x.double(), 2, gamma.double(), beta.double())[0], atol=0.1
    )
