"""`htgen prepare-data`: raw files -> store.

A new data set is one more file of its name in `htgen.datasets` and one more entry in `RECIPES`.
"""

import difflib
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from htgen.datasets.store import Progress


class InkOption(StrEnum):
    """What `--ink` takes."""

    bright = "bright"
    dark = "dark"
    none = "none"


class FitOption(StrEnum):
    """What `--fit` takes."""

    crop = "crop"
    pad = "pad"
    stretch = "stretch"


@dataclass(frozen=True)
class Request:
    """What the command line asks a recipe for; `options` holds only those that the recipe takes."""

    source: Path | None
    out: Path
    image_size: int
    overwrite: bool
    options: dict[str, Any]
    progress: "Progress"


@dataclass(frozen=True)
class Recipe:
    """One data set of `htgen prepare-data`.

    Args:
        summary: for the list of data sets.
        prepare: writes the store and returns one line for each input that it left out.
        options: of `--color`, `--ink`, `--fit` and `--as-drawings`, those that it takes.
        image_size: the default of `--image-size`.
        needs_source: whether `--source` must be given.
        named_after_source: whether `--out` is data/<name of the source> by default, not data/<data set>.
    """

    summary: str
    prepare: Callable[[Request], list[str]]
    options: frozenset[str] = frozenset()
    image_size: int = 28
    needs_source: bool = True
    named_after_source: bool = False


# The imports stand inside, so that `htgen --help` loads neither NumPy nor Pillow.


def _omniglot(request: Request) -> list[str]:
    from htgen.cli.console import stderr
    from htgen.datasets.omniglot import download_folder, prepare_omniglot

    if request.source is None:
        stderr().print(f"archives are kept in {download_folder(request.out)}", markup=False)
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


def _from_files(name: str) -> Callable[[Request], list[str]]:
    """The recipe of a data set that takes its raw files and nothing else: `prepare_<name>` of its module."""

    def prepare(request: Request) -> list[str]:
        function = getattr(import_module(f"htgen.datasets.{name}"), f"prepare_{name}")
        function(request.source, request.out, request.image_size, request.overwrite, request.progress)
        return []

    return prepare


RECIPES = {
    "omniglot": Recipe(
        "1623 handwritten characters, 20 drawings each",
        _omniglot,
        options=frozenset({"as_drawings"}),
        needs_source=False,
    ),
    "miniimagenet": Recipe(
        "100 classes of photographs; mini-imagenet-cache-*.pkl", _from_files("miniimagenet"), image_size=84
    ),
    "tieredimagenet": Recipe(
        "608 classes of photographs; *_images.npz, *_labels.pkl", _from_files("tieredimagenet"), image_size=84
    ),
    "emnist": Recipe("62 handwritten digits and letters; emnist-byclass-*-ubyte", _from_files("emnist")),
    "fashion_mnist": Recipe("10 kinds of clothing; *-ubyte", _from_files("fashion_mnist")),
    "kmnist": Recipe("10 cursive hiragana; *-ubyte", _from_files("kmnist")),
    "folder": Recipe(
        "any folder with one sub-folder per class",
        _folder,
        options=frozenset({"color", "ink", "fit", "as_drawings"}),
        named_after_source=True,
    ),
}


def prepare_data(
    dataset: Annotated[
        str, typer.Argument(help=f"What to prepare: {', '.join(RECIPES)}.", show_default=False)
    ],
    source: Annotated[
        Path | None,
        typer.Option(
            help="The folder that holds the raw files (for omniglot also zipped). Only omniglot can do "
            "without it: it is downloaded into OUT.downloads.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The store to write. Default: data/<name>, with --as-drawings data/<name>-drawings.",
            show_default=False,
        ),
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=4096,
            help="Side of the images in pixels. Default: 28; miniimagenet and tieredimagenet: 84.",
            show_default=False,
        ),
    ] = None,
    color: Annotated[
        bool | None,
        typer.Option("--color/--grey", help="folder: RGB or grey. Default: grey.", show_default=False),
    ] = None,
    ink: Annotated[
        InkOption | None,
        typer.Option(
            help="folder: for drawings, turn all images so that ink is bright or dark. Default: none.",
            show_default=False,
        ),
    ] = None,
    fit: Annotated[
        FitOption | None,
        typer.Option(help="folder: how images become square. Default: crop.", show_default=False),
    ] = None,
    as_drawings: Annotated[
        bool,
        typer.Option(
            "--as-drawings",
            help="omniglot, folder: bring every drawing to one form (cut to the ink, even strokes, ...), as "
            "generate does with a user's.",
        ),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a store that is there.")] = False,
) -> None:
    """Turn raw images into a store that train and evaluate read.

    Exits with 1 when the store was written but some images could not be read; they are listed on stderr.
    """
    from htgen.cli.console import printable, progress, stderr

    recipe = _recipe(dataset)
    given = {
        "color": color,
        "ink": ink and ink.value,
        "fit": fit and fit.value,
        "as_drawings": as_drawings or None,
    }
    options = {key: value for key, value in given.items() if value is not None}
    unusable = sorted(set(options) - recipe.options)
    if unusable:
        option = unusable[0].replace("_", "-")
        raise typer.BadParameter(f"{dataset} does not take it", param_hint=f"--{option}")
    if as_drawings and "ink" in recipe.options and (color or options.get("ink", "none") == "none"):
        raise typer.BadParameter(
            "it is for grey drawings: --ink bright or dark, without --color", param_hint="--as-drawings"
        )
    if source is None and recipe.needs_source:
        raise typer.BadParameter(_source_missing(dataset), param_hint="--source")
    if out is None:
        named_after = source.resolve().name if source is not None and recipe.named_after_source else dataset
        out = Path("data", f"{named_after}-drawings" if as_drawings else named_after)
    with _cleaning_up_when_terminated(), progress() as report:
        size = recipe.image_size if image_size is None else image_size
        left_out = recipe.prepare(Request(source, out, size, overwrite, options, report))
    _print_summary(out)
    if left_out:
        for line in left_out:
            stderr().print(printable(f"left out: {line}"), markup=False)
        raise typer.Exit(1)


def _recipe(dataset: str) -> Recipe:
    if dataset not in RECIPES:
        close = difflib.get_close_matches(dataset, RECIPES, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        known = "; ".join(f"{name}: {recipe.summary}" for name, recipe in RECIPES.items())
        raise typer.BadParameter(f"there is no data set {dataset!r}.{hint} {known}", param_hint="DATASET")
    return RECIPES[dataset]


def _source_missing(dataset: str) -> str:
    where_from = getattr(import_module(f"htgen.datasets.{dataset}"), "WHERE_FROM", None)
    return f"{dataset} needs it; {where_from}" if where_from else f"{dataset} needs it"


@contextmanager
def _cleaning_up_when_terminated() -> Iterator[None]:
    """Let SIGTERM unwind the stack, so that no temporary folder stays; the exit code is 143."""

    def stop(*_: object) -> None:
        raise SystemExit(143)

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _print_summary(out: Path) -> None:
    from htgen.cli.console import printable, stdout
    from htgen.datasets.splits import resolve_split
    from htgen.datasets.store import Store

    store = Store.open(out)
    smallest, largest = int(store.class_sizes.min()), int(store.class_sizes.max())
    each = f"{smallest}" if smallest == largest else f"{smallest} to {largest}"
    lines = [
        f"store    {out}",
        f"classes  {store.class_count} ({each} images each)",
        f"images   {len(store.images)} of {store.size} x {store.size} x {store.channels}, ink: {store.ink}",
        f"on disk  {sum(file.stat().st_size for file in out.iterdir()) / 1e6:.1f} MB",
    ]
    for name, scheme in store.schemes.items():
        parts = [f"{part} {len(resolve_split(store, f'{name}:{part}'))}" for part in scheme.parts]
        lines.append(f"splits   {name}: {', '.join(parts)} classes")
    splits = " --set data.train=default:train --set data.val=default:val" * ("default" in store.schemes)
    lines.append(f"next     htgen train --config NAME --data {out}{splits}   (htgen configs lists the names)")
    for line in lines:
        stdout().print(printable(line), markup=False)
