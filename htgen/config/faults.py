"""Checking plain values against the schema: every fault at once, with its key path and place."""

import copy
import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from htgen.errors import ConfigError
from htgen.files import printable
from htgen.schema import Faults, section_below

Schema = TypeVar("Schema", bound=BaseModel)


def validate(
    schema: type[Schema], values: Mapping[str, Any], origin: str, places: Mapping[str, str] | None = None
) -> Schema:
    """Check plain values against a schema: `Config`, or one of its sections.

    Args:
        origin: what to call the source in errors.
        places: where each key path was given, such as "line 3".

    Raises:
        ConfigError: one message that lists every fault.
    """
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        faults = [
            (f"{places[path]}: " if places and path in places else "") + (f"{path}: {text}" if path else text)
            for path, text in _all_faults(schema, values, error)
        ]
        head = f"{origin} has {len(faults)} fault{'s' if len(faults) > 1 else ''}:"
        raise ConfigError("\n".join([head, *(f"  {printable(fault)}" for fault in faults)])) from None


def _all_faults(
    schema: type[BaseModel], values: Mapping[str, Any], error: ValidationError
) -> dict[tuple[str, str], None]:
    """(key path, reason) of every fault, in order.

    A section's combinations are only checked when each of its values is right. So wrong values are
    replaced by their defaults until nothing else is wrong; what is only wrong because of a default that
    was put there is left out.
    """
    faults = dict.fromkeys(text for _, text in _describe_faults(error, schema))
    remaining: Any = copy.deepcopy(values)
    replaced: list[re.Pattern[str]] = []
    while True:
        wrong = {keys for keys, _ in _describe_faults(error, schema)}
        removed = [keys for keys in wrong if _remove(remaining, keys)]
        if not removed:  # a default does not fit the section's other values
            removed = [keys for keys in {keys[:1] for keys in wrong} if _remove(remaining, keys)]
        if not removed:
            return faults
        replaced += [pattern for keys in removed for pattern in _mentions(schema, keys)]
        reported = {path for path, _ in faults}
        try:
            schema.model_validate(remaining)
        except ValidationError as again:
            error = again
        else:
            return faults
        for _, (path, text) in _describe_faults(error, schema):
            if path not in reported and not any(p.search(f"{path}: {text}") for p in replaced):
                faults[path, text] = None


def _describe_faults(
    error: ValidationError, schema: type[BaseModel]
) -> Iterable[tuple[tuple[Any, ...], tuple[str, str]]]:
    """For each fault its keys, and its key path and reason."""
    for fault in error.errors():
        keys: tuple[Any, ...] = ()
        section: type[BaseModel] | None = schema
        for part in fault["loc"]:
            # Below the last section there are only positions, and names of union members.
            if section is None:
                break
            keys, section = (*keys, part), section_below(section, part)
        path = ".".join(map(str, keys))
        if fault["type"] in ("value_error", "assertion_error"):
            raised = fault["ctx"]["error"]  # pydantic wraps what a validator raises
            if not isinstance(raised, Faults):  # as of a CNN shape that was added
                yield keys, (path, str(raised) or "these values do not go together")
                continue
            for key, text in raised.pairs:
                yield (*keys, *key.split(".")), (f"{path}.{key}" if path else key, text)
        elif fault["type"] in ("extra_forbidden", "invalid_key"):
            at = schema
            for key in keys[:-1]:
                at = section_below(at, key) or at
            known = list(at.model_fields)
            close = did_you_mean(str(keys[-1]), known)
            yield keys, (path, f"unknown key; {close}known: {', '.join(known)}")
        elif section is not None:
            yield keys, (path, f"input should be keys and values, got {shown(fault['input'])}")
        else:
            message = f"{fault['msg'][0].lower()}{fault['msg'][1:]}"
            yield keys, (path, f"{message}, got {shown(fault['input'])}")


def _remove(values: Any, keys: tuple[Any, ...]) -> bool:
    for key in keys[:-1]:
        values = values.get(key) if isinstance(values, dict) else None
    if not keys or not isinstance(values, dict) or keys[-1] not in values:
        return False
    del values[keys[-1]]
    return True


def _mentions(schema: type[BaseModel], keys: tuple[Any, ...]) -> Iterator[re.Pattern[str]]:
    """What stands in the reason of a fault in which a value plays a part that now is the default."""
    at: type[BaseModel] | None = schema
    for key in keys[:-1]:
        at = at and section_below(at, key)
    field = at.model_fields.get(keys[-1]) if at else None
    if field is not None:
        for text in (".".join(keys), field.default):
            if text and isinstance(text, str):
                yield re.compile(rf"(?<![\w.-]){re.escape(text)}(?![\w-])")
        beside = re.escape("".join(f"{key}." for key in keys[:-1]))
        which = f"{re.escape(keys[-1])} is|all probabilities are|everything else is"
        yield re.compile(rf"^{beside}\w+: changes nothing while ({which}) 0$")


def shown(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # a number of thousands of digits
        return "a huge number"
    return text if len(text) <= 100 else f"{text[:100]}..."


def did_you_mean(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word.lower(), list(known), n=1)
    return f"did you mean '{close[0]}'? " if close else ""
