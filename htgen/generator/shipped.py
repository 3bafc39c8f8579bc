"""Where generators are: inside the package, in files, in run folders. No torch here."""

from importlib import resources
from pathlib import Path
from typing import Literal

from htgen.errors import ModelError
from htgen.files import kind_at

DEFAULT_GENERATOR = "glyph-8"

Domain = Literal["drawings", "icons", "photographs"]
"""What images are of, as far as generators differ by it."""

GENERATORS: dict[Domain, str] = {"drawings": DEFAULT_GENERATOR, "icons": "icon-8", "photographs": "photo"}
"""What `htgen generate` takes for images of a domain (`htgen.generator.choice`)."""

BEST_OF_RUN = "best.safetensors"
"""The file of a run folder that holds its best generator."""


def shipped_generators() -> list[str]:
    """Names of the generators inside the package, sorted."""
    folder = resources.files("htgen.generator") / "shipped"
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    return sorted(name.removesuffix(".safetensors") for name in names if name.endswith(".safetensors"))


def generator_path(name_or_path: str | Path) -> Path:
    """The file of a generator: one that ships, by name; a file; or the best of a run folder.

    A shipped name always means what ships; a folder of that name is `./name`.

    Raises:
        ModelError: there is none.
    """
    names = shipped_generators()
    if str(name_or_path) in names:
        return Path(str(resources.files("htgen.generator") / "shipped" / f"{name_or_path}.safetensors"))
    path = Path(name_or_path)
    kind = kind_at(path)
    if kind == "folder":
        best = path / BEST_OF_RUN
        if kind_at(best) is None:
            raise ModelError(
                f"{path} holds no generator ({BEST_OF_RUN})",
                "a run folder in which training has validated at least once",
            )
        return best
    if kind is not None:
        return path
    raise ModelError(
        f"there is no generator '{name_or_path}'",
        f"one that ships ({', '.join(names)}), a generator file, or a run folder",
    )
