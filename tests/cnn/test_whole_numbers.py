"""The CNN in whole numbers: against a slow computation of what it says, and against the CNN in float."""

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from helpers.cnns import any_bundle, make_bundle, random_bundle
from helpers.generators import SHAPES

from htgen.cnn.spec import CnnSpec, ConvSpec
from htgen.cnn.whole_executor import WholeBlock, WholeCnn
from htgen.cnn.whole_length import WholeLength
from htgen.cnn.whole_numbers import default_bits, round_alike, whole_cnn
from htgen.errors import ModelError
from htgen.generator.generator import load_generator
from htgen.images.inputs import as_input

SEEDS = [1, 8, 16, 17, 23, 27, 35, 48]

Planes = list[list[list[int]]]


def fits(value: int) -> int:
    assert abs(value) < 1 << 31
    return value


def slow_level(block: WholeBlock, o: int, total: int, added: int, levels: int) -> int:
    """A sum as a level, with Python's own whole numbers."""
    near = min(abs(fits(total)) >> int(block.shift[o]), 32767)
    if block.residual is None:
        value = near * int(block.factor[o]) if total > 0 else -near * int(block.negative[o])
    else:
        value = fits((near if total > 0 else -near) * int(block.factor[o]))
        value = fits(value + added * int(block.residual.share[o])) + int(block.residual.offset[o])
        activation = block.residual.activation
        if fits(value) < 0 and activation != "none":
            value = -((-value >> 15) * 328) if activation == "lrelu" else 0
    level = min(max(fits(value + int(block.summand[o])), 0) >> block.down, int(block.top[o]))
    assert level <= levels
    return level


def slow_block(conv: ConvSpec, block: WholeBlock, x: Planes, added: Planes | None, levels: int) -> Planes:
    """Levels by channel, row and column."""
    weights, span = block.kernel.tolist(), 2 if conv.pool else 1
    per, own = conv.out_channels // conv.groups, conv.in_channels // conv.groups

    def place(o: int, y: int, z: int) -> int:
        total = 0
        for c, i, j in product(range(own), range(conv.kernel), range(conv.kernel)):
            before = conv.padding_before
            row, column = y * conv.stride + i - before, z * conv.stride + j - before
            inside = 0 <= row < conv.in_size and 0 <= column < conv.in_size
            channel = o // per * own + c
            level = x[channel][row][column] if inside else int(block.zero[channel])
            total = fits(total + weights[o][c][i][j] * level)
        return total

    planes = []
    for o in range(conv.out_channels):
        plane = []
        for y, z in product(range(conv.out_size), repeat=2):
            places = [(y * span + i, z * span + j) for i, j in product(range(span), repeat=2)]
            sums = [place(o, *at) for at in places]
            if block.pool_sums:
                sums = [max(sums) if block.pool_sums == "max" else fits(sum(sums))]
                places = places[:1]
            made = [
                slow_level(
                    block, o, fits(total + int(block.bias[o])), added[o][at[0]][at[1]] if added else 0, levels
                )
                for total, at in zip(sums, places, strict=True)
            ]
            plane.append((sum(made) + 2) >> 2 if block.pool_levels == "average" else max(made))
        planes.append([plane[i : i + conv.out_size] for i in range(0, len(plane), conv.out_size)])
    return planes


def slow_length(length: WholeLength, levels: list[int]) -> list[int]:
    """Features scaled to length 1, with Python's own whole numbers, none of which needs more than 32 bits."""
    places = len(levels) // len(length.factor)
    values = [
        fits(fits(level * int(length.factor[i // places])) - int(length.zero[i // places]))
        for i, level in enumerate(levels)
    ]
    bits = 0
    while len(values) * (max(rounded(abs(value), bits) for value in values)) ** 2 >= 1 << 32:
        bits += 1
    total = sum(rounded(abs(value), bits) ** 2 for value in values)
    if not total:
        return [0] * len(values)
    while total < 1 << 30:
        total, bits = total * 4, bits - 1
    root, unit = math.isqrt(total), []
    for value in values:
        size = rounded(abs(value), bits) if bits >= 0 else abs(value) << -bits
        assert size * 32767 + root // 2 < 1 << 32
        size = min((size * 32767 + root // 2) // root, 32767)
        unit.append(-size if value < 0 else size)
    return unit


def rounded(size: int, bits: int) -> int:
    return (fits(size) + (1 << bits) // 2) // (1 << bits)


def slow_logits(cnn: WholeCnn, pixels: np.ndarray) -> list[int]:
    """One image `[C, H, W]`, number by number."""
    x, outputs = pixels.tolist(), {}
    for conv, block in zip(cnn.spec.convs, cnn.blocks, strict=True):
        x = slow_block(conv, block, x, outputs.get(conv.add), cnn.levels)
        outputs[conv.name] = x
    flat = [value for plane in x for row in plane for value in row]
    if cnn.spec.head == "average":
        positions = len(flat) // len(x)
        flat = [fits(sum(value for row in plane for value in row)) for plane in x]
        if cnn.levels > 255 or cnn.length:
            finer = cnn.length.finer if cnn.length else 1
            flat = [(fits(f * finer) + positions // 2) // positions for f in flat]
    flat = slow_length(cnn.length, flat) if cnn.length else flat
    return [
        fits(sum(w * f for w, f in zip(weights, flat, strict=True)) + int(bias))
        for weights, bias in zip(cnn.logits_weight.tolist(), cnn.logits_bias, strict=True)
    ]


def some_images(spec: CnnSpec, seed: int) -> np.ndarray:
    """Noise, and the two images that are furthest apart."""
    shape = (1, spec.image_channels, spec.image_size, spec.image_size)
    noise = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    return np.concatenate([noise, np.zeros_like(noise), np.full_like(noise, 255)])


def test_any_plain_cnn_is_what_the_description_says():
    random, done = np.random.default_rng(3), 0
    while done < 8:
        bundle = any_bundle(random)
        if bundle is None or bundle.spec.multiply_adds(2) > 40_000:
            continue
        cnn, spec = whole_cnn(bundle), bundle.spec
        pixels = some_images(spec, done)
        for image, logits in zip(pixels, cnn.logits(pixels), strict=True):
            assert slow_logits(cnn, image) == logits.tolist()
        done += 1


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("seed", SEEDS)
def test_any_cnn_is_what_the_description_says(seed, bits):
    bundle = random_bundle(seed)
    cnn = whole_cnn(bundle, bits)
    image = some_images(bundle.spec, seed)[:1]
    assert slow_logits(cnn, image[0]) == cnn.logits(image)[0].tolist()


def test_the_seeds_have_all_kinds_of_blocks():
    cnns = [whole_cnn(random_bundle(seed)) for seed in SEEDS]
    blocks = [block for cnn in cnns for block in cnn.blocks]
    assert {block.pool_levels for block in blocks} == {"", "max", "average"}
    assert {block.residual.activation for block in blocks if block.residual} >= {"none", "lrelu", "relu6"}
    assert any(conv.groups > 1 for cnn in cnns for conv in cnn.spec.convs)
    heads = {(cnn.spec.head, cnn.length is not None) for cnn in cnns}
    assert heads == {(head, unit) for head in ("flatten", "average") for unit in (False, True)}


HOSTILE = [
    lambda x, random: x * np.float32(10.0 ** random.uniform(-20, 9)),
    lambda x, random: np.zeros_like(x),
    lambda x, random: np.full_like(x, 1e3),
    lambda x, random: (
        np.where(np.arange(len(x)) == random.integers(len(x)), 10 ** random.uniform(-12, 8), 1)
        .astype(np.float32)
        .reshape(-1, *[1] * (x.ndim - 1))
        * x
    ),
]


@pytest.mark.parametrize("bits", [8, 16])
def test_no_sum_overflows_whatever_the_weights_are(bits):
    """Weights that are enormous, tiny or zero, in whole or in single channels; statistics likewise."""
    refused, images = 0, 0
    for seed in range(60):
        random, bundle = np.random.default_rng(seed), random_bundle(seed)
        tensors = {
            name: HOSTILE[random.integers(4)](x, random) if random.random() < 0.3 else x
            for name, x in bundle.tensors.items()
        }
        try:
            with np.errstate(over="raise", invalid="raise", divide="raise"):
                cnn = whole_cnn(replace(bundle, tensors=tensors), bits)
        except ModelError:
            refused += 1
            continue
        largest = 255
        for conv, block in zip(cnn.spec.convs, cnn.blocks, strict=True):
            weights = block.kernel.reshape(conv.out_channels, -1)
            places = 4 if block.pool_sums == "sum" else 1
            for sign in (1, -1):  # whatever is added first, and whatever the levels are
                sums = np.maximum(sign * weights, 0).sum(axis=1) * largest * places
                assert np.abs(sums).max() < 1 << 31
                assert np.abs(sign * sums + block.bias).max() < 1 << 31
            assert 0 <= block.zero.min() <= block.zero.max() <= largest
            assert 0 <= block.factor.min() <= block.factor.max() <= 32767
            assert 0 <= block.shift.min() <= block.shift.max() < 32
            largest = cnn.levels
        if cnn.spec.multiply_adds(4) < 8000:
            pixels = some_images(cnn.spec, seed)
            for image, logits in zip(pixels, cnn.logits(pixels), strict=True):
                assert slow_logits(cnn, image) == logits.tolist()
                images += 1
    assert refused <= 3
    assert images >= 9


def test_rounding_keeps_sums():
    values = np.random.default_rng(0).normal(0, 20, (50, 9))
    whole = round_alike(values, 127)
    assert np.abs(whole.sum(axis=1) - values.sum(axis=1)).max() <= 0.5
    assert np.abs(whole - values).max() < 1.0
    assert (np.abs(whole.sum(axis=1) - np.rint(values).sum(axis=1)) >= 2).any()
    assert np.abs(round_alike(values * 100, 127)).max() == 127


def test_drawings_have_8_bits_and_photographs_16():
    assert default_bits(make_bundle().spec) == whole_cnn(make_bundle()).bits == 8
    assert default_bits(make_bundle(image_channels=3).spec) == 16
    plain = make_bundle().spec
    for changes in ({"groups": 4}, {"add": "conv1"}, {"norm": False}):
        convs = (*plain.convs[:-1], replace(plain.convs[-1], **changes))
        assert default_bits(replace(plain, convs=convs)) == 16


def test_16_bits_are_next_to_the_floats():
    """Of CNNs without norms too, on noise."""
    apart = []
    for seed in range(40):
        bundle = random_bundle(seed)
        if not any(conv.norm for conv in bundle.spec.convs):
            pixels = np.random.default_rng(seed).integers(
                0, 256, (8, bundle.spec.image_channels, *[bundle.spec.image_size] * 2), np.uint8
            )
            floats = bundle.logits(pixels.astype(np.float32) / 128 - 1)
            cnn = whole_cnn(bundle, 16)
            apart.append(np.abs(cnn.logits(pixels) * cnn.logits_step - floats).max() / np.ptp(floats))
    assert len(apart) >= 3
    assert max(apart) < 0.01


@pytest.mark.parametrize("variant", [name for name in SHAPES if name != "batch norm"])
def test_weights_and_activations_stay_within_their_bits(variant):
    cnn = whole_cnn(make_bundle(**SHAPES[variant]), 8)
    for block in cnn.blocks:
        assert np.abs(block.kernel).max() == 127
        assert block.factor.min() >= 0
        assert max(block.factor.max(), block.negative.max()) < 1 << 15
        assert ((block.zero >= 0) & (block.zero <= 255)).all()
        assert ((block.shift >= 0) & (block.shift < 31)).all()
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
