"""`htgen inspect` as a user runs it."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from helpers.files import without_checksum
from helpers.generators import make_generator
from safetensors.numpy import save

from htgen.cli import main
from htgen.generator.shipped import generator_path
from htgen.tensor_files import read_any

GENERATOR = read_any(generator_path("glyph-8")).header


def test_a_cnn_and_a_generator_are_inspected(cnn, run_path, capsys):
    capsys.readouterr()
    assert main(["inspect", str(cnn)]) == 0
    said = capsys.readouterr().out
    assert "kind0 (3 images), kind1 (3 images), kind2 (3 images)" in said
    assert "conv4       4 -> 4 channels, 3x3, 2 -> 2 pixels" in said
    assert "support statistics, frozen" in said
    assert main(["inspect", str(run_path)]) == 0
    said = capsys.readouterr().out
    assert "classes     2 and more; convolutions in view of 6 at most" in said
    assert "% on toy:val, 8 tasks" in said
    assert main(["inspect", str(run_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["provenance"]["config"]["name"] == "toy"
    assert main(["inspect", str(run_path / "latest.safetensors")]) == 0
    assert "step        60" in capsys.readouterr().out


def test_a_table_without_class_means_has_its_number_of_classes(tmp_path, capsys):
    path = tmp_path / "table.safetensors"
    path.write_bytes(make_generator(max_way=6).file.to_bytes())
    assert main(["inspect", str(path)]) == 0
    assert "classes     2 to 6\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    "header",
    [
        {"format": "htgen-cnn", "version": 1},
        {"format": "htgen-generator", "version": 1, "model": 3, "provenance": {}},
        {"format": "other", "version": 1},
        {"version": 1},
        {"format": "htgen-cnn", "version": "new"},
        {"format": "htgen-cnn", "version": 99},
        {"format": "htgen-generator", "version": 1, "name": {}, "model": {"max_way": 2, "cnn": {}}},
        GENERATOR | {"provenance": None},
        GENERATOR | {"provenance": {"data": []}},
        GENERATOR | {"provenance": {"data": {"name": "a", "sha256": 3}}},
        GENERATOR | {"provenance": {"validation": {"accuracy": "0.5", "interval95": 0.1, "tasks": 8}}},
        GENERATOR | {"provenance": {"calibration": {"temperatures": [1]}}},
        GENERATOR | {"provenance": {"calibration": {"temperature": []}}},
        [1],
        "[" * 100_000,
    ],
)
def test_a_description_that_says_something_else_is_an_error(header, tmp_path, capsys):
    path = tmp_path / "x.safetensors"
    text = header if isinstance(header, str) else json.dumps(header)
    path.write_bytes(save({"a": np.zeros(3)}, metadata={"htgen": text}))
    assert main(["inspect", str(path)]) == 5
    assert "x.safetensors" in capsys.readouterr().err


def test_looking_at_a_file_loads_no_pydantic(cnn):
    """It takes longer to load than all that is told."""
    for file in (cnn, "glyph-8"):
        code = (
            "import sys; from htgen.cli import main; "
            f"code = main(['inspect', {str(file)!r}]); sys.exit(code or 'pydantic' in sys.modules)"
        )
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        assert "28 x 28 pixels" in ended.stdout or file == cnn


@pytest.mark.parametrize("content", [b"", b"x" * 300, None])
def test_inspecting_something_else_is_an_error(content, tmp_path, capsys):
    path = tmp_path / "x.safetensors"
    if content is not None:
        path.write_bytes(content)
    assert main(["inspect", str(path)]) == 5
    assert "x.safetensors" in capsys.readouterr().err


def test_what_is_not_there_may_be_all_that_is_inspected(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    told = []
    for name in ("nothing", "empty"):
        assert main(["inspect", str(tmp_path / name)]) == 5
        told.append(capsys.readouterr().err.partition("try: ")[2].strip())
    assert told[0].endswith(told[1])
    assert "glyph-8" in told[0].removesuffix(told[1])
    assert "a store" in told[1]


def damage(path, target):
    """A copy of a file with one changed bit in its last number."""
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    target.write_bytes(data)
    return target


def test_a_check_finds_one_changed_bit(cnn, run_path, store_path, tmp_path, capsys):
    state, best = run_path / "latest.safetensors", run_path / "best.safetensors"
    for path, says in ((cnn, "usable numbers"), (best, "usable numbers"), (state, "can be read")):
        capsys.readouterr()
        assert main(["inspect", str(path), "--check"]) == 0
        said = capsys.readouterr().out
        assert "checksum    right" in said
        assert says in said
        for command in (["--check"], []):
            assert main(["inspect", str(damage(path, tmp_path / "x.safetensors")), *command]) == 5
            assert "x.safetensors is damaged: its checksum" in capsys.readouterr().err
    assert main(["inspect", str(store_path), "--check"]) == 0
    assert "checksum    right" in capsys.readouterr().out
    shutil.copytree(store_path, tmp_path / "store")
    damage(store_path / "images.npy", tmp_path / "store" / "images.npy")
    assert main(["inspect", str(tmp_path / "store")]) == 0
    said = capsys.readouterr().out
    assert "checksum    not compared" in said
    keys = [line.split()[0] for line in said.splitlines()]
    assert len(set(keys)) == len(keys)  # each is said once
    assert main(["inspect", str(tmp_path / "store"), "--check"]) == 4
    assert "images.npy was changed" in capsys.readouterr().err


def test_a_file_of_before_and_one_that_ships_say_what_is_known(cnn, tmp_path, capsys):
    old = tmp_path / "old.safetensors"
    old.write_bytes(without_checksum(cnn.read_bytes()))
    capsys.readouterr()
    assert main(["inspect", str(old), "--check"]) == 0
    assert "checksum    none; the file is of an older htgen" in capsys.readouterr().out
    assert main(["inspect", "glyph-8"]) == 0
    assert "checksum    right" in capsys.readouterr().out
    assert main(["inspect", str(tmp_path), "--json"]) == 5
