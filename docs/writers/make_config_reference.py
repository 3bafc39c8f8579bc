"""Write docs/reference/config.md from the config's own schema: python docs/writers/make_config_reference.py

A test compares the file with what this writes, and its defaults with those of the config.
"""

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from htgen.cnn.shapes import SHAPES
from htgen.config.run import Config
from htgen.schema import section_below

HEAD = """# The config

For people who train a generator: every key of a config, its values, default and meaning.

`python docs/writers/make_config_reference.py` writes this page; do not edit it.

A config is a YAML file with these keys, or a preset (`htgen configs`). A key that is left out has its
default. `htgen configs show NAME --resolved` prints a preset with every value.
`htgen configs copy NAME mine.yaml` makes a file to change; `htgen train --set optimizer.lr=3e-4` changes one
value. Unknown keys, impossible values and combinations that cannot work are refused when the config is read.
All faults are reported at once.
"""
COLUMNS = "| key | values | default | meaning |\n|---|---|---|---|"


def reference() -> str:
    """The text of docs/reference/config.md."""
    schema = Config.model_json_schema()
    return "\n".join([HEAD, *_section("", Config, schema, schema["$defs"], Config().model_dump(mode="json"))])


def _section(
    path: str, section: type[BaseModel], schema: Any, known: Any, defaults: dict[str, Any]
) -> Iterator[str]:
    """The table of a section, then those of the sections in it."""
    meanings = _meanings(section)
    if path:
        yield f"## {path}\n\n{_text(schema['description'])}\n"
    inner, rows = {}, []
    for name, field in schema["properties"].items():
        key = f"{path}.{name}" if path else name
        if "$ref" in field:
            below = section_below(section, name)
            assert below is not None
            inner[name] = key, below, known[field["$ref"].rpartition("/")[2]]
        else:
            values = _listed(SHAPES) if key == "model.cnn.shape" else _values(field)
            rows.append(f"| `{key}` | {values} | {_code(defaults[name])} | {_text(meanings[name])} |")
    if rows:
        yield "\n".join([COLUMNS, *rows, ""])
    for name, (key, below, described) in inner.items():
        yield from _section(key, below, described, known, defaults[name])


def _meanings(section: type[BaseModel]) -> dict[str, str]:
    """The docstring below each key in the source of a section, and of those that it extends."""
    found = {}
    for kind in reversed(section.__mro__):
        if issubclass(kind, BaseModel) and kind is not BaseModel:
            (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
            assert isinstance(definition, ast.ClassDef)
            for key, text in pairwise(definition.body):
                if isinstance(key, ast.AnnAssign) and isinstance(text, ast.Expr):
                    found[ast.unparse(key.target)] = inspect.cleandoc(ast.literal_eval(text.value))
    return found


def _shown(limit: float) -> str:
    """A limit, with blanks between thousands."""
    return f"{int(limit):,}".replace(",", " ") if limit == int(limit) else f"{limit:g}"


def _values(field: dict[str, Any]) -> str:
    """What a key may be, in words."""
    if "anyOf" in field:
        return " or ".join(map(_values, field["anyOf"]))
    if "enum" in field:
        return _listed(field["enum"])
    match field["type"]:
        case "boolean":
            return _listed([False, True])
        case "null":
            return "`null`"
        case "array":
            return f"list of {_values(field['items'])}" if "items" in field else "`[low, high]`"
        case "string":
            return "text"
    limits = {
        "minimum": "from {}",
        "exclusiveMinimum": "above {}",
        "maximum": "to {}",
        "exclusiveMaximum": "below {}",
    }
    # The seed's limits are those of 64 bits, and tell nobody anything.
    words = [
        text.format(_shown(field[limit]))
        for limit, text in limits.items()
        if limit in field and abs(field[limit]) < 2**53
    ]
    return " ".join(["whole number" if field["type"] == "integer" else "number", *words])


def _listed(values: Any) -> str:
    return ", ".join(map(_code, values))


def _code(value: Any) -> str:
    """As YAML writes it."""
    return f"`{value if isinstance(value, str) and value else json.dumps(value)}`"


def _text(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    (Path(__file__).parents[1] / "reference" / "config.md").write_text(reference(), encoding="utf-8")
