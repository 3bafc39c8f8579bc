"""`htgen configs` as a user runs it."""

import yaml

from htgen.cli import main


def test_presets_are_listed_shown_and_copied(tmp_path, capsys):
    assert main(["configs"]) == 0
    assert "omniglot_1shot " in capsys.readouterr().out
    assert main(["configs", "show", "omniglot_1shot", "--resolved"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["optimizer"]["name"] == "sgd"
    target = tmp_path / "mine.yaml"
    assert main(["configs", "copy", "omniglot_1shot", str(target)]) == 0
    assert main(["configs", "show", str(target), "--resolved"]) == 0
    assert main(["configs", "copy", "omniglot_1shot", str(target)]) == 7
