"""`htgen calibrate` as a user runs it."""

import json
from dataclasses import replace

import numpy as np
import torch
from helpers.generators import LABELS, make_generator, pictures

import htgen
from htgen.cli import main
from htgen.datasets.store import Store
from htgen.generator.generator import load_generator
from htgen.generator.network import build
from htgen.generator.provenance import Provenance
from htgen.generator.temperature import Temperature


def test_the_command_writes_a_generator_with_its_temperature(store_path, tmp_path, capsys):
    path, output = tmp_path / "toy.safetensors", tmp_path / "calibrated.safetensors"
    generator = make_generator(image_size=16)
    path.write_bytes(generator.file.to_bytes())
    command = ["calibrate", str(path), "--data", str(store_path), "--split", "all", "--tasks", "4"]
    command += ["--way", "2", "--way", "5", "--shot", "1"]
    assert main([*command, "-o", str(output), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    ((shot, temperature),) = document["temperatures"]
    assert load_generator(output).temperature == Temperature(((shot, temperature),))
    assert load_generator(path).temperature.at(1) == 1
    assert [row["way"] for row in document["settings"]] == [2, 5]
    assert main(["inspect", str(output)]) == 0
    assert f"temperature {temperature:.3f} (shot 1)" in capsys.readouterr().out
    assert main(command) == 0
    text = capsys.readouterr().out
    assert f"temperature {temperature:.3f} (shot 1)" in text
    assert "written" not in text


def test_ways_are_those_that_can_be_had(store_path, tmp_path, capsys):
    path = tmp_path / "toy.safetensors"
    path.write_bytes(make_generator(image_size=16, max_way=4).file.to_bytes())
    command = ["calibrate", str(path), "--data", str(store_path), "--shot", "1", "--tasks", "2"]
    for split, ways in (("all", [4]), ("toy:0-8", [4]), ("toy:0-7", [3])):
        assert main([*command, "--split", split, "--json"]) == 0
        assert [row["way"] for row in json.loads(capsys.readouterr().out)["settings"]] == ways
    for arguments in ("--split toy:0-7 --way 4", "--split toy:0-5", "--split all --way 12"):
        assert main([*command, *arguments.split()]) == 4
        assert "foreign classes cannot be had" in capsys.readouterr().err
    assert main([*command, "--split", "all", "--way", "9"]) == 5
    assert "'toy' knows at most 4 classes" in capsys.readouterr().err
    generator = make_generator(image_size=16, max_way=4, weights={"base": True, "prototypes": True})
    path.write_bytes(generator.file.to_bytes())
    for arguments, ways in (("", [5, 10]), ("--way 9", [9])):  # with class means, of any number of classes
        assert main([*command, "--split", "all", *arguments.split(), "--json"]) == 0
        assert [row["way"] for row in json.loads(capsys.readouterr().out)["settings"]] == ways


def test_what_cannot_be_calibrated_is_said(store_path, tmp_path, capsys):
    path = tmp_path / "toy.safetensors"
    path.write_bytes(make_generator(image_size=16, cnn={"channels": 4, "norm": "batch"}).file.to_bytes())
    assert main(["calibrate", str(path), "--data", str(store_path), "--split", "all"]) == 5
    assert "norm batch" in capsys.readouterr().err
    path.write_bytes(make_generator(image_size=16).file.to_bytes())
    assert main(["calibrate", str(path), "--data", str(store_path)]) == 2
    assert "validated" in capsys.readouterr().err
    assert main(["calibrate", str(path), "--data", str(store_path), "--split", "all"]) == 4
    assert "shots" in capsys.readouterr().err


def test_a_target_that_cannot_be_written_is_told_before_the_work(store_path, tmp_path, capsys):
    path, folder = tmp_path / "toy.safetensors", tmp_path / "folder"
    path.write_bytes(make_generator(image_size=16, max_way=4).file.to_bytes())
    folder.mkdir()
    command = ["calibrate", str(path), "--data", str(store_path), "--split", "all", "--shot", "1"]
    assert main([*command, "--tasks", "2", "-o", str(folder)]) == 7
    said = capsys.readouterr()
    assert "it is a folder" in said.err
    assert "calibrating" not in said.err


def test_calibrating_on_classes_that_were_trained_on_is_told(store_path, tmp_path, capsys):
    """Probabilities would be right on those, and too sure on others."""
    path, file = tmp_path / "toy.safetensors", make_generator(image_size=16, max_way=4).file
    store = Store.open(store_path)
    provenance = {
        "data": {"name": "toy", "sha256": store.checksum},
        "config": {"data": {"train": "toy:0-7", "val": "toy:8-15"}},
    }
    path.write_bytes(replace(file, provenance=Provenance.from_json(provenance)).to_bytes())
    command = ["calibrate", str(path), "--data", str(store_path), "--shot", "1", "--tasks", "2"]
    assert main([*command, "--split", "toy:0-9"]) == 0
    told = "warning: 8 classes of toy:0-9 are among those that it was trained on"
    assert told in capsys.readouterr().err
    assert main([*command, "--split", "toy:0-9", "--way", "9"]) == 4
    assert told in capsys.readouterr().err  # with the error too
    assert main(command) == 0
    assert "classes of" not in capsys.readouterr().err


def test_half_precision_halves_the_file_and_hardly_changes_the_answers(store_path, tmp_path, capsys):
    path, output = tmp_path / "toy.safetensors", tmp_path / "half.safetensors"
    path.write_bytes(make_generator(image_size=16).file.to_bytes())
    command = ["calibrate", str(path), "--data", str(store_path), "--split", "all", "--tasks", "4"]
    assert main([*command, "--way", "5", "--shot", "1", "--half", "-o", str(output)]) == 0
    full, half = load_generator(path), load_generator(output)
    assert {array.dtype for array in half.file.tensors.values()} == {np.dtype(np.float16)}
    numbers = sum(array.size for array in full.file.tensors.values())
    assert 0 <= (path.stat().st_size - output.stat().st_size) - 2 * numbers + 4000 <= 8000  # the header grew
    support = full.prepare(pictures(), LABELS)
    weights = [g.generate_bundle(support).tensors for g in (full, half)]
    temperature = half.temperature.at(support.shot)
    for name, array in weights[1].items():
        assert array.dtype == np.float32
        wanted = weights[0][name] / (temperature if name.startswith("logits") else 1)
        np.testing.assert_allclose(array, wanted, rtol=0.05, atol=0.01)
    # The torch model of the same file writes the same CNN.
    images, labels = (torch.from_numpy(array)[None] for array in (support.images, support.labels))
    with torch.no_grad():
        built = build(half.file).generate(images, labels, torch.arange(len(support.classes))[None])
    kernel = built.blocks[-1].kernel[0].numpy()
    np.testing.assert_allclose(weights[1]["conv4.weight"], kernel, rtol=1e-3, atol=1e-5)


def test_from_python_it_is_what_the_command_writes(store_path, tmp_path):
    path, output = tmp_path / "toy.safetensors", tmp_path / "calibrated.safetensors"
    generator = make_generator(image_size=16)
    path.write_bytes(generator.file.to_bytes())
    command = ["calibrate", str(path), "--data", str(store_path), "--split", "all", "--tasks", "4"]
    assert main([*command, "--way", "3", "--shot", "2", "--half", "-o", str(output)]) == 0
    told = []
    file = htgen.calibrate(
        generator,
        htgen.CalibrationTasks(ways=(3,), shots=(2,), tasks=4),
        data=store_path,
        split="all",
        half=True,
        report=lambda *of: told.append(of),
    )
    assert file.to_bytes() == output.read_bytes()
    assert told == [("calibrating", 0, 2), ("calibrating", 1, 2)]
