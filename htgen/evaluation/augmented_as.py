"""How images are changed before they are measured on. Apart from `protocol`, as it needs no torch."""

from enum import StrEnum


class AugmentedAs(StrEnum):
    """How images are changed before they are measured on.

    Attributes:
        none: not at all.
        training: as in the generator's training.
        validation: as in the generator's validation.
    """

    none = "none"
    training = "training"
    validation = "validation"
