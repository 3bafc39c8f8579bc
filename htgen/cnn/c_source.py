"""The C of a CNN: in whole numbers (`htgen.cnn.c_whole`), or in floating point (`htgen.cnn.c_float`)."""

from htgen.arrays import Pixels
from htgen.cnn.bundle import Bundle
from htgen.cnn.c_common import CCode
from htgen.cnn.c_float import float_code
from htgen.cnn.c_whole import whole_code


def c_code(
    bundle: Bundle,
    name: str,
    in_float: bool = False,
    prepare: bool = False,
    images: Pixels | None = None,
    bits: int | None = None,
) -> CCode:
    """Write a CNN as a C99 header.

    Args:
        name: what functions and constants begin with; what cannot stand in a C name becomes `_`.
        in_float: in floating point; the other arguments are for whole numbers alone.
        prepare: write what prepares frames too. It is for CNNs whose support images were prepared so.
        images: prepared `[N, C, H, W]`, for the self-test to store.
        bits: of activations, 8 or 16; None for what suits the CNN.

    Raises:
        ModelError: the CNN has a part for which there is no such C, there are too many classes, or names of
            classes clash.
    """
    return float_code(bundle, name) if in_float else whole_code(bundle, name, prepare, images, bits)
