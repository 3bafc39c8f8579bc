"""Kernels for CNNs against the same in float64 by torch, over random shapes."""

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from htgen.cnn import fused
from htgen.cnn.batch_norm import moments, normalise

NEAR = 1e-5
"""Largest difference, relative to the largest value."""

numbers = st.integers


@st.composite
def convolutions(draw) -> dict:
    """Sizes of a convolution of images that its kernel fits into."""
    side, pool = draw(st.sampled_from([1, 3, 5])), draw(st.booleans())
    stride = draw(numbers(1, 3))
    padding = draw(numbers(0, side // 2)), draw(numbers(0, side // 2))
    least = side + (stride if pool else 0)
    return {
        "images": draw(st.sampled_from([1, 3, 16, 20, 33])),
        "episodes": draw(numbers(1, 3)),
        "channels": draw(st.sampled_from([1, 2, 3, 8, 9])),
        "size": (draw(numbers(least, 11)), draw(numbers(least, 11))),
        "out": draw(st.sampled_from([1, 5, 8, 11])),
        "side": side,
        "stride": stride,
        "padding": padding,
        "pool": pool,
        "slope": draw(st.sampled_from([0.0, 0.01, 1.0])),
        "own": draw(st.booleans()),
        "bias": draw(st.booleans()),
        "seed": draw(numbers(0, 99)),
    }


def plain(x: Tensor, kernel: Tensor, bias: Tensor | None, case: dict) -> Tensor:
    """The block by torch's operations, episode by episode."""
    before, behind = case["padding"]
    outputs = []
    for episode in range(case["episodes"]):
        own = kernel[episode] if case["own"] else kernel
        own_bias = bias[episode] if case["own"] and bias is not None else bias
        padded = F.pad(x[:, episode], (before, behind, before, behind))
        y = F.conv2d(padded, own, own_bias, stride=case["stride"])
        y = F.max_pool2d(y, 2) if case["pool"] else y
        outputs.append(torch.where(y > 0, y, y * case["slope"]))
    return torch.stack(outputs, dim=1)


def worst(expected: list[Tensor], found: list[Tensor]) -> float:
    """The largest difference, relative to the largest value of its tensor."""
    pairs = [(a.detach(), b.detach()) for a, b in zip(expected, found, strict=True)]
    return max(float((a - b).abs().max() / a.abs().max().clamp(min=1e-6)) for a, b in pairs)


@settings(max_examples=60, deadline=None)
@given(case=convolutions())
def test_convolution_and_its_gradients(case):
    made = torch.Generator().manual_seed(case["seed"])
    lead = (case["episodes"],) if case["own"] else ()

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=made).requires_grad_()

    x = random(case["images"], case["episodes"], case["channels"], *case["size"])
    kernel = random(*lead, case["out"], case["channels"], case["side"], case["side"])
    bias = random(*lead, case["out"]) if case["bias"] else None
    leaves = [leaf for leaf in (x, kernel, bias) if leaf is not None]
    y = plain(x, kernel, bias, case)
    gradient = torch.randn(y.shape, dtype=torch.float64, generator=made)
    expected = [y, *torch.autograd.grad(y, leaves, gradient)]

    copies = [leaf.detach().float().requires_grad_() for leaf in leaves]
    options = {name: case[name] for name in ("stride", "padding", "pool", "slope")}

    def compute() -> list[Tensor]:
        y = fused.convolve(copies[0], copies[1], copies[2] if case["bias"] else None, **options)
        return [y, *torch.autograd.grad(y, copies, gradient.float())]

    found = compute()
    assert worst(expected, found) < NEAR
    assert all(torch.equal(a, b) for a, b in zip(found, compute(), strict=True))  # the same each time


@settings(max_examples=40, deadline=None)
@given(
    images=st.lists(numbers(1, 40), min_size=1, max_size=3),
    episodes=numbers(1, 3),
    channels=numbers(1, 5),
    size=numbers(1, 9),
    seed=numbers(0, 99),
)
def test_norm_and_its_gradients(images, episodes, channels, size, seed):
    made = torch.Generator().manual_seed(seed)
    parts, first = [], 0
    for count in images:
        counted = int(torch.randint(1, count + 1, (), generator=made))
        parts.append((first, first + counted, first + count))
        first += count
    x = torch.randn(first, episodes, channels, size, size, dtype=torch.float64, generator=made)
    leaves = [x, *(torch.randn(episodes, channels, dtype=torch.float64, generator=made) for _ in range(2))]
    x, gamma, beta = (leaf.requires_grad_() for leaf in leaves)
    y = torch.cat([normalise(x[a:c], moments(x[a:b]), gamma, beta) for a, b, c in parts])
    gradient = torch.randn(y.shape, dtype=torch.float64, generator=made)
    stats = moments(x[: parts[0][1]])
    expected = [y, *torch.autograd.grad(y, leaves, gradient), stats.mean, stats.variance]
    copies = [leaf.detach().float().requires_grad_() for leaf in leaves]
    found_y, mean, variance = fused.norm(*copies, tuple(parts))
    found = [found_y, *torch.autograd.grad(found_y, copies, gradient.float()), mean, variance]
    # Of one value the deviation is zero, and what is left of the gradient is rounding.
    scale = max(1.0, float(gradient.abs().max()))
    for a, b in zip(expected, (part.detach() for part in found), strict=True):
        assert float((a.detach() - b).abs().max()) < 2e-4 * max(scale, float(a.detach().abs().max()))
    if all(counted - first > 3 for first, counted, _ in parts) and size > 2:
        assert worst(expected, found) < NEAR


def test_the_first_of_equal_values_gets_the_gradient_of_a_pool():
    x = torch.ones(2, 1, 1, 4, 4).requires_grad_()
    y = fused.convolve(x, torch.ones(1, 1, 1, 1), pool=True, slope=0.0)
    y.sum().backward()
    expected = torch.zeros(4, 4)
    expected[::2, ::2] = 1
    assert torch.equal(x.grad, expected.expand(2, 1, 1, 4, 4))


def test_what_is_no_number_stays_so():
    """Otherwise a training that diverges would not be noticed."""
    for row in range(2):
        for column in range(2):
            x = torch.zeros(1, 1, 1, 2, 2)
            x[..., row, column] = torch.nan
            assert fused.convolve(x, torch.ones(1, 1, 1, 1), pool=True, slope=0.0).isnan().all()


def test_a_few_images_are_handed_on_beside_all():
    x = torch.randn(7, 2, 3, 4, 4).requires_grad_()
    weights = torch.randn(7, 2, 3, 4, 4)
    every, few = fused.with_first(fused.images_last(x * 1), 3)
    assert torch.equal(every, x)
    assert torch.equal(few, x[:3])
    ((every * weights).sum() + 2 * (few * weights[:3]).sum()).backward()
    expected = weights.clone()
    expected[:3] *= 3
    torch.testing.assert_close(x.grad, expected)


def test_who_is_served():
    images = torch.zeros(1, 2, 1, 8, 8)
    assert fused.serves(images)
    assert not fused.serves(images.double())
    with torch.autocast("cpu", torch.bfloat16):
        assert not fused.serves(images)
    assert str(fused.used()).startswith("numba ")
    with fused.plain_operations():
        assert fused.used() is None
        assert not fused.serves(images)
    assert fused.serves(images)
