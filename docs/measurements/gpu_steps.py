"""Training steps on a GPU: started operation by operation, and recorded once and replayed
(`htgen.compute.recording`).

    python docs/measurements/gpu_steps.py glyph-64 --episodes 32 --set episodes.way=20 --set episodes.shot=2

One shape of episodes at a time: give the counts that the config draws from ranges. On a CPU nothing is
recorded, and both columns say the same.
"""

import argparse
import gc
import tempfile
import time
from pathlib import Path

import torch

from htgen.config.files import dump_config, load_config
from htgen.training.run_folder import RunFolder
from htgen.training.trainer import Trainer

QUIET = ["train.steps=1000000", "train.log_every=1000000", "train.val_every=1000000"]


def milliseconds(trainer: Trainer, steps: int) -> float:
    """Of one step, in the mean over `steps` after three that do not count."""
    times = []
    for count in (3, steps):
        started = time.perf_counter()
        for _ in range(count):
            trainer.train_step()
        if trainer.device.type == "cuda":
            torch.cuda.synchronize(trainer.device)
        times.append(1000 * (time.perf_counter() - started) / count)
    return times[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--episodes", type=int, nargs="+", default=[32], help="to a step")
    parser.add_argument("--steps", type=int, default=40, help="to measure")
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()

    print("| episodes a step | one by one | recorded | episodes/s | memory |\n|---|---|---|---|---|")
    for episodes in options.episodes:
        settings = [*QUIET, f"train.episodes_per_step={episodes}", *options.set]
        config = load_config(options.config, settings)
        with tempfile.TemporaryDirectory() as folder, RunFolder(Path(folder) / "run") as run:
            run.start(dump_config(config), overwrite=False)
            trainer = Trainer(config, run, options.device)
            recorded, trainer.gradients.recorded = trainer.gradients.recorded, None
            plain = milliseconds(trainer, max(1, options.steps // 8))
            trainer.gradients.recorded = recorded
            replayed = milliseconds(trainer, options.steps)
        memory = torch.cuda.max_memory_allocated(trainer.device) / 1e9 if trainer.device.type == "cuda" else 0
        print(
            f"| {episodes} | {plain:.1f} ms | {replayed:.1f} ms | {1000 * episodes / replayed:,.0f} "
            f"| {memory:.1f} GB |",
            flush=True,
        )
        if trainer.device.type == "cuda":
            del trainer, recorded
            gc.collect()
            torch.cuda.reset_peak_memory_stats(options.device)


if __name__ == "__main__":
    main()
