"""How many of some images were found to be of their own class, and how sure that is."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_Z95 = 1.959964
"""Standard deviations between which a normal variable lies in 95 % of cases."""


@dataclass(frozen=True)
class Score:
    """An accuracy, as counts.

    Attributes:
        right: images that were found to be of their own class.
        images: of how many, at least one.
        planned: of how many it would be if time had not run out; None: it has not.

    Raises:
        ValueError: these are no such counts.
    """

    right: int
    images: int
    planned: int | None = None

    def __post_init__(self) -> None:
        if type(self.right) is not int or type(self.images) is not int:
            raise ValueError(f"a score has two whole numbers, not {self.right!r} and {self.images!r}")
        if self.planned is not None and (type(self.planned) is not int or self.planned < self.images):
            raise ValueError(f"{self.planned!r} images cannot be planned where there are {self.images}")
        if not 0 <= self.right <= self.images or not self.images:
            raise ValueError(f"{self.right} of {self.images} images cannot be right")

    @property
    def accuracy(self) -> float:
        """The fraction that is right, 0..1."""
        return self.right / self.images

    @property
    def interval(self) -> tuple[float, float]:
        """Where the accuracy on new images of the kind lies with 95 % probability, 0..1.

        The interval for a proportion after E. B. Wilson, "Probable inference, the law of succession, and
        statistical inference", Journal of the American Statistical Association, 1927.
        """
        n, share, z = self.images, self.accuracy, _Z95
        middle = (share + z * z / (2 * n)) / (1 + z * z / n)
        reach = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
        # At the ends these are exact, where rounding could leave 0..1.
        low = 0.0 if self.right == 0 else middle - reach
        return low, 1.0 if self.right == n else middle + reach

    def __str__(self) -> str:
        low, high = (100 * bound for bound in self.interval)
        part = "" if self.planned is None else f"; of {self.planned}, as time ran out"
        return f"{100 * self.accuracy:.0f} % of {self.images} images right ({low:.0f} to {high:.0f} %){part}"

    def to_dict(self) -> dict[str, int]:
        """As plain JSON values."""
        record = {"right": self.right, "images": self.images}
        return record if self.planned is None else record | {"planned": self.planned}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "Score":
        """Inverse of `to_dict`; further keys are passed over.

        Raises:
            KeyError, TypeError, ValueError: it is no such record.
        """
        return cls(record["right"], record["images"], record.get("planned"))
