"""What is measured when a generator is evaluated, and what comes of it: settings and results."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from htgen.config.data import EpisodeConfig
from htgen.errors import SettingError
from htgen.evaluation.accuracy import Evaluation, Queries
from htgen.evaluation.augmented_as import AugmentedAs
from htgen.files import printable
from htgen.schema import MOST_IMAGES

DEFAULT_WAY = 20
DEFAULT_TASKS = 1000
DEFAULT_QUERIES = 15
REFERENCE_TASKS = 1024
REFERENCE_ROUNDS = 16
REFERENCE_QUERIES = 100

Report = Callable[[str, int, int], None]
"""Told of progress: what is done, how much of it, of how much."""


def no_report(what: str, done: int, total: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class EvaluationProtocol:
    """What each task looks like, and how many there are.

    Attributes:
        way: classes per task, at least 2.
        shot: labelled support images per class.
        query: query images per class, in one round.
        unlabeled: support images per class without a label.
        tasks: number of tasks, at least 2.
        query_rounds: batches of freshly drawn query images that each generated CNN classifies.
        seed: the same seed gives the same tasks.
        augment: how images are changed: "none", or as in the generator's "training" or "validation"; a value
            of `AugmentedAs`, or its name as text.
        transductive: give the generator the query images too, without their labels (transductive); with one
            query round only.
        disjoint: no query image is in the support set. The published code draws them without regard to it:
            of N images of a class, it saw `shot / N` of the queries with their class.
        related: the classes of a task are of as few groups (alphabets) as there must be.

    Raises:
        SettingError: a number is no whole number or too small, `augment` is none of its values, or values do
            not go together.
    """

    way: int = DEFAULT_WAY
    shot: int = 1
    query: int = DEFAULT_QUERIES
    unlabeled: int = 0
    tasks: int = DEFAULT_TASKS
    query_rounds: int = 1
    seed: int = 0
    augment: AugmentedAs = AugmentedAs.none
    transductive: bool = False
    disjoint: bool = True
    related: bool = False

    def __post_init__(self) -> None:
        least = {"way": 2, "shot": 1, "query": 1, "unlabeled": 0, "tasks": 2, "query_rounds": 1}
        for name, minimum in least.items():
            check_whole(name, getattr(self, name), minimum)
        if self.augment not in [*AugmentedAs]:
            values = ", ".join(AugmentedAs)
            raise SettingError(f"augment is {self.augment!r}; it is one of {values}", "augment")
        object.__setattr__(self, "augment", AugmentedAs(self.augment))
        if self.transductive and self.query_rounds > 1:
            raise SettingError(f"each CNN classifies {self.query_rounds} batches there", "transductive")

    @classmethod
    def reference(cls, way: int = DEFAULT_WAY, **others: Any) -> "EvaluationProtocol":
        """That of the reference implementation: 1024 tasks, 16 batches of 100 fresh queries per CNN.

        Args:
            way: a divisor of 100.
            others: attributes but `tasks`, `query` and `query_rounds`.

        Raises:
            SettingError: these do not go together.
        """
        check_whole("way", way, 2)
        if REFERENCE_QUERIES % way:
            raise SettingError(f"batches of {REFERENCE_QUERIES} queries need a way that divides it", "way")
        return cls(
            way=way,
            query=REFERENCE_QUERIES // way,
            tasks=REFERENCE_TASKS,
            query_rounds=REFERENCE_ROUNDS,
            **others,
        )

    @property
    def shape(self) -> EpisodeConfig:
        """Of one task."""
        return EpisodeConfig(
            way=self.way,
            shot=self.shot,
            query=self.query,
            unlabeled=self.unlabeled,
            disjoint=self.disjoint,
            related=float(self.related),
        )

    @property
    def queries(self) -> Queries:
        """How CNNs are asked."""
        return Queries(self.query_rounds, self.transductive)


_OF_A_TASK = ("way", "shot", "query", "unlabeled")


def check_whole(name: str, value: object, least: int) -> None:
    """Check a setting, by its name.

    Raises:
        SettingError: it is no whole number, too small, or more than a task may have.
    """
    if type(value) is not int or value < least:
        raise SettingError(f"{name} is {value!r}; it is a whole number of at least {least}", name)
    if name in _OF_A_TASK and value > MOST_IMAGES:
        raise SettingError(f"{name} is {value}; it is at most {MOST_IMAGES}", name)


@dataclass(frozen=True)
class Comparison:
    """Another generator on the same tasks.

    Attributes:
        generator, sha256: which one.
        ahead: mean over tasks of how much more the first one has right, -1..1.
        interval95: half width of its 95 % confidence interval.
    """

    generator: str
    sha256: str
    ahead: float
    interval95: float


@dataclass(frozen=True)
class EvaluationResult:
    """The accuracy of a generator on one split, and how it was measured.

    Attributes:
        evaluation: accuracy, interval and number of tasks.
        generator, sha256: which generator.
        split: the classes of the tasks.
        protocol: what the tasks are.
        data: name and checksum of the store.
        against: how far it is ahead of another generator, if one was given.
        warnings: sentences that say why the accuracy may mislead, also of what was measured beside it.
    """

    evaluation: Evaluation
    generator: str
    sha256: str
    split: str
    protocol: EvaluationProtocol
    data: tuple[str, str]
    against: Comparison | None = None
    warnings: tuple[str, ...] = ()

    @property
    def accuracy(self) -> float:
        """Mean over tasks of the fraction of query images classified correctly, 0..1."""
        return self.evaluation.accuracy

    @property
    def interval95(self) -> float:
        """Half width of the 95 % confidence interval of the mean."""
        return self.evaluation.interval95

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; the document of `htgen evaluate --json`."""
        protocol = self.protocol
        document = {
            **self.evaluation.to_dict(),
            "generator": self.generator,
            "sha256": self.sha256,
            "split": self.split,
            "way": protocol.way,
            "shot": protocol.shot,
            "query": protocol.query,
            "unlabeled": protocol.unlabeled,
            "query_rounds": protocol.query_rounds,
            "queries_shown": protocol.transductive,
            "disjoint": protocol.disjoint,
            **({"related": True} if protocol.related else {}),
            "seed": protocol.seed,
            "augment": protocol.augment.value,
            "data": {"name": self.data[0], "sha256": self.data[1]},
        }
        return document if self.against is None else document | {"against": dict(self.against.__dict__)}

    def __str__(self) -> str:
        """The result in two lines, or three."""
        protocol, result = self.protocol, self.evaluation
        label = ""
        if result.transductive:
            who = "the generator saw" if protocol.transductive else "batch norm reads"
            label = f"  (transductive: {who} the query images)"
        if not protocol.disjoint:
            label += "  (some queries are support images)"
        if protocol.related:
            label += "  (classes of one group)"
        if protocol.augment is not AugmentedAs.none:
            label += f"  (images augmented as in {protocol.augment.value})"
        unlabeled = f" with {protocol.unlabeled} unlabelled" if protocol.unlabeled else ""
        queries = protocol.query * protocol.way * protocol.query_rounds
        name, compared = printable(self.generator), ""
        if other := self.against:
            ahead, interval = 100 * other.ahead, 100 * other.interval95
            second = printable(other.generator)
            if name == second:  # as of a run of the recipe of one that ships
                name, second = (f"{name} {found[:12]}" for found in (self.sha256, other.sha256))
            compared = f"\nahead of {second} on the same tasks by {ahead:.2f} ± {interval:.2f}"
        return (
            f"{name} on {printable(self.split)}, {protocol.way}-way {protocol.shot}-shot{unlabeled}: "
            f"{100 * result.accuracy:.2f} ± {100 * result.interval95:.2f} %{label}\n"
            f"{result.tasks} tasks, {queries} queries each, seed {protocol.seed}{compared}"
        )
