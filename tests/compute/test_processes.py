"""Training in several processes, as torchrun starts them."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from helpers.ranks import Blow, train_in_two
from helpers.toy import toy_values
from safetensors.torch import load_file

from htgen.cli import main
from htgen.compute.processes import ALONE
from htgen.training.run_folder import RunFolder, find_run_config
from htgen.training.state import read_state

AT_THE_END = """
import atexit, os, signal, sys, weakref
import torch.distributed as dist
from htgen.cli import main
from htgen.compute import processes
from htgen.training.trainer import Trainer

plain_join, groups = processes.join, []
plain_step, lost_after = Trainer.train_step, {lost_after}

def join(device):
    joined = plain_join(device)
    groups.append(weakref.ref(dist.GroupMember.WORLD))
    return joined

def train_step(self, *arguments):
    if (self.step, os.environ["RANK"]) == (lost_after, "1"):
        os.kill(os.getpid(), signal.SIGKILL)
    plain_step(self, *arguments)

processes.join, Trainer.train_step = join, train_step
# Called after what `join` registers.
atexit.register(lambda: print("its group lives on" if groups[0]() else "its group ended", file=sys.stderr))
# Of torchrun, which has lost the other one: this one ends by itself.
signal.signal(signal.SIGTERM, signal.SIG_IGN)
sys.exit(main(sys.argv[1:]))
"""
"""A command, and whether at the end of Python its group of processes has ended: the threads of one that lives
on abort the process when they let go of a tensor then."""


def torchrun(script: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """A script in two processes of one thread each."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(
        [*command, str(script), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
    )


@pytest.fixture
def write_config(store_path: Path, tmp_path: Path):
    """Write a config of 4 episodes a step whose steps do not depend on how many there will be."""

    def write(name: str, optimizer: str, dropout: float, **train: float) -> Path:
        values = toy_values(store_path)
        values["optimizer"] = {"name": optimizer, "lr": 1e-2, "warmup": 2, "schedule": "constant"}
        values["model"]["shared"]["dropout"] = dropout
        # 40 validation tasks are three batches: two for one process, one for the other.
        values["train"] |= {"steps": 4, "episodes_per_step": 4, "val_every": 2, "val_tasks": 40, **train}
        path = tmp_path / name
        path.write_text(yaml.safe_dump(values))
        return path

    return write


def set_steps(run: Path, steps: int) -> None:
    values = yaml.safe_load((run / "config.yaml").read_text())
    values["train"]["steps"] = steps
    (run / "config.yaml").write_text(yaml.safe_dump(values))


def metrics(run: Path) -> list[dict]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        line.pop("episodes_per_second", None)
    return lines


def assert_close(run: Path, expected: Path, tolerance: float) -> None:
    """States and metrics of two runs agree."""
    found, wanted = (load_file(path / "latest.safetensors") for path in (run, expected))
    assert found.keys() == wanted.keys()
    for name in wanted.keys() - {"random.cpu"}:
        torch.testing.assert_close(found[name], wanted[name], rtol=0, atol=tolerance, msg=name)
    assert_metrics_close(run, expected, tolerance)


def assert_metrics_close(run: Path, expected: Path, tolerance: float) -> None:
    assert len(metrics(run)) == len(metrics(expected)) > 0
    for found, wanted in zip(metrics(run), metrics(expected), strict=True):
        assert found.pop("event") == wanted.pop("event")
        assert found == pytest.approx(wanted, rel=0, abs=tolerance)


def test_two_processes_equal_one_and_one_goes_on_with_what_two_began(write_config, tmp_path, capfd):
    config = write_config("toy.yaml", "sgd", dropout=0.0)
    one, two = tmp_path / "one", tmp_path / "two"
    assert main(["train", "--config", str(config), "--run", str(one)]) == 0
    alone = capfd.readouterr()

    script = tmp_path / "script.py"
    script.write_text(AT_THE_END.format(lost_after=None))
    ran = torchrun(script, "train", "--config", config, "--run-folder", two)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.count("its group ended") == 2
    assert_close(two, one, 1e-5)
    # Only one of them writes and prints.
    assert ran.stdout.replace(str(two), str(one)) == alone.out
    assert ran.stderr.count("step 4 / 4") == 1
    assert "in 2 processes" in ran.stderr
    written = {path.name for path in two.iterdir()}
    assert written == {path.name for path in one.iterdir()} | {".launch"}

    for run in (one, two):
        set_steps(run, 8)
        assert main(["train", "--resume", "--run", str(run)]) == 0
    assert read_state(two / "latest.safetensors")[0]["step"] == 8
    assert_close(two, one, 1e-5)


def test_two_processes_go_on_with_what_one_began(write_config, tmp_path):
    # AdamW divides by the size of the gradient. The keys' biases have none but rounding errors, so they
    # wander, without effect: the losses agree, the weights not all.
    config = write_config("toy.yaml", "adamw", dropout=0.0)
    one, two = tmp_path / "one", tmp_path / "two"
    for run in (one, two):
        assert main(["train", "--config", str(config), "--run", str(run)]) == 0
        set_steps(run, 8)
    assert main(["train", "--resume", "--run", str(one)]) == 0
    ran = train_in_two("--resume", "--run-folder", two)
    assert ran.exit_code == 0, ran.stderr
    assert "in 2 processes, from step 4" in ran.stderr
    assert_metrics_close(two, one, 1e-5)
    assert [line["step"] for line in metrics(two) if line["event"] == "train"] == [2, 4, 6, 8]


def test_a_lost_process_ends_the_run_with_a_message_and_a_state(write_config, tmp_path):
    config = write_config("toy.yaml", "adamw", dropout=0.3, steps=8, save_every=3)
    script = tmp_path / "dies.py"
    script.write_text(AT_THE_END.format(lost_after=4))
    run = tmp_path / "run"
    ran = torchrun(script, "train", "--config", config, "--run-folder", run)
    assert ran.returncode != 0
    assert "its group ended" in ran.stderr
    assert "its group lives on" not in ran.stderr
    message = "error: process 0 of 2 lost contact with another one, which ended or cannot be reached"
    assert message in ran.stderr
    assert "let `torchrun --max-restarts` do it" in ran.stderr
    # Nothing is lost: the state is that after the last full step.
    assert read_state(run / "latest.safetensors")[0]["step"] == 4
    set_steps(run, 5)
    assert main(["train", "--resume", "--run", str(run)]) == 0


def test_a_restart_finishes_the_run_bit_for_bit(write_config, tmp_path):
    config = write_config("toy.yaml", "adamw", dropout=0.3, steps=8, save_every=3)
    whole, restarted = tmp_path / "whole", tmp_path / "restarted"
    blow = Blow(4, 0, signal.SIGKILL)
    ran = train_in_two("--config", config, "--run-folder", restarted, blow=blow, restarts=1)
    assert ran.exit_code == 0, ran.stderr
    assert "from step 3" in ran.stderr
    alone = train_in_two("--config", config, "--run-folder", whole)
    assert alone.exit_code == 0, alone.stderr
    assert_close(restarted, whole, 0.0)


def test_a_restart_that_finds_no_state_starts_over_and_never_touches_the_run_of_another_start(
    write_config, tmp_path
):
    config = write_config("toy.yaml", "adamw", dropout=0.0)
    run = tmp_path / "run"
    arguments = ("--config", config, "--run-folder", run)
    blow = Blow(0, 0, signal.SIGKILL)
    ran = train_in_two(*arguments, blow=blow, restarts=1)
    assert ran.exit_code == 0, ran.stderr
    assert "from step" not in ran.stderr
    before = {path.name: path.read_bytes() for path in run.iterdir()}

    set_steps(run, 8)
    before["config.yaml"] = (run / "config.yaml").read_bytes()
    ran = train_in_two(*arguments, restarts=1)
    assert ran.exit_code != 0
    assert ran.stderr.count("already holds a run") == 2  # at the start and at the restart, by rank 0 alone
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


def test_a_signal_to_one_process_stops_all_at_the_same_step(write_config, tmp_path):
    config = write_config("toy.yaml", "adamw", dropout=0.0, steps=100_000, save_every=100_000)
    run = tmp_path / "run"
    ran = train_in_two("--config", config, "--run-folder", run, blow=Blow(2, 1, signal.SIGTERM))
    assert ran.exit_code == 143
    assert "stopped at step 3; go on with: torchrun ... -m htgen train --run-folder" in ran.stderr
    assert read_state(run / "latest.safetensors")[0]["step"] == 3


def test_a_process_alone_has_no_use_for_torch_distributed(config, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.distributed", None)  # importing it now fails
    monkeypatch.setenv("WORLD_SIZE", "1")
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    assert main(["train", "--config", str(path), "--run", str(tmp_path / "run")]) == 0
    assert find_run_config(RunFolder(tmp_path / "run")) == config
    assert ALONE.gather("me") == ["me"]


def test_two_processes_agree_when_the_time_is_over(write_config, tmp_path):
    config = write_config("toy.yaml", "adamw", dropout=0.0, minutes=0.02, log_every=1, val_every=1000)
    run = tmp_path / "run"
    ran = train_in_two("--config", config, "--run-folder", run, tick=0.1)
    assert ran.exit_code == 0, ran.stderr
    header, _ = read_state(run / "latest.safetensors")
    steps = [line["step"] for line in metrics(run) if line["event"] == "train"]
    assert steps == list(range(1, header["step"] + 1))
    assert header["step"] > 4  # as many as `steps` says
    assert header["seconds"] >= 60 * 0.02
