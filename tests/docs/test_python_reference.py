"""docs/guide/python.md has every public name, as its docstring says."""

import importlib.util
import inspect
import re
from pathlib import Path

import pytest

import htgen

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "guide" / "python.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def writer():
    path = ROOT / "docs" / "writers" / "make_python_reference.py"
    spec = importlib.util.spec_from_file_location("make_python_reference", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_docstrings_say(writer):
    assert writer.reference() == PAGE, "run: python docs/writers/make_python_reference.py"


def test_every_public_name_is_there_once():
    headings = re.findall(r"^## htgen\.(\w+)$", PAGE, re.MULTILINE)
    errors = re.findall(r"^\| `(\w+Error)` \| .+ \| \d+ \|$", PAGE, re.MULTILINE)
    assert sorted(headings + errors) == sorted(htgen.__all__)


def test_every_public_method_is_there_with_its_arguments():
    methods = {
        (name, method): list(inspect.signature(member).parameters)
        for name in htgen.__all__
        if inspect.isclass(value := getattr(htgen, name)) and not issubclass(value, Exception)
        for method, member in inspect.getmembers(value, inspect.isroutine)
        if method in vars(value) and not method.startswith("_") and callable(member)
    }
    assert len(methods) > 10
    for (name, method), arguments in methods.items():
        section = PAGE.split(f"## htgen.{name}\n")[1].split("\n## ")[0]
        row = re.search(rf"^\| `{method}\((.*?)\)` \| .+ \|$", section, re.MULTILINE)
        assert row is not None, f"{name}.{method}"
        assert re.findall(r"(\w+)(?:=[^,]+)?(?:, |$)", row[1]) == [a for a in arguments if a != "self"]


def test_what_a_docstring_says_is_taken_apart(writer):
    found = writer.parse(
        """One sentence
        over two lines.

            an example

        Args:
            first, second: of both,
                and more of it.
            third: another

        Returns:
            None when there is none,
            and more.

        Raises:
            DataError: it is bad.
        """
    )
    assert found.text == ["One sentence over two lines."]
    assert found.sections == {
        "Args": [("first, second", "of both, and more of it."), ("third", "another")],
        "Returns": [("", "None when there is none, and more.")],
        "Raises": [("DataError", "it is bad.")],
    }


def test_the_example_runs(tmp_path, monkeypatch, capsys):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(block, "python.md", "exec"), {})
    assert capsys.readouterr().out == "key\n"
