import io
import json
import sys

import pytest
from PIL import Image

from htgen.cli import main
from htgen.errors import OutputError, RunError
from htgen.training.curve import Curve, draw, read_curve

LINES = [
    {"event": "train", "step": 10, "loss": 2.0, "accuracy": 0.25, "lr": 1e-3},
    {"event": "validation", "step": 10, "accuracy": 0.5, "interval95": 0.01, "best": True},
    {"event": "train", "step": 20, "loss": 1.0, "accuracy": 0.75, "lr": 5e-4, "loss/l2": 0.1},
    {"event": "validation", "step": 20, "accuracy": 0.4, "interval95": 0.02, "best": False},
]


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    text = "".join(f"{json.dumps(line)}\n" for line in LINES)
    (folder / "metrics.jsonl").write_text(text + '{"event": "train", "step": 30, "lo')  # being written
    return folder


def test_metrics_are_read_by_kind_and_a_torn_line_is_left_out(run):
    curve = read_curve(run)
    assert curve.name == "run"
    assert [entry["loss"] for entry in curve.train] == [2.0, 1.0]
    assert [entry["accuracy"] for entry in curve.validation] == [0.5, 0.4]


def test_the_picture_follows_the_metrics(run):
    first = draw(read_curve(run))
    assert Image.open(io.BytesIO(first)).size == (770, 660)
    with (run / "metrics.jsonl").open("a") as file:
        file.write("\n" + json.dumps({**LINES[2], "step": 40, "loss": 0.1}) + "\n")
    assert draw(read_curve(run)) != first


def test_the_command_writes_into_the_run_or_where_it_is_told(run, tmp_path, capsys):
    assert main(["plot", str(run)]) == 0
    assert (run / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert "up to step 20" in capsys.readouterr().out
    assert main(["plot", str(run), "-o", str(tmp_path / "other.png")]) == 0
    assert (tmp_path / "other.png").exists()


@pytest.mark.parametrize("name", ["best.safetensors", "latest.safetensors", "config.yaml", "metrics.jsonl"])
def test_a_picture_replaces_no_file_of_a_run(run, name, capsys):
    if not (run / name).exists():
        (run / name).write_bytes(b"what it was")
    before = (run / name).read_bytes()
    assert main(["plot", str(run), "-o", str(run / name)]) == 2
    assert "ending with .png" in capsys.readouterr().err
    link = run / "link.png"
    link.symlink_to(run / name)
    assert main(["plot", str(run), "-o", str(link)]) == 2
    assert "a file of the run" in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert (run / name).read_bytes() == before


@pytest.mark.parametrize("content", [None, "", "no json\n", '{"event": "other", "step": 1}\n'])
def test_folders_without_metrics_are_named(tmp_path, content, capsys):
    if content is not None:
        (tmp_path / "metrics.jsonl").write_text(content)
    with pytest.raises(RunError, match=r"metrics\.jsonl"):
        read_curve(tmp_path)
    assert main(["plot", str(tmp_path)]) == 6
    assert not (tmp_path / "curve.png").exists()


def test_a_missing_library_is_told_with_the_command_that_installs_it(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(OutputError, match="matplotlib") as caught:
        draw(read_curve(run))
    assert caught.value.hint == "pip install 'htgen[plot]'"


def test_a_log_of_one_line_can_be_seen(monkeypatch):
    """A line through one point shows nothing, so each is a dot too."""
    entry = {"event": "train", "step": 60, "accuracy": 0.5, "loss": 1.0, "lr": 1e-3}
    curve = Curve("x", [entry], [])
    seen = draw(curve)
    monkeypatch.setattr("htgen.training.curve._FEW", 0)
    assert draw(curve) != seen
