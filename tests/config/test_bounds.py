"""Every number of a config has bounds that are checked before anything is made of it."""

import json
from typing import Any

import pytest
from helpers.toy import toy_values

from htgen.cli import main
from htgen.config.faults import validate
from htgen.config.files import load_config
from htgen.config.run import Config
from htgen.errors import ConfigError
from htgen.hypertransformer.plan import MOST_PARAMETERS, generator_plan

SEED = "seed"


def numbers(
    schema: dict[str, Any], known: dict[str, Any], path: str = ""
) -> list[tuple[str, dict[str, Any]]]:
    """Key path and schema of every value that may be a number."""
    found = []
    for name, field in schema["properties"].items():
        key = f"{path}.{name}" if path else name
        if "$ref" in field:
            inner = known[field["$ref"].rpartition("/")[2]]
            found += numbers(inner, known, key)
            continue
        for choice in field.get("anyOf", [field]):
            if choice.get("type") in ("integer", "number"):
                found.append((key, choice))
    return found


SCHEMA = Config.model_json_schema()
NUMBERS = numbers(SCHEMA, SCHEMA["$defs"])


def refused(key: str, value: Any) -> str:
    values = Config().model_dump(mode="json")
    section = values
    *sections, last = key.split(".")
    for name in sections:
        section = section[name]
    section[last] = value
    with pytest.raises(ConfigError) as caught:
        validate(Config, values, "the config")
    return caught.value.message


@pytest.mark.parametrize("key", sorted({key for key, _ in NUMBERS}))
@pytest.mark.parametrize("value", [10**30, -(10**30), 1e300, -1e300, float("inf"), float("nan")])
def test_no_number_is_without_bounds(key, value):
    assert key in refused(key, value)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (["episodes.way=10000", "model.max_way=10000", "episodes.shot=10000"], "pixel values, at most"),
        (["train.episodes_per_step=65536", "episodes.shot=1000"], "pixel values, at most"),
        (["model.image_size=4096", "model.cnn.channels=4096"], "numbers an image; at most"),
        (["model.image_size=4096", "model.shared.width=4096"], "numbers an image; at most"),
        (["episodes.shot=[1, 100000]"], "from 1 to 10000, or a range"),
    ],
)
def test_what_together_fills_the_memory_is_refused(values, says):
    with pytest.raises(ConfigError, match=says):
        load_config("glyph-8", values)


def test_a_generator_that_fits_into_no_memory_is_refused_before_it_is_built(store_path, tmp_path, capsys):
    values = toy_values(store_path)
    values["model"] |= {"embedding_dim": 4096, "transformer": {"layers": 64, "inner_width": 65536}}
    config = Config.model_validate(values)
    with pytest.raises(ConfigError, match="parameters; at most"):
        generator_plan(config.model).check_size()
    (tmp_path / "big.yaml").write_text(json.dumps(values))
    assert main(["train", "--config", str(tmp_path / "big.yaml"), "--run", str(tmp_path / "run")]) == 3
    assert str(MOST_PARAMETERS) in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_config_is_a_regular_file_of_a_sensible_size(tmp_path, capsys):
    (tmp_path / "long.yaml").write_bytes(b"#" * ((1 << 20) + 1))
    assert main(["configs", "show", "/dev/zero"]) == 3
    for path, says in (("long.yaml", "more than 1048576 bytes"), (".", "folder")):
        target = tmp_path / path if path != "." else (tmp_path / "folder.yaml")
        if path == ".":
            target.mkdir()
        assert main(["train", "--config", str(target)]) == 3
        assert says in capsys.readouterr().err
