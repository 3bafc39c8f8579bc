"""`htgen inspect` as a user runs it."""

import json

import numpy as np
import pytest
from safetensors.numpy import save

from htgen.cli import main


def test_a_cnn_and_a_generator_are_inspected(cnn, run_path, capsys):
    capsys.readouterr()
    assert main(["inspect", str(cnn)]) == 0
    said = capsys.readouterr().out
    assert "kind0 (3 images), kind1 (3 images), kind2 (3 images)" in said
    assert "conv4       4 -> 4 channels, 3x3, 2 -> 2 pixels" in said
    assert "support statistics, frozen" in said
    assert main(["inspect", str(run_path)]) == 0
    said = capsys.readouterr().out
    assert "2 to 6" in said
    assert "% on toy:val, 8 tasks" in said
    assert main(["inspect", str(run_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["provenance"]["config"]["name"] == "toy"
    assert main(["inspect", str(run_path / "latest.safetensors")]) == 0
    assert "step        60" in capsys.readouterr().out


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


@pytest.mark.parametrize("content", [b"", b"x" * 300, None])
def test_inspecting_something_else_is_an_error(content, tmp_path, capsys):
    path = tmp_path / "x.safetensors"
    if content is not None:
        path.write_bytes(content)
    assert main(["inspect", str(path)]) == 5
    assert "x.safetensors" in capsys.readouterr().err
