"""Following a training run from another process: each new checkpoint as a generator, until training ends."""

import json
import time
from collections.abc import Iterator

from htgen.checkpoint import RunFolder, find_run_config, read_state
from htgen.errors import RunError
from htgen.generator_format import GeneratorFile
from htgen.images import Preprocessing


def checkpoints(run: RunFolder, preprocessing: Preprocessing, poll: float = 2.0) -> Iterator[GeneratorFile]:
    """Yield every new training state as the generator it would ship, and stop when training has ended.

    States that are written while the caller is busy with one are passed over, but for the last.

    Args:
        preprocessing: that of the data, which generators carry.
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
            file = _generator(run, preprocessing)
            if file.provenance["step"] > seen:
                seen = file.provenance["step"]
                yield file
        if not is_running:
            break
        time.sleep(poll)
    if seen < 0:
        raise RunError(
            f"{run.path} has no training state, and nothing is training it", "start htgen train first"
        )


def _generator(run: RunFolder, preprocessing: Preprocessing) -> GeneratorFile:
    header, tensors = read_state(run.state_path)
    config = find_run_config(run)
    prefix = "average." if config.train.ema else "model."
    weights = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
    provenance = {"config": json.loads(header["config"]), "step": header["step"]}
    return GeneratorFile(config.name, config.model, weights, preprocessing, provenance)
