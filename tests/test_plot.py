"""Curves are where their values are."""

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from htgen.cli import main
from htgen.errors import RunError
from htgen.plot import Panel, read_metrics, ticks, to_picture, to_text


@pytest.fixture
def run(tmp_path: Path) -> Path:
    lines = [
        {"event": "train", "step": step, "loss": 4 - step / 100, "accuracy": step / 300, "lr": 1e-3}
        for step in range(0, 301, 10)
    ]
    lines += [
        {"event": "validation", "step": step, "accuracy": accuracy, "interval95": 0.01}
        for step, accuracy in ((100, 0.3), (200, 0.7), (300, 0.6))
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


def test_metrics_are_read_and_a_line_that_is_being_written_is_left_out(run: Path) -> None:
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"event": "train", "step": 310, "lo')
    metrics = read_metrics(run)
    assert [panel.title for panel in metrics.panels] == ["loss", "accuracy", "learning rate"]
    assert metrics.panels[1].curves["validation"] == [(100, 0.3), (200, 0.7), (300, 0.6)]
    assert metrics.panels[0].limits == (0, 300, 1, 4)
    assert metrics.summary == "step 300, best validation accuracy 70.00 % at step 200"


def test_a_run_without_metrics_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RunError, match=r"metrics\.jsonl"):
        read_metrics(tmp_path)
    (tmp_path / "metrics.jsonl").write_text("")
    with pytest.raises(RunError, match="nothing about training"):
        read_metrics(tmp_path)
    assert main(["plot", str(tmp_path)]) == 6
    assert "try:" in capsys.readouterr().err


def dots(text: str) -> np.ndarray:
    """The braille dots of a drawn panel, `[4 height, 2 width]`."""
    rows = [line.split("┤")[1] for line in text.splitlines() if "┤" in line]
    bits = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
    out = np.zeros((4 * len(rows), 2 * len(rows[0])), dtype=bool)
    for y, row in enumerate(rows):
        for x, character in enumerate(row):
            for dy in range(4):
                for dx in range(2):
                    out[4 * y + dy, 2 * x + dx] = bool((ord(character) - 0x2800) & bits[dy][dx])
    return out


def test_text_shows_a_straight_line_as_one() -> None:
    text = to_text(Panel("loss", {"train": [(0, 4.0), (100, 0.0)]}), width=20, height=10)
    drawn = dots(text)
    np.testing.assert_array_equal(drawn, np.eye(40, dtype=bool))
    assert text.splitlines()[1].startswith("4 ┤")
    assert text.splitlines()[10].startswith("0 ┤")
    assert text.splitlines()[-1].split() == ["0", "100"]


def test_text_marks_the_points_of_a_second_curve() -> None:
    panel = Panel("accuracy", {"train": [(0, 0.0), (10, 1.0)], "validation": [(0, 1.0)]}, "%")
    lines = to_text(panel, width=10, height=5).splitlines()
    assert lines[0] == "accuracy (⠒ train, ● validation)"
    assert lines[1].startswith("100.0 % ┤●")


@pytest.mark.parametrize("points", [[(5, 2.0)], [(0, 0.0), (10, 0.0)]])
def test_curves_without_extent_can_be_drawn(points: list[tuple[float, float]]) -> None:
    panel = Panel("loss", {"train": points})
    assert dots(to_text(panel)).any()
    assert ticks(*panel.limits[:2])


def test_the_picture_has_a_curve_in_each_panel(run: Path) -> None:
    metrics = read_metrics(run)
    pixels = np.asarray(to_picture(metrics, "toy"))
    blue = (pixels == (0x1F, 0x6F, 0xB4)).all(axis=2)
    red = (pixels == (0xD1, 0x49, 0x5B)).all(axis=2)
    panels = [slice(40 + 300 * k, 340 + 300 * k) for k in range(3)]
    assert all(blue[panel].sum() > 500 for panel in panels)
    assert [bool(red[panel].any()) for panel in panels] == [False, True, False]
    # The loss falls from left to right.
    rows = [np.flatnonzero(blue[panels[0]][:, x]).mean() for x in (120, 500, 950)]
    assert rows == sorted(rows)


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (0.31, 0.93), (1e-5, 1.5e-3), (-3, 20000), (0.9999, 1.0001)]
)
def test_ticks_are_few_and_within(low: float, high: float) -> None:
    found = ticks(low, high)
    assert 3 <= len(found) <= 6
    assert all(low - 1e-9 <= tick <= high + 1e-9 * abs(high) for tick in found)
    assert len({round(b - a, 12) for a, b in pairwise(found)}) == 1


def test_the_command_shows_and_writes(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plot", str(run)]) == 0
    shown = capsys.readouterr().out
    assert "loss" in shown
    assert "best validation accuracy 70.00 % at step 200" in shown
    picture = tmp_path / "curve.png"
    assert main(["plot", str(run), "-o", str(picture)]) == 0
    with Image.open(picture) as image:
        assert image.format == "PNG"
        assert image.size == (1000, 940)
    assert main(["plot", str(run), "-o", str(tmp_path / "curve.txt")]) == 2
    assert not (tmp_path / "curve.txt").exists()


def test_plotting_does_not_import_torch_and_survives_ascii(run: Path) -> None:
    code = (
        f"import sys; from htgen.cli import main; main(['plot', {str(run)!r}]); "
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert done.returncode == 0
    assert b"step 300" in done.stdout
