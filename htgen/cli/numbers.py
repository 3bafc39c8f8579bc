"""Numbers on the command line that several commands take."""

import math
from typing import Annotated

import typer


def number(value: float) -> float:
    """The value, unless it is none: `nan` passes every bound. Infinity is refused too."""
    if not math.isfinite(value):
        raise typer.BadParameter(f"{value} is no finite number")
    return value


RejectOption = Annotated[
    float,
    typer.Option(
        min=0,
        max=1,
        callback=number,
        help="Answer 'none of these' where no class has this probability.",
    ),
]
