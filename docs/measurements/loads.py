"""Whether memory and speed stay the same under load: the table in docs/reference/reliability.md.

    htgen prepare-data omniglot --as-drawings
    python docs/measurements/loads.py data/omniglot-drawings --page docs/reference/reliability.md

Runs `htgen train` of two recipes, `htgen predict` of very many images and `htgen evaluate` for an hour,
each as a process that is watched from outside: the memory of it and of those that it starts, and its
processor time, as Linux tells them. Then one image as large as is accepted. `--only` runs some of them;
rows of others stay.

The work after the first tenth is cut into ten equal parts. Straight lines through the memory and the speed of
these parts tell how both change with the work, with the 95 % intervals of their slopes (t of 8 degrees of
freedom).
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

HTGEN = (sys.executable, "-m", "htgen")
SYMBOLS = Path(__file__).parents[2] / "examples" / "symbols"
MARKS = ("<!-- table of loads.py -->", "<!-- end of the loads -->")
HEAD = (
    "| load | MB after a tenth | half | at the end | at most | MB more per 1 000 "
    "| work a second | faster per 1 000 |"
)
LOG_EVERY = 10
TASKS = 2000
PARTS = 10
T95 = 2.306
"""Of Student's t for a line through so many points."""

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
        progress: how much is done, of what it printed so far.
        minutes: after which it is interrupted; None: it ends by itself.

    Attributes:
        lines: on its stdout so far.
        tenths: of some work, told on its stderr so far.
        last: line on its stderr.
    """

    def __init__(
        self, arguments: list[str], progress: Callable[["Watch"], float], minutes: float | None = None
    ) -> None:
        self.lines, self.tenths, self.last = 0, 0, ""
        self.samples: list[Sample] = []
        until = time.monotonic() + 60 * minutes if minutes else None
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
            self.samples.append(look(process.pid, progress(self)))
            time.sleep(0.1)
            if until and time.monotonic() > until:
                until = None
                process.send_signal(signal.SIGINT)
        for thread in threads:
            thread.join()
        if process.returncode not in ((0, 130) if minutes else (0,)):
            sys.exit(f"htgen {' '.join(arguments)} ended with {process.returncode}: {self.last}")

    def _count(self, stream: Iterable[str]) -> None:
        for _ in stream:
            self.lines += 1

    def _keep(self, stream: Iterable[str]) -> None:
        for line in stream:
            self.last = line.strip()
            self.tenths += self.last.endswith("0 %") and not self.last.endswith(" 0 %")

    @property
    def most(self) -> float:
        return max(sample.done for sample in self.samples)

    def place(self, share: float) -> int:
        """Which sample is the first by which this share of the work was done."""
        enough = share * self.most
        return next(place for place, sample in enumerate(self.samples) if sample.done >= enough)

    def at(self, share: float) -> Sample:
        """That sample."""
        return self.samples[self.place(share)]

    def parts(self) -> list[Sample]:
        """The work after the first tenth in equal parts: the middle of each, its mean memory, its speed in
        place of the seconds."""
        bounds = [self.place(0.1 + 0.9 * part / PARTS) for part in range(PARTS + 1)]
        found = []
        for start, end in pairwise(bounds):
            early, late = self.samples[start], self.samples[end]
            within = self.samples[start:end] or [late]
            memory = sum(sample.memory for sample in within) / len(within)
            speed = (late.done - early.done) / max(late.seconds - early.seconds, 1e-3)
            found.append(Sample((early.done + late.done) / 2, memory, speed))
        return found

    def row(self, name: str) -> str:
        parts = self.parts()
        done = [part.done / 1000 for part in parts]
        speeds = [part.seconds for part in parts]
        speed = sum(speeds) / PARTS
        memory = " | ".join(f"{self.at(share).memory:.0f}" for share in (0.1, 0.5, 1))
        peak = max(sample.memory for sample in self.samples)
        more = "{:+.3f} ± {:.3f}".format(*line(done, [part.memory for part in parts]))
        faster = "{:+.2f} ± {:.2f} %".format(*(100 * number / speed for number in line(done, speeds)))
        return f"| {name} | {memory} | {peak:.0f} | {more} | {speed:.3g} | {faster} |"


def line(x: list[float], y: list[float]) -> tuple[float, float]:
    """The slope of the straight line through points, and the half width of its 95 % interval."""
    across, up = np.asarray(x) - np.mean(x), np.asarray(y) - np.mean(y)
    slope = float(across @ up / (across @ across))
    rest = up - slope * across
    return slope, T95 * float(np.sqrt(rest @ rest / (len(x) - 2) / (across @ across)))


def train_preset(
    name: str, what: str, settings: dict[str, int], store: Path, folder: Path, options: argparse.Namespace
) -> str:
    rare = max(options.steps // 10, 1)
    values = settings | {
        "steps": options.steps,
        "log_every": LOG_EVERY,
        "val_every": rare,
        "save_every": rare,
    }
    values |= {"val_tasks": 16}
    log = folder / "run" / "metrics.jsonl"

    def steps(watch: Watch) -> float:
        return LOG_EVERY * log.read_bytes().count(b'"event": "train"') if log.exists() else 0

    arguments = ["train", "--config", name, "--data", str(store), "--run", str(folder / "run")]
    for key, value in values.items():
        arguments += ["--set", f"train.{key}={value}"]
    return Watch([*arguments, "--device", "cpu"], steps).row(f"`train`, {options.steps} steps of {what}")


def train(store: Path, folder: Path, options: argparse.Namespace) -> str:
    """The recipe of the reference implementation: one task a step, all of one shape."""
    return train_preset("omniglot_1shot", "`omniglot_1shot`", {}, store, folder, options)


def train_drawings(store: Path, folder: Path, options: argparse.Namespace) -> str:
    """The recipe of the default generator, whose tasks have many shapes; one task a step."""
    what = "`glyph-8`, one task each"
    return train_preset("glyph-8", what, {"episodes_per_step": 1}, store, folder, options)


def predict(store: Path, folder: Path, options: argparse.Namespace) -> str:
    made = make_cnn(folder)
    (folder / "many").mkdir()
    images = sorted((SYMBOLS / "new").glob("*.png"))
    for number in range(options.images):
        (folder / "many" / f"{number:06}.png").symlink_to(images[number % len(images)].resolve())
    watch = Watch(["predict", str(made), str(folder / "many"), "--csv"], lambda watch: watch.lines)
    return watch.row(f"`predict`, {options.images} images")


def evaluate(store: Path, folder: Path, options: argparse.Namespace) -> str:
    """Again and again on the same classes, as progress is told by tenths."""
    arguments = ["evaluate", "glyph-8", "--data", str(store), "--device", "cpu", "--tasks", str(TASKS)]
    watch = Watch(
        [*arguments, *("--split", "lake:val") * 500], lambda watch: watch.tenths * TASKS / 10, options.minutes
    )
    return watch.row(f"`evaluate`, {options.minutes:g} minutes, {watch.most:.0f} tasks")


def largest(store: Path, folder: Path, options: argparse.Namespace) -> str:
    width, height = LARGEST
    pixels = np.zeros((height, width, 4), np.uint8)
    pixels[height // 3 : height // 2, width // 3 : width // 2, 3] = 255
    Image.fromarray(pixels).save(folder / "large.png")
    del pixels
    watch = Watch(["predict", str(make_cnn(folder)), str(folder / "large.png")], lambda watch: watch.lines)
    peak = max(sample.memory for sample in watch.samples)
    return f"| one RGBA image of {width} x {height} |  |  |  | {peak:.0f} |  |  |  |"


def make_cnn(folder: Path) -> Path:
    made = folder / "cnn.safetensors"
    arguments = ["generate", "--support", str(SYMBOLS / "support"), "-o", str(made), "--no-estimate"]
    subprocess.run([*HTGEN, *arguments], check=True, capture_output=True)
    return made


LOADS = {
    "train": train,
    "train_drawings": train_drawings,
    "predict": predict,
    "evaluate": evaluate,
    "largest": largest,
}


MARK_OF = {
    "train": "of `omniglot_1shot`",
    "train_drawings": "of `glyph-8`",
    "predict": "`predict`",
    "evaluate": "`evaluate`",
    "largest": "one RGBA",
}
"""By what the row of each is known."""


def write(page: Path, name: str, row: str) -> None:
    """Put a row into the table of the page; those of other loads stay."""
    before, _, rest = page.read_text().partition(MARKS[0])
    table, _, after = rest.partition(MARKS[1])
    rows = [line for line in table.splitlines() if line.startswith("|")][2:]
    kept = {load: line for line in rows for load, mark in MARK_OF.items() if mark in line}
    kept[name] = row
    lines = [HEAD, "|---" * 8 + "|", *(kept[load] for load in LOADS if load in kept)]
    page.write_text(f"{before}{MARKS[0]}\n\n" + "\n".join(lines) + f"\n\n{MARKS[1]}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("store", type=Path, help="store of drawings")
    parser.add_argument("--steps", type=int, default=20_000, help="of training")
    parser.add_argument("--images", type=int, default=100_000, help="to predict")
    parser.add_argument("--minutes", type=float, default=60, help="to evaluate")
    parser.add_argument("--only", nargs="+", choices=LOADS, default=list(LOADS))
    parser.add_argument("--page", type=Path, help="the page that holds the table")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored by what a shell starts behind itself
    print(HEAD)
    for name in options.only:
        with tempfile.TemporaryDirectory(prefix="htgen-loads-") as folder:
            row = LOADS[name](options.store, Path(folder), options)
        print(row, flush=True)
        if options.page:
            write(options.page, name, row)


if __name__ == "__main__":
    main()
