"""`htgen prepare-data`: raw files -> store."""

import difflib
import shlex
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from htgen.datasets.recipes import RECIPES, Recipe, Request

if TYPE_CHECKING:
    from htgen.datasets.store import Store


class InkChoice(StrEnum):
    """What `--ink` takes."""

    bright = "bright"
    dark = "dark"
    none = "none"


class FitChoice(StrEnum):
    """What `--fit` takes."""

    crop = "crop"
    pad = "pad"
    stretch = "stretch"


DatasetArgument = Annotated[
    str, typer.Argument(help=f"What to prepare: {', '.join(RECIPES)}.", show_default=False)
]
SourceOption = Annotated[
    Path | None,
    typer.Option(
        help="The folder that holds the raw files (for omniglot also zipped). Only omniglot can do "
        "without it: it is downloaded into OUT.downloads.",
        show_default=False,
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        help="The store to write. Default: data/<name>, with --as-drawings data/<name>-drawings.",
        show_default=False,
    ),
]
SizeOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=4096,
        help="Side of the images in pixels. Default: 28; icons: 32; miniimagenet and tieredimagenet: 84.",
        show_default=False,
    ),
]
ColorOption = Annotated[
    bool | None,
    typer.Option("--color/--grey", help="folder: RGB or grey. Default: grey.", show_default=False),
]
InkOption = Annotated[
    InkChoice | None,
    typer.Option(
        help="folder: for drawings, turn all images so that ink is bright or dark. Default: none.",
        show_default=False,
    ),
]
FitOption = Annotated[
    FitChoice | None,
    typer.Option(
        help="folder: how images become square. Default: crop; with --as-drawings or --as-icons pad.",
        show_default=False,
    ),
]
DrawingsOption = Annotated[
    bool,
    typer.Option(
        "--as-drawings",
        help="omniglot, folder, icons: bring every drawing to one form (cut to the ink, even strokes, ...), "
        "as generate does with a user's.",
    ),
]
IconsOption = Annotated[
    bool,
    typer.Option(
        "--as-icons",
        help="omniglot, folder: the same as for generators of icons: solid shapes become outlines. "
        "The data set icons has this form unless it is told otherwise.",
    ),
]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace a store that is there.")]


def prepare_data(
    dataset: DatasetArgument,
    source: SourceOption = None,
    out: OutOption = None,
    image_size: SizeOption = None,
    color: ColorOption = None,
    ink: InkOption = None,
    fit: FitOption = None,
    as_drawings: DrawingsOption = False,
    as_icons: IconsOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Turn raw images into a store that train and evaluate read.

    Exits with 1 when the store was written but some images could not be read; they are listed on stderr.
    """
    from htgen.cli.console import progress, tell

    recipe = _recipe(dataset)
    given = {
        "color": color,
        "ink": ink and ink.value,
        "fit": fit and fit.value,
        "as_drawings": as_drawings or None,
        "as_icons": as_icons or None,
    }
    options = {key: value for key, value in given.items() if value is not None}
    _check_options(dataset, recipe, options)
    if source is None and recipe.needs_source:
        where_from = f"; {recipe.where_from()}" if recipe.where_from else ""
        raise typer.BadParameter(f"{dataset} needs it{where_from}", param_hint="--source")
    out = recipe.default_out(dataset, source, as_drawings, as_icons) if out is None else out
    size = recipe.image_size if image_size is None else image_size
    with _cleaning_up_when_terminated() as check, progress() as show:

        def report(what: str, done: int, total: int) -> None:
            check()
            show(what, done, total)

        left_out = recipe.prepare(Request(source, out, size, overwrite, options, report))
    _print_summary(out)
    if left_out:
        tell(f"left out: {line}" for line in left_out)
        raise typer.Exit(1)


def _check_options(dataset: str, recipe: Recipe, options: dict[str, Any]) -> None:
    """Refuse options that the recipe does not take, or that do not go together."""
    unusable = sorted(set(options) - recipe.options)
    if unusable:
        option = unusable[0].replace("_", "-")
        raise typer.BadParameter(f"{dataset} does not take it", param_hint=f"--{option}")
    is_grey_ink = not options.get("color") and options.get("ink", "none") != "none"
    forms = [f"--{name.replace('_', '-')}" for name in ("as_drawings", "as_icons") if options.get(name)]
    if len(forms) > 1:
        raise typer.BadParameter("choose one of --as-drawings and --as-icons", param_hint="--as-icons")
    if forms and "ink" in recipe.options and not is_grey_ink:
        raise typer.BadParameter(
            "it is for grey drawings: --ink bright or dark, without --color", param_hint=forms[0]
        )


def _recipe(dataset: str) -> Recipe:
    if dataset not in RECIPES:
        close = difflib.get_close_matches(dataset, RECIPES, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        known = "; ".join(f"{name}: {recipe.summary}" for name, recipe in RECIPES.items())
        raise typer.BadParameter(f"there is no data set {dataset!r}.{hint} {known}", param_hint="DATASET")
    return RECIPES[dataset]


@contextmanager
def _cleaning_up_when_terminated() -> Iterator[Callable[[], None]]:
    """Let SIGTERM unwind the stack, so that no temporary folder stays; the exit code is 143.

    Yields what is called now and then: it raises again, as Python drops what is raised within a destructor.
    """
    is_stopped = False

    def stop(*_: object) -> None:
        nonlocal is_stopped
        is_stopped = True
        check()

    def check() -> None:
        if is_stopped:
            raise SystemExit(143)

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield check
    finally:
        signal.signal(signal.SIGTERM, previous)


_USUAL_WAY = 20
"""Classes of a task in many presets; a store with fewer needs other tasks."""


def _settings_for(store: "Store") -> str:
    """What a preset needs to be told of a store that has no splits of its own, or few classes."""
    from htgen.datasets.splits import resolve_split

    if (scheme := store.schemes.get("default")) is None:
        return ""
    settings = " --set data.train=default:train --set data.val=default:val"
    for part, key in (("train", "episodes.way"), ("val", "validation.way")):
        classes = len(resolve_split(store, f"default:{part}")) if part in scheme.parts else 0
        settings += f" --set {key}={classes}" * (1 < classes < _USUAL_WAY)
    return settings


def _print_summary(out: Path) -> None:
    from htgen.cli.console import write
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
    splits = _settings_for(store)
    data = shlex.quote(str(out))
    lines.append(
        f"next     htgen train --config NAME --data {data}{splits}   (htgen configs lists the names)"
    )
    for line in lines:
        write(line)
