"""Codes of labels that need no table: unit vectors, orthogonal as far as there is room. No torch here.

With `model.labels: codes` the embedding of a class is a learned linear map of its code, so any number of
classes can be told apart. There is a code for each label slot 0, 1, 2, ...: slot `s` has row `s % K` of the
orthogonal matrix number `s // K`, where K is `model.max_way`. So K classes of one matrix are orthogonal. Rows
of two matrices have inner products of about `1 / sqrt(K)` in size, with mean zero.

A matrix is `C D1 C D2 C D3`: C is that of the discrete cosine transform, each D has random signs (Yu et al.,
"Orthogonal random features", NIPS 2016, section 4). The signs are hashes of the matrix number, the factor and
the column, so that the same slot has the same code everywhere.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

    Array = TypeVar("Array", Tensor, npt.NDArray[Any])
else:
    Array = TypeVar("Array")

_FACTORS = 3


def _signed(value: int) -> int:
    """The signed 64-bit integer that is equal to `value` modulo 2^64."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


_INCREMENT, _MULTIPLIER_1, _MULTIPLIER_2 = map(
    _signed, (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)


def _mix(x: Array) -> Array:
    """Scramble int64 values one to one: the SplitMix64 finaliser (Steele, Lea, Flood, OOPSLA 2014)."""
    x = x + _INCREMENT
    x = (x ^ _shift_right(x, 30)) * _MULTIPLIER_1
    x = (x ^ _shift_right(x, 27)) * _MULTIPLIER_2
    return x ^ _shift_right(x, 31)


def _shift_right(x: Array, bits: int) -> Array:
    """Logical (zero-filling) right shift of int64 values."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def maps_of_tables(tensors: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """The parameters of a generator with tables of labels as those of one with codes, to train it further.

    The map of a code is the table without the mean of its rows; the mean is the offset. So embeddings of
    codes have the mean and the covariance of those in the table. Those of labels and those of weights belong
    together as before.
    """
    changed = dict(tensors)
    for name, table in tensors.items():
        if name.endswith(".slices.labels"):
            offset = table[:-1].mean(axis=0, keepdims=True)
            changed[name] = np.concatenate([table[:-1] - offset, table[-1:], offset])
        elif name == "logits.slices.placeholders":
            offset = table.mean(axis=0, keepdims=True)
            changed[name] = np.concatenate([table - offset, offset])
    return changed


@lru_cache(maxsize=8)
def cosine_matrix(width: int) -> npt.NDArray[np.float32]:
    """The orthogonal matrix `[K, K]` of the discrete cosine transform, in its second form."""
    place = np.arange(width)
    angles = np.pi * (place + 0.5) * place[:, None] / width
    matrix = np.cos(angles) * np.sqrt(np.where(place == 0, 1, 2) / width)[:, None]
    return matrix.astype(np.float32)


def sign_keys(width: int) -> npt.NDArray[np.int64]:
    """Of the factors and columns, `[factors, K]`."""
    return _mix(np.arange(_FACTORS * width, dtype=np.int64)).reshape(_FACTORS, width)


class LabelCodes(Generic[Array]):
    """The codes of label slots.

    Attributes:
        cosines: what `cosine_matrix` gives, `[K, K]`.
        keys: what `sign_keys` gives, `[factors, K]`.
        signs: 1 and -1, of the type of codes, `[2]`.
    """

    cosines: Array
    keys: Array
    signs: Array

    def of_slots(self, slots: Array) -> Array:
        """Unit vectors `[E, n, K]` of slots `[E, n]`, int64 from 0."""
        width = len(self.cosines)
        hashed = _mix(_mix(slots // width)[:, :, None, None] ^ self.keys)  # [E, n, factors, K]
        signs = self.signs[(hashed >> 32) & 1]
        codes = self.cosines[slots % width] * signs[:, :, 0]  # [E, n, K]
        for factor in range(1, _FACTORS):
            codes = (codes @ self.cosines) * signs[:, :, factor]
        return codes
