"""Inputs that nobody should send, for every reader: changed copies of good ones.

Each reader has seeds: what is in `corpus/`, and files of the workshop. Bytes are changed as they are; JSON
also value by value, so that what is hostile reaches beyond the parser. A reader may answer, or refuse with an
error of htgen; anything else is a defect.
"""

import contextlib
import json
import math
import random
import signal
import struct
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers.files import header_of

from faults.interruptions import Tally
from htgen.cnn.bundle import Bundle
from htgen.cnn.spec import CnnSpec
from htgen.config.faults import validate
from htgen.config.files import load_config, parse_yaml
from htgen.config.model import ModelConfig
from htgen.config.run import Config
from htgen.datasets.idx import read_idx
from htgen.datasets.omniglot import HALVES, _open_half
from htgen.datasets.safe_pickle import load_pickle
from htgen.datasets.splits import resolve_split
from htgen.datasets.store import Store
from htgen.errors import HtgenError
from htgen.generator.file import GeneratorFile
from htgen.generator.generator import load_generator
from htgen.generator.provenance import Provenance
from htgen.images.preprocessing import Preprocessing
from htgen.images.reading import load_image
from htgen.tensor_files import read_any
from htgen.training.curve import read_metrics_line
from htgen.training.state import read_state, state_config

CORPUS = Path(__file__).parent / "corpus"

LONGEST = 10.0
"""Seconds after which a reader counts as one that hangs."""

NUMBERS = (
    0,
    -1,
    1,
    2,
    7,
    2**31,
    2**53,
    2**63,
    2**64,
    10**30,
    -(2**62),
    0.5,
    -0.0,
    1e-300,
    1e300,
    math.inf,
    math.nan,
)
TEXTS = ("", "x", "\0", "\ud800", "../x", "1e400", "x" * 3000, "=1+1", "conv1", "support", "\x1b[2J", "relu")
VALUES = (*NUMBERS, *TEXTS, None, True, False, [], {}, [[]], [1, 2], {"x": {}}, [None] * 40)


class Hang(BaseException):
    """A reader that does not end; no reader catches it."""


# --------------------------------------------------------------------------------------------------- changes


def changed_bytes(data: bytes, chance: random.Random) -> bytes:
    """Some bytes of it others, moved, left out or repeated."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        place = chance.randrange(len(changed) + 1)
        match chance.randrange(7):
            case 0 if place < len(changed):
                changed[place] ^= 1 << chance.randrange(8)
            case 1:
                changed[place : place + chance.choice((1, 2, 4, 8))] = chance.randbytes(
                    chance.choice((1, 2, 4, 8))
                )
            case 2:
                del changed[place : place + chance.choice((1, 2, 8, 64))]
            case 3:
                start = chance.randrange(len(changed) + 1)
                changed[place:place] = changed[start : start + chance.choice((1, 4, 32))]
            case 4 if chance.random() < 0.2:
                del changed[place:]
            case 5:
                number = chance.choice((0, 1, 127, 255, 2**16 - 1, 2**31 - 1, 2**32 - 1, 2**63))
                packed = struct.pack(chance.choice("<>") + "Q", number)
                changed[place : place + 4] = packed[:4] if chance.random() < 0.5 else packed[4:]
            case _:
                changed[place:place] = chance.choice(
                    (b"\0", b"\xff", b"[", b"{", b'"', b"9", b"-", b"e", b"\n")
                )
    return bytes(changed)


def changed_values(values: Any, chance: random.Random) -> Any:
    """Some value in plain containers another one, left out, or put elsewhere."""
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        values = _changed_value(values, chance)
    return values


def _changed_value(values: Any, chance: random.Random) -> Any:
    if isinstance(values, dict) and values and chance.random() < 0.95:
        changed = dict(values)
        key = chance.choice(list(changed))
        match chance.randrange(12):
            case 0:
                del changed[key]
            case 1:
                changed[str(chance.choice(TEXTS))] = changed[key]
            case _:
                changed[key] = _changed_value(changed[key], chance)
        return changed
    if isinstance(values, list) and values and chance.random() < 0.9:
        changed_list = list(values)
        place = chance.randrange(len(values))
        match chance.randrange(8):
            case 0:
                del changed_list[place]
            case 1:
                changed_list.insert(place, chance.choice(VALUES))
            case _:
                changed_list[place] = _changed_value(changed_list[place], chance)
        return changed_list
    if isinstance(values, str) and len(values) > 1 and chance.random() < 0.3:
        place = chance.randrange(len(values))
        return values[:place] + chance.choice(TEXTS) + values[place + 1 :]
    if isinstance(values, int) and not isinstance(values, bool) and chance.random() < 0.4:
        return values + chance.choice((-1, 1, 2, 1000))
    return chance.choice(VALUES)


# --------------------------------------------------------------------------------------------------- readers


@dataclass
class Reader:
    """What takes an input.

    Attributes:
        make: an input, changed by chance.
        take: reads it.
        share: of all inputs.
    """

    name: str
    make: Callable[[random.Random], Any]
    take: Callable[[Any], Any]
    share: float


def corpus(kind: str) -> list[bytes]:
    """The seeds of a reader in the repository; what is no text is written in hexadecimal digits."""
    found = []
    for path in sorted(CORPUS.glob(f"{kind}-*")):
        text = path.read_bytes()
        found.append(bytes.fromhex(text.decode()) if path.suffix == ".hex" else text)
    assert found, kind
    return found


class Readers:
    """Every reader of htgen, with its inputs.

    Args:
        workshop: see `faults.workshop.build`.
        place: a folder for inputs that must be files.
    """

    def __init__(self, workshop: Path, place: Path) -> None:
        self.place = place
        self.cnn = (workshop / "cnn.safetensors").read_bytes()
        self.generator = (workshop / "toy.safetensors").read_bytes()
        self.state = (workshop / "run-whole" / "latest.safetensors").read_bytes()
        self.manifest = (workshop / "toy" / "manifest.json").read_bytes()
        self.store = Store.open(workshop / "toy")
        self.config = Config.model_validate(parse_yaml((workshop / "toy.yaml").read_text(), "toy")[0])
        self.images = [path.read_bytes() for path in sorted((workshop / "support").rglob("*.png"))[:2]]
        self._other_formats()
        (place / "store").mkdir()
        header = (workshop / "toy" / "images.npy").read_bytes()
        (place / "store" / "images.npy").write_bytes(header)
        self.npy = header[:128] + header[128:228]

    def _other_formats(self) -> None:
        import io

        from PIL import Image

        for form in ("JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"):
            buffer = io.BytesIO()
            Image.open(io.BytesIO(self.images[0])).convert("RGB").resize((8, 8)).save(buffer, form)
            self.images.append(buffer.getvalue())

    def all(self) -> list[Reader]:
        """Each, with the share of inputs that it gets: those that are read fast get more."""
        tensors = (self.cnn, self.generator, self.state)
        return [
            Reader("files of tensors", self._bytes(tensors), self._file(read_any), 0.02),
            Reader("descriptions of CNN files", self._header(self.cnn), self._file(Bundle.load), 0.04),
            Reader(
                "descriptions of generators",
                self._header(self.generator),
                self._file(GeneratorFile.read),
                0.02,
            ),
            Reader("generators, loaded", self._header(self.generator), self._file(load_generator), 0.005),
            Reader(
                "descriptions of training states", self._header(self.state), self._file(_read_state), 0.004
            ),
            Reader("layers of CNNs", self._values([header_of(self.cnn)["cnn"]]), _spec, 0.15),
            Reader(
                "preprocessing", self._values([header_of(self.cnn)["preprocessing"]]), _preprocessing, 0.15
            ),
            Reader("provenance", self._values(self._provenances()), _provenance, 0.08),
            Reader("sections of configs", self._values(self._models()), _model, 0.03),
            Reader("whole configs", self._values([self.config.model_dump(mode="json")]), _config, 0.003),
            Reader("YAML", self._text("yaml"), _yaml, 0.01),
            Reader("overrides", self._text("override"), _override, 0.002),
            Reader("lines of metrics", self._bytes(corpus("metrics")), read_metrics_line, 0.2),
            Reader("pickles", self._bytes(corpus("pickle")), self._file(load_pickle), 0.15),
            Reader(
                "idx files", self._bytes(corpus("idx")), self._file(lambda p: read_idx(p, (2, 4, 4))), 0.03
            ),
            Reader("zips", self._bytes(corpus("zip")), self._zip, 0.01),
            Reader("manifests of stores", self._text_of(self.manifest), self._manifest, 0.015),
            Reader("images of stores", self._bytes([self.npy]), self._npy, 0.01),
            Reader("splits", self._text("split"), self._split, 0.06),
            Reader("images", self._bytes(self.images), self._file(load_image), 0.02),
        ]

    def _bytes(self, seeds: Any) -> Callable[[random.Random], bytes]:
        return lambda chance: changed_bytes(chance.choice(seeds), chance)

    def _text(self, kind: str) -> Callable[[random.Random], str]:
        seeds = corpus(kind)
        return lambda chance: changed_bytes(chance.choice(seeds), chance).decode("utf-8", "replace")

    def _text_of(self, seed: bytes) -> Callable[[random.Random], bytes]:
        values = json.loads(seed)

        def make(chance: random.Random) -> bytes:
            if chance.random() < 0.5:
                return changed_bytes(seed, chance)
            return json.dumps(changed_values(values, chance)).encode()

        return make

    def _values(self, seeds: list[Any]) -> Callable[[random.Random], Any]:
        return lambda chance: changed_values(chance.choice(seeds), chance)

    def _header(self, data: bytes) -> Callable[[random.Random], bytes]:
        """The file with another description and no checksum, as one of before or a hostile one has none."""
        header = header_of(data)
        del header["checksum"]
        (length,) = struct.unpack("<Q", data[:8])
        outer, tensors = json.loads(data[8 : 8 + length]), data[8 + length :]

        def make(chance: random.Random) -> bytes:
            outer["__metadata__"]["htgen"] = json.dumps(changed_values(header, chance))
            text = json.dumps(outer).encode()
            return struct.pack("<Q", len(text)) + text + tensors

        return make

    def _file(self, read: Callable[[Path], Any]) -> Callable[[bytes], Any]:
        path = self.place / "input"

        def take(data: bytes) -> Any:
            path.write_bytes(data)
            return read(path)

        return take

    def _provenances(self) -> list[Any]:
        return [header_of(self.generator)["provenance"], *(json.loads(text) for text in corpus("provenance"))]

    def _models(self) -> list[Any]:
        return [self.config.model.model_dump(mode="json"), header_of(self.generator)["model"]]

    def _zip(self, data: bytes) -> None:
        folder = self.place / "zips"
        folder.mkdir(exist_ok=True)
        (folder / f"{HALVES[0].name}.zip").write_bytes(data)
        with contextlib.ExitStack() as stack:
            for read in _open_half(folder, HALVES[0], stack).values():
                list(read())

    def _manifest(self, data: bytes) -> Store:
        (self.place / "store" / "manifest.json").write_bytes(data)
        return Store.open(self.place / "store")

    def _npy(self, data: bytes) -> Store:
        folder = self.place / "other"
        if not folder.exists():
            folder.mkdir()
            (folder / "manifest.json").write_bytes(self.manifest)
        (folder / "images.npy").write_bytes(data)
        return Store.open(folder)

    def _split(self, text: str) -> list[int]:
        return resolve_split(self.store, text)


def _read_state(path: Path) -> Any:
    header, tensors = read_state(path)
    return state_config(header, path), tensors


def _spec(values: Any) -> Any:
    if not isinstance(values, dict):
        return None
    spec = CnnSpec.from_dict(values)
    if next(spec.faults(), None) is None:
        return spec.steps(spec.convs[0]), spec.multiply_adds(3), spec.to_dict()
    return None


def _preprocessing(values: Any) -> Any:
    return Preprocessing.from_dict(values).to_dict() if isinstance(values, dict) else None


def _provenance(values: Any) -> Any:
    return Provenance.from_json(values).to_json() if isinstance(values, dict) else None


def _model(values: Any) -> Any:
    return validate(ModelConfig, values, "a config")


def _config(values: Any) -> Any:
    return validate(Config, values, "a config")


def _yaml(text: str) -> Any:
    return parse_yaml(text, "a file")


def _override(text: str) -> Any:
    return load_config("glyph-8", [text])


# ------------------------------------------------------------------------------------------------------- run


def try_all(
    readers: Readers, number: int, chance: random.Random, tally: Tally
) -> Iterator[tuple[str, int, float]]:
    """Give all readers `number` inputs together; yields the name of each, how many, and the seconds."""

    def hang(*_: object) -> None:
        raise Hang

    signal.signal(signal.SIGALRM, hang)
    all_readers = readers.all()
    whole = sum(reader.share for reader in all_readers)
    for reader in all_readers:
        count, started = max(20, math.ceil(number * reader.share / whole)), time.monotonic()
        for _ in range(count):
            given = reader.make(chance)
            signal.setitimer(signal.ITIMER_REAL, LONGEST)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    reader.take(given)
            except HtgenError:
                pass
            except Hang:
                tally.hangs.append(f"{reader.name}: {given!r:.300}")
            except Exception as error:
                tally.tracebacks.append(f"{reader.name}: {error!r:.300} of {given!r:.600}")
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        tally.count("inputs tried", count)
        yield reader.name, count, time.monotonic() - started
