"""A small part of the tables of docs/lab/real-images.md: what is read right of damaged drawings stays right.

A step of the preprocessing once took photographs of pages from 92 to 8 %, and no other test saw it.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from htgen.cnn.bundle import Bundle
from htgen.generator.generator import load_generator
from htgen.images.inputs import as_input

SCRIPT = Path(__file__).parents[2] / "docs" / "measurements" / "real_images.py"

RIGHT = {
    "none": 12,
    "grey paper, pale ink": 12,
    "gradient and shadow": 12,
    "thick strokes": 12,
    "thin strokes": 12,
    "small, anywhere": 12,
    "not square": 12,
    "white on black": 12,
    "transparent": 12,
    "noise and JPEG": 12,
    "photograph": 24,
}
"""Of two queries of each of six symbols, of photographs four: as many as there are."""


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("real_images", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def cnn(script: ModuleType) -> Bundle:
    """Of one drawing of each symbol, without damage."""
    generator = load_generator("glyph-8")
    drawings = [kind[0] for kind in script.symbols(1)]
    return generator.generate_bundle(generator.prepare(drawings, [*script.SYMBOLS]))


def test_every_damage_of_the_table_has_its_floor(script: ModuleType) -> None:
    assert list(script.DAMAGES) == list(RIGHT)


@pytest.mark.parametrize("damage", RIGHT)
def test_damaged_drawings_are_read_right(script: ModuleType, cnn: Bundle, damage: str) -> None:
    each = RIGHT[damage] // len(script.SYMBOLS)
    pixels, truth = [], []
    for kind, (name, drawings) in enumerate(zip(script.SYMBOLS, script.symbols(8), strict=True)):
        for index in range(8 - each, 8):
            image = script.DAMAGES[damage](drawings[index], np.random.default_rng([kind, index]))
            pixels.append(cnn.preprocessing.apply(image))
            truth.append(name)
    told = cnn.classify(as_input(pixels, cnn.preprocessing))
    right = sum(one.label == name for one, name in zip(told, truth, strict=True))
    assert right >= RIGHT[damage]
