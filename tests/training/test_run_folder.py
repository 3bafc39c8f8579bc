import json
import shutil

import pytest
from helpers.runs import metrics, train

from htgen.config.files import dump_config
from htgen.errors import DataError, RunError
from htgen.training.curve import read_curve, read_metrics_line
from htgen.training.run_folder import RunFolder
from htgen.training.trainer import Trainer


def test_a_run_folder_is_not_replaced_unless_told(config, tmp_path):
    train(config, tmp_path / "run")
    with RunFolder(tmp_path / "run") as run:
        with pytest.raises(RunError, match="already holds a run"):
            run.start("", overwrite=False)
        run.start(dump_config(config), overwrite=True)
    assert not (tmp_path / "run" / "latest.safetensors").exists()


def test_a_run_folder_in_use_is_refused(tmp_path):
    with RunFolder(tmp_path / "run"), pytest.raises(RunError, match="in use"), RunFolder(tmp_path / "run"):
        pass


def test_folders_made_for_a_run_that_never_began_go_again(tmp_path):
    (tmp_path / "mine").mkdir()
    for path in ("runs/first", "mine", "mine/inner"):
        with pytest.raises(DataError), RunFolder(tmp_path / path):
            raise DataError("there is no store")
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*")] == ["mine"]


def test_what_a_killed_process_left_is_cleared(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".latest.safetensors.abc.tmp").write_text("half")
    (tmp_path / "run" / "config.yaml").write_text("")
    with RunFolder(tmp_path / "run"):
        assert not (tmp_path / "run" / ".latest.safetensors.abc.tmp").exists()


BAD_LINES = [
    b"",
    b"[]",
    b"3",
    b"null",
    b"{}",
    b'{"event": "train"}',
    b'{"event": "train", "step": "3"}',
    b'{"event": "train", "step": true}',
    b'{"event": "train", "step": -1}',
    b'{"event": "train", "step": 1e3}',
    b'{"event": [], "step": 3}',
    b'{"event": "train", "step": 3, "loss": "low"}',
    b'{"event": "train", "step": 3, "loss": NaN}',
    b'{"event": "train", "step": 3, "loss": 1' + b"0" * 400 + b"}",
    b'{"event": "train", "step": 3, "loss": 1' + b"0" * 5000 + b"}",
    b"[" * 100_000,
    b"\xff\xfe",
    b'{"event": "train", "step": 3, "lo',
]


@pytest.mark.parametrize("line", BAD_LINES, ids=range(len(BAD_LINES)))
def test_a_bad_line_is_no_metric(line):
    assert read_metrics_line(line) is None


def test_bad_lines_of_the_metrics_never_block_a_run(config, tmp_path):
    train(config, tmp_path / "whole")
    train(config, tmp_path / "run", stop_after=3)
    path = tmp_path / "run" / "metrics.jsonl"
    good = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([*BAD_LINES, *good, *BAD_LINES]))
    assert len(read_curve(tmp_path / "run").train) == 1
    train(config, tmp_path / "run", resume=True)
    assert metrics(tmp_path / "run") == metrics(tmp_path / "whole")


def test_metrics_that_cannot_be_read_are_told(config, tmp_path):
    train(config, tmp_path / "run", stop_after=3)
    (tmp_path / "run" / "metrics.jsonl").unlink()
    (tmp_path / "run" / "metrics.jsonl").mkdir()
    with pytest.raises(RunError, match=r"metrics\.jsonl: it is a folder"):
        train(config, tmp_path / "run", resume=True)


@pytest.mark.parametrize("how", ["renamed", "removed", "replaced"])
def test_a_folder_that_is_taken_away_is_never_written_to_again(how, config, tmp_path):
    path = tmp_path / "run"
    with RunFolder(path) as run:
        run.start(dump_config(config), overwrite=False)
        events = Trainer(config, run).events()
        next(events)
        if how == "removed":
            shutil.rmtree(path)
        else:
            path.rename(tmp_path / "elsewhere")
        if how == "replaced":
            with RunFolder(path) as other:  # another trainer takes the name
                other.start("name: other\n", overwrite=False)
                with pytest.raises(RunError, match="moved, replaced or removed"):
                    list(events)
            assert (path / "config.yaml").read_text() == "name: other\n"
        else:
            with pytest.raises(RunError, match="moved, replaced or removed"):
                list(events)
            assert not path.exists()
    if how != "removed":
        lines = (tmp_path / "elsewhere" / "metrics.jsonl").read_text().splitlines()
        assert [json.loads(line)["step"] for line in lines] == [2]


def test_a_lock_that_was_taken_away_with_its_folder_is_no_lock(tmp_path, monkeypatch):
    """Between opening the lock and locking it, whoever had it before may have removed it."""
    run = RunFolder(tmp_path / "run")
    locked, calls = RunFolder._locked, []

    def slow(self):
        lock = locked(self)
        if not calls:
            (self.path / ".lock").unlink()
        calls.append(1)
        return lock

    monkeypatch.setattr(RunFolder, "_locked", slow)
    with run, pytest.raises(RunError, match="in use"), RunFolder(tmp_path / "run"):
        pass
    assert len(calls) == 2


def test_a_run_that_was_left_is_still_written_to(tmp_path):
    """A benchmark's trainer outlives the lock of its folder."""
    with RunFolder(tmp_path / "run") as run:
        run.start("", overwrite=False)
    run.log({"event": "train", "step": 1})
    assert read_metrics_line(run.metrics_path.read_bytes()) == {"event": "train", "step": 1}
