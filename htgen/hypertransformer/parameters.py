"""The parameters of a generator, taken by name."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from htgen.arrays import Floats


@dataclass(frozen=True)
class Parameters:
    """The arrays of a generator, taken by name as the parts are built.

    Attributes:
        arrays: by the names of `HyperTransformer.state_dict`.
        prefix: of the names that are taken.
        shapes: of all that was asked for; what is not there, or has another shape, is given as zeros.
    """

    arrays: Mapping[str, Floats]
    prefix: str = ""
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def below(self, name: str) -> "Parameters":
        """Those of a part."""
        return Parameters(self.arrays, f"{self.prefix}{name}.", self.shapes)

    def __call__(self, name: str, *shape: int) -> Floats:
        """The parameter of this name and shape."""
        name = self.prefix + name
        self.shapes[name] = shape
        found = self.arrays.get(name)
        if found is None or found.shape != shape:
            return np.zeros(shape, np.float32)
        return found.astype(np.float32) if found.dtype == np.float16 else found
