"""Every reader of htgen, with good inputs to begin from.

The seeds are what is in `corpus/`, and files of the workshop. Checksums are taken out, or count as right: who
means harm writes right ones.
"""

import contextlib
import io
import json
import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from helpers.files import header_of
from PIL import Image

from faults.changes import changed_bytes, changed_json, changed_json_or_bytes
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
from htgen.datasets.store_format import checksum_of
from htgen.datasets.tieredimagenet import _open_images
from htgen.generator import tensorflow_checkpoint
from htgen.generator.file import GeneratorFile
from htgen.generator.generator import load_generator
from htgen.generator.provenance import Provenance
from htgen.images.drawings import DRAWING_STEPS
from htgen.images.inputs import read_images
from htgen.images.labels import labels_from_csv
from htgen.images.preprocessing import Preprocessing
from htgen.images.reading import list_pages, load_image
from htgen.tensor_files import read_any
from htgen.training.curve import read_metrics_line
from htgen.training.state import read_state, state_config

CORPUS = Path(__file__).parent / "corpus"

CHECKPOINTS = Path(__file__).parents[1] / "generator" / "checkpoints"


@dataclass
class Reader:
    """What takes an input.

    Attributes:
        seeds: good inputs, as bytes.
        form: bytes -> what `take` takes; ValueError where they are none such.
        take: reads it.
        share: of all inputs that are tried by chance.
        change: a seed, changed by chance.
        kept: whether what a fuzzer finds may be kept in the repository: other programs do not open it.
    """

    name: str
    seeds: Sequence[bytes]
    form: Callable[[bytes], Any]
    take: Callable[[Any], Any]
    share: float
    change: Callable[[bytes, random.Random], bytes] = changed_bytes
    kept: bool = True

    def make(self, chance: random.Random) -> Any:
        """An input."""
        return self.form(self.change(chance.choice(self.seeds), chance))


def corpus(kind: str) -> list[bytes]:
    """The seeds of a reader in the repository; what is no text is written in hexadecimal digits."""
    found = []
    for path in sorted(CORPUS.glob(f"{kind}-*")):
        text = path.read_bytes()
        found.append(bytes.fromhex(text.decode()) if path.suffix == ".hex" else text)
    assert found, kind
    return found


def text_of(data: bytes) -> str:
    """Bytes as text, whatever they are."""
    return data.decode("utf-8", "replace")


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
        self.images += other_formats(self.images[0])
        for name in ("store", "other", "zips", "labels"):
            (place / name).mkdir()
        (place / "labels" / "a.png").write_bytes(self.images[0])
        header = (workshop / "toy" / "images.npy").read_bytes()
        (place / "store" / "images.npy").write_bytes(header)
        (place / "other" / "manifest.json").write_bytes(self.manifest)
        self.npy = header[:128] + header[128:228]

    def all(self) -> list[Reader]:
        """Each, with the share of inputs that it gets: those that are read fast get more."""
        return [*self._files(), *self._descriptions(), *self._texts(), *self._data_sets(), *self._images()]

    def _files(self) -> list[Reader]:
        generator, state = self.generator, self.state
        index = (CHECKPOINTS / "separate.index").read_bytes()
        return [
            Reader("files of tensors", (self.cnn, generator, state), bytes, self._file(read_any), 0.02),
            self._header("descriptions of CNN files", self.cnn, Bundle.load, 0.04),
            self._header("descriptions of generators", generator, GeneratorFile.read, 0.02),
            self._header("generators, loaded", generator, load_generator, 0.005),
            self._header("descriptions of training states", state, _read_state, 0.004),
            Reader("checkpoints of TensorFlow", [index], bytes, self._checkpoint, 0.02),
        ]

    def _descriptions(self) -> list[Reader]:
        description, generator = header_of(self.cnn), header_of(self.generator)
        provenances = [generator["provenance"], *(json.loads(text) for text in corpus("provenance"))]
        models = [self.config.model.model_dump(mode="json"), generator["model"]]
        return [
            _values("layers of CNNs", [description["cnn"]], _spec, 0.15),
            _values("preprocessing", [description["preprocessing"]], _preprocessing, 0.15),
            _values("provenance", provenances, _provenance, 0.08),
            _values("sections of configs", models, _model, 0.03),
            _values("whole configs", [self.config.model_dump(mode="json")], _config, 0.003),
        ]

    def _texts(self) -> list[Reader]:
        return [
            Reader("YAML", corpus("yaml"), text_of, _yaml, 0.01),
            Reader("overrides", corpus("override"), text_of, _override, 0.002),
            Reader("lines of metrics", corpus("metrics"), bytes, read_metrics_line, 0.2),
            Reader("splits", corpus("split"), text_of, self._split, 0.06),
            Reader("labels of images", corpus("labels"), bytes, self._labels, 0.01),
        ]

    def _data_sets(self) -> list[Reader]:
        idx = self._file(lambda path: read_idx(path, (2, 4, 4)))
        return [
            Reader("pickles", corpus("pickle"), bytes, self._file(load_pickle), 0.15, kept=False),
            Reader("idx files", corpus("idx"), bytes, idx, 0.03),
            Reader("zips", corpus("zip"), bytes, self._zip, 0.01, kept=False),
            Reader("archives of arrays", [_npz()], bytes, self._file(_arrays), 0.01, kept=False),
            Reader(
                "manifests of stores", [self.manifest], bytes, self._manifest, 0.015, changed_json_or_bytes
            ),
            Reader("images of stores", [self.npy], bytes, self._npy, 0.01),
        ]

    def _images(self) -> list[Reader]:
        drawing = Preprocessing(28, 1, "bright", "pad", DRAWING_STEPS)
        return [
            Reader("images", self.images, bytes, self._file(_pages), 0.02, kept=False),
            Reader("drawings", _small_drawings(), bytes, self._file(_seen_by(drawing)), 0.003, kept=False),
        ]

    def _header(self, name: str, file: bytes, read: Callable[[Path], Any], share: float) -> Reader:
        """A file with another description and no checksum, as one of before or a hostile one has none."""
        header = header_of(file)
        del header["checksum"]
        (length,) = struct.unpack("<Q", file[:8])
        outer, tensors = json.loads(file[8 : 8 + length]), file[8 + length :]

        def form(data: bytes) -> bytes:
            outer["__metadata__"]["htgen"] = text_of(data)
            text = json.dumps(outer).encode()
            return struct.pack("<Q", len(text)) + text + tensors

        return Reader(name, [json.dumps(header).encode()], form, self._file(read), share, changed_json)

    def _file(self, read: Callable[[Path], Any]) -> Callable[[bytes], Any]:
        path = self.place / "input"

        def take(data: bytes) -> Any:
            path.write_bytes(data)
            return read(path)

        return take

    def _zip(self, data: bytes) -> None:
        (self.place / "zips" / f"{HALVES[0].name}.zip").write_bytes(data)
        with contextlib.ExitStack() as stack:
            for read in _open_half(self.place / "zips", HALVES[0], stack).values():
                list(read())

    def _manifest(self, data: bytes) -> Store:
        with contextlib.suppress(ValueError, RecursionError, TypeError):
            record = json.loads(data)
            data = json.dumps({**record, "checksum": checksum_of(record)}).encode()
        (self.place / "store" / "manifest.json").write_bytes(data)
        return Store.open(self.place / "store")

    def _npy(self, data: bytes) -> Store:
        (self.place / "other" / "images.npy").write_bytes(data)
        return Store.open(self.place / "other")

    def _split(self, text: str) -> list[int]:
        return resolve_split(self.store, text)

    def _labels(self, data: bytes) -> Any:
        (self.place / "labels.csv").write_bytes(data)
        return labels_from_csv(self.place / "labels.csv", self.place / "labels")

    def _checkpoint(self, index: bytes) -> Any:
        """A checkpoint with another index; its numbers are those of the seed."""
        (self.place / "c.index").write_bytes(index)
        data = self.place / "c.data-00000-of-00001"
        if not data.exists():
            data.write_bytes((CHECKPOINTS / "separate.data-00000-of-00001").read_bytes())
        with mock.patch.object(tensorflow_checkpoint, "masked_crc32c", return_value=mock.ANY):
            found = tensorflow_checkpoint.Checkpoint(self.place / "c")
            return [found.tensor(name) for name in found.entries]


# ----------------------------------------------------------------------------------------------------- seeds


def other_formats(png: bytes) -> list[bytes]:
    """A small picture in other formats and modes, and some of several pages or frames."""
    picture = Image.open(io.BytesIO(png)).convert("RGB").resize((8, 8))
    page = {"save_all": True, "append_images": [picture.rotate(90)]}
    cases: list[tuple[Image.Image, str, dict[str, Any]]] = [
        *((picture, form, {}) for form in ("JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "ICO", "TGA", "PCX")),
        *((picture, form, {}) for form in ("SGI", "DDS", "JPEG2000", "DIB", "ICNS")),
        *((picture, form, page) for form in ("TIFF", "GIF", "PNG")),
        *((picture.convert("1"), "TIFF", {"compression": kind}) for kind in ("group4", "packbits")),
        *((picture, "TIFF", {"compression": kind}) for kind in ("tiff_lzw", "jpeg")),
        *((picture.convert(mode), "PNG", {}) for mode in ("RGBA", "P", "1", "LA", "I;16")),
        *((picture.convert(mode), "TIFF", {}) for mode in ("F", "CMYK", "LAB", "I")),
        *((picture.convert("1"), form, {}) for form in ("XBM", "MSP")),
    ]
    found = []
    for image, form, options in cases:
        buffer = io.BytesIO()
        with contextlib.suppress(KeyError, OSError):  # a Pillow that writes no such files
            image.save(buffer, form, **options)
            found.append(buffer.getvalue())
    return found


def _small_drawings() -> list[bytes]:
    """Grey pictures as their pixels, so that every byte after the first line is one: a PGM each."""
    found = []
    for side in (3, 8, 33, 48):
        y, x = np.mgrid[:side, :side]
        ring = np.abs(np.hypot(y - side / 2, x - side / 2) - side / 3) < 1.5
        pixels = np.where(ring, 20, 230 - x // 2).astype(np.uint8)
        found.append(b"P5 %d %d 255\n" % (side, side) + pixels.tobytes())
    return found


def _npz() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, images=np.zeros((1, 84, 84, 3), np.uint8)[:0])
    return buffer.getvalue()


# ----------------------------------------------------------------------------------------- what takes values


def _values(name: str, seeds: list[Any], take: Callable[[Any], Any], share: float) -> Reader:
    return Reader(name, [json.dumps(seed).encode() for seed in seeds], json.loads, take, share, changed_json)


def _read_state(path: Path) -> Any:
    header, tensors = read_state(path)
    return state_config(header, path), tensors


def _arrays(path: Path) -> Any:
    with contextlib.ExitStack() as stack:
        return _open_images(path, stack)[1]


def _pages(path: Path) -> Any:
    return [load_image(name) for name in list_pages(path)[:3]], load_image(path)


def _seen_by(preprocessing: Preprocessing) -> Callable[[Path], Any]:
    return lambda path: list(read_images([path], preprocessing))


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
