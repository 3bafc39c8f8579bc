"""Counter-based random numbers: the same key gives the same numbers on any device, in any order.

Ordinary generators hand out numbers in sequence, so what an episode gets would depend on which
episodes were drawn before it. Here every number is a hash of the integers that name it (seed, split,
episode, purpose, position), computed for a whole batch at once with integer arithmetic. Torch has
signed 64-bit integers whose products wrap, which is all that the SplitMix64 finaliser needs
(Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).
"""

import numpy as np
import torch
from torch import Tensor


def _signed(value: int) -> int:
    """The signed 64-bit integer that is equal to `value` modulo 2^64."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


_INCREMENT = _signed(0x9E3779B97F4A7C15)

_MULTIPLIER_1 = _signed(0xBF58476D1CE4E5B9)

_MULTIPLIER_2 = _signed(0x94D049BB133111EB)


def _shift_right(x: Tensor, bits: int) -> Tensor:
    """Logical (zero-filling) right shift of int64 values."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def mix(x: Tensor) -> Tensor:
    """Scramble int64 values one to one (SplitMix64 finaliser)."""
    return _mix_by_numpy(x) if x.device.type == "cpu" else mix_anywhere(x)


def _mix_by_numpy(x: Tensor) -> Tensor:
    """The same by NumPy, whose operations on a few values start faster than those of torch."""
    y = x.numpy().astype(np.uint64)
    y += np.uint64(_INCREMENT % (1 << 64))
    y ^= y >> np.uint64(30)
    y *= np.uint64(_MULTIPLIER_1 % (1 << 64))
    y ^= y >> np.uint64(27)
    y *= np.uint64(_MULTIPLIER_2 % (1 << 64))
    y ^= y >> np.uint64(31)
    return torch.from_numpy(y.view(np.int64))


def mix_anywhere(x: Tensor) -> Tensor:
    """The same by torch, on any device."""
    x = x + _INCREMENT
    x = (x ^ _shift_right(x, 30)) * _MULTIPLIER_1
    x = (x ^ _shift_right(x, 27)) * _MULTIPLIER_2
    return x ^ _shift_right(x, 31)


def mix_integer(value: int) -> int:
    """The same of a Python integer, which counts modulo 2^64."""
    x = (value + _INCREMENT) % (1 << 64)
    x = (x ^ (x >> 30)) * _MULTIPLIER_1 % (1 << 64)
    x = (x ^ (x >> 27)) * _MULTIPLIER_2 % (1 << 64)
    return _signed(x ^ (x >> 31))


def fold(key: Tensor, *counters: int | Tensor) -> Tensor:
    """Derive new keys from `key` and integers (or integer tensors, broadcast): one hash per counter.

    Python integers may have any size; they count modulo 2^64.
    """
    for counter in counters:
        if isinstance(counter, int):
            key = mix(key ^ mix_integer(counter))  # no tensor: a dozen operations less
        else:
            key = mix(key ^ mix(torch.as_tensor(counter, dtype=torch.int64, device=key.device)))
    return key


def bits(key: Tensor, count: int) -> Tensor:
    """`count` random int64 values in 0..2^63-1 per key: `[...] -> [..., count]`."""
    return bits_at(key, torch.arange(count, device=key.device))


def bits_at(key: Tensor, positions: Tensor) -> Tensor:
    """The values that `bits` has at `positions`: `[...], [..., K] -> [..., K]`."""
    return _shift_right(mix(mix(key)[..., None] ^ mix(positions)), 1)


def uniform(key: Tensor, count: int) -> Tensor:
    """`count` random float32 values in [0, 1) per key: `[...] -> [..., count]`."""
    return _shift_right(bits(key, count), 39).to(torch.float32) * 2.0**-24


def normal(key: Tensor, count: int) -> Tensor:
    """`count` standard normal float32 values per key (Box-Muller): `[...] -> [..., count]`."""
    pairs = uniform(key, 2 * count)
    radius = torch.sqrt(-2.0 * torch.log1p(-pairs[..., :count]))
    return radius * torch.cos(2.0 * torch.pi * pairs[..., count:])
