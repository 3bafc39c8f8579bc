"""Stores whose manifest tells other things than those that were written."""

import json
from pathlib import Path

from htgen.datasets.store_format import checksum_of


def change_manifest(path: Path, **values: object) -> None:
    """Give the manifest of a store other values, and the checksum that goes with them."""
    record = {**json.loads((path / "manifest.json").read_text()), **values}
    (path / "manifest.json").write_text(json.dumps({**record, "checksum": checksum_of(record)}))
