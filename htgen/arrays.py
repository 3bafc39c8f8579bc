"""Names for the types of NumPy arrays."""

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

Floats = npt.NDArray[np.float32]

Mask = npt.NDArray[np.bool_]

Doubles = npt.NDArray[np.float64]

Integers = npt.NDArray[np.int64]
