"""What all sections of the config have in common: their base, and types of their values. No torch here."""

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

MOST = 1_000_000_000
"""Of anything that is counted: a number beyond it is a slip of the pen."""

MOST_IMAGES = 10_000
"""Classes of an episode, and its images of one class."""

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]

Positive = Annotated[float, Field(gt=0.0, le=1e6)]

Penalty = Annotated[float, Field(ge=0.0, le=1e6)]
"""Weight of a term of the loss."""

Count = Annotated[int, Field(ge=1, le=MOST)]

Natural = Annotated[int, Field(ge=0, le=MOST)]

Width = Annotated[int, Field(ge=1, le=4096)]
"""Channels, features, numbers of an embedding."""


def ascending(numbers: tuple[int, ...]) -> tuple[int, ...]:
    if list(numbers) != sorted(set(numbers)):
        raise PydanticCustomError("ascending", "input should be each number at most once, in ascending order")
    return numbers


def number_or_range(minimum: int, maximum: int) -> Any:
    """Type of a whole number within limits, or of an inclusive range of such; YAML's is a list."""

    def check(value: Any) -> Any:
        pair = tuple(value) if isinstance(value, list | tuple) else (value, value)
        if len(pair) != 2 or any(type(v) is not int or not minimum <= v <= maximum for v in pair):
            raise PydanticCustomError(
                "range",
                "input should be a whole number from {minimum} to {maximum}, or a range [low, high] of such",
                {"minimum": minimum, "maximum": maximum},
            )
        return pair if isinstance(value, list | tuple) else value

    return BeforeValidator(check)


CountOrRange = Annotated[
    Annotated[int, Field(ge=1, le=MOST_IMAGES)] | tuple[int, int], number_or_range(1, MOST_IMAGES)
]

NaturalOrRange = Annotated[
    Annotated[int, Field(ge=0, le=MOST_IMAGES)] | tuple[int, int], number_or_range(0, MOST_IMAGES)
]


def section_below(section: type[BaseModel], key: Any) -> type[BaseModel] | None:
    """The section that is below a key, if it is one."""
    field = section.model_fields.get(key)
    inner = None if field is None else field.annotation
    return inner if isinstance(inner, type) and issubclass(inner, BaseModel) else None


class Faults(ValueError):
    """What is wrong with values that are right one by one, but do not go together.

    Validators of sections raise it; `htgen.config.faults` makes one message of all faults of a config.

    Args:
        pairs: for each fault the key path below the section, and the reason.
    """

    def __init__(self, *pairs: tuple[str, str]) -> None:
        super().__init__("\n".join(f"{key}: {reason}" for key, reason in pairs))
        self.pairs = pairs


def refuse(pairs: Iterable[tuple[str, str]]) -> None:
    """Raise `Faults` when there are any."""
    if found := tuple(pairs):
        raise Faults(*found)


class Section(BaseModel):
    # What docstrings say of the keys is no part of it: to find them in the source takes a tenth of the start.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _empty_sections_are_their_defaults(cls, values: Any) -> Any:
        if isinstance(values, dict):
            return {k: v for k, v in values.items() if v is not None or section_below(cls, k) is None}
        return values
