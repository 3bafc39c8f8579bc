"""`predict --stdin` and `watch`: answers as images come, whole, until the end."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from htgen.cli import main, resident
from htgen.cnn.answers import Answer, NoAnswer
from htgen.cnn.bundle import Bundle

SYMBOLS = Path(__file__).parents[2] / "examples" / "symbols"


@pytest.fixture(scope="module")
def symbols(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("cnn") / "symbols.safetensors"
    assert main(["generate", str(SYMBOLS / "support"), "-o", str(path), "--no-estimate"]) == 0
    return path


@pytest.fixture
def start():
    running: list[subprocess.Popen[str]] = []

    def begin(*arguments: str | Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "htgen", *map(str, arguments)]
        pipe = subprocess.PIPE
        running.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True))
        return running[-1]

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def test_each_line_is_answered_before_the_next_is_sent(symbols, start):
    process = start("predict", symbols, "--stdin", "--json")
    images = sorted((SYMBOLS / "new").glob("*.png"))[:3]
    found = []
    for image in images:
        process.stdin.write(f"{image}\n\n")
        process.stdin.flush()
        found.append(json.loads(process.stdout.readline()))
    process.stdin.write("missing.png\n")
    out, err = process.communicate(timeout=60)
    assert "there is no image" in json.loads(out)["error"]
    assert process.returncode == 1
    assert err == ""
    expected = subprocess.run(
        [sys.executable, "-m", "htgen", "predict", symbols, *images, "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found == json.loads(expected.stdout)["predictions"]


def test_a_file_that_is_half_written_is_waited_for(symbols, start, tmp_path):
    whole = (SYMBOLS / "new" / "01.png").read_bytes()
    image = tmp_path / "slow.png"
    image.write_bytes(whole[: len(whole) // 2])

    def finish() -> None:
        time.sleep(1)
        image.write_bytes(whole)

    process = start("predict", symbols, "--stdin")
    writer = threading.Thread(target=finish)
    writer.start()
    out, _ = process.communicate(f"{image}\n", timeout=60)
    writer.join()
    assert out.startswith(f"{image}: flag")
    assert process.returncode == 0


def test_what_is_no_image_is_told_in_the_end(symbols, start, tmp_path):
    old = tmp_path / "old.png"
    old.write_bytes(b"no image")
    os.utime(old, (1_000_000_000, 1_000_000_000))
    process = start("predict", symbols, "--stdin")
    out, _ = process.communicate(f"{old}\n", timeout=60)
    assert "error: cannot read image" in out
    assert process.returncode == 1


def test_a_folder_is_watched_until_ctrl_c(symbols, start, tmp_path):
    (tmp_path / "before.png").write_bytes((SYMBOLS / "new" / "02.png").read_bytes())
    (tmp_path / "sub").mkdir()
    process = start("watch", symbols, tmp_path, "--json")
    assert process.stderr.readline() == f"warning: sub-folders are not looked into, in {tmp_path}: sub\n"
    said = process.stderr.readline()
    assert said.startswith("watching")
    assert said.endswith("passed over without --existing: 1\n")
    time.sleep(0.5)
    for name, kind in (("01.png", "flag"), ("03.png", "key")):
        (tmp_path / name).write_bytes((SYMBOLS / "new" / name).read_bytes())
        found = json.loads(process.stdout.readline())
        assert (Path(found["image"]).name, found["class"]) == (name, kind)
    (tmp_path / "01.png").write_bytes((SYMBOLS / "new" / "03.png").read_bytes())
    assert json.loads(process.stdout.readline())["class"] == "key"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "")


def test_a_missing_folder_is_an_error_and_is_not_watched(symbols, tmp_path, capsys):
    assert main(["watch", str(symbols), str(tmp_path / "gone")]) == 4
    assert "watching" not in capsys.readouterr().err


def test_a_half_written_file_of_a_folder_is_answered_once_and_holds_up_none(symbols, tmp_path, monkeypatch):
    monkeypatch.setattr(resident, "PATIENCE", 600.0)
    found = resident.answers_in_folder(Bundle.load(symbols), tmp_path, existing=True)
    whole = (SYMBOLS / "new" / "01.png").read_bytes()
    (tmp_path / "slow.png").write_bytes(whole[:200])
    (tmp_path / "broken.png").write_bytes(whole[:300])
    (tmp_path / "zz.png").write_bytes((SYMBOLS / "new" / "03.png").read_bytes())
    assert told(next(found)) == ("zz.png", "key")
    (tmp_path / "slow.png").write_bytes(whole)
    assert told(next(found)) == ("slow.png", "flag")
    monkeypatch.setattr(resident, "PATIENCE", 0.0)
    assert told(next(found)) == ("broken.png", None)
    (tmp_path / "last.png").write_bytes(whole)
    assert told(next(found)) == ("last.png", "flag")


def told(answer: Answer | NoAnswer) -> tuple[str, str | None]:
    return answer.path.name, answer.prediction.label if isinstance(answer, Answer) else None


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["predict", "{cnn}"], "name images, or give --stdin"),
        (["predict", "{cnn}", "-"], "paths come from stdin with --stdin"),
        (["predict", "{cnn}", "x.png", "--stdin"], "name images, or give --stdin"),
        (["predict", "{cnn}", "--stdin", "--csv"], "answers in lines"),
        (["predict", "{cnn}", "x.png", "--support", "."], "it is for --report"),
    ],
)
def test_what_makes_no_sense_is_refused(symbols, arguments, says, capsys):
    assert main([argument.format(cnn=symbols) for argument in arguments]) == 2
    assert says in " ".join(capsys.readouterr().err.replace("│", " ").split())
