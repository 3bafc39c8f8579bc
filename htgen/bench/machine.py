"""What this machine can do: times, rates of matrix products, memory."""

import math
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from htgen.bench.report import Machine, Measure, Rate, Unit
from htgen.compute.precision import product_precision
from htgen.config.run import Precision


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


def median(values: list[float]) -> float:
    """The middle value."""
    return statistics.median(values)


def percentile95(values: list[float]) -> float:
    """The smallest value that at least 95 % do not exceed."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


# ------------------------------------------------------------------------------------------- the machine


@contextmanager
def threads_set_to(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    try:
        if count is not None:
            torch.set_num_threads(count)
        yield
    finally:
        torch.set_num_threads(before)


def this_machine(device: torch.device) -> Machine:
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


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def times(
    run: Callable[[], object], warmup: int, repeats: int, device: torch.device | None = None
) -> list[float]:
    """Seconds of each of `repeats` calls, after `warmup` unmeasured ones."""
    times = []
    for index in range(warmup + repeats):
        started = time.perf_counter()
        run()
        if device is not None:
            synchronize(device)
        if index >= warmup:
            times.append(time.perf_counter() - started)
    return times


class TimedSection:
    """The measures of one section, which are all repeated alike."""

    def __init__(self, name: str, warmup: int, repeats: int) -> None:
        self.name, self.warmup, self.repeats = name, warmup, repeats
        self.measures: list[Measure] = []

    def time(self, run: Callable[[], object], device: torch.device | None = None) -> list[float]:
        return times(run, self.warmup, self.repeats, device)

    def add(self, key: str, what: str, value: float, unit: Unit, floor: float | None = None) -> None:
        self.measures.append(Measure(self.name, key, what, value, unit, floor, self.repeats, self.warmup))


def product_rates(precision: Precision, device: torch.device, effort: Effort) -> dict[str, Rate]:
    use = _numpy_rate(effort)
    return {"train": _torch_rate(precision, device, effort), "generate": use, "predict": use}


def _torch_rate(precision: Precision, device: torch.device, effort: Effort) -> Rate:
    size = effort.matrix_cuda if device.type == "cuda" else effort.matrix
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(a)
    with product_precision(precision, device):
        is_tf32 = torch.get_float32_matmul_precision() == "high"
        seconds = times(
            lambda: torch.matmul(a, b, out=out), effort.matrix_warmup, effort.matrix_repeats, device
        )
    name = "tf32" if is_tf32 else str(dtype).removeprefix("torch.")
    return _rate(seconds, "torch", str(device), name, size, effort)


def _numpy_rate(effort: Effort) -> Rate:
    size, random = effort.matrix, np.random.default_rng(0)
    a, b = (random.standard_normal((size, size), dtype=np.float32) for _ in range(2))
    out = np.empty_like(a)
    seconds = times(lambda: np.matmul(a, b, out=out), effort.matrix_warmup, effort.matrix_repeats)
    return _rate(seconds, "numpy", "cpu", "float32", size, effort)


def _rate(times: list[float], library: str, device: str, dtype: str, size: int, effort: Effort) -> Rate:
    speed = size**3 / median(times)
    return Rate(speed, library, device, dtype, size, effort.matrix_warmup, effort.matrix_repeats)


def bytes_measure(key: str, what: str, value: int) -> Measure:
    return Measure("memory", f"{key}_bytes", what, value, "bytes", None, 1, 0)


def memory_measure(key: str, what: str) -> Measure:
    """The most memory that this process has had so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return bytes_measure(key, f"peak memory {what}", peak if sys.platform == "darwin" else peak * 1024)
