"""The stores of commands that take a generator: found, and compared with what it was trained on."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from htgen.datasets.store import Store
    from htgen.generator.generator import Generator


def open_store_of(provenance: dict[str, Any], data: Path | None) -> "Store":
    """The store that is named, or the one trained on: where it was then, or else in its usual place."""
    from htgen.datasets.store import how_to_make
    from htgen.episodes.sampler import open_store
    from htgen.errors import DataError
    from htgen.files import kind_at

    if data is not None:
        return open_store(data)
    recorded = provenance.get("config", {}).get("data", {}).get("store")
    if recorded is None:
        raise typer.BadParameter("the generator does not say what it was trained on", param_hint="--data")
    places = [Path(recorded)]
    if name := provenance.get("data", {}).get("name"):
        places.append(Path("data", name))
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


def seen_classes(store: "Store", provenance: dict[str, Any]) -> Seen:
    """What a generator has seen of a store, which may be another preparation of what it was trained on."""
    from htgen.datasets.splits import resolve_split
    from htgen.errors import DataError

    data, splits = provenance.get("data", {}), provenance.get("config", {}).get("data", {})
    is_same = data.get("sha256") == store.checksum
    names = {str(name).removesuffix("-drawings") for name in (data.get("name"), store.name)}
    if not is_same and len(names) > 1:
        return Seen(frozenset(), frozenset())

    def classes(split: str) -> frozenset[int]:
        # A store's own name, where it is no scheme, means its classes as they are.
        own = split.strip().removeprefix(str(data.get("name")))
        for spelling in (split, store.name + own):
            with contextlib.suppress(DataError):
                return frozenset(resolve_split(store, spelling))
        return frozenset()  # only the name of the data is the same

    return Seen(*(classes(splits.get(part, f"default:{part}")) for part in ("train", "val")))


def tell_seen(store: "Store", split: str, seen: Seen, who: str = "it") -> None:
    """Warn of classes that make a generator (`who`) look better than it is.

    Raises:
        DataError: there is no such split.
    """
    from htgen.cli.console import printable, stderr
    from htgen.datasets.splits import resolve_split

    classes = set(resolve_split(store, split))
    if count := len(classes & seen.trained):
        text = f"warning: {count} classes of {split} are among those that {who} was trained on"
        stderr().print(printable(text), markup=False)
    elif count := len(classes & seen.chosen):
        text = f"note: {count} classes of {split} are among those on which {who} was chosen"
        stderr().print(printable(text), markup=False)


def check_store(store: "Store", loaded: "Generator") -> None:
    """Warn when a generator was trained on images that were prepared in another way.

    Raises:
        DataError: it cannot read these at all.
    """
    from htgen.cli.console import printable, stderr
    from htgen.errors import DataError

    spec = loaded.model.spec
    if (store.size, store.channels) != (spec.image_size, spec.image_channels):
        raise DataError(
            f"store {store.path} has images of {store.size}x{store.size} pixels, {store.channels} channels; "
            f"generator '{loaded.name}' reads {spec.image_size}x{spec.image_size} and {spec.image_channels}",
            "a store prepared for this generator",
        )
    if not store.preprocessing.prepares_as(loaded.file.preprocessing):
        text = (
            f"warning: store {store.path} was not prepared as the one that '{loaded.name}' was trained "
            "on, so this is not how good it is on images that are"
        )
        stderr().print(printable(text), markup=False)
