"""What is at a path that somebody gave."""

import stat
from pathlib import Path
from typing import Literal

Kind = Literal["file", "folder", "other"]


def kind_at(path: str | Path) -> Kind | None:
    """What is at a path, symbolic links followed; None = nothing, or nothing that may be looked at.

    Unlike `Path.exists` and its like it raises nothing: not in a folder that may not be entered, nor for a
    name that is too long or holds a NUL.
    """
    try:
        mode = Path(path).stat().st_mode
    except (OSError, ValueError):
        return None
    return "folder" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else "other"
