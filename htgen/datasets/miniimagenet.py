"""miniImageNet: 100 classes of ImageNet, 600 images each, 84 x 84 (Vinyals et al., 2016).

The raw files are what people have: three pickles (`htgen.datasets.miniimagenet_pickles`), or image files in
folders or archives (`htgen.datasets.miniimagenet_images`).

Split scheme `reference`: train, val, test = classes 0-63, 64-79, 80-99, sorted by name within a part. The
classes of Ravi and Larochelle (2017) are known by name: they come into their parts wherever the source has
them. Many copies divide the images of every class into `train` and `val`. Other classes stay in the parts
of the source, if these have 64, 16 and 20 of them.
"""

import heapq
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from htgen.arrays import Pixels
from htgen.datasets.miniimagenet_classes import PUBLISHED
from htgen.datasets.miniimagenet_images import image_pieces
from htgen.datasets.miniimagenet_pickles import find_pickles, pickle_pieces
from htgen.datasets.sources import Piece, check_folder, consecutive
from htgen.datasets.store import Progress, StoreWriter, check_target
from htgen.errors import DataError
from htgen.images.folders import find_folders
from htgen.images.preprocessing import Preprocessing

CLASSES = {part: len(names) for part, names in PUBLISHED.items()}
IMAGES = 600
SIZE = 84
FORMS = (
    "mini-imagenet-cache-{train,val,test}.pkl, zip archives, images/ with train.csv, val.csv and test.csv, "
    "or train/ val/ test/ with a folder for each class"
)
WHERE_FROM = (
    "get mini-imagenet.tar.gz by the link in github.com/renmengye/few-shot-ssl-public, and unpack it: "
    "mini-imagenet-cache-train.pkl, -val.pkl, -test.pkl"
)


def prepare_miniimagenet(
    source: str | Path,
    out: str | Path,
    image_size: int = SIZE,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> None:
    """Make the miniImageNet store: RGB. All forms of the same images give the same store.

    Args:
        source: the folder that holds the raw files, in one of the forms of `FORMS`.
        out: the store to write.
        image_size: side of the images, 1 to 4096; the originals have 84 pixels.
        overwrite: replace a store at `out`.
        progress: see `htgen.datasets.store.Progress`. It is also told when the classes are not the
            published ones, were divided otherwise, or have not 600 images each.

    Raises:
        DataError: a file is missing, incomplete, damaged or not to be trusted, the classes are divided in
            no way that is known, or `out` is taken.
        OutputError: no space left, or no permission.
    """
    source, out = check_folder(source, FORMS), Path(out)
    check_target(out, overwrite)
    preprocessing = Preprocessing(image_size, 3, "none", "crop")
    with ExitStack() as stack:
        pieces = _find(source, preprocessing, stack)
        classes, notes = _divided(pieces, source)
        if progress is not None:
            for note in notes:
                progress(note, 0, 0)
        done, total = 0, sum(len(piece.keys) for piece in pieces)
        schemes = {"reference": consecutive(CLASSES)}
        writer = stack.enter_context(StoreWriter(out, "miniimagenet", preprocessing, schemes, overwrite))
        for name, parts in classes.items():
            writer.add_class(name, " and ".join(piece.where for piece in parts), _merged(parts))
            done += sum(len(piece.keys) for piece in parts)
            if progress is not None:
                progress("images", done, total)


def _find(source: Path, preprocessing: Preprocessing, stack: ExitStack) -> list[Piece]:
    """The classes of the source, or of the only folder in it."""
    folders = find_folders(source)
    for place in [source, *(folders if len(folders) == 1 else [])]:
        if paths := find_pickles(place, WHERE_FROM):
            return pickle_pieces(paths, preprocessing.size, WHERE_FROM)
        if pieces := image_pieces(place, preprocessing, stack):
            return pieces
    held = sorted(path.name for path in source.iterdir())[:5]
    raise DataError(
        f"{source} holds miniImageNet in no form that is known: {', '.join(held) or 'it is empty'}",
        f"name the folder that holds {FORMS}; or {WHERE_FROM}",
    )


def _divided(pieces: list[Piece], source: Path) -> tuple[dict[str, list[Piece]], list[str]]:
    """The pieces of each class, in the order of the store, and what a user must be told."""
    found: dict[str, list[Piece]] = {}
    for piece in pieces:
        found.setdefault(piece.name, []).append(piece)
    published = [name for names in PUBLISHED.values() for name in names]
    notes = _counts(found)
    if set(found) <= set(published):
        if missing := [name for name in published if name not in found]:
            raise DataError(
                f"{source} lacks {len(missing)} of the 100 classes: {', '.join(missing[:5])}",
                f"all parts are needed: {', '.join(f'{part} {n}' for part, n in CLASSES.items())} classes",
            )
        part_of = {name: part for part, names in PUBLISHED.items() for name in names}
        moved = {piece.name for piece in pieces if piece.part not in ("", part_of[piece.name])}
        if moved:
            notes.append(
                f"{len(moved)} of 100 classes lie in other parts than the published ones; they are put back"
            )
        for name, parts in found.items():
            _refuse_repeated(name, parts)
        return {name: found[name] for name in published}, notes
    notes.append("these are not the 100 classes of Ravi and Larochelle (2017); the parts are the source's")
    return _by_parts(pieces, found, source), notes


def _by_parts(pieces: list[Piece], found: dict[str, list[Piece]], source: Path) -> dict[str, list[Piece]]:
    """The classes of each part of the source, sorted by name."""
    for name, parts in found.items():
        if len(parts) > 1:
            both = " and in ".join(piece.part or "no part" for piece in parts)
            raise DataError(
                f"{source}: class {name!r} lies in {both}",
                "parts have no class in common; name the classes as published (n01532829, ...), or move it",
            )
    for part, count in CLASSES.items():
        classes = sum(piece.part == part for piece in pieces)
        if classes != count:
            raise DataError(f"{source}: {part} has {classes} classes, not {count}", "use a complete copy")
    ordered = sorted(pieces, key=lambda piece: (list(CLASSES).index(piece.part), piece.name))
    return {piece.name: found[piece.name] for piece in ordered}


def _counts(found: dict[str, list[Piece]]) -> list[str]:
    """A line about classes that have not 600 images."""
    counts = {name: sum(len(piece.keys) for piece in parts) for name, parts in found.items()}
    others = [f"{name} {count}" for name, count in counts.items() if count != IMAGES]
    if not others:
        return []
    more = ", ..." if len(others) > 5 else ""
    return [f"{len(others)} classes have not {IMAGES} images: {', '.join(others[:5])}{more}"]


def _refuse_repeated(name: str, parts: list[Piece]) -> None:
    keys = Counter(key for piece in parts for key in piece.keys if key)
    for key, count in keys.items():
        if count > 1:
            places = " and in ".join(piece.part or piece.where for piece in parts if key in piece.keys)
            raise DataError(f"{key} of class {name} lies in {places}", "remove one of the two")


def _merged(parts: list[Piece]) -> Iterator[Pixels]:
    """The images of all pieces in the order of their file names; of nameless ones in the pieces' order."""
    named = (zip(piece.keys, piece.read(), strict=True) for piece in parts)
    return (image for _, image in heapq.merge(*named, key=lambda pair: pair[0]))
