"""The parameters of a generator by name: their shapes, and where arrays stand for them, these."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from htgen.arrays import Floats

Shapes = dict[str, tuple[int, ...]]
"""Of parameters, by the names of `state_dict`."""


def linear_shapes(name: str, inputs: int, outputs: int) -> Shapes:
    """Of a linear layer of this name."""
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def norm_shapes(name: str, width: int) -> Shapes:
    """Scale and shift of a norm of this name."""
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


@dataclass(frozen=True)
class Parameters:
    """The arrays of a generator, taken by name as the parts are built.

    Attributes:
        arrays: all of them, by the names of `state_dict`.
        prefix: of the names that are taken.
    """

    arrays: Mapping[str, Floats]
    prefix: str = ""

    def below(self, name: str) -> "Parameters":
        """Those of a part."""
        return Parameters(self.arrays, f"{self.prefix}{name}.")

    def __call__(self, name: str) -> Floats:
        """The parameter of this name; stored in 16 bits, it is widened to 32."""
        found = self.arrays[self.prefix + name]
        return found.astype(np.float32) if found.dtype == np.float16 else found
