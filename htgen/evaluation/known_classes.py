"""The store that a generator is measured on: found, and compared with what the generator was trained on.

Warnings are sentences that begin with `warning:` or `note:`; nothing is printed here.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from htgen.datasets.hints import how_to_make
from htgen.datasets.splits import format_ranges, named_splits, resolve_split, unseen_part
from htgen.datasets.store import Store
from htgen.episodes.pool import open_store
from htgen.errors import DataError, SettingError
from htgen.files import kind_at
from htgen.generator.file import GeneratorFile
from htgen.generator.provenance import DataSource, Provenance


def open_store_of(provenance: Provenance, data: str | Path | None = None) -> Store:
    """The store that a generator is measured on.

    Args:
        data: its folder; None: the store trained on, where it was then, or else in its usual place.

    Raises:
        DataError: there is none, or it is incomplete or changed.
        SettingError: none is named, and the generator does not say what it was trained on.
    """
    if data is not None:
        return open_store(data)
    recorded = provenance.config.data.store
    if recorded is None:
        raise SettingError("the generator does not say what it was trained on", "data")
    places = [Path(recorded)]
    if provenance.data.name:
        places.append(Path("data", provenance.data.name))
    found = next((place for place in places if kind_at(place)), None)
    if found is None:
        looked_in = " or ".join(dict.fromkeys(map(str, places)))
        raise DataError(
            f"the store that the generator was trained on is not in {looked_in}",
            f"--data STORE, or make it, as with `{how_to_make(places[0])}`",
        )
    return open_store(found)


@dataclass(frozen=True)
class Seen:
    """Classes of a store that a generator is no stranger to.

    Attributes:
        trained: ids of those that it was trained on.
        chosen: ids of those on which the best of its checkpoints was chosen.
    """

    trained: frozenset[int]
    chosen: frozenset[int]

    def warnings(self, store: Store, split: str, who: str = "it") -> list[str]:
        """What makes a generator (`who`) look better on a split than it is: one sentence, or none.

        Raises:
            DataError: there is no such split.
        """
        classes = set(resolve_split(store, split))
        if count := len(classes & self.trained):
            return [f"warning: {count} classes of {split} are among those that {who} was trained on"]
        if count := len(classes & self.chosen):
            return [f"note: {count} classes of {split} are among those on which {who} was chosen"]
        return []


def seen_classes(store: Store, provenance: Provenance) -> Seen:
    """What a generator has seen of a store, which may be another preparation of what it was trained on."""
    splits = provenance.config.data
    trained = _classes_of(store, provenance.data, splits.train or "default:train")
    if splits.second.share and splits.second.train:
        second = provenance.second
        if second.name is None:  # of a file that does not say: its split may have the name of the store
            second = DataSource(name=splits.second.train.partition(":")[0].strip())
        trained |= _classes_of(store, second, splits.second.train)
    return Seen(trained, _classes_of(store, provenance.data, splits.val or "default:val"))


def _classes_of(store: Store, source: DataSource, split: str) -> frozenset[int]:
    """The classes of a store that are those of a split of what a generator was trained on; none, if it is
    another one.
    """
    is_same = source.sha256 == store.checksum
    names = {str(name).removesuffix("-drawings") for name in (source.name, store.name)}
    if not is_same and len(names) > 1:
        return frozenset()
    # A store's own name, where it is no scheme, means its classes as they are.
    own = split.strip().removeprefix(str(source.name))
    for spelling in (split, store.name + own):
        with contextlib.suppress(DataError):
            return frozenset(resolve_split(store, spelling))
    return frozenset()  # only the name of the data is the same


def splits_to_measure(
    store: Store, provenance: Provenance, given: Sequence[str] = ()
) -> tuple[list[str], list[str]]:
    """On which classes of a store to measure a generator; all is checked before anything is measured.

    Args:
        given: the splits that are named; none: the test part of the scheme trained on.

    Returns:
        The splits, and warnings of classes that the generator has seen.

    Raises:
        DataError: there is no such split.
        SettingError: none is named, and the scheme has no test part; or `given` is one text.
    """
    if isinstance(given, str):
        raise SettingError(f"splits are a list of names, not one text; [{given!r}] is meant", "splits")
    seen = seen_classes(store, provenance)
    if given:
        return list(given), [text for split in given for text in seen.warnings(store, split)]
    trained_on = provenance.config.data.train or "default:train"
    default = unseen_part(store, trained_on)
    if default is not None:
        return [default], []
    known = seen.trained | seen.chosen
    first = format_ranges(set(range(store.class_count)) - known).split(",")[:3]
    new = [f"{store.name}:{','.join(first)}"] if any(first) else ["those of another store (--data)"]
    new += [name for name in named_splits(store) if known.isdisjoint(resolve_split(store, name))]
    raise SettingError(
        f"the generator was trained on '{trained_on}', and store {store.path} has no test classes beside "
        f"those; name the classes to measure on, such as {', or '.join(new)}",
        "split",
    )


def check_store(store: Store, file: GeneratorFile) -> list[str]:
    """Check that a generator can read the images of a store.

    Returns:
        A warning where it was trained on images that were prepared in another way.

    Raises:
        DataError: it cannot read these at all.
    """
    model = file.model
    if (store.size, store.channels) != (model.image_size, model.image_channels):
        raise DataError(
            f"store {store.path} has images of {store.size}x{store.size} pixels, {store.channels} channels; "
            f"generator '{file.name}' reads {model.image_size}x{model.image_size} and "
            f"{model.image_channels}",
            "a store prepared for this generator",
        )
    if store.preprocessing.prepares_as(file.preprocessing):
        return []
    return [
        f"warning: store {store.path} was not prepared as the one that '{file.name}' was trained on, so this "
        "is not how good it is on images that are"
    ]
