"""The generators that ship, on drawings that nobody trained on."""

import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.shipped import USABLE
from PIL import Image, ImageDraw

import htgen
from htgen import tensor_files
from htgen.cli import main
from htgen.cnn.bundle import Bundle
from htgen.errors import ModelError, OlderFileWarning
from htgen.generator.file import read_generator
from htgen.generator.generator import load_generator
from htgen.generator.network import build
from htgen.generator.shipped import generator_path, shipped_generators
from htgen.images.inputs import prepare_images

SYMBOLS = Path(__file__).parents[2] / "examples" / "symbols"


OF_DRAWINGS = ["glyph-8", "glyph-16", "glyph-64"]
OF_ICONS = ["icon-8", "icon-64"]
OF_PHOTOGRAPHS = ["photo", "photo-large", "photo-1m", "photo-40", "photo-small"]


@pytest.fixture(scope="module")
def generator(request):
    return htgen.load_generator(request.param)


each_generator = pytest.mark.parametrize("generator", USABLE, indirect=True)
each_of_drawings = pytest.mark.parametrize("generator", OF_DRAWINGS, indirect=True)
each_of_icons = pytest.mark.parametrize("generator", OF_ICONS, indirect=True)


def test_these_ship():
    assert sorted(shipped_generators()) == sorted([*OF_DRAWINGS, *OF_ICONS, *OF_PHOTOGRAPHS])
    assert htgen.load_generator().name == "glyph-8"
    for name in shipped_generators():
        assert generator_path(name).stat().st_size < 5_000_000


@pytest.fixture(scope="module")
def support():
    paths = sorted((SYMBOLS / "support").glob("*/*.png"))
    return paths, [path.parent.name for path in paths]


@each_generator
@torch.no_grad()
def test_file_module_and_generator_give_the_same_logits(generator, support, tmp_path):
    prepared = generator.prepare(*support)
    new = sorted((SYMBOLS / "new").glob("*.png"))[:6]
    queries = torch.from_numpy(prepare_images(new, generator.preprocessing))
    slots = torch.arange(len(prepared.classes))[None]
    model = build(generator.file)
    images, labels = (torch.from_numpy(array)[None] for array in (prepared.images, prepared.labels))
    logits = model.execute(model.generate(images, labels, slots), queries[None])[0]
    expected = logits / generator.temperature.at(prepared.shot)
    generator.generate_bundle(prepared).save(tmp_path / "cnn.safetensors")
    module, bundle = htgen.load_cnn(tmp_path / "cnn.safetensors"), Bundle.load(tmp_path / "cnn.safetensors")
    # With NumPy, and one at a time, sums are taken in another order: float32 rounding of logits of size 20,
    # which grows with the square root of their number.
    terms = (bundle.spec.convs[-1].in_channels / 8) ** 0.5
    tolerance = 1e-6 * max(10.0, expected.abs().max().item()) * terms
    assert (module(queries) - expected).abs().max() <= tolerance
    for i, query in enumerate(queries):
        assert (module(query[None])[0] - expected[i]).abs().max() <= tolerance
    assert np.abs(bundle.logits(queries.numpy()) - expected.numpy()).max() <= tolerance


@pytest.mark.parametrize(
    ("generator", "most"), [("glyph-8", 24_000), ("glyph-16", 57_000)], indirect=["generator"]
)
def test_a_cnn_of_20_classes_is_small(generator, most):
    """With the class means by which it can grow, of 292 and 580 bytes a class."""
    noise = np.random.default_rng(0)
    images = [noise.integers(0, 256, (28, 28), dtype=np.uint8) for _ in range(20)]
    cnn = generator.generate(images, [f"class {i:02}" for i in range(20)])
    assert len(cnn.bundle.to_bytes()) <= most


@each_of_drawings
def test_at_least_30_classes(generator):
    assert generator.max_way >= 30


@each_of_drawings
def test_one_drawing_of_each_class_is_enough_for_most(generator, support):
    paths, labels = support
    cnn = generator.generate(paths[::3], labels[::3])
    found = [prediction.label for prediction in cnn.predict(paths)]
    assert sum(a == b for a, b in zip(found, labels, strict=True)) >= 16  # of 18; chance is 3


@each_of_drawings
def test_renaming_the_classes_renames_the_answers(generator, support):
    """Names are sorted, so that other names give the classes other label embeddings."""
    paths, labels = support
    classes = sorted(set(labels))
    for shift in range(len(classes)):
        renamed = dict(zip(classes, classes[shift:] + classes[:shift], strict=True))
        cnn = generator.generate(paths[::3], [renamed[label] for label in labels[::3]])
        found = [prediction.label for prediction in cnn.predict(paths)]
        right = sum(a == renamed[b] for a, b in zip(found, labels, strict=True))
        assert right >= 16, renamed  # of 18; chance is 3


@each_of_icons
def test_solid_shapes_and_their_outlines_are_one_class(generator):
    """One solid example of each class; queries are outlines, and solid ones of other sizes."""
    names = list(SHAPES)
    cnn = generator.generate([icon(name, None) for name in names], names)
    queries = [icon(name, width, size) for name in names for width, size in ((6, 60), (9, 70), (None, 50))]
    found = [prediction.label for prediction in cnn.predict(queries)]
    right = sum(a == b for a, b in zip(found, [name for name in names for _ in range(3)], strict=True))
    assert right >= 11  # of 12; chance is 3


@each_of_icons
def test_any_number_of_icons_is_known(generator):
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, (32, 32), dtype=np.uint8) for _ in range(120)]
    cnn = generator.generate(images, [f"class {i:03}" for i in range(120)])
    assert len(cnn.bundle.classes) == 120


SHAPES = {
    "arrow": [(-1, -0.3), (0.2, -0.3), (0.2, -0.9), (1, 0), (0.2, 0.9), (0.2, 0.3), (-1, 0.3)],
    "house": [(-0.8, 1), (-0.8, -0.1), (0, -1), (0.8, -0.1), (0.8, 1)],
    "bolt": [(0.1, -1), (-0.6, 0.2), (-0.05, 0.2), (-0.2, 1), (0.6, -0.3), (0.05, -0.3)],
    "cross": [
        *((-0.3, -1), (0.3, -1), (0.3, -0.3), (1, -0.3), (1, 0.3), (0.3, 0.3)),
        *((0.3, 1), (-0.3, 1), (-0.3, 0.3), (-1, 0.3), (-1, -0.3), (-0.3, -0.3)),
    ],
}
"""Corners of four shapes, -1..1."""


def icon(name: str, width: int | None, size: int = 64) -> Image.Image:
    """A shape in black on white, `size` pixels from the middle; solid, or an outline of so many pixels."""
    image = Image.new("L", (192, 192), 255)
    corners = [(96 + size * x, 96 + size * y) for x, y in SHAPES[name]]
    draw = ImageDraw.Draw(image)
    if width is None:
        draw.polygon(corners, fill=0)
    else:
        draw.line([*corners, *corners[:2]], fill=0, width=width, joint="curve")
    return image


def test_swapped_examples_are_named_and_right_ones_are_not(tmp_path, capsys):
    shutil.copytree(SYMBOLS / "support", tmp_path / "support")
    command = ["generate", "--support", str(tmp_path / "support"), "-o", str(tmp_path / "cnn.safetensors")]
    assert main(command) == 0
    assert "warning" not in capsys.readouterr().err
    anchor, key = tmp_path / "support" / "anchor" / "2.png", tmp_path / "support" / "key" / "2.png"
    anchor.rename(tmp_path / "x.png")
    key.rename(anchor)
    (tmp_path / "x.png").rename(key)
    assert main(command) == 0
    (warning,) = [line for line in capsys.readouterr().err.splitlines() if "another class" in line]
    assert "anchor/2.png looks like key" in warning
    assert "key/2.png looks like anchor" in warning
    assert "arrow" not in warning


def test_one_class_in_two_folders_is_told(tmp_path, capsys):
    shutil.copytree(SYMBOLS / "support", tmp_path / "support")
    shutil.copytree(SYMBOLS / "support" / "flag", tmp_path / "support" / "banner")
    command = ["generate", "--support", str(tmp_path / "support"), "-o", str(tmp_path / "cnn.safetensors")]
    assert main(command) == 0
    (warning,) = [line for line in capsys.readouterr().err.splitlines() if "alike" in line]
    assert "banner and flag" in warning
    assert "house" not in warning


def test_what_ships_has_a_checksum_or_is_known_by_one():
    assert not any(read_generator(name).lacks_checksum for name in shipped_generators())


def test_a_generator_that_ships_and_was_damaged_is_refused(monkeypatch):
    monkeypatch.setattr(tensor_files, "_CHECKSUMS_OF_BEFORE", {})
    with pytest.raises(ModelError, match="not the file that ships"):
        load_generator("glyph-8")


@pytest.mark.parametrize("name", shipped_generators())
def test_a_changed_bit_in_a_copy_of_what_ships_is_refused_or_told(name, tmp_path):
    data = generator_path(name).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(data)
    assert not read_generator(copy, warns=True).lacks_checksum
    randomness = np.random.default_rng(4)
    for place in randomness.integers(8 + length, len(data), 4):
        copy.write_bytes(_with_a_changed_bit(data, int(place)))
        with pytest.raises(ModelError, match=r"copy\.safetensors is damaged: its checksum"):
            read_generator(copy)
    for place in randomness.integers(8, 8 + length, 20):  # the description may be of no known file then
        copy.write_bytes(_with_a_changed_bit(data, int(place)))
        with pytest.raises((ModelError, OlderFileWarning), match="copy"):  # tests raise warnings
            read_generator(copy, warns=True)


def _with_a_changed_bit(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :]
