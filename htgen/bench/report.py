"""What `htgen bench` reports."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from htgen.version import __version__

Unit = Literal["episodes/s", "images/s", "s", "bytes"]


@dataclass(frozen=True)
class Rate:
    """The measured matrix product: what floors are made of.

    Attributes:
        size: side of the matrices.
    """

    multiply_adds_per_second: float
    library: str
    device: str
    dtype: str
    size: int
    warmup: int
    repeats: int


@dataclass(frozen=True)
class Measure:
    """One measured quantity, a median over repeats.

    Attributes:
        section, key: its place in the JSON document.
        what: the same for people.
        floor: the value at which the machine would run at full speed; None where there is no such thing.
        repeats, warmup: measured runs, and unmeasured ones before them.
    """

    section: str
    key: str
    what: str
    value: float
    unit: Unit
    floor: float | None
    repeats: int
    warmup: int

    @property
    def fraction(self) -> float | None:
        """Speed relative to the floor: 1 = as fast as the machine can be."""
        if self.floor is None:
            return None
        return self.floor / self.value if self.unit == "s" else self.value / self.floor


@dataclass(frozen=True)
class Machine:
    """Where it was measured."""

    cpu: str
    cores: int
    device: str
    gpu: str | None
    torch_threads: int
    thread_limit: str | None
    torch: str
    numpy: str
    python: str
    platform: str


@dataclass(frozen=True)
class Report:
    """All measurements of one run.

    Attributes:
        episode: the measured shapes.
        multiply_adds: of one training episode (forward, backward), one CNN, one classified image.
        rates: the matrix product behind the floors of each section.
        measures: in the order in which they are shown.
    """

    config: str
    quick: bool
    machine: Machine
    episode: Mapping[str, int]
    multiply_adds: Mapping[str, int]
    rates: Mapping[str, Rate]
    measures: tuple[Measure, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON: `{"train": {"episodes_per_second": ..., "floor": {...}, ...}, ...}`."""
        document: dict[str, Any] = {
            "htgen": __version__,
            "config": self.config,
            "quick": self.quick,
            "machine": asdict(self.machine),
            "episode": dict(self.episode),
            "multiply_adds": dict(self.multiply_adds),
            "matrix_product": {name: asdict(rate) for name, rate in self.rates.items()},
        }
        for measure in self.measures:
            section = document.setdefault(
                measure.section, {"floor": {}, "fraction": {}, "repeats": {}, "warmup": {}}
            )
            section[measure.key] = measure.value
            for name in ("floor", "fraction", "repeats", "warmup"):
                section[name][measure.key] = getattr(measure, name)
        return document
