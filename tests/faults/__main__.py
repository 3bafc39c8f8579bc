"""Run all that is in this folder and print what was tried, as a table: `python -m faults` in tests/.

With `--page FILE` the table is written into that page too, between its two marks. Exits with 1 when something
went wrong.
"""

import argparse
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from faults.workshop import COMMANDS, build, use
from htgen.errors import OlderFileWarning

if TYPE_CHECKING:
    from faults.interruptions import Tally

    Parts = Iterator[tuple[str, Callable[[], None]]]

MARKS = ("<!-- table of make faults -->", "<!-- end of the table -->")


def main() -> int:
    options = _options()
    warnings.simplefilter("ignore", OlderFileWarning)  # a changed bit in its key hides a checksum
    started = processor_seconds()
    place = Path(tempfile.mkdtemp(prefix="htgen-faults-", dir=fast_folder()))
    try:
        build(place / "workshop")
        use(place / "workshop")
        from faults.interruptions import Tally

        tally, rows = Tally(), {}
        for name, part in _parts(options, place, tally):
            began = processor_seconds()
            part()
            rows[name] = processor_seconds() - began
    finally:
        shutil.rmtree(place, ignore_errors=True)
    text = table(tally.done, rows, tally, processor_seconds() - started)
    print(text)
    for what in ("tracebacks", "hangs", "lost", "wrong"):
        for fault in getattr(tally, what)[:20]:
            print(f"{what}: {fault}", file=sys.stderr)
    if options.page:
        write_table(options.page, text, MARKS)
    failures = sum(len(getattr(tally, what)) for what in ("tracebacks", "hangs", "lost", "wrong"))
    if options.json:
        options.json.write_text(json.dumps({"done": tally.done, "failures": failures}))
    return 1 if failures else 0


def processor_seconds() -> float:
    """Of this process and of those that it waited for, so that others on the machine do not count."""
    return sum(
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000, help="in all")
    parser.add_argument("--damages", type=int, default=2000, help="of each kind of file")
    parser.add_argument("--every", type=int, default=1, help="only each such way to interrupt a command")
    parser.add_argument("--moments", type=int, default=100, help="at which a training is killed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--page", type=Path, help="the page that holds the table")
    parser.add_argument("--json", type=Path, help="write counts here")
    return parser.parse_args()


def _parts(options: argparse.Namespace, place: Path, tally: "Tally") -> "Parts":
    """The parts by name. Each begins with its own chance, so that one can be repeated alone."""
    from faults.damage import damage_all, flips_in_use
    from faults.inputs import try_all
    from faults.interruptions import Interruptions
    from faults.readers import Readers

    workshop = place / "workshop"
    trials = Interruptions(workshop, place, tally)

    def interrupt() -> None:
        for number, command in enumerate(COMMANDS):
            print(f"{command.name}: {trials.all_of(command, options.every, first=number)}", file=sys.stderr)

    def damage() -> None:
        damage_all(workshop, options.damages, random.Random(options.seed), tally)
        flips_in_use(workshop, tally)

    def hostile() -> None:
        for name, count, seconds in try_all(
            Readers(workshop, place), options.inputs, random.Random(options.seed), tally
        ):
            print(f"{name}: {count} in {seconds:.1f} s", file=sys.stderr)

    yield "commands interrupted at each change of a file", interrupt
    yield (
        "a training killed at any moment",
        lambda: trials.at_random(options.moments, random.Random(options.seed)),
    )
    yield "damaged files", damage
    yield "hostile inputs", hostile


def table(done: dict[str, int], seconds: dict[str, float], tally: "Tally", whole: float) -> str:
    """What was tried and what went wrong, in Markdown."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        1024 if sys.platform != "darwin" else 1 << 20
    )
    lines = ["| tried | number |", "|---|---|", f"| at commit | {commit(Path(__file__).parent)} |"]
    names = {
        "kills": "kills survived",
        "writes refused": "writes failed: disk full, read-only, over quota, broken",
        "files damaged": "files damaged: cut off, bits changed, blocks of zeros",
        "inputs tried": "hostile inputs",
    }
    lines += [f"| {text} | {done.get(key, 0):_} |".replace("_", " ") for key, text in names.items()]
    lines += ["", "| went wrong | number |", "|---|---|"]
    wrong = {
        "tracebacks": len(tally.tracebacks),
        "hangs": len(tally.hangs),
        "data lost, or a run that goes on otherwise": len(tally.lost),
        "answers from damaged files, or another exit code": len(tally.wrong),
    }
    lines += [f"| {text} | {number} |" for text, number in wrong.items()]
    lines += ["", "| part | seconds of one processor |", "|---|---|"]
    lines += [f"| {name} | {part:.0f} |" for name, part in seconds.items()]
    lines += [f"| all, in one thread, {peak:.0f} MB of memory at most | {whole:.0f} |"]
    return "\n".join(lines)


def commit(folder: Path) -> str:
    """Of which commit a working copy is, and whether files were changed since; without git "unknown"."""
    try:
        head, changes = (
            subprocess.run(["git", "-C", str(folder), *what], capture_output=True, check=True).stdout.decode()
            for what in (("rev-parse", "--short=7", "HEAD"), ("status", "--porcelain", "-uno"))
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.strip() + (", with changes" if changes else "")


def write_table(page: Path, text: str, marks: tuple[str, str]) -> None:
    """Put a table between two lines of a page that mark its place."""
    before, _, rest = page.read_text().partition(marks[0])
    _, _, after = rest.partition(marks[1])
    page.write_text(f"{before}{marks[0]}\n\n{text}\n\n{marks[1]}{after}")


def fast_folder() -> str | None:
    """Memory that looks like a disk, where there is one: no trial needs its data after the process."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


if __name__ == "__main__":
    sys.exit(main())
