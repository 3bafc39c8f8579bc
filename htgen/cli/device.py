"""What computes: how many cores NumPy takes, and which device torch."""

import os
import re
from typing import TYPE_CHECKING

import typer

from htgen.compute.memory import LARGEST_OF_DRAWINGS, MOST_OF_DRAWINGS, keep_freed_memory

if TYPE_CHECKING:
    import torch


def prepare_for_use() -> None:
    """Let NumPy's products work on one core, unless the environment says otherwise; before NumPy is imported.

    What generation and prediction multiply is so small that sharing it out takes longer. And memory is kept
    for the next drawing.
    """
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    keep_freed_memory((LARGEST_OF_DRAWINGS,), MOST_OF_DRAWINGS)


def resolve_device(name: str) -> "torch.device":
    """`auto` = the first GPU if there is one, else the CPU.

    Raises:
        typer.BadParameter: there is no such device, or it is of another kind than cpu, cuda and mps.
    """
    if not re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]+)?", name):
        # torch knows more devices; on those nothing here has been tried.
        raise typer.BadParameter("auto, cpu, mps, cuda or cuda:N", param_hint="--device")
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, ValueError, NotImplementedError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise typer.BadParameter(f"'{name}' cannot be used: {reason}", param_hint="--device") from None
    return device
