"""Beginning a run, or going on with one: the run folder, its trainer, and how processes restarted by
`torchrun` find their run again."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch

from htgen.compute.processes import ALONE, Processes, is_restart, launch_id
from htgen.config.files import dump_config
from htgen.config.run import Config
from htgen.training.events import Event
from htgen.training.run_folder import RunFolder, find_run_config
from htgen.training.trainer import Trainer


def train(
    config: Config,
    run_folder: str | Path,
    device: torch.device | str = "cpu",
    resume: bool = False,
    overwrite: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """Train a generator in this process, and yield what happens.

    The best generator by validation accuracy is then `best.safetensors` in the run folder.

    Args:
        config: the resolved config, as of `htgen.load_config`; of a run that is resumed, its own
            (`htgen.training.run_folder.find_run_config`).
        run_folder: where everything is written; see `htgen.training.run_folder.RunFolder` for its files.
        device: of torch, such as "cpu" or "cuda:0".
        resume: go on with the run that is there, exactly.
        overwrite: replace a run that is there.
        stop: asked after each step; when it is true, the state is saved and the training ends.

    Yields:
        `Progress`, `Validated` and `Saved` of `htgen.training.events`; training goes on when the next event
        is asked for.

    Raises:
        DataError: the store is missing or damaged, or does not fit the config.
        ModelError: a training state, or what the run starts from, is damaged or does not fit.
        RunError: the run folder is in use, holds a run, or cannot be resumed; or the training diverges.
        OutputError: something cannot be written.
    """
    with open_training(config, RunFolder(run_folder), device, resume=resume, overwrite=overwrite) as trainer:
        yield from trainer.events(stop)


@contextmanager
def open_training(
    config: Config,
    run: RunFolder,
    device: torch.device | str,
    processes: Processes = ALONE,
    resume: bool = False,
    overwrite: bool = False,
) -> Iterator[Trainer]:
    """A trainer whose run is begun or resumed, ready for `Trainer.events`; the run folder is locked within.

    After a failure `torchrun` starts all processes again with the same arguments. What they had begun is then
    gone on with, or begun anew where no state was saved.

    Args:
        processes: all those that train, of which rank 0 writes.
        config: the resolved config.
        run: its folder.
        device: of torch, such as "cpu" or "cuda:0".
        resume: go on with the run that is there, exactly.
        overwrite: replace a run that is there.

    Raises:
        HtgenError: as in `train`; with several processes on rank 0, whichever it was that failed.
        SystemExit: on the others then.
    """
    is_restarted = processes.gather(is_restart() and run.launch() == launch_id())[0]
    resume = resume or processes.gather(is_restarted and run.state_path.exists())[0]
    with ExitStack() as stack:
        with processes.all_or_none():
            if processes.is_main:
                stack.enter_context(run)
            trainer = Trainer(config, run, device, processes, resuming=resume)
            if resume:
                trainer.resume()
                if processes.is_main:
                    _keep_changes(run, config)
            elif processes.is_main:
                run.start(dump_config(config), overwrite or is_restarted)
            if processes.is_main:
                run.note_launch(launch_id())
        yield trainer


def _keep_changes(run: RunFolder, config: Config) -> None:
    """Write the settings that a run is gone on with into its folder, but for the place of the store."""
    before = find_run_config(run)
    after = config.model_copy(update={"data": before.data})
    if after != before:
        run.keep_config(dump_config(after))
