"""How fast generation and prediction are."""

import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np

from htgen.arrays import Floats
from htgen.bench.cost import generation_cost, prediction_cost
from htgen.bench.machine import Effort, TimedSection, median, percentile95
from htgen.bench.report import Measure, Rate
from htgen.cnn.bundle import Bundle
from htgen.config.run import Config
from htgen.errors import RunError
from htgen.generator.generator import Generator
from htgen.generator.support import Support
from htgen.images.inputs import prepare_images

BATCHES = (1, 256)
"""Images per batch at which prediction is measured."""

PREDICTED_IMAGES = 5
"""Image files that the measured `htgen predict` reads: a handful."""


def measure_generation(generator: Generator, support: Support, rate: Rate, effort: Effort) -> list[Measure]:
    found = TimedSection("generate", effort.generate_warmup, effort.generate_repeats)
    times = found.time(lambda: generator.generate_bundle(support))
    way = len(support.classes)
    cost = generation_cost(generator.file.model, way, len(support.labels) // way)
    floor = cost.total / rate.multiply_adds_per_second
    found.add("latency_seconds", "generating a CNN", median(times), "s", floor)
    found.add("p95_seconds", "generating a CNN, 95th percentile", percentile95(times), "s", floor)
    return found.measures


def measure_prediction(
    bundle: Bundle, config: Config, files: list[Path], rate: Rate, effort: Effort
) -> list[Measure]:
    model, random = config.model, np.random.default_rng(0)
    floor = rate.multiply_adds_per_second / prediction_cost(model, len(bundle.classes)).total
    found = TimedSection("predict", effort.predict_warmup, effort.predict_repeats)
    for batch in BATCHES:
        shape = (batch, model.image_channels, model.image_size, model.image_size)
        images: Floats = random.uniform(-1, 1, shape).astype(np.float32)
        speed = batch / median(found.time(partial(bundle.logits, images)))
        key = f"batch{batch}_images_per_second"
        found.add(key, f"prediction, batches of {batch}", speed, "images/s", floor)
    speed = len(files) / median(found.time(partial(prepare_images, files, bundle.preprocessing)))
    found.add("decode_images_per_second", "decoding of image files", speed, "images/s")
    return found.measures


# ---------------------------------------------------------------------------------------------- start-up


def measure_start(generator: Generator, folder: Path, files: list[Path], effort: Effort) -> list[Measure]:
    """Wall time of whole processes, each beside a process that does the least it must: its imports."""
    generator_path, cnn = folder / "generator.safetensors", folder / "cnn.safetensors"
    generator_path.write_bytes(generator.file.to_bytes())
    support = files[0].parents[1]
    htgen = [sys.executable, "-m", "htgen"]
    python = [sys.executable, "-c"]
    commands: dict[str, list[str]] = {
        "python": [*python, ""],
        "import_numpy": [*python, "import numpy"],
        "import_torch": [*python, "import torch"],
        "help": [*htgen, "--help"],
        "generate": [
            *htgen,
            "generate",
            *("--support", str(support), "-o", str(cnn), "--generator", str(generator_path)),
        ],
        "predict": [*htgen, "predict", str(cnn), *map(str, files[:PREDICTED_IMAGES])],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for index in range(effort.start_warmup + effort.start_repeats):
        # One of each in turn, so that a load that comes and goes meets all alike.
        for name, command in commands.items():
            seconds = _wall_time(command)
            if index >= effort.start_warmup:
                times[name].append(seconds)
    medians = {name: median(values) for name, values in times.items()}
    found = TimedSection("start", effort.start_warmup, effort.start_repeats)
    for name, what, floor in (
        ("python", "python alone", None),
        ("import_numpy", "import numpy", None),
        ("import_torch", "import torch", None),
        ("help", "htgen --help", "python"),
        ("generate", "htgen generate", "import_numpy"),
        ("predict", f"htgen predict, {len(files[:PREDICTED_IMAGES])} images", "import_numpy"),
    ):
        least = None if floor is None else medians[floor]
        found.add(f"{name}_seconds", f"process: {what}", medians[name], "s", least)
    return found.measures


def _wall_time(command: list[str]) -> float:
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["it said nothing"]
        raise RunError(f"a measured process failed: {' '.join(command)}: {said[-1]}")
    return seconds
