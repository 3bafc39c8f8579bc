"""An Arduino library's sketch, compiled and run on this machine."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

needs_a_compiler = pytest.mark.skipif(
    shutil.which("cc") is None or shutil.which("c++") is None, reason="there is no C compiler"
)

_BOARD = """#include <stdio.h>
struct { void begin(long) {} void println(const char *text) { puts(text); } } Serial;
static void delay(int) {}
"""


def run_sketch(library: Path, folder: Path, pixels: Sequence[int] = (0,)) -> str:
    """What the example sketch of a library prints for pixels, in a folder that may be written to."""
    (sketch,) = library.glob("examples/*/*.ino")
    values = ", ".join(map(str, pixels))
    program = sketch.read_text().replace("_PIXELS];", f"_PIXELS] = {{{values}}};")
    (folder / "main.cpp").write_text(f"{_BOARD}{program}int main() {{ setup(); loop(); return 0; }}\n")
    command = ["c++", "-Wall", "-Wextra", "-Werror", f"-I{library / 'src'}", "main.cpp", "-o", "main"]
    subprocess.run(command, cwd=folder, check=True)
    return subprocess.run([folder / "main"], check=True, capture_output=True, text=True).stdout.strip()
