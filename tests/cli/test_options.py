"""Options whose odd values must end in one clear message."""

from pathlib import Path

import pytest

from htgen.cli import main
from htgen.cli.device import resolve_device
from htgen.cli.train import _clock


def test_configs_show_prints_a_file_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "own.yaml"
    text = "# mine\nname: own\noptimizer: {lr: 2e-3}\n"
    path.write_text(text)
    assert main(["configs", "show", str(path)]) == 0
    assert capsys.readouterr().out == text
    assert main(["configs", "show", str(path), "--resolved"]) == 0
    assert "lr: 0.002" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["nothing.yaml", "omniglot_1shto", "."])
def test_configs_show_tells_what_is_missing(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["configs", "show", name]) == 3
    told = capsys.readouterr().err
    assert name in told
    assert "\n  try: " in told
    assert "Errno" not in told


def test_a_config_that_is_no_text_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "odd.yaml").write_bytes(b"\x89PNG")
    assert main(["train", "--config", str(tmp_path / "odd.yaml")]) == 3
    assert "odd.yaml is not text in UTF-8\n  try: " in capsys.readouterr().err


@pytest.mark.parametrize(
    "name",
    ["meta", "xla", "cuda:", "cuda:-1", "cuda:x", "cpu:1", "CPU", "", "auto ", "cuda:99999999999999999999"],
)
def test_other_devices_are_a_usage_error_in_a_line(name, tmp_path, store_path, capsys):
    run = str(tmp_path / "run")
    code = main(
        ["train", "--config", "omniglot_1shot", "--data", str(store_path), "--run", run, "--device", name]
    )
    message = capsys.readouterr().err
    assert code == 2
    assert "Traceback" not in message
    assert len(message) < 800


def test_the_cpu_is_a_device():
    assert resolve_device("cpu").type == "cpu"
    assert resolve_device("auto").type in ("cpu", "cuda")


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "00:00:00"), (59.9, "00:00:59"), (3661, "01:01:01"), (108_000, "30:00:00"), (864_000, "240:00:00")],
)
def test_time_left_goes_on_counting_hours_after_a_day(seconds, shown):
    assert _clock(seconds) == shown
