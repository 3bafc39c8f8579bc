"""Codes of label slots: unit vectors that are orthogonal as far as there is room, the same everywhere."""

import numpy as np
import pytest
import torch
from helpers.slow_reference import slot_code

from htgen.hypertransformer.encoder import LabelCodes
from htgen.hypertransformer.encoder_numpy import LabelCodes as NumpyLabelCodes
from htgen.hypertransformer.label_codes import cosine_matrix, maps_of_tables

WIDTHS = [2, 5, 32, 48]


def codes_of(slots: np.ndarray, width: int) -> np.ndarray:
    return NumpyLabelCodes(width, np.float32).of_slots(slots)


@pytest.mark.parametrize("width", WIDTHS)
def test_torch_numpy_and_loops_agree(width):
    slots = np.random.default_rng(0).integers(0, 2**40, (3, 7))
    found = codes_of(slots, width)
    assert found.dtype == np.float32
    np.testing.assert_allclose(LabelCodes(width).of_slots(torch.from_numpy(slots)), found, atol=1e-6)
    expected = [[slot_code(slot, width) for slot in row] for row in slots.tolist()]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_codes_of_a_set_are_orthogonal(width):
    for number in (0, 1, 2**20):
        own = codes_of(np.arange(width)[None] + number * width, width)[0]
        np.testing.assert_allclose(own @ own.T, np.eye(width), atol=1e-5)


def test_codes_of_different_sets_are_nearly_so():
    width, sets = 32, 60
    codes = codes_of(np.arange(sets * width)[None], width)[0].reshape(sets, width, width)
    products = np.einsum("aik,bjk->abij", codes, codes)[~np.eye(sets, dtype=bool)]
    assert abs(products.mean()) < 1e-3
    assert np.sqrt((products**2).mean()) == pytest.approx(width**-0.5, rel=1e-3)
    assert abs(products).max() < 0.85  # two codes of 1 920 are never the same
    assert abs(codes.mean(axis=(0, 1))).max() < 0.02  # no direction is preferred


def test_a_code_does_not_depend_on_the_others():
    slots = np.arange(100)[None]
    many = codes_of(slots, 32)
    np.testing.assert_allclose(many[:, 7:60], codes_of(slots[:, 7:60], 32), atol=1e-6)


def test_the_cosine_matrix_is_orthogonal():
    for width in WIDTHS:
        matrix = cosine_matrix(width).astype(np.float64)
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(width), atol=1e-6)


def test_a_table_becomes_a_map_with_its_mean_and_covariance():
    chance = np.random.default_rng(0)
    labels, placeholders = (chance.normal(2, 1, (rows, 6)).astype(np.float32) for rows in (33, 32))
    other = chance.normal(0, 1, (4, 6)).astype(np.float32)
    tensors = {
        "convs.0.slices.labels": labels,
        "logits.slices.placeholders": placeholders,
        "convs.0.slices.placeholders": other,
    }
    changed = maps_of_tables(tensors)
    assert changed["convs.0.slices.placeholders"] is other
    found = changed["convs.0.slices.labels"]
    assert np.array_equal(found[-2], labels[-1])
    codes = codes_of(np.arange(32 * 400)[None], 32)[0].astype(np.float64)
    embedded = codes @ found[:-2] + found[-1]
    np.testing.assert_allclose(embedded.mean(0), labels[:-1].mean(0), atol=0.06)
    np.testing.assert_allclose(np.cov(embedded.T, bias=True), np.cov(labels[:-1].T, bias=True), atol=0.02)
    assert changed["logits.slices.placeholders"].shape == (33, 6)
