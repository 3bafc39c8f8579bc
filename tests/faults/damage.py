"""Every kind of file that has a checksum, cut off anywhere and with any bit changed."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from faults.interruptions import Tally
from htgen.cnn.bundle import Bundle
from htgen.datasets.store import Store
from htgen.errors import HtgenError
from htgen.generator.file import GeneratorFile
from htgen.tensor_files import checksum, read_any
from htgen.training.state import read_state


def _cnn(path: Path) -> Any:
    bundle = Bundle.load(path)
    header = (bundle.spec, bundle.classes, bundle.preprocessing, bundle.support, bundle.generator)
    return header, checksum({}, bundle.tensors)


def _generator(path: Path) -> Any:
    file = GeneratorFile.read(path)
    return file.name, file.model, file.preprocessing, file.provenance, checksum({}, file.tensors)


def _state(path: Path) -> Any:
    header, tensors = read_state(path)
    return {key: header[key] for key in ("config", "step", "best", "sums", "data")}, checksum({}, tensors)


def _images(path: Path) -> Any:
    return Store.open(path.parent, verify=True).checksum


def _manifest(path: Path) -> Any:
    return Store.open(path.parent).fingerprint


KINDS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "CNN": ("cnn.safetensors", _cnn),
    "generator": ("toy.safetensors", _generator),
    "training state": ("run-whole/latest.safetensors", _state),
    "images of a store": ("toy/images.npy", _images),
    "manifest of a store": ("toy/manifest.json", _manifest),
}
"""Name of each kind, its file in the workshop, and what a command takes from it."""


def damage_all(workshop: Path, number: int, chance: random.Random, tally: Tally) -> None:
    """Damage each kind of file in `number` ways, one after the other, and read it."""
    for kind, (name, read) in KINDS.items():
        path = workshop / name
        whole, wanted = path.read_bytes(), read(path)
        path.unlink()  # it may be a link
        try:
            for trial in range(number):
                damaged, how = _damaged(whole, trial, chance)
                path.write_bytes(damaged)
                _read_damaged(f"{kind}, {how}", path, read, wanted, tally)
        finally:
            path.write_bytes(whole)


def _damaged(whole: bytes, trial: int, chance: random.Random) -> tuple[bytes, str]:
    if trial % 4 == 0:
        length = chance.randrange(len(whole))
        return whole[:length], f"cut off after {length} bytes"
    if trial % 4 == 1:
        start = chance.randrange(len(whole))
        count = min(chance.choice((16, 512, 4096)), len(whole) - start)
        return whole[:start] + bytes(count) + whole[start + count :], f"{count} zeros from {start} on"
    changed = bytearray(whole)
    # The description in front is short: half of the flips hit it.
    bit = chance.randrange(8 * (len(whole) if trial % 2 else min(len(whole), 2048)))
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed), f"bit {bit} changed"


def _read_damaged(where: str, path: Path, read: Callable[[Path], Any], wanted: Any, tally: Tally) -> None:
    tally.count("files damaged")
    try:
        found = read(path)
    except HtgenError as error:
        if str(path.name) not in error.message and str(path.parent) not in error.message:
            tally.wrong.append(f"{where}: the error does not name the file: {error.message}")
    except Exception as error:
        tally.tracebacks.append(f"{where}: {error!r}")
    else:
        if found != wanted:
            tally.wrong.append(f"{where}: accepted, with another content")


def flips_in_use(workshop: Path, tally: Tally) -> None:
    """What a damaged file means on the command line: exit code 5, and its name."""
    from faults.child import run

    for name, arguments in (
        ("cnn.safetensors", ["predict", "cnn.safetensors", "support/kind0"]),
        ("cnn.safetensors", ["export", "cnn.safetensors", "-o", "x.h"]),
        ("cnn.safetensors", ["inspect", "cnn.safetensors", "--check"]),
        (
            "toy.safetensors",
            ["generate", "--support", "support", "--generator", "toy.safetensors", "-o", "x"],
        ),
        ("toy.safetensors", ["inspect", "toy.safetensors", "--check"]),
        (
            "run-whole/latest.safetensors",
            ["train", "--run", "run-whole", "--resume", "--set", "train.steps=6"],
        ),
        ("run-whole/latest.safetensors", ["inspect", "run-whole/latest.safetensors", "--check"]),
    ):
        path = workshop / name
        whole = path.read_bytes()
        assert read_any(path).has_checksum
        path.unlink()
        path.write_bytes(whole[:-3] + bytes([whole[-3] ^ 64]) + whole[-2:])
        ended = run(workshop, arguments)
        tally.note(" ".join(arguments), ended)
        tally.count("files damaged")
        if ended.code != 5 or Path(name).name not in ended.said:
            tally.wrong.append(f"{' '.join(arguments)}: exit code {ended.code}: {ended.said}")
        path.write_bytes(whole)
