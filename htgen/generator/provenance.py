"""Where a generator comes from, as its file says it. No torch here.

The records keep what was written: keys that this version does not know stay, and keys that an older version
did not write are not added. So a file that is read and written again has the same bytes.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from htgen.errors import ModelError
from htgen.generator.temperature import Temperature

Number = Annotated[int | float, Field(ge=-1e9, le=1e9)]
Natural = Annotated[int, Field(ge=0, lt=2**53)]
Positive = Annotated[int | float, Field(gt=0, lt=1e9)]
Pair = Annotated[tuple[Positive, Positive], Field(strict=False)]
Bin = Annotated[tuple[Number, Number, Number], Field(strict=False)]


class Record(BaseModel):
    """Base of the records: values have exactly their type, further keys are kept."""

    model_config = ConfigDict(
        extra="allow", frozen=True, strict=True, allow_inf_nan=False, ser_json_inf_nan="constants"
    )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values of the keys that were given."""
        return self.model_dump(mode="json", exclude_unset=True)

    def with_values(self, **values: Any) -> Self:
        """The same with other values, which are of the right types already."""
        return self.model_copy(update=values)


class DataSource(Record):
    """A store.

    Attributes:
        name: of the data set, as the store's manifest has it.
        sha256: checksum of its images, hexadecimal.
    """

    name: str | None = None
    sha256: str | None = None


class SecondStore(Record):
    """Section `data.second` of a training's config: a split, and the share of episodes that are of it."""

    train: str | None = None
    share: Number = 0


class TrainingData(Record):
    """Section `data` of a training's config.

    Attributes:
        store: path of the store.
        train, val: splits that it was trained on, and validated on.
        second: other classes that it was trained on.
    """

    store: str | None = None
    train: str | None = None
    val: str | None = None
    second: SecondStore = SecondStore()


class TrainingEpisodes(Record):
    """Section `episodes` of a training's config: support images per class without a label, or their range."""

    unlabeled: int | list[int] = 0


class TrainingConfig(Record):
    """The config of a training, as some version of htgen wrote it; what is read of it without all the rest.

    Attributes:
        augment, augment_validation: those sections, in plain values.
    """

    data: TrainingData = TrainingData()
    episodes: TrainingEpisodes = TrainingEpisodes()
    augment: dict[str, Any] = Field(default_factory=dict)
    augment_validation: dict[str, Any] = Field(default_factory=dict)


class ValidationResult(Record):
    """Accuracy on the validation split, of the checkpoint that the file holds.

    Attributes:
        accuracy, interval95: mean over tasks and half width of its 95 % interval, 0..1.
        tasks: number of tasks.
        transductive: see `htgen.evaluation.accuracy.Evaluation`.
    """

    accuracy: Number
    interval95: Number
    tasks: Natural
    transductive: bool = False


class CalibratedSetting(Record):
    """Calibration of one way and shot; `accuracy` and calibration errors before and after are 0..1."""

    way: Natural
    shot: Number
    accuracy: Number
    error_before: Number
    error: Number


class Rejection(Record):
    """What it costs to take answers below a threshold for "none of these"; all but `threshold` are 0..1.

    Attributes:
        threshold: the least probability of an answer that is accepted.
        accuracy: of accepted answers about images of the tasks' classes.
        rejected: share of such images that get no answer.
        foreign_caught: share of images of other classes that get no answer.
    """

    threshold: Number
    accuracy: Number
    rejected: Number
    foreign_caught: Number


class Calibration(Record):
    """What `htgen calibrate` found.

    Attributes:
        temperatures: pairs of shot and temperature, in ascending order.
        error_before, error: expected calibration error without and with the temperatures, 0..1.
        bins_before, bins: for each bin of confidence that has answers: mean confidence, accuracy, share.
        settings: the same for each way and shot.
        reject: what rejecting answers costs.
        split, tasks, seed, data: which tasks these figures are of, and how many of each setting.
        temperature: of htgen 0.1, for every shot, in place of `temperatures`.
    """

    temperatures: Annotated[tuple[Pair, ...], Field(strict=False)] = ()
    error_before: Number | None = None
    error: Number | None = None
    bins_before: Annotated[tuple[Bin, ...], Field(strict=False)] = ()
    bins: Annotated[tuple[Bin, ...], Field(strict=False)] = ()
    settings: Annotated[tuple[CalibratedSetting, ...], Field(strict=False)] = ()
    reject: Annotated[tuple[Rejection, ...], Field(strict=False)] = ()
    split: str | None = None
    tasks: Natural | None = None
    seed: int | None = None
    data: DataSource = DataSource()
    temperature: Positive | None = None

    def to_temperature(self) -> Temperature:
        """By which logits are divided."""
        return Temperature.of_record(self.temperatures, self.temperature)


class SettingChange(Record):
    """A setting that was changed when a training was resumed: at which step, its key path, both values."""

    step: Natural
    key: str
    before: Number
    after: Number


class Provenance(Record):
    """Where a generator comes from. Files may lack any of it.

    Attributes:
        config: how it was trained.
        step, episodes: how long it was trained.
        data: the store that it was trained on.
        second: the store whose other classes it was trained on; not known of a file from before it was noted.
        htgen: the version that trained it.
        kernels: what the kernels that trained its CNNs were compiled by (`htgen.cnn.fused`); None for plain
            operations, which round otherwise.
        changes: of settings while it was trained; `config` has the last ones.
        validation: None where nothing was measured, or other settings were measured.
        calibration: None where it was not calibrated.
    """

    config: TrainingConfig = TrainingConfig()
    step: Natural = 0
    episodes: Natural | None = None
    data: DataSource = DataSource()
    second: DataSource = DataSource()
    htgen: str | None = None
    kernels: str | None = None
    changes: Annotated[tuple[SettingChange, ...], Field(strict=False)] = ()
    validation: ValidationResult | None = None
    calibration: Calibration | None = None

    @classmethod
    def from_json(cls, values: Mapping[str, Any], origin: str = "a generator") -> Self:
        """Read plain JSON values.

        Args:
            values: as `to_json` gives them.
            origin: what to call their source in errors.

        Raises:
            ModelError: a value is of another type than it should be, or nested too deeply.
        """
        try:
            provenance = cls.model_validate(values)
            provenance.to_json()  # what can be read can be written
        except ValidationError as error:
            fault = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, ("provenance", *fault["loc"])))
            reason = f"{place}: {fault['msg']}"
        except (ValueError, RecursionError):
            reason = "its provenance is nested too deeply, or holds values that are none of JSON"
        else:
            return provenance
        raise ModelError(f"{origin} is damaged: {reason}", "a generator file that htgen wrote")

    @property
    def says_how_trained(self) -> bool:
        """Whether there is a config."""
        return "config" in self.model_fields_set

    @property
    def temperature(self) -> Temperature:
        """By which the logits of its CNNs are divided; 1 where it was not calibrated."""
        return Temperature() if self.calibration is None else self.calibration.to_temperature()


NOT_KNOWN = Provenance()
"""Of a generator that does not say where it comes from."""
