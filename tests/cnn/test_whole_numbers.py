"""The CNN in whole numbers: against a slow computation of what it says, and against the CNN in float."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from helpers.cnns import any_bundle, make_bundle
from helpers.generators import SHAPES

from htgen.cnn.whole_numbers import WholeCnn, whole_cnn
from htgen.errors import ModelError
from htgen.generator.generator import load_generator
from htgen.images.inputs import as_input


def slow_logits(cnn: WholeCnn, pixels: np.ndarray) -> list[int]:
    """One image `[C, H, W]`, number by number, with Python's own whole numbers."""
    x = pixels.tolist()
    for conv, block in zip(cnn.spec.convs, cnn.blocks, strict=True):
        weights, rows = block.kernel.tolist(), []
        for o in range(conv.out_channels):
            span = 2 if conv.pool else 1
            plane = [[0] * conv.out_size for _ in range(conv.out_size)]
            for y, z in product(range(conv.out_size), repeat=2):
                sums = []
                for down, across in product(range(span), repeat=2):
                    total = int(block.bias[o])
                    for c, i, j in product(range(conv.in_channels), range(conv.kernel), range(conv.kernel)):
                        row = (y * span + down) * conv.stride + i - conv.padding
                        column = (z * span + across) * conv.stride + j - conv.padding
                        inside = 0 <= row < conv.in_size and 0 <= column < conv.in_size
                        total += weights[o][c][i][j] * (x[c][row][column] if inside else int(block.zero[c]))
                    assert abs(total) < 1 << 31
                    sums.append(total)
                most = max(sums)
                size = min(abs(most), block.limit) >> block.shift
                factor = int(block.factor[o]) if most > 0 else -int(block.negative[o])
                value = size * factor + int(block.summand[o])
                assert abs(value) < 1 << 31
                plane[y][z] = min(max(value, 0) >> block.down, 255)
            rows.append(plane)
        x = rows
    flat = [value for plane in x for row in plane for value in row]
    if cnn.spec.head == "average":
        flat = [sum(value for row in plane for value in row) for plane in x]
    return [
        sum(w * f for w, f in zip(weights, flat, strict=True)) + int(bias)
        for weights, bias in zip(cnn.logits_weight.tolist(), cnn.logits_bias, strict=True)
    ]


def test_any_cnn_is_what_the_description_says():
    random, done = np.random.default_rng(3), 0
    while done < 8:
        bundle = any_bundle(random)
        if bundle is None or bundle.spec.multiply_adds(2) > 40_000:
            continue
        cnn, spec = whole_cnn(bundle), bundle.spec
        pixels = random.integers(0, 256, (2, spec.image_channels, spec.image_size, spec.image_size), np.uint8)
        for image, logits in zip(pixels, cnn.logits(pixels), strict=True):
            assert slow_logits(cnn, image) == logits.tolist()
        done += 1


@pytest.mark.parametrize("variant", [name for name in SHAPES if name != "batch norm"])
def test_weights_and_activations_stay_within_their_bits(variant):
    cnn = whole_cnn(make_bundle(**SHAPES[variant]))
    for block in cnn.blocks:
        assert np.abs(block.kernel).max() == 127
        assert block.factor.min() >= 0
        assert max(block.factor.max(), block.negative.max()) < 1 << 15
        assert ((block.zero >= 0) & (block.zero <= 255)).all()
        assert 0 <= block.shift < 31
        assert 0 <= block.down < 31
    assert np.abs(cnn.logits_weight).max() == 127


def test_a_pool_before_a_norm_that_turns_the_sign_is_refused():
    """Its largest sum would have to be its least."""
    bundle = make_bundle(**SHAPES["norm after pool"])
    whole_cnn(bundle)
    tensors = {name: -x if name.endswith("norm.weight") else x for name, x in bundle.tensors.items()}
    with pytest.raises(ModelError, match="turns its sign"):
        whole_cnn(replace(bundle, tensors=tensors))


def test_logits_are_close_to_the_floats():
    """Of a trained generator's CNN, on drawings like its support images."""
    generator = load_generator("glyph-8")
    random = np.random.default_rng(0)
    kinds = random.integers(0, 2, (5, 7, 7))

    def drawing(kind: int) -> np.ndarray:
        flips = random.random((7, 7)) < 0.06
        return (255 * np.kron(kinds[kind] ^ flips, np.ones((4, 4), int)))[..., None].astype(np.uint8)

    support = as_input([drawing(k) for k in range(5) for _ in range(3)], generator.preprocessing)
    bundle = generator.generate_bundle(
        generator.support(support, [str(k) for k in range(5) for _ in range(3)])
    )
    queries = [drawing(k) for k in range(5) for _ in range(20)]
    floats = bundle.logits(as_input(queries, generator.preprocessing))
    cnn = whole_cnn(bundle)
    whole = cnn.logits(np.stack(queries).transpose(0, 3, 1, 2)) * cnn.logits_step
    assert (whole.argmax(axis=1) == floats.argmax(axis=1)).mean() >= 0.98
    assert np.abs(whole - floats).max() < 0.1 * np.ptp(floats)
