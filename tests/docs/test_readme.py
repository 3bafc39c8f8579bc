"""What the README shows is what happens, with the generator that ships."""

import json
import re
from pathlib import Path

import pytest

from htgen.cli import main
from htgen.generator.shipped import DEFAULT_GENERATOR, generator_path, shipped_generators
from htgen.images.notices import FOR_PHOTOGRAPHS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SYMBOLS = ROOT / "examples" / "symbols"


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """An empty folder with the examples in it, as the current one."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shown(command: str) -> list[str]:
    """The output that the README shows below a command, without durations."""
    block = re.search(
        rf"^    \$ {re.escape(command)}[^\n]*\n((?:    [^\n]*\n|\n(?=    ))*)", README, re.MULTILINE
    )
    assert block is not None, command
    return without_durations(re.sub(r"^    ", "", block[1], flags=re.MULTILINE))


def without_durations(text: str) -> list[str]:
    return re.sub(r"in [\d.]+ ms", "in … ms", text).strip().splitlines()


def test_the_readme_shows_what_the_commands_print(workplace, capsys):
    generate = ["generate", "--support", "examples/symbols/support", "-o", "symbols.safetensors"]
    assert main(generate) == 0
    assert without_durations(capsys.readouterr().out) == shown("htgen " + " ".join(generate))
    predict = ["predict", "symbols.safetensors", "examples/symbols/new"]
    assert main(predict) == 0
    printed = capsys.readouterr().out.strip().splitlines()
    kept = shown("htgen " + " ".join(predict))
    assert kept[-1] == "..."
    assert printed[: len(kept) - 1] == kept[:-1]
    export = ["export", "symbols.safetensors", "-o", "symbols.h"]
    assert main(export) == 0
    assert without_durations(capsys.readouterr().out) == shown("htgen " + " ".join(export))
    assert main(["export", "symbols.safetensors", "-o", "symbols.html"]) == 0
    guide = (ROOT / "docs" / "guide" / "app.md").read_text(encoding="utf-8")
    (kilobytes,) = re.findall(r"One file, about (\d+) kB for a CNN of `glyph-8`", guide)
    assert Path("symbols.html").stat().st_size == pytest.approx(1000 * int(kilobytes), rel=0.1)


def test_the_examples_are_answered(workplace, capsys):
    assert main(["generate", "--support", str(SYMBOLS / "support"), "-o", "cnn.safetensors"]) == 0
    capsys.readouterr()
    assert main(["predict", "cnn.safetensors", str(SYMBOLS / "new"), "--json"]) == 0
    found = {Path(p["image"]).name: p["class"] for p in json.loads(capsys.readouterr().out)["predictions"]}
    answers = dict(line.split() for line in (SYMBOLS / "answers.txt").read_text().splitlines())
    assert found.keys() == answers.keys()
    right = sum(found[name] == answer for name, answer in answers.items())
    assert right >= 23  # of 24; chance is 4


def test_the_python_examples_run(workplace, capsys):
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
    assert capsys.readouterr().out.startswith("('bolt', 'key')\nkey\n")


def test_every_shipped_generator_has_a_card_and_is_small():
    assert {DEFAULT_GENERATOR, FOR_PHOTOGRAPHS} <= set(shipped_generators())
    for name in shipped_generators():
        path = generator_path(name)
        assert path.stat().st_size < 5_000_000
        card = (ROOT / "docs" / "generators" / f"{name}.md").read_text(encoding="utf-8")
        for part in ("Data", "Recipe", "Results", "Weaknesses"):
            assert f"## {part}" in card, (name, part)
