"""Figures of docs/lab/scaling.md, measured on this machine with images of noise.

python docs/measurements/scaling.py [preset]                                       one process
torchrun --nproc-per-node 2 docs/measurements/scaling.py [preset]                  the message between
processes
"""

import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from htgen.compute.processes import join
from htgen.config.files import load_config
from htgen.config.run import Config
from htgen.datasets.store import StoreWriter
from htgen.datasets.store_format import Scheme
from htgen.images.preprocessing import Preprocessing
from htgen.training.run_folder import RunFolder
from htgen.training.trainer import Trainer


def write_noise(path: Path, config: Config) -> None:
    """A store of 40 classes x 20 images that fits the config."""
    model, noise = config.model, np.random.default_rng(0)
    preprocessing = Preprocessing(model.image_size, model.image_channels, "bright", "pad")
    with StoreWriter(path, "noise", preprocessing, {"noise": Scheme(parts={"all": "0-39"})}) as writer:
        for kind in range(40):
            shape = (model.image_size, model.image_size, model.image_channels)
            images = [noise.integers(0, 256, shape, dtype=np.uint8) for _ in range(20)]
            writer.add_class(f"noise{kind:02}", "drawn", images)


def seconds(action: Callable[[], object], repeats: int) -> str:
    """Median and least time of an action, after one unmeasured call."""
    action()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        action()
        times.append(1000 * (time.perf_counter() - started))
    return f"median {statistics.median(times):8.2f} ms   least {min(times):8.2f} ms"


def main() -> None:
    processes, device = join("cpu")
    preset = sys.argv[1] if len(sys.argv) > 1 else "glyph-8"
    with tempfile.TemporaryDirectory() as folder:
        plain = load_config(preset)
        write_noise(Path(folder, "noise"), plain)
        overrides = [f"data={{store: '{folder}/noise', train: 'noise:all', val: 'noise:all'}}"]
        overrides += ["episodes={way: 20, shot: 1, query: 3}", "validation={way: 20, shot: 1, query: 3}"]
        overrides += ["train.steps=1000000"]

        def trainer(share: int) -> Trainer:
            total = share * processes.count
            config = load_config(preset, [*overrides, f"train.episodes_per_step={total}"])
            return Trainer(config, RunFolder(folder), device, processes)

        first = trainer(1)
        first.train_step()
        gradients = [p.grad for p in first.trained.parameters() if p.grad is not None]
        numbers = sum(g.numel() for g in gradients)
        state = sum(t.nbytes for t in first.trained.state_dict().values())
        if processes.is_main:
            print(f"{preset}: {numbers} parameters with gradients, {4 * numbers / 1e6:.3f} MB a message")
            print(f"weights {state / 1e6:.3f} MB; weights, gradients, two moments of AdamW, averaged weights")
            print(f"and the message: {6 * state / 1e6:.3f} MB a process")
        if processes.count > 1:
            told = seconds(lambda: processes.average(gradients), 200)
            if processes.is_main:
                print(f"message between {processes.count} processes: {told}")
        for share in (1, 2, 3, 6, 12):
            one = trainer(share)
            told = seconds(one.train_step, 20)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            if processes.is_main:
                print(f"step of {share:2} episodes a process: {told}   peak memory {peak:6.0f} MB")
    processes.leave()


if __name__ == "__main__":
    main()
