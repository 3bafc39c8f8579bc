"""Inputs that are led by what they reach: atheris (libFuzzer) on every reader, `python -m faults.fuzz`.

Inputs that reach code which none reached before are kept and changed further. What a reader may do is as in
`faults.inputs`: answer, or refuse with an error of htgen. Each reader has a process of its own, so that a
crash of a library, memory without end and a hang are found too. Needs `pip install atheris`.

With `--page FILE` the row of each reader is written into the table of that page when it is done; rows of
others stay, so that a long run can be made in parts. With `--keep` a few inputs of each reader that reached
something new are written into `corpus/found/`, which ordinary tests replay; not of images, pickles and
archives, which other programs open. Exits with 1 when something went wrong.
"""

import argparse
import json
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MARKS = ("<!-- table of make fuzz -->", "<!-- end of the fuzzer's table -->")

HEAD = "| reader | inputs | seconds | reached | faults |"

LONGEST = 60
"""Seconds after which a reader counts as one that hangs; many, as the machine may be busy."""

MOST_MEMORY = 2048
"""MB of a process, its libraries included."""

LONGEST_KEPT = 5000
"""Bytes of an input that is kept."""

MOST_KEPT = 8

TESTS = Path(__file__).parents[1]


@dataclass
class Outcome:
    """What came of one reader.

    Attributes:
        runs: inputs that were tried.
        seconds: of the processor.
        reached: places in the code of htgen and its libraries in Python that were reached, and ways to them.
        faults: what went wrong.
    """

    runs: int = 0
    seconds: float = 0.0
    reached: int = 0
    faults: list[str] = field(default_factory=list)


# ------------------------------------------------------------------------------------ the process of a reader


def fuzz(name: str, seconds: float, workshop: Path, place: Path, options: list[str]) -> None:
    """Try inputs on one reader for some seconds of the processor; ends the process."""
    import atheris

    with atheris.instrument_imports(include=["htgen", "PIL", "yaml"], enable_loader_override=False):
        from faults.readers import Readers
        from htgen.errors import HtgenError

        reader = next(reader for reader in Readers(workshop, place).all() if reader.name == name)
    from faults.changes import changed_bytes, changed_json

    known: set[str] = set()
    warnings.simplefilter("ignore")
    began, runs = time.process_time(), 0

    def one(data: bytes) -> int:
        nonlocal runs
        if time.process_time() - began > seconds:  # libFuzzer counts the time of a busy machine
            (place / "runs").write_text(str(runs))
            sys.stderr.flush()
            os._exit(0)
        runs += 1
        try:
            given = reader.form(data)
        except (ValueError, RecursionError):
            return -1
        try:
            reader.take(given)
        except HtgenError:
            pass
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            key = f"{type(error).__name__} {where.filename}:{where.lineno}"
            if key not in known:
                known.add(key)
                with (place / "faults").open("a") as file:
                    file.write(json.dumps(f"{name}: {error!r:.300} at {key} of {data!r:.600}") + "\n")
        return 0

    def change(data: bytes, most: int, seed: int) -> bytes:
        chance = random.Random(seed)
        if chance.random() < 0.6:
            try:
                changed = (changed_json if reader.change is not changed_bytes else changed_bytes)(
                    data, chance
                )
                return changed[:most] or b"0"
            except (ValueError, RecursionError):
                pass
        return atheris.Mutate(data, most)

    atheris.Setup([sys.argv[0], *options], one, custom_mutator=change)
    atheris.Fuzz()


# ----------------------------------------------------------------------------------------------- all readers


def _try(name: str, number: int, seconds: int, workshop: Path, place: Path) -> Outcome:
    """Fuzz a reader for some seconds, going on after what ends its process."""
    from faults.readers import Readers

    place.mkdir()
    (scratch := place / "scratch").mkdir()
    reader = Readers(workshop, scratch).all()[number]
    (found := place / "corpus").mkdir()
    for index, seed in enumerate([*reader.seeds, *kept(name)]):
        (found / f"seed{index}").write_bytes(seed)
    outcome = Outcome()
    before = _processor_seconds()
    for trial in range(3):
        left = seconds - int(outcome.seconds)
        if left <= 0:
            break
        (inner := place / f"trial{trial}").mkdir()
        ended = subprocess.run(
            [
                *(sys.executable, "-m", "faults.fuzz", "--one", name, f"{left}", str(workshop)),
                *(str(inner), str(found)),
                f"-timeout={LONGEST}",
                f"-rss_limit_mb={MOST_MEMORY}",
                f"-seed={number + 1}",
                f"-artifact_prefix={inner}/",
                "-max_len=8192",
            ],
            cwd=TESTS,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            check=False,
        )
        said = ended.stderr.decode(errors="replace")
        outcome.seconds = _processor_seconds() - before
        told = inner / "runs"
        outcome.runs += int(told.read_text()) if told.exists() else _last(r"#(\d+)", said)
        outcome.reached = max(outcome.reached, _last(r"ft: (\d+)", said))
        if (inner / "faults").exists():
            outcome.faults += [json.loads(line) for line in (inner / "faults").read_text().splitlines()]
        if ended.returncode == 0:
            break
        ends = [path for path in inner.iterdir() if path.is_file() and "-" in path.name]
        for path in ends:
            outcome.faults.append(f"{name}: {path.name.partition('-')[0]} of {path.read_bytes()!r:.600}")
        if not ends:
            outcome.faults.append(f"{name}: ended with {ended.returncode}: {said[-600:]}")
    return outcome


def _last(pattern: str, text: str) -> int:
    found = re.findall(pattern, text)
    return int(found[-1]) if found else 0


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def keep(name: str, corpus: Path) -> None:
    """Write some inputs that reached something new, early and late, as one file of hexadecimal lines."""
    inputs = [path for path in corpus.iterdir() if not path.name.startswith("seed")]
    inputs = sorted((path for path in inputs if path.stat().st_size <= LONGEST_KEPT), key=_age)
    chosen = inputs[-1 :: -max(1, len(inputs) // MOST_KEPT)][:MOST_KEPT]
    path = _kept_path(name)
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(f"{data.hex()}\n" for data in sorted(path.read_bytes() for path in chosen)))


def _age(path: Path) -> tuple[int, str]:
    return path.stat().st_mtime_ns, path.name


def kept(name: str) -> list[bytes]:
    """What a fuzzer found before, for a reader; in the repository."""
    path = _kept_path(name)
    return [bytes.fromhex(line) for line in path.read_text().splitlines()] if path.exists() else []


def _kept_path(name: str) -> Path:
    return TESTS / "faults" / "corpus" / "found" / f"{name.replace(', ', '-').replace(' ', '-')}.hex"


def table(outcomes: dict[str, Outcome]) -> str:
    """What was tried on each reader, in Markdown."""
    lines = [HEAD, "|---|---|---|---|---|"]
    for name, outcome in {**outcomes, "all": _sum(outcomes)}.items():
        numbers = (f"{outcome.runs:_}".replace("_", " "), f"{outcome.seconds:.0f}", f"{outcome.reached}")
        lines.append(f"| {name} | {' | '.join(numbers)} | {len(outcome.faults)} |")
    return "\n".join(lines)


def rows_of(page: str) -> dict[str, Outcome]:
    """Inverse of `table`, but for what the faults were; of the whole page."""
    rows = page.partition(HEAD)[2].partition("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    return {
        name: Outcome(int(runs.replace(" ", "")), float(seconds), int(reached), [""] * int(faults))
        for name, runs, seconds, reached, faults in cells
        if name != "all"
    }


def _sum(outcomes: dict[str, Outcome]) -> Outcome:
    whole = Outcome()
    for outcome in outcomes.values():
        whole.runs += outcome.runs
        whole.seconds += outcome.seconds
        whole.reached += outcome.reached
        whole.faults += outcome.faults
    return whole


def _write_row(page: Path, name: str, outcome: Outcome, order: list[str]) -> None:
    from faults.__main__ import write_table

    rows = {**rows_of(page.read_text()), name: outcome}
    write_table(page, table({name: rows[name] for name in order if name in rows}), MARKS)


def _options() -> Any:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60, help="of the processor, for each reader")
    parser.add_argument("--readers", nargs="*", help="their names; all")
    parser.add_argument("--page", type=Path, help="the page that holds the table")
    parser.add_argument("--keep", action="store_true", help="write some inputs into the corpus")
    return parser.parse_args()


def main() -> int:
    from faults.workshop import build, use

    options = _options()
    place = Path(
        tempfile.mkdtemp(prefix="htgen-fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
    )
    try:
        build(place / "workshop")
        use(place / "workshop")
        from faults.readers import Readers

        (place / "names").mkdir()
        readers = Readers(place / "workshop", place / "names").all()
        outcomes = {}
        for number, reader in enumerate(readers):
            if options.readers and reader.name not in options.readers:
                continue
            folder = place / f"reader{number}"
            outcome = _try(reader.name, number, options.seconds, place / "workshop", folder)
            outcomes[reader.name] = outcome
            if options.page:
                _write_row(options.page, reader.name, outcome, [reader.name for reader in readers])
            print(f"{reader.name}: {outcome.runs} in {outcome.seconds:.0f} s", file=sys.stderr, flush=True)
            for fault in outcome.faults[:20]:
                print(f"  {fault}", file=sys.stderr, flush=True)
            if options.keep and reader.kept:
                keep(reader.name, folder / "corpus")
    finally:
        shutil.rmtree(place, ignore_errors=True)
    print(table(outcomes))
    return 1 if any(outcome.faults for outcome in outcomes.values()) else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        _, _, chosen, most, made, own, *rest = sys.argv
        fuzz(chosen, float(most), Path(made), Path(own), rest)
    sys.exit(main())
