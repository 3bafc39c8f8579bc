"""Write docs/guide/python.md from docstrings: python docs/writers/make_python_reference.py

Every name that `htgen.__all__` lists has its place there. A test compares the file with what this writes.
"""

import inspect
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import htgen

HEAD = """# In Python

For programmers who generate or run CNNs from Python: every public name of `htgen`.

`python docs/writers/make_python_reference.py` writes this page from the docstrings; do not edit it.

```python
import htgen

generator = htgen.load_generator("glyph-8")  # a name, a file, or the folder of a run
support = ["examples/symbols/support/key/1.png", "examples/symbols/support/bolt/1.png"]
cnn = generator.generate(support, ["key", "bolt"])  # a torch.nn.Module
cnn.save("cnn.safetensors")

bundle = htgen.Bundle.load("cnn.safetensors")  # the same CNN without torch
print(bundle.predict(["examples/symbols/new/03.png"])[0].label)  # key
```
"""
ERRORS = """## Errors

All are exceptions. `message` says what is wrong and where; `hint` says what to do. The command line ends with
the exit code of the error.

| exception | raised when | exit code |
|---|---|---|"""
SECTION = re.compile(r"^(Args|Attributes|Returns|Yields|Raises|Example|Examples):$")
ENTRY = re.compile(r"^([A-Za-z_][\w.]*(?:, [A-Za-z_][\w.]*)*): (.*)$")


class Docstring(NamedTuple):
    """A docstring, taken apart.

    Attributes:
        text: its paragraphs, each in one line.
        example: lines of code.
        sections: title -> entries (name, text) of `Args` and the like; `Returns` has entries without names.
    """

    text: list[str]
    example: list[str]
    sections: dict[str, list[tuple[str, str]]]


def reference() -> str:
    """The text of docs/guide/python.md."""
    public = {name: getattr(htgen, name) for name in htgen.__all__}
    errors = {name: value for name, value in public.items() if _is_error(value)}
    functions = {name: value for name, value in public.items() if inspect.isroutine(value)}
    classes = {name: v for name, v in public.items() if inspect.isclass(v) and name not in errors}
    modules = {name: value for name, value in public.items() if isinstance(value, ModuleType)}
    parts = [HEAD]
    for name, value in functions.items():
        parts += _function(name, value)
    for name, value in classes.items():
        parts += _class(name, value)
    for name, value in modules.items():
        parts += [f"## htgen.{name}", "", *_paragraphs(parse(value.__doc__))]
    rest = public.keys() - errors.keys() - functions.keys() - classes.keys() - modules.keys()
    for name in sorted(rest):
        parts += [f"## htgen.{name}", "", f"A constant of type `{type(public[name]).__name__}`.", ""]
    if errors:
        parts += [ERRORS, *(_error(name, error) for name, error in errors.items()), ""]
    return "\n".join(parts)


def parse(docstring: str | None) -> Docstring:
    """Take a docstring apart."""
    found = Docstring([], [], {})
    title, lines = "", list[str]()
    for line in [*inspect.cleandoc(docstring or "").splitlines(), "Example:"]:
        if not SECTION.match(line):
            lines.append(line)
            continue
        if title == "Example":
            found.example.extend(
                re.sub(r"^(>>>|\.\.\.) ?", "", text.strip()) for text in lines if text.strip()
            )
        elif title:
            found.sections[title] = _entries(lines)
        else:
            paragraphs = "\n".join(lines).strip().split("\n\n")
            found.text.extend(" ".join(p.split()) for p in paragraphs if not p.startswith("    "))
        title, lines = line.rstrip(":"), []
    return found


def _entries(lines: list[str]) -> list[tuple[str, str]]:
    """The entries of a section: a name and a text, which may go on in the lines below."""
    entries: list[tuple[str, str]] = []
    for line in inspect.cleandoc("\n" + "\n".join(lines)).splitlines():
        if match := ENTRY.match(line):
            entries.append((match[1], match[2]))
        elif entries:
            name, text = entries[-1]
            entries[-1] = (name, f"{text} {line.strip()}".strip())
        elif line.strip():
            entries.append(("", line.strip()))
    return entries


def _function(name: str, value: Any) -> Iterator[str]:
    """A heading, what it does, its arguments and its errors."""
    doc = parse(value.__doc__)
    yield f"## htgen.{name}"
    yield f"\n    {_call(f'htgen.{name}', value)}\n"
    yield from _paragraphs(doc)
    if doc.example:
        yield "\n".join(f"    {line}" for line in doc.example) + "\n"
    yield from _table("argument", doc.sections.get("Args", []))
    for title in ("Returns", "Yields", "Raises"):
        if title in doc.sections:
            yield f"{title}: {_listed(doc.sections[title])}\n"


def _class(name: str, value: Any) -> Iterator[str]:
    """A heading, what it is, what it holds, and what can be done with it."""
    doc = parse(value.__doc__)
    yield f"## htgen.{name}\n"
    yield from _paragraphs(doc)
    held = doc.sections.get("Attributes", [])
    known = {part for entry, _ in held for part in entry.split(", ")}
    held = held + [
        (attribute, " ".join(parse(member.__doc__).text))
        for attribute, member in vars(value).items()
        if isinstance(member, property | cached_property)
        and not attribute.startswith("_")
        and attribute not in known
    ]
    yield from _table("attribute", held)
    methods = [(m, f) for m, f in vars(value).items() if not m.startswith("_") and _is_method(f)]
    if methods:
        yield "| method | what it does |\n|---|---|"
        yield from (f"| `{_call(m, getattr(value, m))}` | {_cell(_method(f))} |" for m, f in methods)
        yield ""


def _error(name: str, value: Any) -> str:
    code = getattr(value, "exit_code", 1)
    return f"| `{name}` | {_cell(parse(value.__doc__).text[0])} | {code} |"


def _method(member: Any) -> str:
    """All that its docstring says, for one cell."""
    doc = parse(inspect.unwrap(getattr(member, "__func__", member)).__doc__)
    text = " ".join(doc.text)
    for entry, meaning in doc.sections.get("Args", []):
        text += f"<br>`{entry}`: {meaning}"
    for title in ("Returns", "Yields", "Raises"):
        if title in doc.sections:
            text += f"<br>{title}: {_listed(doc.sections[title])}"
    return text


def _table(what: str, entries: list[tuple[str, str]]) -> Iterator[str]:
    if entries:
        yield f"| {what} | meaning |\n|---|---|"
        yield from (f"| `{name}` | {_cell(text)} |" for name, text in entries)
        yield ""


def _paragraphs(doc: Docstring) -> Iterator[str]:
    for paragraph in doc.text:
        yield f"{paragraph}\n"


def _listed(entries: list[tuple[str, str]]) -> str:
    return " ".join(f"`{name}`: {text}" if name else text for name, text in entries)


def _call(name: str, value: Any) -> str:
    """The call with names and defaults; types are in the text."""
    arguments, keywords = [], False
    for argument in inspect.signature(value).parameters.values():
        if argument.name in ("self", "cls"):
            continue
        if argument.kind is argument.KEYWORD_ONLY and not keywords:
            arguments.append("*")
            keywords = True
        stars = {argument.VAR_POSITIONAL: "*", argument.VAR_KEYWORD: "**"}.get(argument.kind, "")
        keywords = keywords or stars == "*"
        shown = getattr(argument.default, "__name__", repr(argument.default))  # a function by its name
        default = "" if argument.default is argument.empty else f"={shown}"
        arguments.append(f"{stars}{argument.name}{default}")
    return f"{name}({', '.join(arguments)})"


def _is_method(member: Any) -> bool:
    return inspect.isfunction(member) or isinstance(member, classmethod | staticmethod)


def _is_error(value: Any) -> bool:
    return inspect.isclass(value) and issubclass(value, Exception)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    target = Path(__file__).parents[1] / "guide" / "python.md"
    target.write_text(reference(), encoding="utf-8")
