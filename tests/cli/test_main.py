"""What all commands share: start-up, exit codes, and a stdout that cannot take what is written."""

import inspect
import operator
import os
import subprocess
import sys
from typing import Any

import pytest
import typer

from htgen.cli import SUMMARIES, app, main


@pytest.mark.parametrize(
    "code",
    [
        "import htgen",
        "import htgen.cli",
        "from htgen.cli import main; main(['--help'])",
        "from htgen.cli import main; main(['configs'])",
        "import htgen; htgen.Bundle",
        "import htgen; htgen.load_generator()",
        "from htgen.cli import main; main(['inspect', 'nothing'])",
    ],
)
def test_light_uses_do_not_import_torch(code):
    check = f"{code}\nimport sys; sys.exit(any(m == 'torch' or m.startswith('torch.') for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", check], capture_output=True, check=False).returncode == 0


def test_predicting_does_not_import_torch(cnn, support):
    code = (
        "import sys; from htgen.cli import main; "
        f"main(['predict', {str(cnn)!r}, {str(support / 'kind0')!r}]); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_generating_does_not_import_torch(support, tmp_path):
    output = tmp_path / "cnn.safetensors"
    code = (
        "import sys; from htgen.cli import main; "
        f"assert main(['generate', '--support', {str(support)!r}, '-o', {str(output)!r}]) == 0; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
    assert output.exists()


def test_every_public_name_can_be_imported():
    import htgen

    assert sorted(htgen.__all__) == htgen.__all__
    for name in htgen.__all__:
        assert getattr(htgen, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        operator.attrgetter("no_such_name")(htgen)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["predict", "nothing.safetensors", "x.png"], 5),
        (["generate", "--support", ".", "-o", "x", "--generator", "nope"], 4),
        (["evaluate", "nope"], 5),
        (["train", "--config", "nope"], 3),
        (["train", "--config", "glyph-8", "--set", "a=b"], 3),
        (["train", "--config", "glyph-8", "--run", "r"], 4),
        (["train", "--run", "nope", "--resume"], 6),
        (["configs", "show", "nope"], 3),
        (["train"], 2),
        (["train", "--resume"], 2),
        (["train", "--config", "glyph-8", "--resume", "--run", "x"], 2),
        (["frobnicate"], 2),
        (["predict"], 2),
    ],
)
def test_every_mistake_has_its_exit_code_and_leaves_nothing(arguments, code, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == code
    assert "Traceback" not in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_results_that_cannot_be_written_are_one_clear_error(cnn, support, tmp_path):
    command = ["sh", "-c", 'ulimit -f 0; exec "$@"', "sh", sys.executable, "-m", "htgen", "predict"]
    with (tmp_path / "table").open("w") as full:
        done = subprocess.run(
            [*command, cnn, support / "kind0"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 7
    assert done.stderr.startswith("error: cannot write")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("form", [[], ["--csv"], ["--json"]])
def test_names_that_stdout_cannot_encode_are_escaped(form, cnn, support):
    (support / "kind0" / "1.png").rename(support / "kind0" / "日本é.png")
    command = [sys.executable, "-m", "htgen", "predict", cnn, support / "kind0", *form]
    environment = os.environ | {"PYTHONIOENCODING": "latin-1"}
    done = subprocess.run(command, capture_output=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert b"\\u65e5\\u672c" in done.stdout


def test_a_closed_stdout_does_not_stop_a_command(support, tmp_path):
    output = tmp_path / "cnn.safetensors"
    command = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "htgen", "generate"]
    done = subprocess.run(
        [*command, "--support", support, "-o", output], stderr=subprocess.PIPE, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert output.exists()


def test_the_version_is_printed(capsys):
    from htgen import __version__

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"htgen {__version__}\n"


@pytest.mark.parametrize("name", SUMMARIES)
def test_the_list_of_commands_says_what_each_says_of_itself(name):
    root: Any = typer.main.get_command(app)
    told = " ".join(inspect.cleandoc(root.commands[name].help).split("\n\n")[0].split())
    assert told.replace("\\", "") == SUMMARIES[name].replace("\\", "")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["predict", "--help"]])
def test_a_command_imports_no_other(arguments):
    code = (
        "import sys; from htgen.cli import main; "
        f"main({arguments!r}); "
        "sys.exit(bool({'htgen.cli.generate', 'htgen.cli.train', 'htgen.cli.bench'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_the_help_lists_every_command():
    done = subprocess.run(
        [sys.executable, "-m", "htgen", "--help"], capture_output=True, text=True, check=True
    )
    lines = [line.strip("│ ") for line in done.stdout.splitlines()]
    for name in SUMMARIES:
        assert any(line.split()[:1] == [name] for line in lines if line)
