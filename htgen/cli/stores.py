"""The stores of commands that take a generator: found, and compared with what it was trained on."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from htgen.datasets.store import Store
    from htgen.generator import Generator


def open_store_of(provenance: dict[str, Any], data: Path | None) -> "Store":
    """The store that is named, or the one trained on: where it was then, or else in its usual place."""
    from htgen.episodes import open_store
    from htgen.errors import DataError

    if data is not None:
        return open_store(data)
    recorded = provenance.get("config", {}).get("data", {}).get("store")
    if recorded is None:
        raise typer.BadParameter("the generator does not say what it was trained on", param_hint="--data")
    places = [Path(recorded)]
    if name := provenance.get("data", {}).get("name"):
        places.append(Path("data", name))
    found = next((place for place in places if place.exists()), None)
    if found is None:
        looked_in = " or ".join(dict.fromkeys(map(str, places)))
        raise DataError(
            f"the store that the generator was trained on is not in {looked_in}",
            "--data STORE, or make it with `htgen prepare-data`",
        )
    return open_store(found)


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
    if store.preprocessing != loaded.file.preprocessing:
        text = (
            f"warning: store {store.path} was not prepared as the one that '{loaded.name}' was trained "
            "on, so this is not how good it is on images that are"
        )
        stderr().print(printable(text), markup=False)
