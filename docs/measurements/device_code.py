"""How large programs of generated C are; and commands, with what they say."""

import re
import subprocess
from pathlib import Path

from htgen.cnn.c_common import CCode


def call(command: list[str], folder: Path, seconds: float = 300) -> str:
    """Run a command; what it says.

    Raises:
        RuntimeError: it failed.
    """
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=seconds, check=False)
    said = (done.stdout + done.stderr).decode(errors="replace")
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}:\n{said[-2000:]}")
    return said


def code_bytes(folder: Path, code: CCode, compiler: list[str]) -> int:
    """Of the instructions of a header, with the names of classes."""
    (folder / "net.h").write_text(code.text)
    calls = "uint8_t run(const uint8_t *p, int32_t *l) { return net_classify(p, l); }"
    if "net_prepare(" in code.text:
        calls += "\nuint8_t see(const uint8_t *f, uint8_t *p) { return net_prepare(f, 9, 9, p); }"
    (folder / "code.c").write_text(f'#include "net.h"\n{calls}\n')
    call([*compiler, "-O2", "-c", "code.c"], folder)
    text, data = map(int, call(["arm-none-eabi-size", "code.o"], folder).splitlines()[1].split()[:2])
    return text + data - code.constants


def flash_bytes(folder: Path) -> int:
    """Of the last program for a Cortex-M: code and constants, its images left out."""
    text, data = map(int, call(["arm-none-eabi-size", "net.elf"], folder).splitlines()[1].split()[:2])
    symbols = call(["arm-none-eabi-nm", "--print-size", "net.elf"], folder)
    images = re.search(r"^\w+ (\w+) \w images$", symbols, re.MULTILINE)
    return text + data - int(images[1] if images else "0", 16)
