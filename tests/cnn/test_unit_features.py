"""Features of length 1 in whole numbers, and the C of them."""

import math
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.cnns import bundle_of
from helpers.compilers import needs_a_compiler

from htgen.cnn.bundle import Bundle
from htgen.cnn.c_float import float_code
from htgen.cnn.c_whole import whole_code
from htgen.cnn.mobile_shapes import inverted
from htgen.cnn.whole_length import WholeLength, largest_part
from htgen.cnn.whole_numbers import default_bits, whole_cnn
from htgen.errors import ModelError

STRICT = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"]
SANITIZED = ["-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]

MAIN = """#include <stdio.h>
#include "net.h"
int main(void)
{
    static uint8_t p[NET_PIXELS];
    static int32_t l[NET_CLASSES];
    while (fread(p, sizeof p, 1, stdin)) {
        int k;
        (void)net_classify(p, l);
        for (k = 0; k < NET_CLASSES; k++)
            printf("%ld ", (long)l[k]);
    }
    return 0;
}
"""

ROOTS = """#include <stdio.h>
#include "net.h"
int main(void)
{
    unsigned long square;
    while (scanf("%lu", &square) == 1)
        printf("%lu ", (unsigned long)net_root((uint32_t)square));
    return 0;
}
"""


def small(seed: int) -> Bundle:
    spec = inverted(20, 3, 4, [(8, 3, 2, 6), (18, 5, 1, 6), (12, 3, 2, 8)], 24, unit_features=True)
    return bundle_of(spec, seed)


def some_pixels(bundle: Bundle, count: int) -> np.ndarray:
    """Black, white, and noise of several contrasts: `[N, C, H, W]`."""
    random, side = np.random.default_rng(0), bundle.spec.image_size
    noise = random.integers(0, 256, (count, bundle.spec.image_channels, side, side))
    noise = noise * np.linspace(1, 0.1, count)[:, None, None, None]
    return np.concatenate([noise[:1] * 0, noise[:1] * 0 + 255, noise]).astype(np.uint8)


def run(folder: Path, bundle: Bundle, main: str, given: bytes, bits: int | None = None) -> list[int]:
    (folder / "net.h").write_text(whole_code(bundle, "net", bits=bits).text)
    (folder / "main.c").write_text(main)
    subprocess.run(["cc", *STRICT, *SANITIZED, "main.c", "-o", "main"], cwd=folder, check=True)
    said = subprocess.run([folder / "main"], input=given, capture_output=True, check=True).stdout
    return [int(word) for word in said.split()]


@needs_a_compiler
@pytest.mark.parametrize("bits", [8, 16])
def test_the_c_gives_the_same_bits_and_is_near_the_floats(bits, tmp_path):
    bundle = small(1)
    pixels = some_pixels(bundle, 40)
    whole = whole_cnn(bundle, bits)
    logits = whole.logits(pixels)
    assert run(tmp_path, bundle, MAIN, pixels.tobytes(), bits) == logits.ravel().tolist()
    floats = bundle.logits(pixels.astype(np.float32) / 128 - 1)
    apart = np.abs(logits * whole.logits_step - floats).max() / np.ptp(floats)
    assert apart < (0.1 if bits == 8 else 0.01)


@needs_a_compiler
def test_features_of_nothing_are_nothing(tmp_path):
    """The logits are the biases, as in float."""
    bundle = small(2)
    silent = {name: x * 0 for name, x in bundle.tensors.items() if name.startswith("head.")}
    assert silent
    bundle = replace(bundle, tensors=bundle.tensors | silent)
    pixels = some_pixels(bundle, 2)
    whole = whole_cnn(bundle)
    logits = whole.logits(pixels)
    assert (logits == whole.logits_bias).all()
    floats = bundle.logits(pixels.astype(np.float32) / 128 - 1)
    np.testing.assert_allclose(logits * whole.logits_step, floats, rtol=1e-4, atol=1e-4)
    assert run(tmp_path, bundle, MAIN, pixels.tobytes()) == logits.ravel().tolist()


@needs_a_compiler
def test_the_root_of_the_c_is_exact(tmp_path):
    roots = [0, 1, 2, 3, 255, 256, 4095, 32767, 32768, 46341, 65534, 65535]
    squares = {max(root * root + by, 0) for root in roots for by in (-1, 0, 1)}
    squares |= {(1 << bit) + by for bit in range(1, 32) for by in (-1, 0)} | {(1 << 32) - 1}
    squares |= set(np.random.default_rng(0).integers(0, 1 << 32, 2000).tolist())
    given = sorted(squares)
    assert run(tmp_path, small(0), ROOTS, " ".join(map(str, given)).encode()) == list(map(math.isqrt, given))


@pytest.mark.parametrize("features", [1, 2, 24, 320, 1280, 32767])
@pytest.mark.parametrize("largest", [1, 7, 1000, 32767, 1 << 30])
def test_features_have_the_length_1_whatever_theirs_was(features, largest):
    """Few or many, tiny or enormous, one alone or all alike: as floats, to a thousandth."""
    random = np.random.default_rng(features)
    values = random.integers(-largest, largest + 1, (3, features))
    values[0], values[1] = largest, 0
    values[1, features // 2] = -largest
    values[2, 0] = largest
    length = WholeLength(np.ones(features, np.int64), np.zeros(features, np.int64), 1)
    found = length.scaled(values[:, :, None]) / 32767
    wanted = values / np.linalg.norm(values, axis=1, keepdims=True)
    assert np.abs(found - wanted).max() < 0.001
    assert np.abs(found).max() <= 1
    assert features * largest_part(features) ** 2 < 1 << 32 <= features * (largest_part(features) + 1) ** 2


def test_scales_of_channels_matter():
    """One channel is a hundred times as large as the others, one a hundredth."""
    bundle = small(3)
    factor = np.ones(24, np.float32)
    factor[2], factor[5] = 100, 0.01
    scaled = {
        name: x * factor.reshape(-1, *[1] * (x.ndim - 1))
        for name, x in bundle.tensors.items()
        if name.startswith("head.")
    }
    bundle = replace(bundle, tensors=bundle.tensors | scaled)
    pixels = some_pixels(bundle, 20)
    floats = bundle.logits(pixels.astype(np.float32) / 128 - 1)
    whole = whole_cnn(bundle)
    assert np.abs(whole.logits(pixels) * whole.logits_step - floats).max() < 0.02 * np.ptp(floats)


def test_other_cnns_have_none_of_it():
    bundle = small(4)
    plain = replace(bundle, spec=replace(bundle.spec, unit_features=False))
    with_length, without = (whole_code(b, "net") for b in (bundle, plain))
    assert "net_to_length" in with_length.text
    assert not re.search("net_(to_length|root|unit|size)", without.text)
    assert with_length.code > without.code
    assert with_length.buffers == without.buffers + 2 * 24
    assert default_bits(bundle.spec) == default_bits(plain.spec) == 16


def test_the_c_in_float_points_to_that_in_whole_numbers():
    with pytest.raises(ModelError, match=r"(?s)length 1.*without --float"):
        float_code(small(5), "net")
