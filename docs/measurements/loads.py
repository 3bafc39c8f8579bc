"""Whether memory and speed stay the same under load: the table in docs/reference/reliability.md.

    htgen prepare-data omniglot --as-drawings
    python docs/measurements/loads.py data/omniglot-drawings --page docs/reference/reliability.md

Runs `htgen train` of a tiny config, `htgen predict` of very many images and `htgen evaluate` for long, each
as a process that is watched from outside: the memory of it and of those that it starts, and its processor
time, as Linux tells them. Then one image as large as is accepted. `--only` runs some of them; rows of others
stay.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

HTGEN = (sys.executable, "-m", "htgen")
SYMBOLS = Path(__file__).parents[2] / "examples" / "symbols"
MARKS = ("<!-- table of loads.py -->", "<!-- end of the loads -->")
HEAD = "| load | MB after a tenth | half | at the end | at most | work a second, first half | second half |"
LARGEST = (7_740, 7_740)
TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Sample:
    """A look at a process: how much is done, its memory in MB, the seconds of the processor that it took."""

    done: float
    memory: float
    seconds: float


def processes(root: int) -> list[int]:
    """A process and all that it started."""
    found = [root]
    for process in found:
        try:
            for task in Path(f"/proc/{process}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
        except OSError:
            continue
    return found


def look(root: int, done: float) -> Sample:
    pages = ticks = 0
    for process in processes(root):
        try:
            statm = Path(f"/proc/{process}/statm").read_text().split()
            stat = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        pages += int(statm[1]) - (0 if process == root else int(statm[2]))  # what is shared counts once
        ticks += sum(map(int, stat[11 : 15 if process == root else 13]))
    return Sample(done, pages * os.sysconf("SC_PAGE_SIZE") / 1e6, ticks / TICK)


class Watch:
    """Runs a command and looks at it now and then.

    Args:
        arguments: of `htgen`.
        progress: how much is done, by the lines of its stdout so far and its last line on stderr.
    """

    def __init__(self, arguments: list[str], progress: Callable[[int, str], float]) -> None:
        self.lines, self.last = 0, ""
        self.samples: list[Sample] = []
        process = subprocess.Popen(
            [*HTGEN, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        threads = [
            threading.Thread(target=self._count, args=(process.stdout,)),
            threading.Thread(target=self._keep, args=(process.stderr,)),
        ]
        for thread in threads:
            thread.start()
        while process.poll() is None:
            self.samples.append(look(process.pid, progress(self.lines, self.last)))
            time.sleep(0.1)
        for thread in threads:
            thread.join()
        if process.returncode:
            sys.exit(f"htgen {' '.join(arguments)} ended with {process.returncode}: {self.last}")

    def _count(self, stream: object) -> None:
        for _ in stream:  # type: ignore[attr-defined]
            self.lines += 1

    def _keep(self, stream: object) -> None:
        for line in stream:  # type: ignore[attr-defined]
            self.last = line.strip()

    def at(self, share: float) -> Sample:
        """The first sample by which this share of the work was done."""
        most = max(sample.done for sample in self.samples)
        return next(sample for sample in self.samples if sample.done >= share * most)

    def row(self, name: str) -> str:
        tenth, half, end = (self.at(share) for share in (0.1, 0.5, 1))
        rates = [
            (late.done - early.done) / max(late.seconds - early.seconds, 1e-3)
            for early, late in ((tenth, half), (half, end))
        ]
        peak = max(sample.memory for sample in self.samples)
        memory = " | ".join(f"{sample.memory:.0f}" for sample in (tenth, half, end))
        return f"| {name} | {memory} | {peak:.0f} | {' | '.join(f'{rate:.3g}' for rate in rates)} |"


def train(store: Path, folder: Path, options: argparse.Namespace) -> str:
    """A CNN of 4 channels for 2 classes: the smallest steps, so that what grows with them shows."""
    config = {
        "name": "tiny",
        "data": {"store": str(store.resolve()), "train": "lake:train", "val": "lake:val"},
        "episodes": {"way": 2, "shot": 1, "query": 1},
        "validation": {"way": 2, "query": 1},
        "model": {
            "max_way": 2,
            "image_size": 28,
            "embedding_dim": 4,
            "cnn": {"channels": 4},
            "shared": {"layers": 2, "width": 4},
            "transformer": {"layers": 1},
        },
        "train": {"steps": options.steps, "val_every": options.steps // 10, "log_every": 10}
        | {"save_every": options.steps // 10, "val_tasks": 16},
    }
    (folder / "tiny.yaml").write_text(yaml.safe_dump(config))
    log = folder / "run" / "metrics.jsonl"

    def steps(lines: int, said: str) -> float:
        return 10.0 * log.read_bytes().count(b'"event": "train"') if log.exists() else 0

    arguments = ["train", "--config", str(folder / "tiny.yaml"), "--run", str(folder / "run")]
    return Watch([*arguments, "--device", "cpu"], steps).row(f"`train`, {options.steps} tiny steps")


def predict(store: Path, folder: Path, options: argparse.Namespace) -> str:
    made = make_cnn(folder)
    (folder / "many").mkdir()
    images = sorted((SYMBOLS / "new").glob("*.png"))
    for number in range(options.images):
        (folder / "many" / f"{number:06}.png").symlink_to(images[number % len(images)].resolve())
    watch = Watch(["predict", str(made), str(folder / "many"), "--csv"], lambda lines, said: lines)
    return watch.row(f"`predict`, {options.images} images")


def evaluate(store: Path, folder: Path, options: argparse.Namespace) -> str:
    def tasks(lines: int, said: str) -> float:
        share = said.rpartition(": ")[2].removesuffix(" %")
        return options.tasks * float(share) / 100 if share.isdigit() else 0

    arguments = ["evaluate", "glyph-8", "--data", str(store), "--split", "lake:val", "--device", "cpu"]
    return Watch([*arguments, "--tasks", str(options.tasks)], tasks).row(f"`evaluate`, {options.tasks} tasks")


def largest(store: Path, folder: Path, options: argparse.Namespace) -> str:
    width, height = LARGEST
    pixels = np.zeros((height, width, 4), np.uint8)
    pixels[height // 3 : height // 2, width // 3 : width // 2, 3] = 255
    Image.fromarray(pixels).save(folder / "large.png")
    del pixels
    watch = Watch(["predict", str(make_cnn(folder)), str(folder / "large.png")], lambda lines, said: lines)
    peak = max(sample.memory for sample in watch.samples)
    return f"| one RGBA image of {width} x {height} |  |  |  | {peak:.0f} |  |  |"


def make_cnn(folder: Path) -> Path:
    made = folder / "cnn.safetensors"
    arguments = ["generate", "--support", str(SYMBOLS / "support"), "-o", str(made), "--no-estimate"]
    subprocess.run([*HTGEN, *arguments], check=True, capture_output=True)
    return made


LOADS = {"train": train, "predict": predict, "evaluate": evaluate, "largest": largest}


def write(page: Path, name: str, row: str) -> None:
    """Put a row into the table of the page; those of other loads stay."""
    before, _, rest = page.read_text().partition(MARKS[0])
    table, _, after = rest.partition(MARKS[1])
    rows = [line for line in table.splitlines() if line.startswith("|")][2:]
    marks = {"largest": "| one"} | {load: f"| `{load}`" for load in LOADS if load != "largest"}
    kept = {load: line for line in rows for load, mark in marks.items() if line.startswith(mark)} | {
        name: row
    }
    lines = [HEAD, "|---" * 7 + "|", *(kept[load] for load in LOADS if load in kept)]
    page.write_text(f"{before}{MARKS[0]}\n\n" + "\n".join(lines) + f"\n\n{MARKS[1]}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("store", type=Path, help="store of drawings")
    parser.add_argument("--steps", type=int, default=20_000, help="of training")
    parser.add_argument("--images", type=int, default=100_000, help="to predict")
    parser.add_argument("--tasks", type=int, default=20_000, help="to evaluate")
    parser.add_argument("--only", nargs="+", choices=LOADS, default=list(LOADS))
    parser.add_argument("--page", type=Path, help="the page that holds the table")
    options = parser.parse_args()
    print(HEAD)
    for name in options.only:
        with tempfile.TemporaryDirectory(prefix="htgen-loads-") as folder:
            row = LOADS[name](options.store, Path(folder), options)
        print(row, flush=True)
        if options.page:
            write(options.page, name, row)


if __name__ == "__main__":
    main()
