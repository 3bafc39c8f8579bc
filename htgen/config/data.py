"""Which images a training sees: sections `data`, `episodes`, `augment`, and those of validation. No torch."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from htgen.schema import CountOrRange, Faults, Fraction, NaturalOrRange, Section, refuse

ImageCount = Annotated[int, Field(ge=1, le=1_000_000)]


class SecondStoreConfig(Section):
    """Other classes to train on: each episode is drawn from one of the two stores."""

    store: str = "data/fonts"
    """Folder of a store whose images are prepared as those of data.store."""
    train: str = "fonts:train"
    """Its classes to train on, as scheme:part or ranges of class ids."""
    share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of episodes that are drawn from it; 0 = there is no second store."""

    @model_validator(mode="after")
    def _nothing_is_idle(self) -> "SecondStoreConfig":
        faults = []
        for name in ("store", "train"):
            if not self.share and getattr(self, name) != type(self).model_fields[name].default:
                faults.append((name, "changes nothing while share is 0"))
        refuse(faults)
        return self


class DataConfig(Section):
    """Which classes to learn from."""

    store: str = "data/omniglot"
    """Folder of a store made by `htgen prepare-data`."""
    train: str = "lake:train"
    """Classes to train on, as scheme:part or ranges of class ids."""
    val: str = "lake:val"
    """Classes that choose the best checkpoint."""
    second: SecondStoreConfig = SecondStoreConfig()


class EpisodeConfig(Section):
    """What an episode looks like. Counts are numbers, or inclusive ranges [low, high] drawn per step."""

    way: CountOrRange = 20
    """Classes per episode."""
    shot: CountOrRange = 1
    """Labelled support images per class; ranges are drawn log-uniformly."""
    query: CountOrRange = 3
    """Query images per class."""
    unlabeled: NaturalOrRange = 0
    """Support images per class that come without their label."""
    support_size: ImageCount | None = None
    """Labelled support images in all, instead of shot; the first (size mod way) classes get one more."""
    query_size: ImageCount | None = None
    """Query images in all, instead of query; likewise."""
    disjoint: bool = True
    """No query image is in the support set; false: drawn without regard to it, as in the reference."""
    balanced: bool = True
    """Same counts for every class; otherwise support and query are cut from one shuffled batch."""
    remove_labeled: Fraction = 0.0
    """Hide labelled support images, each with a probability drawn per episode up to this."""
    remove_unlabeled: Fraction = 0.0
    """The same for unlabelled ones."""
    related: Fraction = 0.0
    """Share of episodes whose classes come from one group (alphabet), or from a few, drawn until they hold
    enough classes. The group is what a class name has before its last `/`."""

    @property
    def most_images(self) -> int:
        """In the largest episode."""
        way, shot, query, unlabeled = (
            value[1] if isinstance(value, tuple) else value
            for value in (self.way, self.shot, self.query, self.unlabeled)
        )
        labeled = way * shot if self.support_size is None else self.support_size
        queries = way * query if self.query_size is None else self.query_size
        return labeled + queries + way * unlabeled

    @model_validator(mode="after")
    def _ranges_ascend(self) -> "EpisodeConfig":
        faults = []
        for name in ("way", "shot", "query", "unlabeled"):
            value = getattr(self, name)
            if isinstance(value, tuple) and value[0] > value[1]:
                faults.append((name, f"the range {list(value)} is upside down"))
        ways = self.way if isinstance(self.way, tuple) else (self.way, self.way)
        if min(ways) < 2:
            faults.append(("way", "an episode needs at least 2 classes"))
        if self.remove_unlabeled and self.unlabeled == 0:
            faults.append(("remove_unlabeled", "changes nothing while unlabeled is 0"))
        if self.support_size is not None and self.support_size < max(ways):
            faults.append(("support_size", "every class needs a labelled image"))
        if not (self.disjoint or self.balanced):
            faults.append(("disjoint", "unbalanced episodes are cut from one batch, and so always disjoint"))
        refuse(faults)
        return self


class AlikeConfig(Section):
    """Changes that all images of an episode, or of each class, get alike. Probabilities; 0 = never."""

    per_class: bool = False
    """Draw once per class of an episode; otherwise once per episode."""
    rotate: Fraction = 0.0
    """Turn by an angle of -angle..angle."""
    angle: Annotated[float, Field(gt=0, le=180)] = 180.0
    """Degrees."""
    resize: Fraction = 0.0
    """Shrink to 70..100 % of the side."""
    roll: Fraction = 0.0
    """Move by up to 30 % of the side along both axes, round the edges."""
    smooth: Fraction = 0.0
    """Mean of 3x3 pixels."""
    contrast: Fraction = 0.0
    """A tanh curve whose steepness is drawn from 0.5..2.5."""
    negate: Fraction = 0.0
    """Exchange dark and bright."""

    @model_validator(mode="after")
    def _nothing_is_idle(self) -> "AlikeConfig":
        faults = []
        if self.angle != 180.0 and not self.rotate:
            faults.append(("angle", "changes nothing while rotate is 0"))
        if self.per_class and not any(
            (self.rotate, self.resize, self.roll, self.smooth, self.contrast, self.negate)
        ):
            faults.append(("per_class", "changes nothing while all probabilities are 0"))
        refuse(faults)
        return self


class PhotoConfig(Section):
    """Changes of photographs; magnitudes are limits of uniform distributions, 0 = off."""

    per_image: Literal[False, True, "moves"] = False
    """Draw for every image; otherwise once per episode. moves = as the reference: flip and crop for every
    image, the colours once for the support images and once for the queries."""
    flip: Fraction = 0.0
    """Probability of swapping left and right."""
    crop: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Keep a random square of 1-crop..1 times the side, enlarged to the full size."""
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Fraction of the colour circle."""
    brightness: Fraction = 0.0
    """Fraction of the full range, added or taken away."""
    contrast: Fraction = 0.0
    """Distances from the image's mean change by a factor of 1-contrast..1+contrast."""

    @model_validator(mode="after")
    def _nothing_is_idle(self) -> "PhotoConfig":
        if self.per_image and not any((self.flip, self.crop, self.hue, self.brightness, self.contrast)):
            raise Faults(("per_image", "changes nothing while everything else is 0"))
        return self


class NewClassesConfig(Section):
    """Warps that all images of a class share, which makes new classes of old ones; 0 = off."""

    mirror: bool = False
    """Swap left and right in half of the classes."""
    rotation: Annotated[float, Field(ge=0, le=180)] = 0.0
    """Degrees."""
    scale: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Relative size, per axis."""
    shear: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Tangent of the shear angle."""
    elastic: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Standard deviation of a smooth displacement, as a fraction of the image side."""


class AugmentConfig(Section):
    """Changes of images; magnitudes are limits of uniform distributions, 0 = off."""

    rotate90: Literal[False, True, "class", "episode"] = False
    """Turn whole classes (class, or true), or whole episodes, by a random multiple of 90 degrees."""
    rotation: Annotated[float, Field(ge=0, le=180)] = 0.0
    """Degrees, per image."""
    scale: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Relative size, per image and axis."""
    shear: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Tangent of the shear angle, per image."""
    shift: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Fraction of the image side, per image and axis."""
    elastic: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Standard deviation of a smooth displacement, as a fraction of the image side."""
    chimeras: Fraction = 0.0
    """Share of classes made of two: on one side of a line their images are those of another class."""
    new_classes: NewClassesConfig = NewClassesConfig()
    alike: AlikeConfig = AlikeConfig()
    photo: PhotoConfig = PhotoConfig()


class ValidationAugmentConfig(AugmentConfig):
    """Changes of validation images. Off by default: a generator is used on images as they are."""

    as_training: bool = False
    """As in the section augment; the rest of this section must be left out."""

    @model_validator(mode="after")
    def _said_once(self) -> "ValidationAugmentConfig":
        if self.as_training and self.model_dump(exclude={"as_training"}) != AugmentConfig().model_dump():
            raise Faults(("as_training", "the section's other values would change nothing; leave them out"))
        return self

    def resolve(self, training: AugmentConfig) -> AugmentConfig:
        """What validation images get, given the section of the training images."""
        if self.as_training:
            return training
        return AugmentConfig(**{name: getattr(self, name) for name in AugmentConfig.model_fields})
