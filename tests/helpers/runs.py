"""A training run of the tests, and what it wrote."""

import json

from htgen.config.files import dump_config
from htgen.config.run import Config
from htgen.training.run_folder import RunFolder
from htgen.training.trainer import Trainer


def train(config: Config, path, resume: bool = False, stop_after: int | None = None) -> list:
    with RunFolder(path) as run:
        if not resume:
            run.start(dump_config(config), overwrite=False)
        trainer = Trainer(config, run)
        if resume:
            trainer.resume()
        return list(trainer.events(stop=lambda: stop_after is not None and trainer.step >= stop_after))


def metrics(path) -> list[dict]:
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        line.pop("episodes_per_second", None)
    return lines
