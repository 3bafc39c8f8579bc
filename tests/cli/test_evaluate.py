"""`htgen evaluate` as a user runs it."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
import yaml
from helpers.commands import run
from helpers.generators import make_generator
from helpers.stores import change_manifest

from htgen.cli import main
from htgen.datasets.store import Store
from htgen.generator.generator import load_generator
from htgen.training.follow import checkpoints
from htgen.training.run_folder import RunFolder


def test_evaluation_repeats_to_the_digit_and_says_how_it_was_made(run_path, capsys):
    documents = []
    for seed in ("0", "0", "1"):
        arguments = [
            "--split",
            "toy:test",
            "--way",
            "3",
            "--query",
            "2",
            "--tasks",
            "40",
            "--seed",
            seed,
            "--json",
        ]
        assert main(["evaluate", str(run_path), *arguments]) == 0
        documents.append(json.loads(capsys.readouterr().out))
    assert documents[0] == documents[1]
    assert documents[0]["accuracy"] != documents[2]["accuracy"]
    first = documents[0]
    assert 0 <= first["accuracy"] <= 1
    assert 0 < first["interval95"] < 0.2
    assert (first["tasks"], first["way"], first["shot"], first["transductive"]) == (40, 3, 1, False)
    assert main(["evaluate", str(run_path), "--way", "3", "--query", "2", "--tasks", "40"]) == 0
    assert f"toy on toy:test, 3-way 1-shot: {100 * first['accuracy']:.2f}" in capsys.readouterr().out


def test_evaluation_can_show_the_queries(run_path, capsys):
    arguments = ["evaluate", str(run_path), "--way", "3", "--query", "2", "--tasks", "40", "--transductive"]
    assert main([*arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["transductive"], document["queries_shown"]) == (True, True)
    assert main(arguments) == 0
    assert "(transductive: the generator saw the query images)" in capsys.readouterr().out
    reference = ["evaluate", str(run_path), "--way", "5", "--protocol", "reference", "--transductive"]
    assert main(reference) == 2
    assert "each CNN classifies 16 batches there" in capsys.readouterr().err


def test_evaluation_can_augment_as_training_or_validation_did(run_path, capsys):
    arguments = ["evaluate", str(run_path), "--way", "3", "--query", "2", "--tasks", "40"]
    found = {}
    for choice in ("none", "training", "validation"):
        assert main([*arguments, "--augment", choice, "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert document["augment"] == choice
        found[choice] = document["accuracy"]
    assert found["none"] == found["validation"]  # the run turns classes in training only
    assert found["none"] != found["training"]
    assert main([*arguments, "--augment", "training"]) == 0
    assert "(images augmented as in training)" in capsys.readouterr().out


def test_a_store_that_was_prepared_otherwise_is_told(run_path, store_path, tmp_path, capsys):
    other = tmp_path / "other"
    shutil.copytree(store_path, other)
    change_manifest(other, preprocessing={**Store.open(store_path).preprocessing.to_dict(), "fit": "crop"})
    arguments = ["--way", "3", "--tasks", "2", "--split", "toy:train", "--data"]
    for command in (["evaluate", "--query", "2"], ["calibrate", "--shot", "1"]):
        for store, told in ((store_path, 0), (other, 1)):
            assert main([*command, str(run_path), *arguments, str(store)]) == 0
            assert capsys.readouterr().err.count("was not prepared as the one") == told


def test_a_store_that_is_nowhere_is_told_with_the_places(tmp_path, monkeypatch, store_path, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", "glyph-8", "--tasks", "2"]) == 4
    said = capsys.readouterr().err
    assert "the generator was trained on is not in " in said
    assert "data/omniglot-drawings\n  try: --data STORE" in said
    shutil.copytree(store_path, tmp_path / "data" / "omniglot-drawings")
    assert main(["evaluate", "glyph-8", "--tasks", "2"]) == 2  # found there, but of other classes
    assert "toy:test" in capsys.readouterr().err


def test_more_classes_than_the_generator_or_the_split_has_are_refused(run_path, store_path, tmp_path, capsys):
    path = tmp_path / "table.safetensors"  # no class means: as many classes as its table has
    path.write_bytes(make_generator(image_size=16, max_way=6).file.to_bytes())
    seven = ["--data", str(store_path), "--split", "toy:train", "--way", "7", "--query", "2", "--tasks", "2"]
    assert main(["evaluate", str(path), *seven]) == 5
    assert "'toy' knows at most 6 classes" in capsys.readouterr().err
    assert main(["evaluate", str(run_path), *seven]) == 0  # its table has 6 too, and there are class means
    assert "toy on toy:train, 7-way" in capsys.readouterr().out
    assert main(["evaluate", str(run_path), "--way", "4", "--query", "2"]) == 4
    assert "'toy:test' has 3 classes" in capsys.readouterr().err
    assert main(["evaluate", str(run_path), "--way", "3", "--query", "20"]) == 4
    assert "has 8 images; an episode needs 21" in capsys.readouterr().err


@pytest.mark.parametrize("averages", [True, False])
def test_what_is_watched_is_what_would_ship(averages, config_path, store_path, tmp_path, capsys):
    """With averaged weights, and with class statistics that are not part of the average."""
    folder = tmp_path / "r"
    settings = [f"train.ema={0.9 if averages else 0}", "model.weights.plda=true", "train.steps=4"]
    settings += ["train.val_every=4", "train.save_every=4"]
    command = ["train", "--config", str(config_path), "--run", str(folder)]
    assert main([*command, *(word for value in settings for word in ("--set", value))]) == 0
    measuring = ["--way", "3", "--query", "2", "--tasks", "64"]
    capsys.readouterr()
    assert main(["evaluate", str(folder), "--watch", *measuring]) == 0
    watched = capsys.readouterr().out.removeprefix("step 4: ")
    assert main(["evaluate", str(folder), *measuring]) == 0
    assert capsys.readouterr().out == watched
    (state,) = checkpoints(RunFolder(folder), Store.open(store_path))
    best = load_generator(folder).file
    assert state.tensors.keys() == best.tensors.keys()
    for name, array in best.tensors.items():
        np.testing.assert_array_equal(state.tensors[name], array)


def test_watching_evaluates_every_checkpoint_until_training_ends(config_path, store_path, tmp_path):
    folder = tmp_path / "r"
    settings = ["--set", "train.steps=120", "--set", "train.save_every=30", "--set", "train.val_every=120"]
    training = subprocess.Popen(
        [sys.executable, "-m", "htgen", "train", "--config", config_path, "--run", folder, *settings],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while not (folder / "config.yaml").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        watched = run("evaluate", folder, "--watch", "--way", "3", "--query", "2", "--tasks", "16")
        assert training.wait(timeout=60) == 0
    finally:
        training.kill()
    assert watched.returncode == 0, watched.stderr
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    steps = [entry["step"] for entry in metrics if entry["event"] == "evaluation"]
    assert steps == sorted(set(steps))
    assert steps[-1] == 120
    assert set(steps) <= {30, 60, 90, 120}
    assert "step 120: toy on toy:test" in watched.stdout
    watching = ["evaluate", str(folder), "--watch", "--way", "3", "--query", "2", "--tasks", "16"]
    assert main(watching) == 0  # training is over: the last checkpoint, and the end
    other = shutil.copytree(store_path, tmp_path / "other")  # a store that does not know what was trained on
    schemes = json.loads((other / "manifest.json").read_text())["schemes"]
    change_manifest(other, name="other", schemes={"other": schemes["toy"]})
    watching += ["--data", str(other), "--split", "other:test"]
    assert main(watching) == 0
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["data"]["store"] = "gone"
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    assert main(watching) == 0


def test_watching_nothing_is_an_error(tmp_path, capsys):
    assert main(["evaluate", str(tmp_path / "none"), "--watch"]) == 6
    assert "is not a run folder" in capsys.readouterr().err


def test_several_splits_and_unlabelled_images(run_path, capsys):
    arguments = ["evaluate", str(run_path), "--way", "3", "--query", "2", "--tasks", "16", "--unlabeled", "2"]
    assert main([*arguments, "--split", "toy:train", "--split", "toy:val", "--json"]) == 0
    results = json.loads(capsys.readouterr().out)["results"]
    assert [r["split"] for r in results] == ["toy:train", "toy:val"]
    assert main([*arguments, "--split", "toy:val"]) == 0
    text = capsys.readouterr().out
    assert f"1-shot with 2 unlabelled: {100 * results[1]['accuracy']:.2f}" in text


def test_a_misspelt_split_is_told_before_anything_is_measured(run_path, capsys):
    arguments = ["evaluate", str(run_path), "--way", "3", "--query", "2", "--tasks", "16"]
    assert main([*arguments, "--split", "toy:val", "--split", "toy:vla"]) == 4
    captured = capsys.readouterr()
    assert "evaluating" not in captured.err
    assert "toy:vla" in captured.err


def test_classes_that_were_seen_are_told(run_path, store_path, tmp_path, capsys):
    """Those trained on, and those chosen on; in another preparation of the same data too."""
    other = shutil.copytree(store_path, tmp_path / "toy-drawings")
    with (other / "images.npy").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"!")
    sha256 = hashlib.sha256((other / "images.npy").read_bytes()).hexdigest()
    change_manifest(other, name="toy-drawings", sha256=sha256)
    measuring = ["--way", "3", "--query", "2", "--tasks", "16"]
    for data in ([], ["--data", str(other)]):
        for split, says in (
            ("toy:train", "warning: 10 classes of toy:train are among those that it was trained on\n"),
            ("toy:val", "note: 3 classes of toy:val are among those on which it was chosen\n"),
            ("toy:test", ""),
        ):
            capsys.readouterr()
            assert main(["evaluate", str(run_path), *measuring, "--split", split, *data]) == 0
            told = [line + "\n" for line in capsys.readouterr().err.splitlines() if "classes of" in line]
            assert "".join(told) == says


def test_a_generator_against_another_on_the_same_tasks(run_path, config_path, tmp_path, capsys):
    """Both as measured alone, with another number of labels too; and nothing between one and itself."""
    other = tmp_path / "other"
    settings = ["--set", "model.max_way=4", "--set", "episodes.way=4", "--set", "train.steps=5"]
    assert main(["train", "--config", str(config_path), "--run", str(other), *settings]) == 0
    measuring = ["--split", "toy:test", "--way", "3", "--query", "2", "--tasks", "48"]
    alone = []
    for run_folder in (run_path, other):
        capsys.readouterr()
        assert main(["evaluate", str(run_folder), *measuring, "--json"]) == 0
        alone.append(json.loads(capsys.readouterr().out))
    assert main(["evaluate", str(run_path), *measuring, "--against", str(other), "--json"]) == 0
    both = json.loads(capsys.readouterr().out)
    compared = both.pop("against")
    assert both == alone[0]
    assert compared["generator"] == "toy"
    assert compared["sha256"] == alone[1]["sha256"]
    assert compared["ahead"] == pytest.approx(alone[0]["accuracy"] - alone[1]["accuracy"])
    assert 0 < compared["interval95"] < alone[0]["interval95"] + alone[1]["interval95"]
    assert main(["evaluate", str(run_path), *measuring, "--against", str(run_path)]) == 0
    said = capsys.readouterr()
    name = f"toy {both['sha256'][:12]}"  # names that are the same tell nothing
    assert said.out.startswith(f"{name} on toy:test, ")
    assert f"ahead of {name} on the same tasks by 0.00 ± 0.00" in said.out
    for what in ("evaluating toy on toy:test", "evaluating toy (against) on toy:test"):
        assert f"{what}: 100 %" in said.err
    seen = ["--split", "toy:train", *measuring[2:]]
    assert main(["evaluate", str(run_path), *seen, "--against", str(other)]) == 0
    assert "are among those that toy was trained on" in capsys.readouterr().err
    assert main(["evaluate", str(run_path), *measuring, "--against", "glyph-8"]) == 4
    assert main(["evaluate", str(run_path), "--watch", "--against", str(other)]) == 2


def test_where_no_class_is_left_none_is_named(config_path, tmp_path, capsys):
    settings = ["--set", "data.train=all", "--set", "data.val=all", "--set", "train.steps=2"]
    assert main(["train", "--config", str(config_path), "--run", str(tmp_path / "r"), *settings]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path / "r"), "--way", "2"]) == 2
    assert "another store" in " ".join(capsys.readouterr().err.replace("│", "").split())


def test_classes_of_ones_own_have_no_test_part_to_fall_back_on(config_path, tmp_path, capsys):
    folder = tmp_path / "r"
    ranges = ["--set", "data.train=toy@11:0-8,10", "--set", "data.val=toy@11:11-13", "--set", "train.steps=2"]
    assert main(["train", "--config", str(config_path), "--run", str(folder), *ranges]) == 0
    assert f"next: htgen evaluate {folder} --split CLASSES" in capsys.readouterr().out
    arguments = ["evaluate", str(folder), "--way", "2", "--query", "2", "--tasks", "16"]
    for watch in ([], ["--watch"]):
        assert main([*arguments, *watch]) == 2
        said = "".join(c for c in capsys.readouterr().err if c not in "│\n ")
        assert "'toy@11:0-8,10',andstore" in said
        assert ("toy:val" in said, "toy:test" in said) == (False, True)  # the former has classes trained on
        new = re.search(r"suchas(toy:[0-9-]+)", said)[1]
        assert main([*arguments, *watch, "--split", "toy@11:14,15"]) == 0
        captured = capsys.readouterr()
        assert "on toy@11:14,15, 2-way" in captured.out
        assert "warning" not in captured.err
        assert main([*arguments, *watch, "--split", new]) == 0
        assert "classes of" not in capsys.readouterr().err
        assert main([*arguments, *watch, "--split", "toy:val"]) == 0
        assert "classes of toy:val are among those that it was trained on" in capsys.readouterr().err


def test_the_reference_protocol_fixes_its_numbers(run_path, capsys):
    assert main(["evaluate", str(run_path), "--protocol", "reference", "--tasks", "5"]) == 2
    assert main(["evaluate", str(run_path), "--protocol", "reference", "--way", "3"]) == 2
    assert "--tasks" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["way", "shot", "query", "unlabeled"])
def test_more_than_a_task_may_have_is_wrong_usage(option, run_path, capsys):
    assert main(["evaluate", str(run_path), f"--{option}", "20000"]) == 2
    assert "it is at most 10000" in capsys.readouterr().err.replace("\n", " ")
    if option in ("way", "shot"):
        assert main(["calibrate", str(run_path), f"--{option}", "20000"]) == 2
