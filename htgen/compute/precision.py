"""How exact matrix products and convolutions are."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from htgen.config.run import Precision


def product_precision(precision: Precision, device: torch.device) -> AbstractContextManager[None]:
    """A context in which products are as exact as `train.precision` says; not within other threads.

    With TF32, which is what `auto` means on a GPU, factors are float32 rounded to 10 bits, and sums float32.
    """
    if precision == "bfloat16":
        return torch.autocast(device.type, torch.bfloat16)
    return _tf32(precision == "auto") if device.type == "cuda" else nullcontext()


@contextmanager
def _tf32(allowed: bool) -> Iterator[None]:
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if allowed else "highest")
    torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]
