"""What htgen does on this machine, beside what the machine could do. Measures and returns; never prints.

The floor of a piece of work is its multiply-adds (`htgen.bench.cost`) over the rate at which this machine
does multiply-adds in one large matrix product, measured at the start. So `fraction` says how near a part
comes to what the machine can do, and compares between machines.

Training is that of `htgen.training.trainer.Trainer`, on noise of the config's shapes: no data set is needed,
and the work is the same. Generation and prediction run on the CPU, as `htgen generate` and `htgen predict`
do.
"""

import cProfile
import io
import pstats
import tempfile
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import torch

from htgen.bench.cost import generation_cost, prediction_cost, training_cost
from htgen.bench.machine import (
    QUICK,
    Effort,
    bytes_measure,
    memory_measure,
    product_rates,
    synchronize,
    this_machine,
    threads_set_to,
)
from htgen.bench.noise import (
    generator_on_noise,
    shot_of,
    support_of_noise,
    trainer_on_noise,
    write_images_of_noise,
)
from htgen.bench.report import Measure, Rate, Report
from htgen.bench.training import measure_training
from htgen.bench.use import measure_generation, measure_prediction, measure_start
from htgen.config.run import Config
from htgen.episodes.shape import EpisodeSize, largest_episode
from htgen.files import write_text
from htgen.generator.generator import Generator
from htgen.generator.support import Support
from htgen.training.trainer import Trainer

PARTS = ("matrix product", "generation", "prediction", "profile", "training", "start-up")
"""In their order; the profile is made only where it is asked for."""

_PROFILE_ROWS = 40


def measure(
    config: Config,
    device: torch.device | str = "cpu",
    *,
    threads: int | None = None,
    quick: bool = False,
    profile: Path | None = None,
    report: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> Report:
    """Measure everything.

    Loss terms that only some trainings have (warm-up heads, the shared head) are left out, and counts that
    are drawn from ranges have their largest value.

    Args:
        device: where to train.
        threads: of torch, while this runs; None = as it is.
        quick: few repeats of small work.
        profile: a file for the table of where time goes, made before training is measured; its memory counts.
        report: called as `report(what, done, total)` as each part begins, and once more at the end.

    Raises:
        RunError: a process that is measured failed.
        OutputError: the profile cannot be written.
    """
    device, effort = torch.device(device), QUICK if quick else Effort()
    if device.type == "cuda":
        effort = replace(effort, train_steps=effort.train_steps_cuda)
    begin = _teller(report, profile is not None)
    with threads_set_to(threads), tempfile.TemporaryDirectory(prefix="htgen-bench-") as name:
        folder = Path(name)
        size = largest_episode(config.episodes)
        memory = [memory_measure("import", "after the imports")]
        begin("matrix product")
        rates = product_rates(config.train.precision, device, effort)
        generator = generator_on_noise(config)
        support = support_of_noise(config, size)
        files = write_images_of_noise(folder / "support", support.classes, shot_of(size), config)
        # First what runs in processes of its own, without what training does to this one's memory.
        begin("generation")
        use = measure_generation(generator, support, rates["generate"], effort)
        begin("prediction")
        use += measure_prediction(generator.generate_bundle(support), config, files, rates["predict"], effort)
        memory.append(memory_measure("use", "after generation and prediction"))
        trainer = trainer_on_noise(config, device, effort, folder)
        if profile is not None:
            begin("profile")
            write_text(profile, _profile(trainer, generator, support, effort))
        begin("training")
        training, held = _measure_training(trainer, size, rates["train"], effort, device)
        memory += held
        begin("start-up")
        start = measure_start(generator, folder, files, effort)
        begin("")
        work, episode = _work(config, size), _describe_episode(config, size)
        measures = (*training, *use, *memory, *start)
        return Report(config.name, quick, this_machine(device), episode, work, rates, measures)


def _teller(report: Callable[[str, int, int], None], profiles: bool) -> Callable[[str], None]:
    """What tells that a part begins; an empty name is the end."""
    parts = [*(part for part in PARTS if part != "profile" or profiles), ""]
    return lambda part: report(part, parts.index(part), len(parts) - 1)


def _measure_training(
    trainer: Trainer, size: EpisodeSize, rate: Rate, effort: Effort, device: torch.device
) -> tuple[list[Measure], list[Measure]]:
    """Its times, and what memory it took."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    training = measure_training(trainer, size, rate, effort)
    return training, [*_peak_memory_of_gpu(device), memory_measure("train", "after training")]


def _peak_memory_of_gpu(device: torch.device) -> list[Measure]:
    """What a GPU held at most since its statistics were reset; nothing of other devices."""
    if device.type != "cuda":
        return []
    peak = torch.cuda.max_memory_allocated(device)
    return [bytes_measure("train_cuda", "peak memory of the GPU, training", peak)]


def _describe_episode(config: Config, size: EpisodeSize) -> dict[str, int]:
    return {
        **asdict(size),
        "image_size": config.model.image_size,
        "image_channels": config.model.image_channels,
        "cnn_channels": config.model.cnn.channels,
        "episodes_per_step": config.train.episodes_per_step,
    }


def _work(config: Config, size: EpisodeSize) -> dict[str, int]:
    episode = training_cost(config.model, size)
    return {
        "train_forward": episode.forward,
        "train_backward": episode.backward,
        "generate": generation_cost(config.model, size.way, shot_of(size)).total,
        "predict": prediction_cost(config.model, size.way).total,
    }


def _profile(trainer: Trainer, generator: Generator, support: Support, effort: Effort) -> str:
    """Tables of where the time goes: training steps, then the generation of a CNN."""
    from torch.profiler import ProfilerActivity, profile

    is_cuda = trainer.device.type == "cuda"
    events = trainer.events()
    next(events)
    with profile(activities=[ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * is_cuda) as found:
        next(events)
        synchronize(trainer.device)
    order = "self_cuda_time_total" if is_cuda else "self_cpu_time_total"
    training = found.key_averages().table(sort_by=order, row_limit=_PROFILE_ROWS)

    generator.generate_bundle(support)
    functions, text = cProfile.Profile(), io.StringIO()
    functions.runcall(generator.generate_bundle, support)
    pstats.Stats(functions, stream=text).sort_stats("tottime").print_stats(_PROFILE_ROWS)
    return f"training steps: {effort.train_steps}\n{training}\n\ngeneration\n{text.getvalue()}"
