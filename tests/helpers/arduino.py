"""An Arduino library's sketch, compiled and run on this machine."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

_BOARD = """#include <stdio.h>
struct { void begin(long) {} void println(const char *text) { puts(text); } } Serial;
static void delay(int) {}
"""


def run_sketch(
    library: Path, folder: Path, pixels: Sequence[int] = (0,), frame: Sequence[int] | None = None
) -> str:
    """What the example sketch of a library prints, in a folder that may be written to.

    Args:
        pixels: a prepared image.
        frame: 96 x 96, for a sketch that prepares its image by itself.
    """
    (sketch,) = library.glob("examples/*/*.ino")
    place, given = ("_PIXELS];", pixels) if frame is None else ("frame[columns * rows];", frame)
    text, values = sketch.read_text(), ", ".join(map(str, given))
    assert text.count(place) == 1
    program = text.replace(place, f"{place[:-1]} = {{{values}}};")
    (folder / "main.cpp").write_text(f"{_BOARD}{program}int main() {{ setup(); loop(); return 0; }}\n")
    command = ["c++", "-Wall", "-Wextra", "-Werror", f"-I{library / 'src'}", "main.cpp", "-o", "main"]
    subprocess.run(command, cwd=folder, check=True)
    return subprocess.run([folder / "main"], check=True, capture_output=True, text=True).stdout.strip()
