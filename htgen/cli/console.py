"""What the terminal sees: results on stdout, progress and errors on stderr. Nothing else imports rich."""

import sys
from functools import cache
from typing import TYPE_CHECKING

from htgen.errors import HtgenError

if TYPE_CHECKING:
    from rich.console import Console


@cache
def stderr() -> "Console":
    """The console for progress and messages; plain lines when stderr is not a terminal."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


@cache
def stdout() -> "Console":
    """The console for results."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True)


def print_error(error: HtgenError) -> None:
    """Write one error, and its remedy, to stderr."""
    print(f"error: {error}", file=sys.stderr)
