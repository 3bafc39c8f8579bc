"""The benchmark: that it measures and says everything. Nothing here depends on how long anything takes."""

import json
import math
import os
import subprocess
import sys

import pytest
import torch
import yaml
from helpers.toy import toy_values

import htgen.bench.measure
from htgen.bench.cost import generation_cost, prediction_cost, training_cost
from htgen.bench.machine import percentile95
from htgen.bench.measure import measure
from htgen.bench.report import Report
from htgen.cli import main
from htgen.cnn import fused
from htgen.config.run import Config
from htgen.episodes.shape import EpisodeSize
from htgen.errors import RunError

TIMED = {
    "train": [
        "episodes_per_second",
        "compute_episodes_per_second",
        "sampling_episodes_per_second",
        "forward_seconds",
        "backward_seconds",
        "update_seconds",
    ],
    "generate": ["latency_seconds", "p95_seconds"],
    "predict": ["batch1_images_per_second", "batch256_images_per_second", "decode_images_per_second"],
    "memory": ["import_bytes", "use_bytes", "train_bytes"],
    "start": [
        f"{name}_seconds"
        for name in ("python", "import_numpy", "import_torch", "help", "generate", "predict")
    ],
}
WITHOUT_FLOOR = {"sampling_episodes_per_second", "update_seconds", "decode_images_per_second"}


@pytest.fixture(scope="module")
def config() -> Config:
    """Ranges, augmentation and terms that only some trainings have; the store does not exist."""
    values = toy_values("no/such/store")
    values["episodes"] = {"way": [3, 4], "shot": [1, 2], "query": 2, "related": 0.5}
    values["train"] |= {"head_steps": 10, "shared_head": 0.1}
    return Config.model_validate(values)


@pytest.fixture(scope="module")
def measured(config, tmp_path_factory) -> tuple[Report, str]:
    """A quick run, and the profile that it wrote."""
    profile = tmp_path_factory.mktemp("bench") / "new" / "profile.txt"
    said: list[tuple[str, int, int]] = []
    threads = torch.get_num_threads()
    report = measure(config, quick=True, threads=1, profile=profile, report=lambda *told: said.append(told))
    assert torch.get_num_threads() == threads
    parts = ["matrix product", "generation", "prediction", "profile", "training", "start-up", ""]
    assert said == [(part, done, 6) for done, part in enumerate(parts)]
    return report, profile.read_text(encoding="utf-8")


def test_every_figure_is_there_with_its_floor_and_repeats(measured):
    document = json.loads(json.dumps(measured[0].to_dict()))
    for section, keys in TIMED.items():
        found = document[section]
        tables = {name: found.pop(name) for name in ("floor", "fraction", "repeats", "warmup")}
        assert sorted(found) == sorted(keys)
        assert all(math.isfinite(value) and value > 0 for value in found.values())
        assert all(sorted(table) == sorted(keys) for table in tables.values())
        assert all(repeats >= 1 for repeats in tables["repeats"].values())
        if section in ("train", "generate", "predict"):
            for key in keys:
                floor, fraction = tables["floor"][key], tables["fraction"][key]
                assert (floor is None) == (fraction is None) == (key in WITHOUT_FLOOR)
                assert floor is None or (floor > 0 and fraction > 0)


def test_the_machine_and_the_shapes_are_named(measured, config):
    document = measured[0].to_dict()
    machine = document["machine"]
    assert machine["cpu"]
    assert machine["cores"] >= 1
    assert (machine["device"], machine["gpu"], machine["torch_threads"]) == ("cpu", None, 1)
    assert machine["torch"] == torch.__version__
    assert document["quick"] is True
    assert document["config"] == "toy"
    assert document["episode"] == {
        "way": 4,
        "support": 8,
        "query": 8,
        "image_size": 16,
        "image_channels": 1,
        "cnn_channels": 4,
        "episodes_per_step": 2,
    }
    for name, library in (("train", "torch"), ("generate", "numpy"), ("predict", "numpy")):
        rate = document["matrix_product"][name]
        assert (rate["library"], rate["dtype"], rate["device"]) == (library, "float32", "cpu")
        assert rate["multiply_adds_per_second"] > 0


def test_floors_are_the_counted_work_over_the_measured_rate(measured, config):
    document = measured[0].to_dict()
    speed = {name: rate["multiply_adds_per_second"] for name, rate in document["matrix_product"].items()}
    episode = training_cost(config.model, EpisodeSize(4, 8, 8))
    floor = document["train"]["floor"]
    assert floor["episodes_per_second"] == pytest.approx(speed["train"] / episode.total)
    assert floor["forward_seconds"] == pytest.approx(2 * episode.forward / speed["train"])
    assert floor["backward_seconds"] == pytest.approx(2 * episode.backward / speed["train"])
    generate, predict = generation_cost(config.model, 4, 2).total, prediction_cost(config.model, 4).total
    assert document["generate"]["floor"]["latency_seconds"] == pytest.approx(generate / speed["generate"])
    assert document["predict"]["floor"]["batch1_images_per_second"] == pytest.approx(
        speed["predict"] / predict
    )
    assert document["multiply_adds"] == {
        "train_forward": episode.forward,
        "train_backward": episode.backward,
        "generate": generate,
        "predict": predict,
    }
    start = document["start"]
    assert start["floor"]["generate_seconds"] == start["import_numpy_seconds"]
    assert start["fraction"]["generate_seconds"] == pytest.approx(
        start["import_numpy_seconds"] / start["generate_seconds"]
    )
    assert document["train"]["fraction"]["episodes_per_second"] == pytest.approx(
        document["train"]["episodes_per_second"] / floor["episodes_per_second"]
    )


def test_the_profile_tells_where_training_and_generation_spend_their_time(measured):
    text = measured[1]
    assert text.index("training steps: 1\n") < text.index("generation\n")
    assert "Self CPU" in text
    assert "aten::" in text
    assert ("_ConvolveBackward" if fused.used() else "convolution_backward") in text


def test_the_command_prints_a_table_or_json(measured, config, monkeypatch, tmp_path, capsys):
    asked = {}

    def instead(settings, device, **options):
        asked.update(options, config=settings, device=device)
        return measured[0]

    monkeypatch.setattr(htgen.bench.measure, "measure", instead)
    path = tmp_path / "toy.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    arguments = ["bench", "--config", str(path), "--device", "cpu", "--quick"]
    assert main([*arguments, "--set", "train.episodes_per_step=5"]) == 0
    assert asked["config"].train.episodes_per_step == 5
    assert asked["quick"] is True
    lines = capsys.readouterr().out.splitlines()
    header = next(i for i, line in enumerate(lines) if line.startswith("what "))
    assert lines[header].split() == ["what", "measured", "floor", "fraction"]
    rows = lines[header + 1 :]
    assert len(rows) == sum(map(len, TIMED.values()))
    assert rows[0].startswith("training, whole steps ")
    assert rows[0].endswith(" %")
    assert "episodes/s" in rows[0]
    assert not any(line.endswith(" ") for line in lines)

    assert main([*arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["train"]["episodes_per_second"] == measured[0].measures[0].value

    assert main(["bench", "--device", "cpu"]) == 0
    assert (asked["config"].name, asked["config"].train.episodes_per_step) == ("omniglot_1shot", 32)


def test_counting_needs_no_torch_and_says_every_part(capsys):
    assert main(["bench", "--count", "--set", "model.cnn.channels=16"]) == 0
    text = capsys.readouterr().out
    assert "conv4 transformer encoder 3" in text
    assert "classifying one image" in text
    assert main(["bench", "--count", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["train"]["forward"] == sum(part["forward"] for part in document["train"]["parts"])
    assert f"{document['train']['forward']:,}" not in text  # 16 channels are other work than 8
    code = (
        "import sys; from htgen.cli import main; main(['bench', '--count']); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_threads_limit_numpy_and_the_measured_processes_too():
    code = (
        "import os, sys, htgen.cli\n"
        "sys.modules['htgen.bench.measure'] = None\n"  # stop where the libraries would be loaded
        "try: htgen.cli.main(['bench', '--threads', '3'])\n"
        "except ImportError: print(os.environ['OMP_NUM_THREADS'], 'numpy' in sys.modules)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
    )
    assert done.stdout.split() == ["3", "False"], done.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--config", "nope"], 3),
        (["--set", "a=b"], 3),
        (["--device", "nonsense"], 2),
        (["--threads", "0"], 2),
        (["--count", "--quick"], 2),
        (["--count", "--device", "cpu"], 2),
        (["--count", "--profile", "p.txt"], 2),
    ],
)
def test_a_mistake_is_told_before_anything_is_measured(arguments, code, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["bench", *arguments]) == code
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    assert captured.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_profile_does_not_replace_the_config(tmp_path, capsys):
    path = tmp_path / "b.yaml"
    path.write_text("name: mine\n")
    assert main(["bench", "--quick", "--config", str(path), "--profile", str(path)]) == 2
    assert "it is the config" in capsys.readouterr().err
    assert path.read_text() == "name: mine\n"


def test_a_profile_that_cannot_be_written_is_told_before_the_measuring(config, tmp_path, capsys):
    path = tmp_path / "toy.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    arguments = ["bench", "--config", str(path), "--quick", "--device", "cpu"]
    assert main([*arguments, "--profile", str(path / "p")]) == 7
    captured = capsys.readouterr()
    assert f"cannot write {path / 'p'}" in captured.err
    assert "measuring: training" not in captured.err


def test_a_measured_process_that_fails_ends_the_run():
    with pytest.raises(RunError, match="out of order"):
        htgen.bench.use._wall_time([sys.executable, "-c", "raise SystemExit('out of order')"])


def test_the_95th_percentile():
    assert percentile95([float(i) for i in range(1, 101)]) == 95
    assert percentile95([3.0, 1.0, 2.0]) == 3
