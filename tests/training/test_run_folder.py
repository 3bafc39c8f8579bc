import pytest
from helpers.runs import train

from htgen.config.files import dump_config
from htgen.errors import DataError, RunError
from htgen.training.run_folder import RunFolder


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
