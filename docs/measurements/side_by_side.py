"""How fast this build is beside another one: both in turns, in processes of their own, and the ratios.

    python docs/measurements/side_by_side.py ../htgen-before
    python docs/measurements/side_by_side.py ../htgen-before --only train-32 train-1 --turns 5
    python docs/measurements/side_by_side.py ../htgen-before --only predict-20000 --turns 3 --clock

Run it with the Python of a virtual environment that has what both builds need. The other checkout needs none
of its own. Speeds are by the processor time of one thread, which other programs on the machine change less
than the time on the clock; with `--clock` by the clock, for a machine that does nothing else.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from side_by_side_use import USE

HERE = Path(__file__).resolve().parents[2]


class Speed(NamedTuple):
    """Something per second of processor time, and per second on the clock."""

    by_processor: float
    by_clock: float


def training(config: str, *changes: str, steps: int) -> Speed:
    """Episodes per second of whole steps of a preset, on noise of its shapes; counts are their largest."""
    import torch

    try:
        from htgen.bench.machine import Effort
        from htgen.bench.noise import trainer_on_noise
        from htgen.config.files import load_config
    except ImportError:  # builds before folders of the package
        from htgen.config_files import load_config

        from htgen.bench import Effort
        from htgen.bench import _trainer as trainer_on_noise

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    settings = load_config(config, list(changes))
    with tempfile.TemporaryDirectory() as folder:
        trainer = trainer_on_noise(settings, torch.device("cpu"), Effort(), Path(folder))
        step = getattr(trainer, "train_step", None) or trainer._train_step
        for _ in range(3):
            step()
        return speed_of(step, steps, settings.train.episodes_per_step)


def speed_of(work: Callable[[], object], repeats: int, count: int) -> Speed:
    """Of what does `count` things each time."""
    processor, clock = time.process_time(), time.perf_counter()
    for _ in range(repeats):
        work()
    total = repeats * count
    return Speed(total / (time.process_time() - processor), total / (time.perf_counter() - clock))


MEASUREMENTS: dict[str, tuple[str, Callable[[], tuple[float, float]]]] = {
    "train-32": (
        "training `omniglot_1shot`, 32 episodes a step, episodes/s",
        partial(training, "omniglot_1shot", "train.episodes_per_step=32", steps=8),
    ),
    "train-1": (
        "training `omniglot_1shot`, one episode a step, episodes/s",
        partial(training, "omniglot_1shot", steps=60),
    ),
    "train-glyph-8": ("training `glyph-8`, episodes/s", partial(training, "glyph-8", steps=5)),
    "train-glyph-64": ("training `glyph-64`, episodes/s", partial(training, "glyph-64", steps=2)),
    "train-photo-40": ("training `photo-40`, episodes/s", partial(training, "photo-40", steps=3)),
    **USE,
}
"""By name: what it is, and how it is measured; each runs in both builds."""


def measure(name: str, checkout: Path, threads: int) -> Speed:
    """One measurement in a process of its own."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(checkout),
        "OMP_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    command = [sys.executable, __file__, str(checkout), "--run", name]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            command, env=environment, cwd=folder, capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise SystemExit(f"{name} in {checkout} failed:\n{done.stderr}")
    return Speed(*json.loads(done.stdout.splitlines()[-1]))


def compare(name: str, other: Path, turns: int, threads: int, by_clock: bool) -> str:
    """A row of the table: medians of both builds, and the ratio with its range over the turns."""
    found = [(measure(name, other, threads), measure(name, HERE, threads)) for _ in range(turns)]
    pairs = [tuple(speed.by_clock if by_clock else speed.by_processor for speed in pair) for pair in found]
    before, after = (statistics.median(values) for values in zip(*pairs, strict=True))
    ratios = sorted(after / before for before, after in pairs)
    middle = statistics.median(ratios)
    what = MEASUREMENTS[name][0]
    return f"| {what} | {before:,.4g} | {after:,.4g} | {middle:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("other", type=Path, help="checkout of the build to compare with")
    parser.add_argument("--only", nargs="+", choices=MEASUREMENTS, default=[*MEASUREMENTS])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", action="store_true", help="by the clock instead of processor time")
    parser.add_argument("--run", choices=MEASUREMENTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        print(json.dumps(MEASUREMENTS[options.run][1]()))
        return
    print("| what | other build | this build | ratio |\n|---|---|---|---|")
    for name in options.only:
        print(
            compare(name, options.other.resolve(), options.turns, options.threads, options.clock), flush=True
        )


if __name__ == "__main__":
    main()
