"""docs/reference/config.md has every key of the config, with the default that it has."""

import importlib.util
import re
from pathlib import Path

import yaml

from htgen.config.files import flatten
from htgen.config.run import Config

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "reference" / "config.md").read_text(encoding="utf-8")


def test_the_page_is_what_the_config_says():
    spec = importlib.util.spec_from_file_location(
        "make_config_reference", DOCS / "writers" / "make_config_reference.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.reference() == PAGE, "run: python docs/writers/make_config_reference.py"


def test_every_key_is_there_once_with_its_default_and_a_meaning():
    rows = re.findall(r"^\| `([a-z0-9_.]+)` \| (.+) \| `(.*)` \| (.+) \|$", PAGE, re.MULTILINE)
    keys = [key for key, *_ in rows]
    assert len(keys) == len(set(keys))
    assert {key: yaml.safe_load(default) for key, _, default, _ in rows} == flatten(
        Config().model_dump(mode="json")
    )
    assert all(values.strip() and meaning.strip() for _, values, _, meaning in rows)
