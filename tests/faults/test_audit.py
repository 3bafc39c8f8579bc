"""What the commands of use never do: reach a network, start a program, or write where they were not told."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

AUDITED = """
import json, os, sys

inside, log = os.path.realpath(sys.argv[1]), []

STARTS = {*"subprocess.Popen os.system os.exec os.posix_spawn os.spawn os.fork pty.spawn".split()}
CHANGES = {*"rename remove rmdir mkdir chmod link symlink truncate".split()}

def hook(event, arguments):
    if event.startswith(("socket.", "urllib.", "http.", "ftplib.", "smtplib.", "ssl.")):
        if event not in ("socket.gethostname",):
            log.append([event, repr(arguments)[:200]])
    elif event in STARTS:
        log.append([event, repr(arguments)[:200]])
    elif event == "open":
        path, mode, flags = arguments
        writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        if writes and isinstance(path, (str, bytes)) and os.fsdecode(path) != os.devnull:
            if not (os.path.realpath(os.fsdecode(path)) + os.sep).startswith(inside + os.sep):
                log.append([event, repr(arguments)[:200]])
    elif event.removeprefix("os.") in CHANGES:
        for path in arguments[: 2 if event in ("os.rename", "os.link") else 1]:
            if isinstance(path, (str, bytes, os.PathLike)):
                if not (os.path.realpath(os.fsdecode(path)) + os.sep).startswith(inside + os.sep):
                    log.append([event, repr(arguments)[:200]])

sys.addaudithook(hook)
sys.dont_write_bytecode = True
from htgen.cli import main
code = main(sys.argv[3:])
print(json.dumps({"code": code, "log": log}), file=open(sys.argv[2], "w"))
"""


def audited(inside: Path, report: Path, *arguments: str) -> dict:
    """How a command ends in a process of its own, and what it did that it should not do."""
    subprocess.run(
        [sys.executable, "-c", AUDITED, str(inside), str(report), *arguments],
        capture_output=True,
        timeout=300,
        check=True,
    )
    return json.loads(report.read_text())


SUPPORT = Path(__file__).parents[2] / "examples" / "symbols"


@pytest.fixture(scope="module")
def cnn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from htgen.cli import main

    path = tmp_path_factory.mktemp("cnn") / "x.safetensors"
    assert main(["generate", "--support", str(SUPPORT / "support"), "-o", str(path)]) == 0
    return path


@pytest.mark.parametrize(
    "command", ["generate", "predict", "inspect", "export", "check", "report", "grow", "prepare-data"]
)
def test_nothing_is_reached_started_or_written_elsewhere(command, cnn, tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    arguments = {
        "generate": ["generate", "--support", str(SUPPORT / "support"), "-o", str(inside / "x.safetensors")],
        "predict": ["predict", str(cnn), str(SUPPORT / "new")],
        "inspect": ["inspect", str(cnn)],
        "check": ["inspect", "glyph-8", "--check"],
        "report": ["test", str(cnn), str(SUPPORT / "support"), "--report", str(inside / "x.html")],
        "grow": ["generate", "--drop", "key", str(cnn), "-o", str(inside / "y.safetensors")],
        "prepare-data": [
            *("prepare-data", "folder", "--source", str(SUPPORT / "support"), "--image-size", "8"),
            *("--out", str(inside / "store")),
        ],
        "export": ["export", str(cnn), "-o", str(inside / "x.h")],
    }[command]
    found = audited(inside, tmp_path / "report.json", *arguments)
    # The report itself is the one file outside; the hook sees it after the list was made.
    assert found == {"code": 0, "log": []}


def test_the_hook_would_notice(tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    found = audited(inside, tmp_path / "report.json", "configs", "copy", "glyph-8", str(tmp_path / "x.yaml"))
    assert found["code"] == 0
    assert {event for event, _ in found["log"]} >= {"open", "os.rename"}
