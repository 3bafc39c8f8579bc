"""A part of what `make faults` tries, and that the page shows what it printed."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "reference" / "reliability.md"


def test_kills_full_disks_damaged_and_hostile_files_do_no_harm(tmp_path):
    few = ["--inputs", "3000", "--damages", "60", "--every", "120", "--moments", "3"]
    ended = subprocess.run(
        [sys.executable, "-m", "faults", *few, "--json", str(tmp_path / "counts.json")],
        cwd=TESTS,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{TESTS.parent}{os.pathsep}{TESTS}"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    counts = json.loads((tmp_path / "counts.json").read_text())
    assert counts["failures"] == 0
    assert counts["done"]["kills"] >= 8
    assert counts["done"]["writes refused"] >= 6
    assert counts["done"]["files damaged"] >= 240
    assert counts["done"]["inputs tried"] >= 3000
    assert re.search(r"\n\| at commit \| (unknown|[0-9a-f]{7,}(, with changes)?) \|\n", ended.stdout)


def test_the_commit_is_that_of_the_working_copy(tmp_path):
    from faults.__main__ import commit

    assert commit(tmp_path) == "unknown"
    git = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    (tmp_path / "file").write_text("one")
    for command in (["init", "-q"], ["add", "file"], ["commit", "-qm", "x"]):
        subprocess.run([*git, *command], check=True, capture_output=True)
    assert re.fullmatch("[0-9a-f]{7,}", commit(tmp_path))
    (tmp_path / "file").write_text("two")
    assert commit(tmp_path).endswith(", with changes")


def test_the_harness_would_notice(tmp_path):
    """What is half written, or written in place, is not taken for the old or the new."""
    from faults.interruptions import Interruptions, Tally
    from faults.workshop import Command

    command = Command("x", (), ("made",))
    folder = tmp_path / "trial"
    folder.mkdir()
    (folder / "made").write_text("ne")
    tally = Tally()
    trials = Interruptions(tmp_path, tmp_path, tally)
    trials._look(command, "x", folder, {"made": b"old"}, {"made": b"new"})
    assert tally.lost == ["x: made is neither the old nor the new one"]
    for whole in ("old", "new"):
        (folder / "made").write_text(whole)
        trials._look(command, "x", folder, {"made": b"old"}, {"made": b"new"})
    assert len(tally.lost) == 1


def test_the_page_shows_a_run_without_a_failure():
    text = PAGE.read_text()
    text = text.partition("| part |")[0]  # the seconds of each part come after the counts
    rows = dict(re.findall(r"^\| ([^|]+?) \| ([0-9 ]+?) \|$", text, re.MULTILINE))
    assert re.search(r"^\| at commit \| [0-9a-f]{7,} \|$", text, re.MULTILINE)  # and without changes
    rows.pop("at commit", None)  # which may be digits alone
    counts = {what: int(number.replace(" ", "")) for what, number in rows.items()}
    assert counts["hostile inputs"] >= 10**6
    assert counts["kills survived"] >= 100
    for what in ("tracebacks", "hangs", "data lost, or a run that goes on otherwise"):
        assert counts[what] == 0
    assert counts["answers from damaged files, or another exit code"] == 0


def test_the_layer_counts_what_changes_files_below_its_folder_alone(tmp_path):
    from faults.child import fork
    from faults.layer import Layer

    (tmp_path / "in").mkdir()
    layer = Layer(tmp_path / "in")

    def work() -> int:
        (tmp_path / "out").write_text("x")
        Path("a").write_text("x")
        Path("a").rename("b")
        Path("b").read_text()
        Path("b").unlink()
        return 0

    assert fork(tmp_path / "in", work, layer).code == 0
    assert (tmp_path / "in.calls").read_text().split() == ["open", "write", "rename", "unlink"]


@pytest.mark.parametrize(("what", "left"), [("kill before", ""), ("kill after", "he")])
def test_a_write_can_be_the_last_call(what, left, tmp_path):
    from faults.child import fork
    from faults.layer import Layer

    (tmp_path / "in").mkdir()
    ended = fork(tmp_path / "in", lambda: Path("a").write_text("here"), Layer(tmp_path / "in", what, at=1))
    assert ended.code == -9
    assert (tmp_path / "in" / "a").read_text() == left
