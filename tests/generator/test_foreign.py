"""Unlabelled images of none of the classes, with the generator that ships and with one that cannot tell."""

import random
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.generators import LABELS, make_generator, pictures
from PIL import Image

from htgen.episodes.shape import UNLABELED
from htgen.generator.generator import Generator, load_generator

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
from draw_symbols import SYMBOLS, draw


@pytest.fixture(scope="module")
def generator() -> Generator:
    return load_generator("glyph-8")


def symbols(names: list[str], count: int, seed: int) -> list[Image.Image]:
    hand = random.Random(seed)
    return [draw(SYMBOLS[name], hand) for name in names for _ in range(count)]


def noisy(count: int) -> list[np.ndarray]:
    noise = np.random.default_rng(0)
    return [noise.normal(128, 60, (60, 60)).clip(0, 255).astype(np.uint8) for _ in range(count)]


def test_symbols_of_other_kinds_and_noise_are_foreign(generator):
    known, others = list(SYMBOLS)[:3], list(SYMBOLS)[3:]
    own, foreign = symbols(known, 6, 1), [*symbols(others, 6, 2), *noisy(10)]
    support = generator.prepare(symbols(known, 3, 0), np.repeat(known, 3), [*own, *foreign])
    found = generator.find_foreign(support)
    assert not found[:9].any()  # labelled ones never are
    assert found[9 : 9 + len(own)].mean() < 0.2
    assert found[9 + len(own) :].mean() > 0.8


def test_they_do_not_spoil_a_cnn(generator):
    known = list(SYMBOLS)
    labels, query = np.repeat(known, 1), symbols(known, 6, 3)
    wanted = np.repeat(np.sort(known), 6)
    order = np.argsort(np.repeat(known, 6), kind="stable")
    pages = noisy(40)

    def right(support) -> int:
        answers = generator.generate_bundle(support).predict([query[i] for i in order])
        return sum(answer.label == name for answer, name in zip(answers, wanted, strict=True))

    alone = generator.prepare(symbols(known, 1, 0), labels)
    spoiled = generator.prepare(symbols(known, 1, 0), labels, pages)
    mended = spoiled.without(generator.find_foreign(spoiled))
    assert right(mended) >= right(alone) - 1
    assert right(spoiled) < right(alone) - 5  # or there were nothing to mend


def test_python_users_get_the_same(generator):
    known = list(SYMBOLS)[:3]
    images, labels = symbols(known, 1, 0), known
    cnn = generator.generate(images, labels, noisy(6))
    support = generator.prepare(images, labels, noisy(6))
    expected = generator.generate_bundle(support.without(generator.find_foreign(support)))
    assert cnn.bundle.to_bytes() == expected.to_bytes()


def test_without_plda_nothing_is_foreign():
    generator = make_generator()
    support = generator.prepare(pictures(6), LABELS, pictures(3, seed=1))
    assert (support.labels == UNLABELED).sum() == 3
    assert not generator.find_foreign(support).any()
