"""Following a training run from another process: each new checkpoint as a generator, until training ends."""

import time
from collections.abc import Iterator
from dataclasses import replace

from htgen.datasets.store import Store
from htgen.episodes.pool import load_images
from htgen.errors import RunError
from htgen.evaluation.plda import measure_plda, plda_sampler
from htgen.generator.file import GeneratorFile
from htgen.generator.network import build, to_arrays
from htgen.training.checkpoint import generator_file
from htgen.training.run_folder import RunFolder, find_run_config
from htgen.training.state import read_state, shipped_weights, state_config


def checkpoints(run: RunFolder, store: Store, poll: float = 2.0) -> Iterator[GeneratorFile]:
    """Yield every new training state as the generator it would ship, and stop when training has ended.

    States that are written while the caller is busy with one are passed over, but for the last.

    Args:
        store: what the run is trained on; its classes are what `weights.plda` is measured on.
        poll: seconds between looks.

    Raises:
        RunError: there is no run in the folder, or it ended without a training state.
    """
    find_run_config(run)
    seen = -1
    while True:
        # Looked at before the state: what is written until training ends is still seen.
        is_running = run.is_in_use()
        if run.state_path.exists():
            step, file = _generator(run, store)
            if step > seen:
                seen = step
                yield file
        if not is_running:
            break
        time.sleep(poll)
    if seen < 0:
        raise RunError(
            f"{run.path} has no training state, and nothing is training it", "start htgen train first"
        )


def _generator(run: RunFolder, store: Store) -> tuple[int, GeneratorFile]:
    header, tensors = read_state(run.state_path)
    config, step = state_config(header, run.state_path), int(header["step"])
    trained_on = store if store.fingerprint == header["data"] else None
    file = generator_file(config, shipped_weights(header, tensors), store.preprocessing, step, trained_on)
    if not config.model.weights.plda:
        return step, file
    model = build(file)
    measure_plda(model, plda_sampler(config, store, load_images(store)))
    return step, replace(file, tensors=to_arrays(model.state_dict()))
