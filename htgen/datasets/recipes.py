"""The data sets that can be prepared, by name. Imports neither NumPy nor Pillow before one is prepared.

A new data set is one more file of its name beside this one, and one more entry in `RECIPES`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from htgen.datasets.hints import DRAWINGS, ICONS
from htgen.files import real_path

if TYPE_CHECKING:
    from htgen.datasets.store import Progress


@dataclass(frozen=True)
class Request:
    """What a recipe is asked for.

    Attributes:
        source: the folder of the raw files; None where the recipe needs none.
        out: the store to write.
        image_size: side of its images in pixels.
        overwrite: replace a store at `out`.
        options: keyword arguments of the data set's function; only those that the recipe takes.
        progress: see `htgen.datasets.store.Progress`.
    """

    source: Path | None
    out: Path
    image_size: int
    overwrite: bool
    options: dict[str, Any]
    progress: "Progress"


@dataclass(frozen=True)
class Recipe:
    """One data set.

    Args:
        summary: for the list of data sets.
        prepare: writes the store and returns one line for each input that it left out.
        options: of `color`, `ink`, `fit`, `as_drawings` and `as_icons`, those that it takes.
        image_size: side of the images in pixels unless another is asked for.
        where_from: where people get the raw files.
        needs_source: whether there must be a source.
        named_after_source: whether a store is named after the folder of its source, not after the data set.
    """

    summary: str
    prepare: Callable[[Request], list[str]]
    options: frozenset[str] = frozenset()
    image_size: int = 28
    where_from: Callable[[], str] | None = None
    needs_source: bool = True
    named_after_source: bool = False

    def default_out(
        self, dataset: str, source: Path | None, as_drawings: bool, as_icons: bool = False
    ) -> Path:
        """Where the store goes unless another place is named: `data/NAME`, or with an ending by its form."""
        named_after = real_path(source).name if source is not None and self.named_after_source else dataset
        return Path("data", f"{named_after}{DRAWINGS if as_drawings else ICONS if as_icons else ''}")


def _omniglot(request: Request) -> list[str]:
    from htgen.datasets.omniglot import download_folder, prepare_omniglot

    if request.source is None:
        request.progress(f"archives are kept in {download_folder(request.out)}", 0, 0)
    prepare_omniglot(
        request.source,
        request.out,
        request.image_size,
        request.overwrite,
        request.progress,
        **request.options,
    )
    return []


def _folder(request: Request) -> list[str]:
    from htgen.datasets.folder import prepare_folder

    assert request.source is not None
    left_out = prepare_folder(
        request.source,
        request.out,
        request.image_size,
        overwrite=request.overwrite,
        progress=request.progress,
        **request.options,
    )
    return [entry.reason for entry in left_out]


def _icons(request: Request) -> list[str]:
    from htgen.datasets.icons import prepare_icons

    assert request.source is not None
    return prepare_icons(
        request.source,
        request.out,
        request.image_size,
        request.overwrite,
        request.progress,
        **request.options,
    )


def _fonts(request: Request) -> list[str]:
    from htgen.datasets.fonts import prepare_fonts

    assert request.source is not None
    return prepare_fonts(request.source, request.out, request.image_size, request.overwrite, request.progress)


def _fonts_from() -> str:
    from htgen.datasets.fonts import WHERE_FROM

    return WHERE_FROM


def _icons_from() -> str:
    from htgen.datasets.icons import WHERE_FROM

    return WHERE_FROM


@dataclass(frozen=True)
class _RawFiles:
    """A data set that takes its raw files and nothing else."""

    prepare: "Callable[[Path, Path, int, bool, Progress], None]"
    where_from: str


def _miniimagenet() -> _RawFiles:
    from htgen.datasets.miniimagenet import WHERE_FROM, prepare_miniimagenet

    return _RawFiles(prepare_miniimagenet, WHERE_FROM)


def _tieredimagenet() -> _RawFiles:
    from htgen.datasets.tieredimagenet import WHERE_FROM, prepare_tieredimagenet

    return _RawFiles(prepare_tieredimagenet, WHERE_FROM)


def _emnist() -> _RawFiles:
    from htgen.datasets.emnist import WHERE_FROM, prepare_emnist

    return _RawFiles(prepare_emnist, WHERE_FROM)


def _fashion_mnist() -> _RawFiles:
    from htgen.datasets.fashion_mnist import WHERE_FROM, prepare_fashion_mnist

    return _RawFiles(prepare_fashion_mnist, WHERE_FROM)


def _kmnist() -> _RawFiles:
    from htgen.datasets.kmnist import WHERE_FROM, prepare_kmnist

    return _RawFiles(prepare_kmnist, WHERE_FROM)


def _of_raw_files(summary: str, load: Callable[[], _RawFiles], image_size: int = 28) -> Recipe:
    def prepare(request: Request) -> list[str]:
        assert request.source is not None
        load().prepare(request.source, request.out, request.image_size, request.overwrite, request.progress)
        return []

    return Recipe(summary, prepare, image_size=image_size, where_from=lambda: load().where_from)


RECIPES = {
    "omniglot": Recipe(
        "1623 handwritten characters, 20 drawings each",
        _omniglot,
        options=frozenset({"as_drawings", "as_icons"}),
        needs_source=False,
    ),
    "miniimagenet": _of_raw_files(
        "100 classes of photographs; mini-imagenet-cache-*.pkl", _miniimagenet, image_size=84
    ),
    "tieredimagenet": _of_raw_files(
        "608 classes of photographs; *_images.npz, *_labels.pkl", _tieredimagenet, image_size=84
    ),
    "emnist": _of_raw_files("62 handwritten digits and letters; emnist-byclass-*-ubyte", _emnist),
    "fashion_mnist": _of_raw_files("10 kinds of clothing; *-ubyte", _fashion_mnist),
    "kmnist": _of_raw_files("10 cursive hiragana; *-ubyte", _kmnist),
    "icons": Recipe(
        "some 2400 concepts drawn by many icon sets; the npm package @iconify/json",
        _icons,
        options=frozenset({"as_drawings"}),
        image_size=32,
        where_from=_icons_from,
    ),
    "fonts": Recipe(
        "letters and symbols of many fonts, as drawings; a folder of *.ttf, *.otf, *.woff",
        _fonts,
        where_from=_fonts_from,
    ),
    "folder": Recipe(
        "any folder with one sub-folder per class",
        _folder,
        options=frozenset({"color", "ink", "fit", "as_drawings", "as_icons"}),
        named_after_source=True,
    ),
}
