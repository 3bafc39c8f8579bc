"""Commands in processes of their own."""

import subprocess
import sys
from pathlib import Path


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """`htgen` with these arguments, ended, whatever its exit code."""
    command = [sys.executable, "-m", "htgen", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
