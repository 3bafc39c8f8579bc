"""The `--device` option."""

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    import torch


def resolve_device(name: str) -> "torch.device":
    """`auto` = the first GPU if there is one, else the CPU.

    Raises:
        typer.BadParameter: there is no such device.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise typer.BadParameter(f"'{name}' cannot be used: {reason}", param_hint="--device") from None
    return device
