import os
import platform
import subprocess
import sys

import yaml
from helpers.toy import toy_values

SCRIPT = """
import resource, sys
import torch
from htgen.compute.memory import keep_freed_memory
print(keep_freed_memory() if sys.argv[1] == "keep" else None)
numbers = int(sys.argv[2]) << 18
for _ in range(20):
    torch.zeros(numbers)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.zeros(numbers)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


TRAINING = """
import resource, sys
from htgen.training.run_folder import RunFolder
from htgen.config.files import dump_config, load_config
from htgen.training.trainer import Trainer

config = load_config(sys.argv[1])
with RunFolder(sys.argv[2]) as run:
    run.start(dump_config(config), overwrite=False)
    trainer = Trainer(config, run)
    for event in trainer.events():
        if trainer.step in (config.train.steps // 3, config.train.steps):
            print(trainer.step, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def faults(argument: str, megabytes: int) -> tuple[str, int]:
    """What `keep_freed_memory` says, and the page faults of ten tensors of a size after it."""
    process = subprocess.run(
        [sys.executable, "-c", SCRIPT, argument, str(megabytes)], capture_output=True, text=True, check=True
    )
    said, count = process.stdout.split()
    return said, int(count)


def test_freed_memory_is_used_again_where_the_c_library_can():
    library, version = platform.libc_ver()
    if library != "glibc":
        assert faults("keep", 1)[0] == "False"
        return
    is_new = tuple(map(int, version.split(".")[:2])) >= (2, 35)
    said, kept = faults("keep", 40 if is_new else 24)
    assert said == "True"
    _, before = faults("as it is", 40)  # of every C library the largest blocks are not kept
    assert kept < before / 10


def test_training_does_not_grow(store_path, tmp_path):
    values = toy_values(store_path)
    values["episodes"] |= {"way": [3, 4], "shot": [1, 2]}
    values["augment"] |= {"rotation": 10, "elastic": 0.02, "chimeras": 0.3}
    values["train"] |= {"steps": 360, "log_every": 60, "val_every": 90, "save_every": 60}
    config = tmp_path / "toy.yaml"
    config.write_text(yaml.safe_dump(values))
    process = subprocess.run(
        [sys.executable, "-c", TRAINING, str(config), str(tmp_path / "run")],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    most = dict(map(int, line.split()) for line in process.stdout.splitlines())
    assert most.keys() == {120, 360}
    # In units of 1024 bytes (macOS: bytes). 16 kB that each of 240 steps does not give back would be 3.9 MB.
    unit = 1 if sys.platform == "darwin" else 1024
    assert (most[360] - most[120]) * unit < 3e6
