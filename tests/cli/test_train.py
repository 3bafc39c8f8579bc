"""`htgen train` as a user runs it."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import types

import pytest
import torch
import yaml
from helpers.toy import drawing

from htgen.cli import main
from htgen.config.files import dump_config, load_config
from htgen.datasets.store import StoreWriter
from htgen.datasets.store_format import Scheme
from htgen.generator.generator import load_generator
from htgen.images.preprocessing import Preprocessing
from htgen.training.events import Validated
from htgen.training.run_folder import RunFolder
from htgen.training.state import read_state, write_state
from htgen.training.trainer import Trainer

# --------------------------------------------------------------------------------- train and evaluate


@pytest.mark.parametrize("how", ["cut off", "changed"])
def test_a_damaged_store_is_told(how, config_path, store_path, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(store_path, copy)
    with (copy / "images.npy").open("r+b") as file:
        if how == "cut off":
            file.truncate(1000)
        else:
            file.seek(-10, os.SEEK_END)
            file.write(b"0123456789")
    assert (
        main(["train", "--config", str(config_path), "--data", str(copy), "--run", str(tmp_path / "r")]) == 4
    )
    assert str(copy) in capsys.readouterr().err


@pytest.mark.parametrize("name", ["2024", "a #b", "x: y"])
def test_a_store_may_have_any_name(name, config_path, store_path, tmp_path):
    shutil.copytree(store_path, tmp_path / name)
    settings = ["--set", "train.steps=2", "--run", str(tmp_path / "r")]
    assert main(["train", "--config", str(config_path), "--data", str(tmp_path / name), *settings]) == 0


def test_training_tells_its_progress_in_plain_lines(config_path, tmp_path, capsys):
    assert (
        main(["train", "--config", str(config_path), "--run", str(tmp_path / "r"), "--set", "train.steps=20"])
        == 0
    )
    captured = capsys.readouterr()
    assert "step 20 / 20  loss" in captured.err
    assert "validation" in captured.err
    assert "best.safetensors" in captured.out
    assert main(["train", "--config", str(config_path), "--run", str(tmp_path / "r")]) == 6


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_the_run_goes_on_from_there(number, code, config_path, tmp_path, capsys):
    folder = tmp_path / "r"
    command = [sys.executable, "-m", "htgen", "train", "--config", config_path, "--run", folder]
    process = subprocess.Popen(
        [*command, "--set", "train.steps=100000", "--set", "train.save_every=100000"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 60
    while not (folder / "metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code
    assert "stopped at step" in said
    assert "Traceback" not in said
    stopped = int(said.split("stopped at step ")[1].split(";")[0])
    resume = ["train", "--run", str(folder), "--resume"]
    assert main([*resume, "--device", "nonsense"]) == 2
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["train"]["steps"] = stopped + 5
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    assert main(resume) == 0
    assert f"from step {stopped}" in capsys.readouterr().err


def test_a_run_that_is_told_to_end_where_it_was_stopped_is_validated(config_path, tmp_path, capsys):
    """Before its first validation, that is: it ends with a generator, as every other one."""
    folder = tmp_path / "r"
    config = load_config(config_path, ["train.steps=100", "train.val_every=100", "train.save_every=100"])
    with RunFolder(folder) as run_folder:
        trainer = Trainer(config, run_folder)
        run_folder.start(dump_config(config), overwrite=False)
        for event in trainer.events(stop=lambda: trainer.step == 4):
            assert not isinstance(event, Validated)
    values = yaml.safe_load((folder / "config.yaml").read_text())
    values["train"]["steps"] = 4
    (folder / "config.yaml").write_text(yaml.safe_dump(values))
    capsys.readouterr()
    assert main(["train", "--run", str(folder), "--resume"]) == 0
    said = capsys.readouterr()
    assert "best validation accuracy" in said.out
    assert "shared features" not in said.out
    assert load_generator(folder).file.provenance.step == 4
    before = (folder / "metrics.jsonl").read_text()
    assert main(["train", "--run", str(folder), "--resume"]) == 0  # once
    assert (folder / "metrics.jsonl").read_text() == before


def test_a_state_whose_config_is_of_another_version_is_told(config_path, tmp_path, capsys):
    folder = tmp_path / "r"
    assert main(["train", "--config", str(config_path), "--run", str(folder), "--set", "train.steps=2"]) == 0
    header, tensors = read_state(folder / "latest.safetensors")
    config = json.loads(header["config"])
    config["train"]["gone"] = 1
    header = {**header, "config": json.dumps(config)}
    state = {name: torch.tensor(array) for name, array in tensors.items()}
    write_state(folder / "latest.safetensors", header, state)
    capsys.readouterr()
    assert main(["train", "--run", str(folder), "--resume"]) == 5
    assert "latest.safetensors" in (said := capsys.readouterr().err)
    assert "train.gone" in said


def test_tensorboard_gets_every_scalar_or_the_command_to_install_it(
    config_path, tmp_path, monkeypatch, capsys
):
    written = {}

    class SummaryWriter:
        def __init__(self, folder, purge_step):
            written["folder"] = folder
            written["purged from"] = purge_step

        def add_scalar(self, name, value, step):
            written.setdefault(name, []).append(step)

        def flush(self):
            pass

    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = SummaryWriter
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    settings = ["--set", "train.steps=6", "--set", "train.log_every=2", "--set", "train.val_every=3"]
    command = ["train", "--config", str(config_path), "--tensorboard", "--set", "train.l2=0.1", *settings]
    assert main([*command, "--run", str(tmp_path / "r")]) == 0
    assert written["folder"] == tmp_path / "r" / "tensorboard"
    assert written["train/loss"] == written["train/lr"] == written["train/loss/l2"] == [2, 4, 6]
    assert written["validation/accuracy"] == [3, 6]
    assert written["purged from"] == 1
    values = yaml.safe_load((tmp_path / "r" / "config.yaml").read_text())
    values["train"]["steps"] = 8
    (tmp_path / "r" / "config.yaml").write_text(yaml.safe_dump(values))
    assert main(["train", "--run", str(tmp_path / "r"), "--resume", "--tensorboard"]) == 0
    assert (
        written["purged from"] == 7
    )  # what a killed process wrote after its last state would be there twice
    (tmp_path / "r" / "tensorboard").mkdir()
    (tmp_path / "r" / "tensorboard" / "events").touch()
    assert main([*command, "--run", str(tmp_path / "r"), "--overwrite"]) == 0
    assert not (tmp_path / "r" / "tensorboard" / "events").exists()
    (tmp_path / "mine" / "tensorboard").mkdir(parents=True)  # of somebody else: there was no run
    (tmp_path / "mine" / "tensorboard" / "events").touch()
    assert main([*command, "--run", str(tmp_path / "mine"), "--overwrite"]) == 0
    assert (tmp_path / "mine" / "tensorboard" / "events").exists()

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert main([*command, "--run", str(tmp_path / "other")]) == 6
    assert "pip install 'htgen[tensorboard]'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["run", "my run"])
def test_the_command_that_is_printed_at_the_end_works(name, config_path, tmp_path, capsys):
    """Its tasks have no more classes and images than there are: the test part has 3 classes of 8 images."""
    command = ["train", "--config", str(config_path), "--run", str(tmp_path / name), "--set", "train.steps=2"]
    assert main(command) == 0
    program, *following = shlex.split(capsys.readouterr().out.split("next: ")[1])
    assert program == "htgen"
    assert main([*following, "--tasks", "2"]) == 0
    assert "3-way 1-shot" in capsys.readouterr().out


@pytest.mark.parametrize(("size", "is_against"), [(28, True), (16, False)])
def test_a_recipe_that_ships_is_measured_against_what_ships_where_it_can_be(
    size, is_against, config_path, tmp_path, capsys
):
    """The store has nine classes for tests, and the model a table for six."""
    schemes = {"toy": Scheme(parts={"train": "0-3", "val": "4-6", "test": "7-15"})}
    with StoreWriter(tmp_path / "toy", "toy", Preprocessing(size, 1, "bright", "pad"), schemes) as writer:
        for kind in range(16):
            writer.add_class(f"toy/{kind}", "drawn", [drawing(kind, i, 90, size) for i in range(3)])
    command = ["train", "--config", str(config_path), "--run", str(tmp_path / "r"), "--data"]
    settings = ["name=glyph-8", "train.steps=2", f"model.image_size={size}", "model.weights.prototypes=false"]
    settings += ["episodes.query=1", "validation.query=1"]
    assert main([*command, str(tmp_path / "toy"), *(word for s in settings for word in ("--set", s))]) == 0
    following = shlex.split(capsys.readouterr().out.split("next: htgen ")[1])
    assert following[-2:] == (["--against", "glyph-8"] if is_against else ["--query", "2"])
    assert main([*following, "--tasks", "2"]) == 0
    said = capsys.readouterr().out
    assert "6-way 1-shot" in said
    assert ("ahead" in said) == is_against


def test_pretraining_ends_with_how_to_go_on(config_path, tmp_path, capsys):
    folder, command = tmp_path / "first", ["train", "--config", str(config_path), "--set", "train.steps=2"]
    assert main([*command, "--run", str(folder), "--set", "train.pretrain_shared=true"]) == 0
    said = capsys.readouterr().out
    restoring = said.split("--config NAME ")[1].split()
    assert restoring == ["--set", f"train.restore_shared={folder}"]
    assert main([*command, "--run", str(tmp_path / "second"), *restoring]) == 0
    assert "best validation accuracy" in capsys.readouterr().out
