"""The C of generated CNNs on many compilers and processors: `make devices`.

    python docs/measurements/devices.py

Compiles every kind of header with every compiler that is there, all warnings being errors. Runs them here, on
Cortex-M and RISC-V in QEMU, on an AVR in simavr and on an STM8 in ucsim, compares every logit and prepared
frames with Python, and counts instructions. Prints the tables of docs/guide/devices.md. Exits with 1 if
anything differs.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from device_code import call, code_bytes, flash_bytes

from htgen.arrays import Pixels
from htgen.cnn.bundle import Bundle
from htgen.cnn.c_common import CCode, array
from htgen.cnn.c_float import float_code
from htgen.cnn.c_whole import instructions, whole_code
from htgen.cnn.whole_numbers import whole_cnn
from htgen.generator.generator import load_generator
from htgen.images.inputs import scale_pixels
from htgen.images.on_device import prepare_on_device

PACKAGES = (
    *("gcc", "g++", "clang", "tcc", "gcc-arm-none-eabi", "libnewlib-arm-none-eabi", "qemu-system-arm"),
    *("gcc-avr", "avr-libc", "simavr", "sdcc", "sdcc-ucsim"),
    *("gcc-riscv64-unknown-elf", "picolibc-riscv64-unknown-elf", "qemu-system-misc"),
)

BOARD = Path(__file__).parent / "devices"
WARNINGS = [
    *("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wdouble-promotion", "-Wshadow"),
    "-Werror",
]


@dataclass(frozen=True)
class Compiler:
    """How to compile one source file; what it makes of it is not run."""

    name: str
    command: list[str]


ARM = {
    "Cortex-M0": (["-mcpu=cortex-m0"], "mps2-an385"),
    "Cortex-M3": (["-mcpu=cortex-m3"], "mps2-an385"),
    "Cortex-M4F": (["-mcpu=cortex-m4", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"], "mps2-an386"),
    "Cortex-M33": (["-mcpu=cortex-m33"], "mps2-an505"),
}
"""Processor -> flags, and the board of QEMU that runs it: an M3 runs all instructions of an M0."""

MEMORY = {"mps2-an505": (0x10000000, 0x38000000)}
"""Where flash and RAM begin; otherwise at 0 and 0x20000000."""

INSTRUCTIONS_A_TICK = {"mps2-an505": 50}
"""A tick of SysTick is so many nanoseconds, of an instruction each; otherwise 40."""


RISCV = ["riscv64-unknown-elf-gcc", "--specs=picolibc.specs", "-march=rv32imac", "-mabi=ilp32"]

STM8 = ["sdcc", "-mstm8", "--std-c99"]


def compilers() -> list[Compiler]:
    """All that could be there."""
    c, cpp = ["-std=c99", *WARNINGS], ["-x", "c++", "-std=c++11", *WARNINGS]
    arm = [
        Compiler(f"arm-none-eabi-gcc {name}", ["arm-none-eabi-gcc", "-mthumb", *flags, *c, "-O2"])
        for name, (flags, _) in ARM.items()
    ]
    return [
        Compiler("gcc", ["gcc", *c, "-O2"]),
        Compiler("g++", ["g++", *cpp, "-O2"]),
        Compiler("clang", ["clang", *c, "-O2"]),
        Compiler("clang++", ["clang++", *cpp, "-O2"]),
        Compiler("tcc", ["tcc", "-std=c99", "-Wall", "-Werror"]),
        *arm,
        Compiler("riscv64-unknown-elf-gcc (rv32imac)", [*RISCV, *c, "-O2"]),
        Compiler("avr-gcc (ATmega2560)", ["avr-gcc", "-mmcu=atmega2560", *c, "-Os"]),
        Compiler("sdcc (STM8)", [*STM8, "--Werror"]),
    ]


# ---------------------------------------------------------------------------------------------------- pieces


def made(generator: str, device: bool = False) -> tuple[Bundle, Pixels]:
    """A CNN, and four prepared images `[N, C, H, W]`."""
    loaded = load_generator(generator)
    loaded = loaded.on_device() if device else loaded
    root = Path(__file__).parents[2] / "examples" / "symbols"
    files = sorted(root.glob("support/*/*.png"))
    bundle = loaded.generate_bundle(loaded.prepare(files, [path.parent.name for path in files]))
    queries = loaded.prepare(sorted(root.glob("new/*.png"))[:4], list("abab")).images
    return bundle, np.rint((queries + 1) * 128).astype(np.uint8)


def write_program(folder: Path, text: str, images: Pixels) -> None:
    """A header, images for it, and the program of both."""
    (folder / "net.h").write_text(text)
    lines = [f"#define IMAGES {len(images)}", *array("uint8_t", "images", images, "NET_FLASH"), ""]
    (folder / "images.h").write_text("\n".join(lines))


def numbers(said: str) -> np.ndarray:
    """The program's answers: a row for each image, the class first, the ticks last."""
    plain = re.sub(
        "\x1b\\[[0-9;]*m", "", said
    )  # simavr colours what it shows, and shows ends of lines as dots
    rows = [line.removesuffix(".").split() for line in plain.splitlines()]
    return np.array([row for row in rows if row and all(re.fullmatch(r"-?\d+", word) for word in row)], int)


def build_arm(folder: Path, processor: str) -> Path:
    """A program for a Cortex-M."""
    flags, board = ARM[processor]
    flash, ram = MEMORY.get(board, (0, 0x20000000))
    places = f"-Wl,--defsym=FLASH={flash},--defsym=RAM={ram},--defsym=RAM_SIZE=0x40000"
    elf = folder / "net.elf"
    small = ["-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections,--no-warn-rwx-segments"]
    start = ["-nostartfiles", "--specs=nano.specs", places, "-T", str(BOARD / "arm.ld")]
    sources = [f"-I{BOARD}", "-I.", str(BOARD / "arm.c"), str(BOARD / "main.c")]
    compiler = ["arm-none-eabi-gcc", "-mthumb", *flags, "-O2"]
    call([*compiler, *small, *start, *sources, "-lm", "-o", str(elf)], folder)
    return elf


def run_arm(folder: Path, processor: str) -> tuple[np.ndarray, float]:
    """Answers in QEMU, and instructions an image."""
    elf, board = build_arm(folder, processor), ARM[processor][1]
    quiet = ["-nographic", "-monitor", "none", "-serial", "none"]
    counting = ["-icount", "shift=0", "-semihosting-config", "enable=on,target=native"]
    said = call(["qemu-system-arm", "-M", board, *quiet, *counting, "-kernel", str(elf)], folder)
    rows = numbers(said)
    return rows, INSTRUCTIONS_A_TICK.get(board, 40) * float((rows[:, -1] % (1 << 24)).mean())


def run_avr(folder: Path) -> tuple[np.ndarray, float]:
    """Answers in simavr, and cycles an image."""
    sources = [f"-I{BOARD}", "-I.", str(BOARD / "avr.c"), str(BOARD / "main.c")]
    call(["avr-gcc", "-mmcu=atmega2560", "-O2", *sources, "-o", "net.elf"], folder)
    rows = numbers(call(["simavr", "-m", "atmega2560", "-f", "16000000", "net.elf"], folder, 600))
    return rows, 1024 * float((rows[:, -1] % (1 << 16)).mean())


def run_riscv(folder: Path) -> tuple[np.ndarray, float]:
    """Answers of a RISC-V of 32 bits in QEMU, and instructions an image."""
    memory = {"flash": 0x80000000, "flash_size": 0x400000, "ram": 0x80400000, "ram_size": 0x400000}
    places = ",".join(f"--defsym=__{name}={value}" for name, value in memory.items())
    sources = [f"-I{BOARD}", "-I.", str(BOARD / "riscv.c"), str(BOARD / "main.c")]
    call(
        [
            *RISCV,
            "-O2",
            "--oslib=semihost",
            "--crt0=hosted",
            f"-Wl,{places}",
            *sources,
            "-lm",
            "-o",
            "net.elf",
        ],
        folder,
    )
    quiet = ["-nographic", "-monitor", "none", "-serial", "none", "-bios", "none"]
    counting = ["-icount", "shift=0", "-semihosting-config", "enable=on,target=native"]
    said = call(["qemu-system-riscv32", "-M", "virt", *quiet, *counting, "-kernel", "net.elf"], folder)
    rows = numbers(said)
    return rows, float((rows[:, -1] % (1 << 32)).mean())


def run_stm8(folder: Path, images: int) -> np.ndarray:
    """Answers of an STM8S208 in ucsim, which goes on for ever: it is stopped when all are there."""
    for part in (BOARD / "stm8.c", BOARD / "main.c"):
        call(
            [*STM8, "--opt-code-speed", f"-I{BOARD}", "-I.", "-c", str(part), "-o", f"{part.stem}.rel"],
            folder,
        )
    call([*STM8, "--out-fmt-ihx", "main.rel", "stm8.rel", "-o", "net.ihx"], folder)
    said, end = folder / "said.txt", time.monotonic() + 1800
    command = ["sstm8", "-t", "S208", "-I", "if=rom[0x7fff]", "-g", "net.ihx"]
    with (
        said.open("wb") as out,
        subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=out) as simulator,
    ):
        while simulator.poll() is None and time.monotonic() < end:
            if len(numbers(whole_lines(said))) >= images:
                break
            time.sleep(0.5)
        simulator.kill()
    return numbers(whole_lines(said))


def whole_lines(file: Path) -> str:
    """What a file holds so far, without a line that is still being written."""
    return file.read_text(errors="replace").rpartition("\n")[0]


def run_host(folder: Path, compiler: str) -> np.ndarray:
    """Answers of this machine."""
    call([compiler, f"-I{BOARD}", "-I.", str(BOARD / "host.c"), str(BOARD / "main.c"), "-o", "net"], folder)
    return numbers(call(["./net"], folder))


# ---------------------------------------------------------------------------------------------------- report


def install() -> None:
    """Debian's packages, as far as they are there."""
    for package in PACKAGES:
        done = subprocess.run(
            ["apt-get", "install", "--yes", "--no-install-recommends", package],
            capture_output=True,
            check=False,
        )
        if done.returncode:
            print(f"not installed: {package}")


def compile_all(folder: Path) -> list[str]:
    """Every header by every compiler: what went wrong."""
    headers = {}
    glyph, _ = made("glyph-8", device=True)
    photo, small_photo = made("photo-40")[0], made("photo-small")[0]
    headers["whole"], headers["prepare"] = whole_code(glyph, "net").text, whole_code(glyph, "net", True).text
    headers["softmax"] = f"#define NET_SOFTMAX\n{headers['whole']}"
    headers["photo-small"] = whole_code(small_photo, "net").text
    headers["photo-40"], headers["float"] = whole_code(photo, "net").text, float_code(glyph, "net").text
    uses = {
        "float": "float p; static uint8_t x[NET_PIXELS]; return net_classify(x, &p);",
        "softmax": "static uint8_t x[NET_PIXELS]; static int32_t l[NET_CLASSES];\n"
        "return net_probability(l, net_classify(x, l)) > 0.5f;",
        "prepare": "static uint8_t x[NET_PIXELS]; static int32_t l[NET_CLASSES];\n"
        "(void)net_prepare(x, 28, 28, x); return net_classify(x, l);",
    }
    plain = "static uint8_t x[NET_PIXELS]; static int32_t l[NET_CLASSES]; return net_classify(x, l);"
    faults, small = [], ("avr-gcc", "sdcc")  # photographs have arrays that are too large for these
    for compiler in compilers():
        before = len(faults)
        if shutil.which(compiler.command[0]) is None:
            print(f"| {compiler.name} | not there |")
            continue
        for kind, text in headers.items():
            is_small = compiler.command[0] in small
            (folder / "net.h").write_text(text)
            (folder / "main.c").write_text(
                f'#include "net.h"\nint main(void)\n{{\n{uses.get(kind, plain)}\n}}\n'
            )
            out = "main.rel" if compiler.command[0] == "sdcc" else "main.o"
            done = subprocess.run(
                [*compiler.command, "-c", "main.c", "-o", out], cwd=folder, capture_output=True, check=False
            )
            said = (done.stdout + done.stderr).decode(errors="replace")
            is_too_large = "an array may have" in said or "is too large" in said
            refused = is_small and kind.startswith("photo") and is_too_large
            if done.returncode and not refused:
                faults.append(f"{compiler.name}, {kind}: {said[-1500:]}")
        print(f"| {compiler.name} | {'no warning' if len(faults) == before else 'FAILED'} |", flush=True)
    return faults


def run_everywhere(folder: Path, expected: np.ndarray, name: str, avr: bool) -> tuple[list[str], list[str]]:
    """Run a program on every processor: instructions an image by processor, and what differs from Python.

    Args:
        expected: what stands before the ticks in each row of the program's answers.
    """
    cells, faults, flash = [], [], "not there"
    for processor in ARM:
        cell = "not there"
        if shutil.which("arm-none-eabi-gcc") and shutil.which("qemu-system-arm"):
            rows, count = run_arm(folder, processor)
            cell = millions(count)
            if not (rows[:, -1 - expected.shape[1] : -1] == expected).all():
                faults.append(f"{name}: {processor} differs")
            if processor == "Cortex-M4F":
                flash = str(flash_bytes(folder))
        cells.append(cell)
    others = {"RISC-V": (True, "riscv64-unknown-elf-gcc", "qemu-system-riscv32", run_riscv)}
    others["AVR"] = (avr, "avr-gcc", "simavr", run_avr)
    for processor, (wanted, compiler, simulator, run) in others.items():
        cell = "" if not wanted else "not there"
        if wanted and shutil.which(compiler) and shutil.which(simulator):
            rows, count = run(folder)
            cell = millions(count)
            if not (rows[:, -1 - expected.shape[1] : -1] == expected).all():
                faults.append(f"{name}: {processor} differs")
        cells.append(cell)
    return [flash, *cells], faults


def millions(count: float) -> str:
    """A count with three digits."""
    return f"{count / 1e6:#.3g} M"


def claims(folder: Path, code: CCode, name: str) -> list[str]:
    """Where a header's comment says too little of its code: an M0 needs most."""
    if not ARM or shutil.which("arm-none-eabi-gcc") is None:
        return []
    counted = code_bytes(folder, code, ["arm-none-eabi-gcc", "-mthumb", *ARM["Cortex-M0"][0]])
    return [f"{name}: {counted} bytes of code, not {code.code}"] if counted > code.code else []


def estimates(cells: list[str], bundle: Bundle, name: str) -> list[str]:
    """Where a header's comment is more than a tenth off what was counted on an M0, M3 and M4F."""
    expected = instructions(bundle.spec, len(bundle.classes), whole_cnn(bundle).bits)
    counted = {cell: 1e6 * float(cell.split()[0]) for cell in cells if cell.endswith(" M")}
    return [
        f"{name}: {cell} instructions on a {processor}, not {millions(count)}"
        for processor, cell, count in zip(ARM, cells, expected, strict=False)
        if cell in counted and abs(count - counted[cell]) > 0.1 * counted[cell]
    ]


def runs(folder: Path, generators: list[str]) -> list[str]:
    """Answers and counts of every processor: what differs."""
    faults = []
    print("\nInstructions an image; on an AVR (ATmega2560) cycles.")
    print(
        f"\n| CNN of 6 classes | constants | buffers | image | program | {' | '.join(ARM)} | RISC-V | AVR |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for generator in generators:
        bundle, images = made(generator)
        code, expected = whole_code(bundle, "net"), whole_cnn(bundle).logits(images)
        write_program(folder, code.text, images)
        for compiler in filter(shutil.which, ("gcc", "clang", "tcc")):
            if not (run_host(folder, compiler)[:, 1:-1] == expected).all():
                faults.append(f"{generator}: {compiler} differs")
        cells, wrong = run_everywhere(folder, expected, generator, generator == "glyph-8")
        faults += wrong
        if generator == "glyph-8" and shutil.which("sdcc") and shutil.which("sstm8"):
            write_program(folder, code.text, images[:1])
            if not np.array_equal(run_stm8(folder, 1)[:, 1:-1], expected[:1]):
                faults.append(f"{generator}: STM8 differs")
        faults += claims(folder, code, generator) + estimates(cells[1:], bundle, generator)
        needs = f"`{generator}` | {code.constants} | {code.buffers} | {images[0].size}"
        print(f"| {needs} | {' | '.join(cells)} |", flush=True)
    bundle, images = made("glyph-8")
    code = float_code(bundle, "net")
    write_program(folder, f"#define NET_FLOAT\n#define NET_FLASH\n{code.text}", images)
    classes = bundle.logits(scale_pixels(images.astype(np.float32))).argmax(axis=1)
    cells, wrong = run_everywhere(folder, classes[:, None], "--float", avr=False)
    needs = f"`glyph-8`, `--float` | {code.constants} | {code.buffers} | {images[0].size}"
    print(f"| {needs} | {' | '.join(cells)} |", flush=True)
    return faults + wrong


def frames(folder: Path) -> list[str]:
    """Preparation of a frame of a photographed drawing: what differs."""
    faults = []
    bundle, _ = made("glyph-8", device=True)
    code = whole_code(bundle, "net", prepare=True)
    faults += claims(folder, code, "--prepare")
    print(f"\n| frame | buffers, CNN included | {' | '.join(ARM)} | RISC-V |\n|---|---|---|---|---|---|---|")
    for columns, rows in ((96, 96), (160, 120), (320, 240)):
        y, x = np.mgrid[:rows, :columns]
        ring = np.abs(np.hypot(x - columns / 2, y - rows / 2) - rows / 4) < rows / 25
        frame = (200 - 60 * x / columns - 90 * ring).astype(np.uint8)
        lines = [f"#define FRAME_COLUMNS {columns}", f"#define FRAME_ROWS {rows}"]
        (folder / "net.h").write_text(code.text)
        (folder / "images.h").write_text("\n".join([*lines, *array("uint8_t", "frame", frame), ""]))
        expected = prepare_on_device(frame, bundle.spec.image_size, bundle.preprocessing.steps.stroke).ravel()
        cells, wrong = run_everywhere(folder, expected[None], f"frame of {columns} x {rows}", avr=False)
        faults += wrong
        print(f"| {columns} x {rows} | {code.buffers} | {' | '.join(cells[1:-1])} |", flush=True)
    return faults


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--install", action="store_true", help="install Debian's compilers and emulators first"
    )
    parser.add_argument(
        "--generators", nargs="*", default=["glyph-8", "glyph-16", "glyph-64", "photo-40", "photo-small"]
    )
    options = parser.parse_args()
    if options.install:
        install()
    with tempfile.TemporaryDirectory() as name:
        faults = compile_all(Path(name)) + runs(Path(name), options.generators) + frames(Path(name))
    for fault in faults:
        print(fault, file=sys.stderr)
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
