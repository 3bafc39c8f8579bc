import numpy as np
import pytest
import torch

from htgen.episodes import randomness


def keys(count: int, seed: int = 0) -> torch.Tensor:
    return randomness.fold(torch.tensor(seed), torch.arange(count))


def test_a_key_gives_the_same_numbers_alone_and_among_others():
    together = randomness.bits(keys(50), 7)
    alone = torch.stack([randomness.bits(keys(50)[i], 7) for i in range(50)])
    assert torch.equal(together, alone)


def test_more_numbers_extend_fewer():
    assert torch.equal(randomness.bits(keys(5), 20)[:, :6], randomness.bits(keys(5), 6))


def test_scrambling_is_one_to_one_on_neighbouring_integers():
    assert len(randomness.mix(torch.arange(100_000)).unique()) == 100_000


def test_uniform_numbers_fill_the_unit_interval_evenly():
    values = randomness.uniform(keys(400), 250).flatten()
    assert values.min() >= 0
    assert values.max() < 1
    counts = torch.histc(values, bins=20, min=0, max=1)
    # 5000 expected per bin, standard deviation 69.
    assert (counts - 5000).abs().max() < 350


def test_numbers_of_neighbouring_keys_and_positions_are_uncorrelated():
    values = randomness.uniform(keys(1000), 100).double() - 0.5
    for a, b in ((values[1:], values[:-1]), (values[:, 1:], values[:, :-1])):
        correlation = (a * b).mean() * 12
        assert abs(correlation) < 5 / a.numel() ** 0.5


def test_normal_numbers_have_mean_zero_and_variance_one():
    values = randomness.normal(keys(1000), 100).double()
    assert abs(values.mean()) < 0.02
    assert abs(values.var() - 1) < 0.03
    assert torch.isfinite(values).all()


def test_other_counters_and_other_orders_give_other_keys():
    key = torch.tensor(5)
    derived = [randomness.fold(key, *c).item() for c in ((1,), (2,), (1, 2), (2, 1), (0, 1), (1, 0))]
    assert len(set(derived)) == len(derived)


@pytest.mark.parametrize("counter", [0, 5, -1, 2**63 - 1, -(2**63)])
def test_integers_of_any_size_count_modulo_two_to_the_64(counter):
    key = torch.tensor(5)
    expected = randomness.fold(key, torch.tensor(counter))
    for same in (counter, counter + 2**64, counter - 2**64, counter + 2**300):
        assert torch.equal(randomness.fold(key, same), expected)
    assert not torch.equal(randomness.fold(key, counter + 2**63), expected)


@pytest.mark.parametrize("shape", [(), (1,), (3, 7), (2, 1, 5)])
def test_by_numpy_as_on_any_device(shape):
    ends = torch.tensor([0, -1, 2**63 - 1, -(2**63)])
    values = torch.randint(-(2**63), 2**63 - 1, shape)
    for x in (values, ends, ends[::2], values.expand(2, *shape)):
        before = x.clone()
        assert torch.equal(randomness.mix(x), randomness.mix_anywhere(x))
        assert torch.equal(x, before)


def test_integers_of_any_kind_are_the_same_counter():
    key = torch.tensor([1, 2])
    want = randomness.fold(key, 7)
    for seven in (np.int64(7), np.int32(7), torch.tensor(7), torch.tensor(7, dtype=torch.int32)):
        assert torch.equal(randomness.fold(key, seven), want)


@pytest.mark.parametrize("value", [0, 1, -1, 7, 2**63 - 1, -(2**63), 123456789123456789])
def test_an_integer_is_mixed_as_a_tensor_is(value):
    assert randomness.mix_integer(value) == randomness.mix(torch.tensor(value)).item()
    assert randomness.mix_integer(value + 2**64) == randomness.mix_integer(value)
