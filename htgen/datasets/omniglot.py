"""Omniglot: 1623 handwritten characters of 50 alphabets, 20 drawings each (Lake et al., 2015).

Classes 0-963 are the background characters and 964-1622 the evaluation characters, each sorted by alphabet,
then by character. The class `Greek/character01` comes from `images_background/Greek/character01`.

Split schemes:

    lake        train, val, background (= train + val), test: the authors' division, whole alphabets apart.
                `val` is every sixth background alphabet, `test` all evaluation characters.
    reference   train, val, test: 1150 / 50 / 423 classes after shuffling with seed 2022
    vinyals     train, val, trainval (= train + val), test: 1028 / 172 / 1200 / 423 (Vinyals et al., 2016;
                the lists of Snell et al., 2017). `test` is the last 423 characters, `val` the alphabets
                Armenian, Bengali, Early_Aramaic, Hebrew and Mkhedruli_(Georgian). Published results count
                each class four times, turned by 90 degrees: `augment.rotate90: class`.
"""

from contextlib import ExitStack
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path, PurePosixPath

from htgen.datasets import hints
from htgen.datasets.download import fetch
from htgen.datasets.raw_images import ReadImages, folder_reader, open_archive, zip_reader
from htgen.datasets.splits import format_ranges
from htgen.datasets.store import Progress, StoreWriter, check_target
from htgen.datasets.store_format import Scheme
from htgen.errors import DataError
from htgen.files import kind_at
from htgen.images.drawings import DRAWING_STEPS, ICON_STEPS
from htgen.images.preprocessing import Preprocessing
from htgen.images.reading import decode_image

URL = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python/"
DRAWINGS = 20


@dataclass(frozen=True)
class Half:
    """One of the two archives: its name without `.zip`, its official md5, how many characters it holds."""

    name: str
    md5: str
    characters: int


HALVES = (
    Half("images_background", "68d2efa1b9178cc56df9314c21c6e718", 964),
    Half("images_evaluation", "6b91aef0f799c5bb55b94e3f2daec811", 659),
)

REFERENCE = Scheme(parts={"train": "0-1149", "val": "1150-1199", "test": "1200-1622"}, shuffle_seed=2022)

VINYALS = Scheme(
    parts={
        "train": "0-74,116-179,226-332,355-495,518-738,780-1199",
        "val": "75-115,180-225,333-354,496-517,739-779",
        "trainval": "0-1199",
        "test": "1200-1622",
    }
)


def prepare_omniglot(
    source: str | Path | None,
    out: str | Path,
    image_size: int = 28,
    overwrite: bool = False,
    progress: Progress | None = None,
    as_drawings: bool = False,
    as_icons: bool = False,
) -> None:
    """Make the Omniglot store: grey, ink bright (255), paper 0.

    Args:
        source: a folder that holds the two archives, zipped or unpacked, or the path of one of the two (the
            other lies beside it). None: download them into `<out>.downloads`, where they stay for the next
            time.
        out: the store to write.
        image_size: side of the images, 1 to 4096; the originals have 105 pixels.
        overwrite: replace a store at `out`.
        progress: see `htgen.datasets.store.Progress`.
        as_drawings: bring every drawing to one form, as a user's are (`htgen.images.drawings.DRAWING_STEPS`).

        as_icons: bring it to the form of icons instead (`ICON_STEPS`).

    Raises:
        DataError: the source is missing, incomplete or damaged, the download failed, or `out` is taken.
        OutputError: no space left, or no permission.
    """
    out = Path(out)
    check_target(out, overwrite)
    folder = download(download_folder(out), progress) if source is None else _source_folder(Path(source))
    with ExitStack() as stack:
        halves = [_open_half(folder, half, stack) for half in HALVES]
        sources = [name for half in halves for name in half]
        preprocessing = Preprocessing(image_size, 1, "bright", "pad")
        if as_drawings or as_icons:
            preprocessing = replace(preprocessing, steps=DRAWING_STEPS if as_drawings else ICON_STEPS)
        schemes = {"lake": _lake(sources), "reference": REFERENCE, "vinyals": VINYALS}
        writer = stack.enter_context(
            StoreWriter(out, store_name(as_drawings, as_icons), preprocessing, schemes, overwrite)
        )
        done, total = 0, len(sources) * DRAWINGS
        for half in halves:
            for name, read_images in half.items():
                images = (preprocessing.apply(decode_image(BytesIO(d), where)) for where, d in read_images())
                writer.add_class(name.partition("/")[2], name, images)
                done += DRAWINGS
                if progress is not None:
                    progress("images", done, total)


def store_name(as_drawings: bool, as_icons: bool = False) -> str:
    """The name of a store; each form has its own, as none stands in for another."""
    return f"omniglot{hints.DRAWINGS if as_drawings else hints.ICONS if as_icons else ''}"


def download_folder(out: str | Path) -> Path:
    """Where the archives of a store at `out` are downloaded to: `<out>.downloads`."""
    out = Path(out)
    return out.with_name(f"{out.name}.downloads")


def download(folder: Path, progress: Progress | None = None) -> Path:
    """Download the two official archives into a folder, or finish doing so, and return the folder.

    Raises:
        DataError, OutputError: see `htgen.datasets.download.fetch`.
    """
    for half in HALVES:
        name = f"{half.name}.zip"
        fetch(URL + name, folder / name, digest=half.md5, algorithm="md5", progress=progress)
    return folder


def _source_folder(source: Path) -> Path:
    """The folder that holds both halves, given itself or one of the halves."""
    if kind_at(source) is None:
        raise DataError(
            f"there is no {source}", "name the folder with images_background.zip and images_evaluation.zip"
        )
    is_half = source.name.removesuffix(".zip") in {half.name for half in HALVES}
    return source.absolute().parent if is_half else source


def _open_half(folder: Path, half: Half, stack: ExitStack) -> dict[str, ReadImages]:
    """The classes of one half in order: source -> reader of its images. Zips stay open with the stack."""
    archive, unpacked = folder / f"{half.name}.zip", folder / half.name
    if kind_at(archive) == "file":
        opened = open_archive(archive, stack)
        classes = _group(half, opened.namelist())
        _check(half, classes, archive)
        return {name: zip_reader(opened, archive, members) for name, members in classes.items()}
    if kind_at(unpacked) == "folder":
        classes = _group(half, [path.relative_to(folder).as_posix() for path in unpacked.rglob("*.png")])
        _check(half, classes, unpacked)
        return {name: folder_reader(folder, members) for name, members in classes.items()}
    raise DataError(
        f"{folder} has neither {half.name}.zip nor a folder {half.name}",
        "name the folder that holds both archives, or leave --source out to download them",
    )


def _group(half: Half, members: list[str]) -> dict[str, list[str]]:
    """Sort `<half>/<alphabet>/<character>/<image>.png` into classes; other files do not count."""
    classes: dict[str, list[str]] = {}
    for member in sorted(members):
        path = PurePosixPath(member)
        is_image = path.suffix == ".png" and not path.name.startswith(".")
        if is_image and len(path.parts) == 4 and path.parts[0] == half.name:
            classes.setdefault(str(path.parent), []).append(member)
    return dict(sorted(classes.items(), key=lambda entry: entry[0].split("/")))


def _check(half: Half, classes: dict[str, list[str]], where: Path) -> None:
    faults = [f"{n} has {len(m)} of {DRAWINGS} drawings" for n, m in classes.items() if len(m) != DRAWINGS]
    if len(classes) != half.characters:
        faults.insert(0, f"{len(classes)} of {half.characters} characters")
    if faults:
        more = f", and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise DataError(
            f"{where} is not the complete Omniglot half: {'; '.join(faults[:3])}{more}",
            "unpack or download it again, or leave --source out to download it",
        )


def _lake(sources: list[str]) -> Scheme:
    """Whole alphabets apart; every sixth background alphabet is for validation."""
    background, evaluation = (half.name for half in HALVES)
    alphabets = sorted({name.split("/")[1] for name in sources if name.startswith(f"{background}/")})
    held_out = set(alphabets[5::6])
    parts: dict[str, list[int]] = {"train": [], "val": [], "background": [], "test": []}
    for number, name in enumerate(sources):
        half, alphabet, _ = name.split("/")
        if half == evaluation:
            parts["test"].append(number)
        else:
            parts["background"].append(number)
            parts["val" if alphabet in held_out else "train"].append(number)
    return Scheme(parts={part: format_ranges(numbers) for part, numbers in parts.items()})
