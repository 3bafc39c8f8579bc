"""What htgen does on this machine, beside what the machine could do. Measures and returns; never prints.

The floor of a piece of work is its multiply-adds (`htgen.cost`) over the rate at which this machine does
multiply-adds in one large matrix product, measured at the start. So `fraction` says how near a part
comes to what the machine can do, and compares between machines.

Training is that of `htgen.train.Trainer`, on noise of the config's shapes: no data set is needed, and
the work is the same. Generation and prediction run on the CPU, as `htgen generate` and `htgen predict` do.
"""

import cProfile
import io
import math
import os
import platform
import pstats
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from htgen.bundle import Bundle, prepare_images
from htgen.checkpoint import to_arrays
from htgen.config import Config, EpisodeConfig, Precision
from htgen.config_files import dump_config
from htgen.cost import generation_cost, prediction_cost, training_cost
from htgen.datasets.store import StoreWriter
from htgen.errors import RunError
from htgen.files import write_text
from htgen.generator import Generator, Support
from htgen.generator_format import GeneratorFile
from htgen.images import Preprocessing
from htgen.model import HyperTransformer
from htgen.numpy_cnn import Floats
from htgen.precision import product_precision
from htgen.run_folder import RunFolder
from htgen.sizes import EpisodeSize, largest_episode
from htgen.train import Trainer
from htgen.version import __version__

BATCHES = (1, 256)
"""Images per batch at which prediction is measured."""

PREDICTED_IMAGES = 5
"""Image files that the measured `htgen predict` reads: a handful."""

_NEVER = 10**9
_STORE_BYTES = 64 << 20
_PROFILE_ROWS = 40

Unit = Literal["episodes/s", "images/s", "s", "bytes"]


@dataclass(frozen=True)
class Effort:
    """How often everything is repeated; results are medians.

    Attributes:
        matrix, matrix_cuda: side of the matrices of the measured matrix product.
        train_steps, train_steps_cuda: training steps in one repeat.
        classes: most classes of the synthetic data set.
        The others: unmeasured runs before, and measured ones.
    """

    matrix: int = 2048
    matrix_cuda: int = 8192
    matrix_warmup: int = 3
    matrix_repeats: int = 9
    classes: int = 1000
    train_steps: int = 3
    train_steps_cuda: int = 50
    train_warmup: int = 2
    train_repeats: int = 9
    generate_warmup: int = 5
    generate_repeats: int = 100
    predict_warmup: int = 3
    predict_repeats: int = 50
    start_warmup: int = 1
    start_repeats: int = 5


QUICK = Effort(
    matrix=1024,  # of smaller ones the rate is too low to be a limit, and fractions come to more than 1
    matrix_warmup=2,
    matrix_repeats=5,
    classes=40,
    train_steps=1,
    train_warmup=1,
    train_repeats=2,
    generate_warmup=1,
    generate_repeats=3,
    predict_warmup=1,
    predict_repeats=3,
    start_warmup=0,
    start_repeats=1,
)
"""A look in a minute; the figures are rough."""


@dataclass(frozen=True)
class Rate:
    """The measured matrix product: what floors are made of.

    Attributes:
        size: side of the matrices.
    """

    multiply_adds_per_second: float
    library: str
    device: str
    dtype: str
    size: int
    warmup: int
    repeats: int


@dataclass(frozen=True)
class Measure:
    """One measured quantity, a median over repeats.

    Attributes:
        section, key: its place in the JSON document.
        what: the same for people.
        floor: the value at which the machine would run at full speed; None where there is no such thing.
        repeats, warmup: measured runs, and unmeasured ones before them.
    """

    section: str
    key: str
    what: str
    value: float
    unit: Unit
    floor: float | None
    repeats: int
    warmup: int

    @property
    def fraction(self) -> float | None:
        """Speed relative to the floor: 1 = as fast as the machine can be."""
        if self.floor is None:
            return None
        return self.floor / self.value if self.unit == "s" else self.value / self.floor


@dataclass(frozen=True)
class Machine:
    """Where it was measured."""

    cpu: str
    cores: int
    device: str
    gpu: str | None
    torch_threads: int
    thread_limit: str | None
    torch: str
    numpy: str
    python: str
    platform: str


@dataclass(frozen=True)
class Report:
    """All measurements of one run.

    Attributes:
        episode: the measured shapes.
        multiply_adds: of one training episode (forward, backward), one CNN, one classified image.
        rates: the matrix product behind the floors of each section.
        measures: in the order in which they are shown.
    """

    config: str
    quick: bool
    machine: Machine
    episode: Mapping[str, int]
    multiply_adds: Mapping[str, int]
    rates: Mapping[str, Rate]
    measures: tuple[Measure, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON: `{"train": {"episodes_per_second": ..., "floor": {...}, ...}, ...}`."""
        document: dict[str, Any] = {
            "htgen": __version__,
            "config": self.config,
            "quick": self.quick,
            "machine": asdict(self.machine),
            "episode": dict(self.episode),
            "multiply_adds": dict(self.multiply_adds),
            "matrix_product": {name: asdict(rate) for name, rate in self.rates.items()},
        }
        for measure in self.measures:
            section = document.setdefault(
                measure.section, {"floor": {}, "fraction": {}, "repeats": {}, "warmup": {}}
            )
            section[measure.key] = measure.value
            for name in ("floor", "fraction", "repeats", "warmup"):
                section[name][measure.key] = getattr(measure, name)
        return document


def measure(
    config: Config,
    device: torch.device | str = "cpu",
    *,
    threads: int | None = None,
    quick: bool = False,
    profile: Path | None = None,
    report: Callable[[str], None] = lambda what: None,
) -> Report:
    """Measure everything.

    Loss terms that only some trainings have (warm-up heads, the shared head) are left out, and counts that
    are drawn from ranges have their largest value.

    Args:
        device: where to train.
        threads: of torch, while this runs; None = as it is.
        quick: few repeats of small work.
        profile: a file for the table of where the time of training and generation goes. It is made before
            training is measured, and the memory of the profiler counts.
        report: called with the name of each part as it begins.

    Raises:
        RunError: a process that is measured failed.
        OutputError: the profile cannot be written.
    """
    device, effort = torch.device(device), QUICK if quick else Effort()
    if device.type == "cuda":
        effort = replace(effort, train_steps=effort.train_steps_cuda)
    with _threads(threads), tempfile.TemporaryDirectory(prefix="htgen-bench-") as name:
        folder = Path(name)
        size = largest_episode(config.episodes)
        memory = [_memory("import", "after the imports")]
        report("matrix product")
        rates = _rates(config.train.precision, device, effort)
        generator = _generator(config)
        support = _noise_support(config, size)
        files = _write_images(folder / "support", support.classes, _shot(size), config)
        # First what runs in processes of its own, without what training does to this one's memory.
        report("generation")
        use = _measure_generation(generator, support, rates["generate"], effort)
        report("prediction")
        bundle = generator.generate_bundle(support)
        use += _measure_prediction(bundle, config, files, rates["predict"], effort)
        memory.append(_memory("use", "after generation and prediction"))
        trainer = _trainer(config, device, effort, folder)
        if profile is not None:
            report("profile")
            write_text(profile, _profile(trainer, generator, support, effort))
        report("training")
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        measures = _measure_training(trainer, size, rates["train"], effort) + use
        if device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(device)
            memory.append(_bytes("train_cuda", "peak memory of the GPU, training", peak))
        memory.append(_memory("train", "after training"))
        report("start-up")
        measures += memory + _measure_start(generator, folder, files, effort)
        return Report(
            config.name,
            quick,
            _machine(device),
            {
                **asdict(size),
                "image_size": config.model.image_size,
                "image_channels": config.model.image_channels,
                "cnn_channels": config.model.cnn.channels,
                "episodes_per_step": config.train.episodes_per_step,
            },
            _work(config, size),
            rates,
            tuple(measures),
        )


def median(values: list[float]) -> float:
    """The middle value."""
    return statistics.median(values)


def percentile95(values: list[float]) -> float:
    """The smallest value that at least 95 % do not exceed."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


# ------------------------------------------------------------------------------------------- the machine


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    try:
        if count is not None:
            torch.set_num_threads(count)
        yield
    finally:
        torch.set_num_threads(before)


def _machine(device: torch.device) -> Machine:
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    return Machine(
        cpu=_cpu_name(),
        cores=len(affinity(0)) if affinity is not None else os.cpu_count() or 1,
        device=str(device),
        gpu=torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        torch_threads=torch.get_num_threads(),
        thread_limit=os.environ.get("OMP_NUM_THREADS"),
        torch=torch.__version__,
        numpy=np.__version__,
        python=platform.python_version(),
        platform=platform.platform(),
    )


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _times(
    run: Callable[[], object], warmup: int, repeats: int, device: torch.device | None = None
) -> list[float]:
    """Seconds of each of `repeats` calls, after `warmup` unmeasured ones."""
    times = []
    for index in range(warmup + repeats):
        started = time.perf_counter()
        run()
        if device is not None:
            _synchronize(device)
        if index >= warmup:
            times.append(time.perf_counter() - started)
    return times


class _Section:
    """The measures of one section, which are all repeated alike."""

    def __init__(self, name: str, warmup: int, repeats: int) -> None:
        self.name, self.warmup, self.repeats = name, warmup, repeats
        self.measures: list[Measure] = []

    def time(self, run: Callable[[], object], device: torch.device | None = None) -> list[float]:
        return _times(run, self.warmup, self.repeats, device)

    def add(self, key: str, what: str, value: float, unit: Unit, floor: float | None = None) -> None:
        self.measures.append(Measure(self.name, key, what, value, unit, floor, self.repeats, self.warmup))


def _rates(precision: Precision, device: torch.device, effort: Effort) -> dict[str, Rate]:
    use = _numpy_rate(effort)
    return {"train": _torch_rate(precision, device, effort), "generate": use, "predict": use}


def _torch_rate(precision: Precision, device: torch.device, effort: Effort) -> Rate:
    size = effort.matrix_cuda if device.type == "cuda" else effort.matrix
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(a)
    with product_precision(precision, device):
        is_tf32 = torch.get_float32_matmul_precision() == "high"
        times = _times(
            lambda: torch.matmul(a, b, out=out), effort.matrix_warmup, effort.matrix_repeats, device
        )
    name = "tf32" if is_tf32 else str(dtype).removeprefix("torch.")
    return _rate(times, "torch", str(device), name, size, effort)


def _numpy_rate(effort: Effort) -> Rate:
    size, random = effort.matrix, np.random.default_rng(0)
    a, b = (random.standard_normal((size, size), dtype=np.float32) for _ in range(2))
    out = np.empty_like(a)
    times = _times(lambda: np.matmul(a, b, out=out), effort.matrix_warmup, effort.matrix_repeats)
    return _rate(times, "numpy", "cpu", "float32", size, effort)


def _rate(times: list[float], library: str, device: str, dtype: str, size: int, effort: Effort) -> Rate:
    speed = size**3 / median(times)
    return Rate(speed, library, device, dtype, size, effort.matrix_warmup, effort.matrix_repeats)


def _bytes(key: str, what: str, value: int) -> Measure:
    return Measure("memory", f"{key}_bytes", what, value, "bytes", None, 1, 0)


def _memory(key: str, what: str) -> Measure:
    """The most memory that this process has had so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return _bytes(key, f"peak memory {what}", peak if sys.platform == "darwin" else peak * 1024)


def _work(config: Config, size: EpisodeSize) -> dict[str, int]:
    episode = training_cost(config.model, size)
    return {
        "train_forward": episode.forward,
        "train_backward": episode.backward,
        "generate": generation_cost(config.model, size.way, _shot(size)).total,
        "predict": prediction_cost(config.model, size.way).total,
    }


# ---------------------------------------------------------------------------------------------- training


def _trainer(config: Config, device: torch.device, effort: Effort, folder: Path) -> Trainer:
    """A trainer of the config's shapes on a store of noise in `folder`."""
    size = largest_episode(config.episodes)
    per_class = max(20, math.ceil(size.support / size.way) + math.ceil(size.query / size.way))
    side, channels = config.model.image_size, config.model.image_channels
    class_bytes = per_class * side * side * channels
    classes = max(size.way, min(effort.classes, _STORE_BYTES // class_bytes))
    random = np.random.default_rng(0)
    store = folder / "store"
    with StoreWriter(store, "noise", _preprocessing(config), {}) as writer:
        for index in range(classes):
            images = random.integers(0, 256, (per_class, side, side, channels), dtype=np.uint8)
            writer.add_class(f"class{index:04}", "noise", images)
    noise = _on_noise(config, store, classes, effort)
    with RunFolder(folder / "run") as run:
        run.start(dump_config(noise), overwrite=False)
        return Trainer(noise, run, device)


def _on_noise(config: Config, store: Path, classes: int, effort: Effort) -> Config:
    """The config with shapes that do not vary, without saving, validating or learning anything."""
    values = config.model_dump()
    episodes = values["episodes"]
    for name in ("way", "shot", "query", "unlabeled"):
        if isinstance(episodes[name], tuple):
            episodes[name] = episodes[name][1]
    episodes["related"] = 0.0  # noise has no groups
    values["validation"] = EpisodeConfig(**episodes).model_dump()
    every_class = f"noise:0-{classes - 1}"
    values["data"] = {"store": str(store), "train": every_class, "val": every_class}
    values["train"] |= {
        "steps": _NEVER,
        "minutes": None,
        "log_every": effort.train_steps,
        "val_every": _NEVER,
        "save_every": _NEVER,
        "head_steps": 0,
        "shared_head": 0.0,
        "pretrain_shared": False,
        "restore_shared": None,
    }
    values["optimizer"]["lr"] = 1e-9
    return Config.model_validate(values)


def _measure_training(trainer: Trainer, size: EpisodeSize, rate: Rate, effort: Effort) -> list[Measure]:
    episodes, device = trainer.config.train.episodes_per_step, trainer.device
    cost = training_cost(trainer.config.model, size)
    speed = rate.multiply_adds_per_second
    found = _Section("train", effort.train_warmup, effort.train_repeats)
    events = trainer.events()  # one after every `train_steps` steps
    steps = found.time(lambda: next(events), device)
    sampling = found.time(lambda: trainer.train_sampler.batch(trainer.step * episodes, episodes), device)
    phases = [_phases(trainer) for _ in range(found.warmup + found.repeats)][found.warmup :]
    compute = [sum(times) for times in phases]
    forward, backward, update = (median(list(times)) for times in zip(*phases, strict=True))
    whole = speed / cost.total
    rate_of = effort.train_steps * episodes / median(steps)
    found.add("episodes_per_second", "training, whole steps", rate_of, "episodes/s", whole)
    rate_of = episodes / median(compute)
    found.add("compute_episodes_per_second", "training without sampling", rate_of, "episodes/s", whole)
    rate_of = episodes / median(sampling)
    found.add("sampling_episodes_per_second", "sampling of episodes", rate_of, "episodes/s")
    found.add("forward_seconds", "one step, forward", forward, "s", episodes * cost.forward / speed)
    found.add("backward_seconds", "one step, backward", backward, "s", episodes * cost.backward / speed)
    found.add("update_seconds", "one step, optimiser", update, "s")
    return found.measures


def _phases(trainer: Trainer) -> tuple[float, float, float]:
    """Seconds of forward, backward and optimiser in one step on a batch that is there already."""
    device, crew = trainer.device, trainer.crew
    parts = crew.share(trainer.config.train.episodes_per_step)
    batches = [trainer.train_sampler.batch(part.start, len(part)) for part in parts]
    trainer.trained.train()
    losses: list[Tensor] = []
    gradients: list[list[Tensor | None]] = []

    def forward() -> None:
        losses.extend(loss for loss, _ in crew.map(trainer.loss_of, batches))

    def backward() -> None:
        gradients.extend(crew.map(trainer.gradients_of, losses))

    def update() -> None:
        trainer.add_up(gradients)
        trainer.update()

    _synchronize(device)
    runs: list[Callable[[], object]] = [forward, backward, update]
    first, second, third = (_times(run, 0, 1, device)[0] for run in runs)
    return first, second, third


def _profile(trainer: Trainer, generator: Generator, support: Support, effort: Effort) -> str:
    """Tables of where the time goes: training steps, then the generation of a CNN."""
    from torch.profiler import ProfilerActivity, profile

    is_cuda = trainer.device.type == "cuda"
    events = trainer.events()
    next(events)
    with profile(activities=[ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * is_cuda) as found:
        next(events)
        _synchronize(trainer.device)
    order = "self_cuda_time_total" if is_cuda else "self_cpu_time_total"
    training = found.key_averages().table(sort_by=order, row_limit=_PROFILE_ROWS)

    generator.generate_bundle(support)
    functions, text = cProfile.Profile(), io.StringIO()
    functions.runcall(generator.generate_bundle, support)
    pstats.Stats(functions, stream=text).sort_stats("tottime").print_stats(_PROFILE_ROWS)
    return f"training steps: {effort.train_steps}\n{training}\n\ngeneration\n{text.getvalue()}"


# ----------------------------------------------------------------------------- generation and prediction


def _preprocessing(config: Config) -> Preprocessing:
    channels = config.model.image_channels
    return Preprocessing(config.model.image_size, channels, "bright" if channels == 1 else "none", "pad")


def _shot(size: EpisodeSize) -> int:
    return max(1, size.support // size.way)


def _generator(config: Config) -> Generator:
    """A generator of random weights."""
    torch.manual_seed(0)
    model = HyperTransformer(config.model)
    file = GeneratorFile("random", config.model, to_arrays(model.state_dict()), _preprocessing(config))
    return Generator(file, "")


def _noise_support(config: Config, size: EpisodeSize) -> Support:
    shot, model = _shot(size), config.model
    shape = (size.way * shot, model.image_channels, model.image_size, model.image_size)
    images = np.random.default_rng(0).random(shape, np.float32) * 2 - 1
    classes = tuple(f"class{i:03}" for i in range(size.way))
    return Support(images, np.tile(np.arange(size.way), shot), classes)


def _measure_generation(generator: Generator, support: Support, rate: Rate, effort: Effort) -> list[Measure]:
    found = _Section("generate", effort.generate_warmup, effort.generate_repeats)
    times = found.time(lambda: generator.generate_bundle(support))
    way = len(support.classes)
    cost = generation_cost(generator.file.model, way, len(support.labels) // way)
    floor = cost.total / rate.multiply_adds_per_second
    found.add("latency_seconds", "generating a CNN", median(times), "s", floor)
    found.add("p95_seconds", "generating a CNN, 95th percentile", percentile95(times), "s", floor)
    return found.measures


def _write_images(folder: Path, classes: tuple[str, ...], shot: int, config: Config) -> list[Path]:
    """`shot` PNG files of noise for each class, in a folder each."""
    random, model, paths = np.random.default_rng(0), config.model, []
    shape = (model.image_size, model.image_size, 3)[: 2 if model.image_channels == 1 else 3]
    for name in classes:
        (folder / name).mkdir(parents=True)
        for index in range(shot):
            paths.append(folder / name / f"{index}.png")
            Image.fromarray(random.integers(0, 256, shape, dtype=np.uint8)).save(paths[-1])
    return paths


def _measure_prediction(
    bundle: Bundle, config: Config, files: list[Path], rate: Rate, effort: Effort
) -> list[Measure]:
    model, random = config.model, np.random.default_rng(0)
    floor = rate.multiply_adds_per_second / prediction_cost(model, len(bundle.classes)).total
    found = _Section("predict", effort.predict_warmup, effort.predict_repeats)
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


def _measure_start(generator: Generator, folder: Path, files: list[Path], effort: Effort) -> list[Measure]:
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
    found = _Section("start", effort.start_warmup, effort.start_repeats)
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
