"""The page on devices: its example runs, and the host's part of `make devices` does."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from helpers.cnns import make_bundle
from helpers.compilers import needs_a_compiler
from helpers.toy import toy_values

from htgen.cli import main

ROOT = Path(__file__).parents[2]
pytestmark = needs_a_compiler


def test_the_example_of_the_page_runs(tmp_path, monkeypatch, capsys):
    page = (ROOT / "docs" / "guide" / "devices.md").read_text(encoding="utf-8")
    (c_block,) = re.findall(r"```c\n(.*?)```", page, re.DOTALL)
    (python_block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    for command in re.findall(r"^    htgen (.*)$", page, re.MULTILINE):
        assert main(command.split()) == 0
    exec(compile(python_block, "devices.md", "exec"), {})
    Path("main.c").write_text(c_block)
    strict = ["-std=c99", "-O2", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(["cc", *strict, "main.c", "-o", "main", "-lm"], check=True)
    said = subprocess.run(["./main"], input=Path("03.pgm").read_bytes(), capture_output=True, check=True)
    label, percent, _ = said.stdout.decode().split()
    capsys.readouterr()
    assert main(["predict", "symbols.safetensors", "examples/symbols/new/03.png", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)["predictions"][0]
    assert label == answer["class"] == "key"
    assert float(percent) == pytest.approx(100 * answer["probability"], abs=1)


def test_the_hosts_part_of_make_devices(tmp_path, monkeypatch, capsys):
    import devices

    hosts = [compiler for compiler in devices.compilers() if compiler.name in ("gcc", "g++", "tcc")]
    monkeypatch.setattr(devices, "compilers", lambda: hosts)
    monkeypatch.setattr(devices, "ARM", {})
    monkeypatch.setattr(
        devices.shutil,
        "which",
        lambda name: None if re.search("avr|riscv|stm8", name) else shutil_which(name),
    )
    assert devices.compile_all(tmp_path) == []
    assert devices.runs(tmp_path, ["glyph-8"]) == []
    assert "FAILED" not in capsys.readouterr().out


shutil_which = shutil.which


def test_an_estimate_that_is_a_tenth_off_what_was_counted_is_found():
    import devices

    from htgen.cnn.c_whole import instructions

    bundle = make_bundle()
    m0, m3, m4 = instructions(bundle.spec, len(bundle.classes), 8)
    near = [devices.millions(count * share) for count, share in ((m0, 1.08), (m3, 0.93), (m4, 1))]
    assert devices.estimates(near, bundle, "x") == []
    assert devices.estimates(["not there", *near[1:]], bundle, "x") == []
    (fault,) = devices.estimates([near[0], devices.millions(1.2 * m3), near[2]], bundle, "x")
    assert "on a Cortex-M3" in fault


def test_the_accuracy_measurement_counts(store_path, tmp_path, capsys):
    """In float as `htgen evaluate` does, on the same tasks."""
    from whole_numbers import main as whole_numbers_main

    config, run = tmp_path / "toy.yaml", tmp_path / "run"
    config.write_text(yaml.safe_dump(toy_values(store_path)))
    assert main(["train", "--config", str(config), "--run", str(run)]) == 0
    measuring = ["--split", "toy:test", "--way", "3", "--shot", "1", "--query", "2", "--tasks", "32"]
    capsys.readouterr()
    assert main(["evaluate", str(run), *measuring, "--json"]) == 0
    percent = 100 * json.loads(capsys.readouterr().out)["accuracy"]
    whole_numbers_main([str(run), *measuring])
    said = capsys.readouterr().out
    assert f"toy:test 3-way 1-shot: {percent:.2f} ± " in said
    assert "same class" in said
