"""Every command that writes, killed or refused by its disk at every call that changes something."""

import os
import random
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

from faults.child import Ended, calls_of, run
from faults.layer import Layer, What
from faults.workshop import COMMANDS, RESUME, TRAIN, Command
from htgen.tensor_files import checksum, read_any

FORBIDDEN = (".tmp", ".old")
"""Endings of what must not be left after the next start."""


@dataclass
class Tally:
    """What was done, and what went wrong, each in a sentence."""

    done: dict[str, int] = field(default_factory=dict)
    tracebacks: list[str] = field(default_factory=list)
    hangs: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def count(self, what: str, number: int = 1) -> None:
        self.done[what] = self.done.get(what, 0) + number

    def note(self, where: str, ended: Ended) -> None:
        """Take in how a command ended."""
        if ended.has_traceback:
            self.tracebacks.append(f"{where}: {ended.said[-1500:]}")
        if ended.hangs:
            self.hangs.append(where)


class Interruptions:
    """Interrupts commands in copies of a workshop.

    Args:
        workshop: see `faults.workshop.build`.
        place: where the copies are made.
    """

    def __init__(self, workshop: Path, place: Path, tally: Tally) -> None:
        self.workshop, self.place, self.tally = workshop, place, tally

    def all_of(self, command: Command, every: int, first: int = 0) -> int:
        """Each `every`-th of all ways to interrupt a command, from the `first`-th on.

        A whole run tells which calls there are, and what there must be in the end. Returns their number.
        """
        before = self._fresh(command)
        ended, calls = calls_of(before, list(command.arguments))
        self.tally.note(command.name, ended)
        assert ended.code == 0, (command.name, ended)
        wanted = contents(before, command.results)
        ways: list[What] = ["kill before", "kill after", "fail once", "fail from then on"]
        trials = [(at, what) for at in range(len(calls)) for what in ways]
        chosen = trials[first % every :: every]
        for at, what in chosen:
            self._one(command, f"{command.name}, {what} {calls[at]} (call {at})", Layer, what, at, wanted)
        return len(chosen)

    def _one(
        self, command: Command, where: str, layer: type[Layer], what: What, at: int, wanted: dict[str, bytes]
    ) -> None:
        folder = self._fresh(command)
        old = contents(folder, command.results)
        ended = run(folder, list(command.arguments), layer(folder, what, at))
        self.tally.note(where, ended)
        self.tally.count("kills" if what.startswith("kill") else "writes refused")
        if what.startswith("kill") and ended.code != -9:
            self.tally.wrong.append(f"{where}: it ended with {ended.code} before it was killed")
        if what.startswith("fail") and ended.code not in (0, 7):
            self.tally.wrong.append(f"{where}: exit code {ended.code}: {ended.said}")
        self._look(command, where, folder, old, wanted)
        self._go_on(command, where, folder, wanted)

    def _look(
        self, command: Command, where: str, folder: Path, old: dict[str, bytes], wanted: dict[str, bytes]
    ) -> None:
        """What lies there after an interruption: the old or the new, never a part."""
        for name in command.results:
            found = contents(folder, (name,))
            is_whole = found in (only(old, name), only(wanted, name)) or command.stage(folder / name)
            if not is_whole and not command.in_part and not _is_waiting(folder):
                self.tally.lost.append(f"{where}: {name} is neither the old nor the new one")

    def _go_on(self, command: Command, where: str, folder: Path, wanted: dict[str, bytes]) -> None:
        """What a user does next ends as if nothing had happened, and leaves nothing."""
        tries = command.go_on or (command.arguments, (*command.arguments, "--overwrite"))
        for arguments in tries:
            ended = run(folder, list(arguments))
            self.tally.note(f"{where}, then {' '.join(arguments)}", ended)
            if ended.code == 0:
                break
            is_written = ended.code in (4, 7) and contents(folder, command.results) == wanted
            if is_written:  # `configs copy`, `prepare-data`: it is there already
                break
        if contents(folder, command.results) != wanted:
            self.tally.lost.append(f"{where}: going on does not end alike: {ended.said[-500:]}")
        left = [path.name for path in folder.rglob("*") if path.name.endswith(FORBIDDEN)]
        if left and ended.code == 0:
            self.tally.lost.append(f"{where}: {left} stay")

    def at_random(self, moments: int, chance: random.Random) -> None:
        """Kill a training again and again at any moment, and go on, until it is done."""
        whole = self._fresh(COMMANDS[-3])
        began = time.monotonic()
        assert run(whole, list(TRAIN)).code == 0
        longest = time.monotonic() - began
        wanted = contents(whole, COMMANDS[-3].results)
        left = moments
        while left > 0:
            folder = self._fresh(COMMANDS[-3])
            arguments = list(TRAIN)
            while True:
                ended = run(folder, arguments, kill_after=chance.uniform(0, longest) if left > 0 else None)
                self.tally.note("a training killed at any moment", ended)
                left -= ended.code == -9
                self.tally.count("kills", ended.code == -9)
                if ended.code == 0:
                    break
                has_state = (folder / "run" / "latest.safetensors").exists()
                arguments = list(RESUME) if has_state else [*TRAIN, "--overwrite"]
            if contents(folder, COMMANDS[-3].results) != wanted:
                self.tally.lost.append("a training that was killed at random moments ends otherwise")

    def _fresh(self, command: Command) -> Path:
        """A copy of the workshop as the command finds it; its files are links, as no command changes them."""
        folder = self.place / "trial"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.workshop, folder, copy_function=os.link)
        for name in ("run-stopped", "run-whole", "store-before"):
            shutil.rmtree(folder / name)
            shutil.copytree(self.workshop / name, folder / name)
        command.start(folder)
        return folder


def contents(folder: Path, names: tuple[str, ...]) -> dict[str, bytes]:
    """The files of these names, and those in folders of these names, with what is in them."""
    found = {}
    for name in names:
        path = folder / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                is_state = file.name == "latest.safetensors"
                found[str(file.relative_to(folder))] = state_of(file) if is_state else file.read_bytes()
    return found


def state_of(path: Path) -> bytes:
    """All of a training state but for the time that it took."""
    file = read_any(path)
    header = {**file.header, "seconds": 0, "sums": {**file.header["sums"], "seconds": 0}}
    return checksum(header, file.tensors).encode()


def only(found: dict[str, bytes], name: str) -> dict[str, bytes]:
    return {key: value for key, value in found.items() if key == name or key.startswith(f"{name}/")}


def _is_waiting(folder: Path) -> bool:
    """Whether a store lost its name between two renames; the next command gives it back."""
    return not (folder / "made").exists() and any(path.name.endswith(".old") for path in folder.iterdir())
