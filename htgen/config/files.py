"""Configs as YAML: presets, which are packaged under `presets/`, files, and overrides of single values."""

import re
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from htgen.config.faults import did_you_mean, shown, validate
from htgen.config.run import Config
from htgen.errors import ConfigError
from htgen.files import kind_at, printable, read_regular

_MOST_BYTES = 1 << 20


def preset_names() -> list[str]:
    """Names of the packaged presets, sorted."""
    return sorted(
        entry.name.removesuffix(".yaml")
        for entry in (resources.files("htgen.config") / "presets").iterdir()
        if entry.name.endswith(".yaml")
    )


def preset_text(name: str) -> str:
    """The YAML text of a packaged preset.

    Raises:
        ConfigError: there is no preset of that name.
    """
    names = preset_names()
    if name not in names:
        raise ConfigError(
            f"there is no preset and no file '{printable(name)}'",
            f"{did_you_mean(name, names)}`htgen configs` lists the presets",
        )
    return (resources.files("htgen.config") / "presets" / f"{name}.yaml").read_text(encoding="utf-8")


def config_text(name_or_path: str | Path) -> tuple[str, str]:
    """The YAML text of a preset or a file, and what to call it in errors.

    Raises:
        ConfigError: there is no such preset and no such file, or it cannot be read.
    """
    path, called = Path(name_or_path), printable(str(name_or_path))
    if path.suffix not in (".yaml", ".yml") and kind_at(path) != "file":
        return preset_text(str(name_or_path)), f"preset {called}"
    try:
        return read_regular(path, _MOST_BYTES).decode("utf-8"), called
    except UnicodeDecodeError as error:
        raise ConfigError(f"the config {called} is not text in UTF-8", "a YAML file") from error
    except OSError as error:
        raise ConfigError(
            f"cannot read the config {called}: {error.strerror}",
            "a YAML file, or a preset (`htgen configs` lists them)",
        ) from error


def load_config(
    name_or_path: str | Path, overrides: Iterable[str] = (), values: Mapping[str, Any] | None = None
) -> Config:
    """Read a preset or a YAML file, apply overrides such as `optimizer.lr=3e-4`, and check everything.

    Args:
        name_or_path: of a preset that ships, or of a YAML file.
        overrides: `KEY=VALUE`, applied in order.
        values: further overrides, applied last: key path -> value, taken as it is instead of read as YAML.

    Raises:
        ConfigError: not found, not YAML, or wrong; all faults at once.
    """
    text, origin = config_text(name_or_path)
    settings, lines = parse_yaml(text, origin)
    places = {key: f"line {line}" for key, line in lines.items()}
    for override in overrides:
        key, value = _parse_override(override)
        _set_value(settings, places, key, value)
    for key, value in (values or {}).items():
        _set_value(settings, places, key, value)
    return validate(Config, settings, origin, places)


def change_config(config: Config, overrides: Iterable[str], origin: str) -> Config:
    """A config with other values, given as in `load_config`; `origin` says whose it is.

    Raises:
        ConfigError: an override is wrong; all faults at once.
    """
    settings, places = config.model_dump(mode="json"), dict[str, str]()
    for override in overrides:
        _set_value(settings, places, *_parse_override(override))
    return validate(Config, settings, origin, places)


def dump_config(config: Config) -> str:
    """The resolved config as YAML, every default written out."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def parse_yaml(text: str, origin: str) -> tuple[dict[str, Any], dict[str, int]]:
    """YAML text -> plain values, and the line of every key path.

    Stricter and kinder than PyYAML: a key given twice is an error, and `1e-3` is a number.

    Raises:
        ConfigError: not YAML, not a mapping, or a key given twice.
    """
    lines: dict[str, int] = {}
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return {}, lines
            if not isinstance(node, yaml.MappingNode):
                raise ConfigError(f"{origin}: expected keys and values, found {node.tag.rpartition(':')[2]}")
            _check_size(node, origin)
            _collect_lines(node, "", lines, origin)
            values: dict[str, Any] = _unshared(loader.construct_document(node))
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise ConfigError(f"{origin} is not valid YAML: {error}") from error
    except RecursionError:
        raise ConfigError(f"{origin} is nested too deeply") from None
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # PyYAML lets these through for scalars that do not fit their tag, such as the date 2001-99-99.
        reason = f"{type(error).__name__}: {error}"
        raise ConfigError(f"{origin} has a value that cannot be read ({reason})") from error
    return values, lines


class _Loader(yaml.SafeLoader):
    """SafeLoader that reads `1e-3` as a number; PyYAML follows YAML 1.1, which wants `1.0e-3`."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d[\d_]*\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+0123456789.")
)


_MOST_NODES = 10_000


def _check_size(root: yaml.Node, origin: str) -> None:
    """Refuse aliases that contain themselves, and those whose copies make a small file a huge one."""
    count = 0

    def visit(node: yaml.Node, around: frozenset[int]) -> None:
        nonlocal count
        count += 1
        place = f"{origin} line {node.start_mark.line + 1}"
        if id(node) in around:
            raise ConfigError(f"{place}: an alias of a value that contains the alias")
        if count > _MOST_NODES:
            raise ConfigError(f"{place}: more than {_MOST_NODES} values, aliases counted each time")
        if isinstance(node, yaml.CollectionNode):
            inside = around | {id(node)}
            for child in node.value:
                for part in child if isinstance(child, tuple) else (child,):
                    visit(part, inside)

    visit(root, frozenset())


def _unshared(value: Any) -> Any:
    """A copy in which what aliases made one object is several, so that changing one changes no other."""
    if isinstance(value, dict):
        return {key: _unshared(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_unshared(inner) for inner in value]
    return value


def _collect_lines(node: yaml.MappingNode, prefix: str, lines: dict[str, int], origin: str) -> None:
    seen: set[str] = set()
    for key_node, value_node in node.value:
        key = str(key_node.value)
        if key in seen:
            twice = printable(f"key '{prefix}{key}' is given twice")
            raise ConfigError(f"{origin} line {key_node.start_mark.line + 1}: {twice}")
        seen.add(key)
        lines[prefix + key] = key_node.start_mark.line + 1
        if isinstance(value_node, yaml.MappingNode):
            _collect_lines(value_node, f"{prefix}{key}.", lines, origin)


def _parse_override(override: str) -> tuple[str, Any]:
    path, equals, text = override.partition("=")
    if not equals or not all(path.strip().split(".")):
        raise ConfigError(
            f"cannot read the override {shown(override)}", "KEY.PATH=VALUE, for example optimizer.lr=3e-4"
        )
    return path.strip(), parse_yaml(f"value: {text}", f"override {shown(override)}")[0]["value"]


def _set_value(values: dict[str, Any], places: dict[str, str], path: str, value: Any) -> None:
    *sections, key = path.split(".")
    for depth, section in enumerate(sections, start=1):
        if values.get(section) is None:
            values[section] = {}
            places.setdefault(".".join(sections[:depth]), "override")
        values = values[section]
        if not isinstance(values, dict):
            raise ConfigError(f"override of '{path}': '{section}' is a value, not a section")
    values[key] = value
    for replaced in [place for place in places if place.startswith(f"{path}.")]:
        del places[replaced]
    places[path] = "override"
    places.update({f"{path}.{inner}": "override" for inner in _key_paths(value)})


def _key_paths(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from (f"{key}.{path}" for path in _key_paths(inner))


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested sections -> key paths."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat
